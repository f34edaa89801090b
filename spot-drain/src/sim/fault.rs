//! What may go wrong with a request or a watch: data, decided per request.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use spot_core::clock::Now;
use spot_core::sim::Fault;

/// What is made to go wrong with one request. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// How long the request is under way before the server sees it.
    pub before: Duration,
    /// How long the answer is under way.
    pub after: Duration,
    /// Where a cache may answer, how many versions it is behind.
    pub lag: u64,
    /// What happens instead of the answer.
    pub fault: Option<Fault>,
    /// What happens to the watch that the request opens.
    pub watch: WatchFault,
}

/// What goes wrong with a watch. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFault {
    /// The stream ends after this time.
    pub closed_after: Option<Duration>,
    /// The connection breaks after this time.
    pub reset_after: Option<Duration>,
    /// Nothing more is heard after this time, and the stream stays open.
    pub silent_after: Option<Duration>,
    /// An `Expired` error ends the stream after this time.
    pub expired_after: Option<Duration>,
    /// Every event comes this much later.
    pub late: Duration,
    /// Every event comes twice.
    pub twice: bool,
}

impl Injection {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// The server answers this status in plain text.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::from(Fault::Status {
            code: status,
            retry_after: None,
            body: body.into(),
        })
    }
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }
}

/// Decides what goes wrong with each request. Any `FnMut` of the same form is one.
pub trait Faults: Send {
    /// What goes wrong with this request, the `number`th from zero.
    fn decide(&mut self, number: u64, request: &Request<Bytes>, now: Now) -> Injection;
}

impl<F: FnMut(u64, &Request<Bytes>, Now) -> Injection + Send> Faults for F {
    fn decide(&mut self, number: u64, request: &Request<Bytes>, now: Now) -> Injection {
        self(number, request, now)
    }
}
