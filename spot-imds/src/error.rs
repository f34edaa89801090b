//! Why the metadata service could not be asked, and what mends it.

use std::error::Error;
use std::time::Duration;

use spot_core::notice::Trouble;

use crate::decode::DecodeError;
use crate::transport::BoxError;

/// The longest text of [`ImdsError::report`], in characters.
const MAX_REPORT: usize = 600;

/// A request to the metadata service that gave no answer, or none that can be used.
///
/// No variant, in no output, holds a session token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImdsError {
    /// No connection.
    #[error("the metadata service at {endpoint} cannot be reached")]
    Unreachable {
        /// The service's URL.
        endpoint: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// No connection, or no whole reply, in time.
    #[error("the metadata service at {endpoint} did not answer within {after:?}")]
    TimedOut {
        /// The service's URL.
        endpoint: String,
        /// The time it had.
        after: Duration,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange with the metadata service at {endpoint} broke off")]
    Broken {
        /// The service's URL.
        endpoint: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// 403: access to the metadata is switched off.
    #[error("the metadata service refuses {path} (403)")]
    Refused {
        /// What was asked for.
        path: String,
    },
    /// 401, also with a token that had just been issued.
    #[error("the metadata service takes no session token for {path} (401)")]
    Unauthorized {
        /// What was asked for.
        path: String,
    },
    /// 503 or 429: overloaded, or this instance asks too often.
    #[error("the metadata service asks for patience with {path} ({status})")]
    Unavailable {
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// Any other status but 200 and, for metadata, 404. A redirect is one: none is followed.
    #[error("the metadata service answered {path} with the unexpected status {status}")]
    UnexpectedStatus {
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body is longer than the cap.
    #[error("the metadata service answered {path} with more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The cap, in bytes.
        limit: usize,
    },
    /// The body means nothing.
    #[error("the metadata service answered {path} with something else")]
    Malformed {
        /// What was asked for.
        path: String,
        /// What is wrong; it quotes the body, escaped and cut.
        #[source]
        source: DecodeError,
    },
    /// The reply to the request for a token is no token. It is not quoted: it may hold one.
    #[error("the metadata service answered the request for a session token with something else")]
    MalformedToken,
    /// Something answers that is no metadata service of EC2.
    #[error("what answers at {endpoint} is no EC2 metadata service: {sign}")]
    Foreign {
        /// The service's URL.
        endpoint: String,
        /// What it is known by.
        sign: &'static str,
    },
    /// Not a path below `/latest/meta-data/`.
    #[error("\"{path}\" is not a metadata path")]
    InvalidPath {
        /// What was asked for, escaped and cut.
        path: String,
    },
}

impl ImdsError {
    /// A short name of the kind of error, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut { .. } => "timed-out",
            Self::Broken { .. } => "broken",
            Self::Refused { .. } => "refused",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Unavailable { .. } => "unavailable",
            Self::UnexpectedStatus { .. } => "unexpected-status",
            Self::TooLarge { .. } => "too-large",
            Self::Malformed { .. } => "malformed",
            Self::MalformedToken => "malformed-token",
            Self::Foreign { .. } => "foreign",
            Self::InvalidPath { .. } => "invalid-path",
        }
    }

    /// What kind of trouble it is, by itself; what is known of the machine may say more
    /// ([`Hardware`](crate::hardware::Hardware)).
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => {
                Trouble::Unreachable
            }
            Self::Refused { .. } | Self::Unauthorized { .. } => Trouble::Refused,
            Self::Unavailable { .. } => Trouble::Overloaded,
            Self::Foreign { .. } => Trouble::NotHere,
            Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::MalformedToken
            | Self::InvalidPath { .. } => Trouble::Garbled,
        }
    }

    /// Whether it may pass by itself. What is not transient is worth asking again all the same:
    /// metadata can be switched on while the instance runs.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Unauthorized { .. }
            | Self::Unavailable { .. } => true,
            Self::UnexpectedStatus { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether access is denied rather than impossible.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unauthorized { .. })
    }

    /// What mends it, as an instruction to an operator.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "check that this is an EC2 instance and that no firewall or network policy keeps \
                 this process from the metadata service; in a pod, set the instance's \
                 http-put-response-hop-limit to 2 or use hostNetwork"
            }
            Self::TimedOut { .. } => {
                "in a pod that is not on the host's network this is what a hop limit of 1 looks \
                 like: set the instance's http-put-response-hop-limit to 2 or use hostNetwork; \
                 elsewhere, check firewalls and network policies"
            }
            Self::Refused { .. } => {
                "the metadata service is switched off: set the instance's metadata option \
                 http-endpoint to enabled"
            }
            Self::Unauthorized { .. } => {
                "just after boot this passes; otherwise check that nothing on the way removes the \
                 header X-aws-ec2-metadata-token"
            }
            Self::Unavailable { .. } => {
                "wait; if it lasts, have fewer processes of this instance ask less often"
            }
            Self::UnexpectedStatus { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::MalformedToken
            | Self::Broken { .. } => {
                "if it lasts, check that the URL is the metadata service's and that no proxy \
                 stands in between"
            }
            Self::Foreign { .. } => {
                "on EC2, check that the URL is the metadata service's and that no proxy without \
                 IMDSv2 stands in between; elsewhere there is nothing to mend, and no notice to \
                 come"
            }
            Self::InvalidPath { .. } => {
                "write a path below /latest/meta-data/ such as placement/region"
            }
        }
    }

    /// The error, its causes and its remedy as one line of at most about 600 characters.
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        let room = MAX_REPORT.saturating_sub(self.remedy().len() + 2);
        if let Some((end, _)) = text.char_indices().nth(room) {
            text.truncate(end);
            text.push('…');
        }
        text.push_str("; ");
        text.push_str(self.remedy());
        text.replace(char::is_control, " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed_out() -> ImdsError {
        ImdsError::TimedOut {
            endpoint: "http://x".into(),
            after: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_timeout_names_the_hop_limit() {
        let report = timed_out().report();
        assert!(report.contains("within 1s"), "{report}");
        assert!(
            report.contains("http-put-response-hop-limit to 2"),
            "{report}"
        );
        assert!(report.contains("hostNetwork"), "{report}");
        assert!(timed_out().is_transient() && !timed_out().is_permission());
    }

    #[test]
    fn denied_is_told_from_impossible() {
        let path = "/latest/api/token".to_owned();
        let refused = ImdsError::Refused { path: path.clone() };
        assert!(refused.is_permission() && !refused.is_transient());
        assert!(refused.report().contains("switched off"));
        let unauthorized = ImdsError::Unauthorized { path: path.clone() };
        assert!(unauthorized.is_permission() && unauthorized.is_transient());
        let at = |status| ImdsError::UnexpectedStatus {
            path: path.clone(),
            status,
        };
        assert!(at(500).is_transient() && !at(302).is_transient());
    }

    #[test]
    fn a_report_is_one_line_that_names_every_cause_once_and_is_cut() {
        let error = ImdsError::Broken {
            endpoint: "http://x".into(),
            source: format!("first\nsecond {}", "x".repeat(5_000)).into(),
        };
        let report = error.report();
        assert!(report.chars().count() <= MAX_REPORT + 1, "{}", report.len());
        assert_eq!(report.matches("first second").count(), 1);
        assert!(report.ends_with(error.remedy()));
    }
}
