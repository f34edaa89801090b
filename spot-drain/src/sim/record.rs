//! Requests as the server saw them.

use std::ops::Range;

use bytes::Bytes;
use http::{Request, header};
use tokio::time::Instant;

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
    /// When it took effect, and the versions that it made; `None` where it took none, or where
    /// that is not known, as of a real server.
    pub effect: Option<(Instant, Range<u64>)>,
    /// The status that it was answered with; `None` where it was not answered.
    pub status: Option<u16>,
    /// When it was answered (for a watch: when that began), or ended without; `None` while it is
    /// under way.
    pub ended: Option<Instant>,
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
