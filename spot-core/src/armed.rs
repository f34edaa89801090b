//! Whether a notice now would be acted on, proved beforehand.
//!
//! A handler is idle for weeks and must work in the one minute that counts. So it proves, at the
//! start and from time to time, every link of the chain from the notice to the evicted pod. A
//! [`SelfCheck`] proves the links to a cluster without changing anything there; the
//! [`Handler`](crate::handler::Handler) adds what it knows of its sources, and tells the result
//! as [`Armed`]: to observers, and in its readiness.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::notice::Instance;

/// One link of the chain from a notice to an evicted pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Link {
    /// Every source was heard lately.
    Notices,
    /// The local wall clock shows what the source's shows.
    Clock,
    /// The API server's name leads to an address.
    NameResolution,
    /// The API server can be reached and answers.
    Connection,
    /// Its certificate is one that we trust, and ours, where we have one, is taken.
    Certificate,
    /// It knows who we are.
    Credentials,
    /// The node is the instance that we run on.
    Identity,
    /// The node's quarantine would be written.
    Quarantine,
    /// A pod's eviction would be taken.
    Eviction,
    /// A pod's replacement would be made first, where that is asked for.
    Replacement,
}

impl Link {
    /// Every link, from the notice to the pod.
    pub const ALL: [Self; 10] = [
        Self::Notices,
        Self::Clock,
        Self::NameResolution,
        Self::Connection,
        Self::Certificate,
        Self::Credentials,
        Self::Identity,
        Self::Quarantine,
        Self::Eviction,
        Self::Replacement,
    ];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notices => "notices",
            Self::Clock => "clock",
            Self::NameResolution => "name-resolution",
            Self::Connection => "connection",
            Self::Certificate => "certificate",
            Self::Credentials => "credentials",
            Self::Identity => "identity",
            Self::Quarantine => "quarantine",
            Self::Eviction => "eviction",
            Self::Replacement => "replacement",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a link was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It is broken: a notice now would not be acted on as it should.
    Broken {
        /// What is wrong, for an operator.
        reason: String,
        /// What mends it, as an instruction.
        remedy: Cow<'static, str>,
    },
    /// It could not be tried, for a reason that is no fault: an earlier link is broken, or there
    /// is nothing to try it on.
    Unproven {
        /// Why.
        reason: String,
    },
}

/// What was found about a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The link.
    pub link: Link,
    /// How it was found.
    pub verdict: Verdict,
}

impl Finding {
    /// The link holds.
    pub fn holds(link: Link) -> Self {
        let verdict = Verdict::Holds;
        Self { link, verdict }
    }

    /// The link is broken.
    pub fn broken(
        link: Link,
        reason: impl Into<String>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        let verdict = Verdict::Broken {
            reason: reason.into(),
            remedy: remedy.into(),
        };
        Self { link, verdict }
    }

    /// The link could not be tried.
    pub fn unproven(link: Link, reason: impl Into<String>) -> Self {
        let verdict = Verdict::Unproven {
            reason: reason.into(),
        };
        Self { link, verdict }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.link;
        match &self.verdict {
            Verdict::Holds => write!(f, "{link} holds"),
            Verdict::Broken { reason, remedy } => write!(f, "{link} is broken: {reason}; {remedy}"),
            Verdict::Unproven { reason } => write!(f, "{link} is not proven: {reason}"),
        }
    }
}

/// What a check of the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Armed {
    /// When it was checked.
    pub at: Timestamp,
    /// What was found, in the order of [`Link::ALL`]; at most one finding about a link.
    pub findings: Vec<Finding>,
}

impl Armed {
    /// What was found at `at`. Of several findings about a link the first counts, where it is not
    /// merely that the link holds.
    pub fn new(at: Timestamp, findings: impl IntoIterator<Item = Finding>) -> Self {
        let mut all: Vec<Finding> = findings.into_iter().collect();
        all.sort_by_key(|finding| (finding.link, finding.verdict == Verdict::Holds));
        all.dedup_by_key(|finding| finding.link);
        Self { at, findings: all }
    }

    /// The same after an earlier check: a link that was broken then and could not be tried now is
    /// broken still.
    #[must_use]
    pub fn after(mut self, earlier: Option<&Self>) -> Self {
        let broken = |link| earlier?.broken().find(|found| found.link == link);
        for finding in &mut self.findings {
            let untried = matches!(finding.verdict, Verdict::Unproven { .. });
            if let Some(broken) = broken(finding.link).filter(|_| untried) {
                *finding = broken.clone();
            }
        }
        self
    }

    /// Whether no link is broken.
    pub fn is_armed(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The broken links.
    pub fn broken(&self) -> impl Iterator<Item = &Finding> {
        let broken = |f: &&Finding| matches!(f.verdict, Verdict::Broken { .. });
        self.findings.iter().filter(broken)
    }
}

/// Proves the links to a cluster, changing nothing there.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait SelfCheck: Send + Sync {
    /// Tries every link that it knows, on the node of `instance` where that is known.
    ///
    /// Returns within a minute whatever happens.
    ///
    /// # Cancel safety
    /// Dropping the future gives the check up; nothing goes on in the background.
    async fn check(&self, instance: Option<Instance>) -> Vec<Finding>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_findings_about_a_link_the_one_that_is_not_good_counts() {
        let armed = Armed::new(
            Timestamp::UNIX_EPOCH,
            [
                Finding::holds(Link::Eviction),
                Finding::holds(Link::Clock),
                Finding::broken(Link::Clock, "an hour ahead", "set it"),
                Finding::unproven(Link::Eviction, "no pod"),
            ],
        );
        assert!(!armed.is_armed());
        let found: Vec<_> = armed.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "clock is broken: an hour ahead; set it",
                "eviction is not proven: no pod"
            ]
        );
    }

    #[test]
    fn what_is_not_proven_is_not_broken() {
        let findings = [Finding::unproven(Link::Eviction, "no pod")];
        assert!(Armed::new(Timestamp::UNIX_EPOCH, findings).is_armed());
    }

    #[test]
    fn what_was_broken_and_could_not_be_tried_is_broken_still() {
        let at = Timestamp::UNIX_EPOCH;
        let broken = || Finding::broken(Link::Eviction, "may not", "grant it");
        let before = Armed::new(at, [broken(), Finding::holds(Link::Clock)]);
        let untried = || Finding::unproven(Link::Eviction, "no answer");
        let after = Armed::new(at, [untried()]).after(Some(&before));
        assert_eq!(after.findings, [broken()]);
        let mended = Armed::new(at, [Finding::holds(Link::Eviction)]).after(Some(&after));
        assert!(mended.is_armed());
        assert!(Armed::new(at, [untried()]).after(Some(&mended)).is_armed());
    }

    #[test]
    fn links_go_from_the_notice_to_the_pod() {
        assert!(Link::ALL.is_sorted());
    }
}
