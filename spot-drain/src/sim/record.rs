//! Requests as the server saw them.

use std::ops::Range;

use bytes::Bytes;
use http::{Request, header};
use tokio::time::Instant;

use super::api::Reply;
use super::fault::Injection;

/// A request as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// When it came.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, empty where there is none.
    pub query: String,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// Its body.
    pub body: Bytes,
    /// What was made to go wrong with it.
    pub injected: Injection,
    /// What came of it in the server; `None` where it did not get there, or where that is not
    /// known, as of a real server.
    pub effect: Option<Effect>,
    /// The status that it was answered with; `None` where it was not answered.
    pub status: Option<u16>,
    /// When it was answered (for a watch: when that began), or ended without; `None` while it is
    /// under way.
    pub ended: Option<Instant>,
}

/// What came of a request, whether or not its client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effect {
    /// When.
    pub at: Instant,
    /// The versions that it made; an empty range where it changed nothing.
    pub versions: Range<u64>,
    /// The status that the server gave it.
    pub status: u16,
    /// The body of that answer; empty where it is a watch.
    pub body: Bytes,
}

impl Effect {
    pub(super) fn new(at: Instant, versions: Range<u64>, reply: &Reply) -> Self {
        let (status, body) = match reply {
            Reply::Whole(response) => (response.status().as_u16(), response.body().clone()),
            Reply::Watch(_) => (200, Bytes::new()),
        };
        Self {
            at,
            versions,
            status,
            body,
        }
    }
}

impl Recorded {
    /// A request that came at this moment.
    pub fn new(request: &Request<Bytes>, at: Instant) -> Self {
        let agent = request.headers().get(header::USER_AGENT);
        Self {
            at,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or("").to_owned(),
            user_agent: agent.and_then(|a| a.to_str().ok()).unwrap_or("").to_owned(),
            body: request.body().clone(),
            injected: Injection::none(),
            effect: None,
            status: None,
            ended: None,
        }
    }

    /// Whether it opened a watch.
    pub fn is_watch(&self) -> bool {
        let mut pairs = self.query.split('&');
        pairs.any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
    }
}
