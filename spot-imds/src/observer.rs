//! The port that tells others what the metadata service is asked, and how it answers.

use crate::client::{
    IDENTITY_PATH, INSTANCE_ACTION, LIFECYCLE_STATE, PAST_EVENTS, REBALANCE, SCHEDULED_EVENTS,
    TOKEN_PATH,
};

/// One request to the metadata service, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// What was asked for: one of the paths that this crate asks for, below
    /// `/latest/meta-data/`; `token`; `identity-document`; or `other`.
    pub path: &'static str,
    /// The HTTP status, or as [`ImdsError::kind`](crate::error::ImdsError::kind) says why there
    /// is no reply.
    pub answer: Result<u16, &'static str>,
}

/// One poll of a path that announces something, as the source took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Poll {
    /// Below `/latest/meta-data/`.
    pub path: &'static str,
    /// It was answered, and the answer could be read.
    pub is_good: bool,
}

/// Is told what the metadata service is asked.
///
/// Called on the source's own path: never block, never wait.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait ExchangeObserver: Send + Sync {
    /// A request has been answered, or has failed. One that was dropped is not told.
    fn exchanged(&self, exchange: &Exchange);

    /// A source has polled a path.
    fn polled(&self, poll: &Poll);
}

/// The label of a path: one of few, whatever an embedder asks for.
pub(crate) fn label(path: &str) -> &'static str {
    const KNOWN: [&str; 9] = [
        INSTANCE_ACTION,
        LIFECYCLE_STATE,
        SCHEDULED_EVENTS,
        PAST_EVENTS,
        REBALANCE,
        "instance-id",
        "instance-life-cycle",
        "placement/availability-zone",
        "placement/region",
    ];
    match path {
        TOKEN_PATH => "token",
        IDENTITY_PATH => "identity-document",
        _ => {
            let below = path.strip_prefix("/latest/meta-data/").unwrap_or(path);
            let known = KNOWN.into_iter().find(|known| *known == below);
            known.unwrap_or("other")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_paths_are_labels() {
        assert_eq!(label("/latest/api/token"), "token");
        assert_eq!(
            label("/latest/meta-data/spot/instance-action"),
            INSTANCE_ACTION
        );
        assert_eq!(label("/latest/meta-data/tags/instance/secret"), "other");
    }
}
