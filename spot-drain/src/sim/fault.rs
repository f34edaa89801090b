//! What may go wrong with a request or a watch: data, decided per request.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use spot_core::clock::Now;

/// What goes wrong with one request. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How long the request is under way before the server sees it.
    pub before: Duration,
    /// How long the answer is under way.
    pub after: Duration,
    /// Where a cache may answer, how many versions it is behind.
    pub lag: u64,
    /// What happens instead of the answer.
    pub trouble: Option<Trouble>,
    /// What happens to the watch that the request opens.
    pub watch: WatchFault,
}

/// What happens instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The server answers this and does nothing.
    Answer(Canned),
    /// The connection ends before the server has seen the request.
    ResetBefore,
    /// The request takes effect, and the connection ends before the answer.
    ResetAfter,
    /// No answer ever; the request took no effect.
    BlackHole,
    /// No answer ever; the request took effect.
    BlackHoleAfter,
    /// The connection ends after so many bytes of the answer's body.
    Truncated(usize),
}

/// An answer that no server has thought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canned {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body. One that begins with `{` is sent as JSON, any other as plain text.
    pub body: String,
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

impl Fault {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// The server answers this status in plain text.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self::from(Trouble::Answer(Canned {
            status,
            retry_after: None,
            body: body.into(),
        }))
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }
}

/// Decides what goes wrong with each request. Any `FnMut` of the same form is one.
pub trait Faults: Send {
    /// What goes wrong with this request, the `number`th from zero.
    fn decide(&mut self, number: u64, request: &Request<Bytes>, now: Now) -> Fault;
}

impl<F: FnMut(u64, &Request<Bytes>, Now) -> Fault + Send> Faults for F {
    fn decide(&mut self, number: u64, request: &Request<Bytes>, now: Now) -> Fault {
        self(number, request, now)
    }
}
