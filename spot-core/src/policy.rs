//! What is done about which kind of notice.

use std::collections::BTreeMap;
use std::fmt;

use crate::notice::NoticeKind;

/// What is done about a kind of notice. Ordered: a later one does more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    /// Nothing.
    Ignore,
    /// Observers are told.
    Notify,
    /// The node takes nothing new.
    Cordon,
    /// The node takes nothing new, and its work is moved away.
    Drain,
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "ignore",
            Self::Notify => "notify",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
        })
    }
}

/// The response to each kind of notice.
///
/// By default everything that ends the instance drains; a rebalance recommendation, which
/// may come hours before or never be followed by anything, is only told to observers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(BTreeMap<NoticeKind, Response>);

impl Default for Policy {
    fn default() -> Self {
        Self(
            NoticeKind::ALL
                .into_iter()
                .map(|kind| match kind {
                    NoticeKind::RebalanceRecommendation => (kind, Response::Notify),
                    _ => (kind, Response::Drain),
                })
                .collect(),
        )
    }
}

impl Policy {
    /// The same policy with another response to `kind`.
    #[must_use]
    pub fn on(mut self, kind: NoticeKind, response: Response) -> Self {
        self.0.insert(kind, response);
        self
    }

    /// The response to `kind`.
    pub fn response(&self, kind: NoticeKind) -> Response {
        self.0.get(&kind).copied().unwrap_or(Response::Drain)
    }
}
