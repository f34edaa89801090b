//! What became of every pod, as a type that serialises and as text for a person.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use spot_core::drainer::{DrainOutcome, DrainReport};

use crate::facts::Uid;
use crate::replacement::Detachment;

/// What became of a drain.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    #[serde(serialize_with = "outcome")]
    pub outcome: DrainOutcome,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// What was left to the deadline at the end, in seconds; absent without a deadline.
    #[serde(
        serialize_with = "opt_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub slack: Option<Duration>,
    /// Nothing was changed.
    pub dry_run: bool,
    /// Whether the pods of the node could be listed at all.
    pub listed: bool,
    /// Requests made to the API server meanwhile over the same connection; 0 in the report of a
    /// plan, which makes none.
    pub requests: u64,
    /// Every pod that was observed, once.
    pub pods: Vec<PodReport>,
    /// Volumes that were still attached to the node when it was looked at last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<String>,
    /// What could not be learnt, and the difference that it made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hindrances: Vec<Hindrance>,
}

/// Something that could not be learnt of the cluster, and what was done without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "unknown", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Hindrance {
    /// The node's pods could not be seen at the end.
    Pods {
        /// Why.
        why: String,
    },
    /// Which `DaemonSets` exist: pods that one owns were left alone.
    DaemonSets {
        /// Why.
        why: String,
    },
    /// Which budgets exist: pods of one owner went carefully.
    Budgets {
        /// Why.
        why: String,
    },
    /// When a namespace's budgets change: closed ones were asked every few seconds.
    BudgetWatch {
        /// The namespace.
        namespace: String,
        /// Why.
        why: String,
    },
    /// What a workload is like: its pods were evicted without a replacement made first.
    Workload {
        /// The namespace.
        namespace: String,
        /// Why.
        why: String,
    },
    /// When replacements in a namespace are ready: pods waited for them as long as they could.
    ReplicaSetWatch {
        /// The namespace.
        namespace: String,
        /// Why.
        why: String,
    },
    /// Which volumes are attached to the node.
    Volumes {
        /// Why.
        why: String,
    },
}

impl Hindrance {
    /// Whether it is the same but for its reason.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BudgetWatch { namespace: a, .. }, Self::BudgetWatch { namespace: b, .. })
            | (Self::Workload { namespace: a, .. }, Self::Workload { namespace: b, .. })
            | (
                Self::ReplicaSetWatch { namespace: a, .. },
                Self::ReplicaSetWatch { namespace: b, .. },
            ) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Replacement {
    /// Every name that [`Replacement::as_str`] gives.
    pub const KINDS: [&'static str; 6] =
        ["first", "late", "awaited", "put-back", "stuck", "not-first"];

    /// The name in reports and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Late => "late",
            Self::Awaited => "awaited",
            Self::PutBack => "put-back",
            Self::Stuck { .. } => "stuck",
            Self::NotFirst { .. } => "not-first",
        }
    }
}

/// What became of a pod.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PodReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// What was to be done with it, as [`Class::as_str`](crate::classify::Class::as_str) says.
    pub class: &'static str,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: PodOutcome,
    /// What kept it from going when it was tried last and did not go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// What an operator should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How it went with its replacement, where one was to be made first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<Replacement>,
    /// What was written on it when its ReplicaSet was made to let go of it, unless it was put back.
    #[serde(skip)]
    pub detachment: Option<Detachment>,
    /// What keeps its object after its processes have ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// Calls made for it.
    pub tries: u32,
    /// The grace that was given in place of its own, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// Its own grace, in seconds.
    #[serde(serialize_with = "seconds")]
    pub own_grace: Duration,
    /// It was deleted past its budget.
    pub deleted: bool,
    /// When its eviction was accepted, in seconds after the start.
    #[serde(
        serialize_with = "opt_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub accepted_after: Option<Duration>,
    /// When it was seen to be gone, in seconds after the start.
    #[serde(
        serialize_with = "opt_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub gone_after: Option<Duration>,
}

/// How it went with a pod's replacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "made", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Replacement {
    /// It was ready before the pod was evicted.
    First,
    /// It was not ready when the pod had to be evicted for its grace to fit.
    Late,
    /// The pod was detached and serves on: its replacement is waited for.
    Awaited,
    /// The drain was called off, and the pod put back.
    PutBack,
    /// The pod is left detached: it could not be put back when the drain was called off, or may not
    /// be evicted. Others serve in its place where there are such.
    Stuck {
        /// Why.
        why: String,
    },
    /// None was made first.
    NotFirst {
        /// Why.
        why: String,
    },
}

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PodOutcome {
    /// It has left the node.
    Gone,
    /// A dry run found that it would be evicted.
    WouldEvict,
    /// Its end had begun and was not seen.
    Terminating,
    /// It was waited for, and had not come to its end.
    Awaited,
    /// A budget held it.
    Blocked {
        /// The budget's name, where it is known.
        budget: Option<String>,
        /// The server's words.
        words: String,
    },
    /// More than one budget selects it, which the API cannot serve.
    Misconfigured {
        /// The server's words.
        words: String,
    },
    /// We are not allowed to.
    Forbidden {
        /// The server's words.
        words: String,
    },
    /// A policy of the cluster refused.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        words: String,
    },
    /// The API server could not be reached, or its answers were unclear to the end.
    Unreachable {
        /// What happened last.
        what: String,
    },
    /// Its turn never came.
    NotReached,
    /// Left alone.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Its containers had ended.
    Completed,
}

impl PodOutcome {
    /// Every name that [`PodOutcome::as_str`] gives, of pods that were to leave and have not.
    pub const LEFT_BEHIND: [&'static str; 8] = [
        "terminating",
        "awaited",
        "blocked",
        "misconfigured",
        "forbidden",
        "denied",
        "unreachable",
        "not-reached",
    ];
    /// Every other one.
    pub const DEALT_WITH: [&'static str; 4] = ["gone", "would-evict", "skipped", "completed"];

    /// The name in metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::WouldEvict => "would-evict",
            Self::Terminating => "terminating",
            Self::Awaited => "awaited",
            Self::Blocked { .. } => "blocked",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Forbidden { .. } => "forbidden",
            Self::Denied { .. } => "denied",
            Self::Unreachable { .. } => "unreachable",
            Self::NotReached => "not-reached",
            Self::Skipped { .. } => "skipped",
            Self::Completed => "completed",
        }
    }

    /// Whether the pod was to leave and has not.
    pub fn is_left_behind(&self) -> bool {
        Self::LEFT_BEHIND.contains(&self.as_str())
    }
}

impl Report {
    /// Pods by what became of them.
    pub fn tally(&self) -> BTreeMap<&'static str, u32> {
        let mut tally = BTreeMap::new();
        for pod in &self.pods {
            *tally.entry(pod.outcome.as_str()).or_default() += 1;
        }
        tally
    }

    /// Pods whose grace was cut to fit the time left.
    pub fn trimmed(&self) -> impl Iterator<Item = &PodReport> {
        self.pods.iter().filter(|p| p.grace.is_some())
    }
}

impl From<Report> for DrainReport {
    fn from(report: Report) -> Self {
        let mut out = Self::new(report.outcome);
        out.elapsed = report.elapsed;
        out.slack = report.slack;
        out.tally = report.tally();
        out.text = report.to_string();
        out.with_details(report)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn outcome<S: Serializer>(outcome: &DrainOutcome, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(outcome.as_str())
}

fn seconds<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(duration.as_secs_f64())
}

#[expect(clippy::ref_option, reason = "serde hands out references")]
fn opt_seconds<S: Serializer>(duration: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, s),
        None => s.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_dealt_with_or_left_behind() {
        let words = String::new;
        let left = [
            PodOutcome::Terminating,
            PodOutcome::Awaited,
            PodOutcome::Blocked {
                budget: None,
                words: words(),
            },
            PodOutcome::Misconfigured { words: words() },
            PodOutcome::Forbidden { words: words() },
            PodOutcome::Denied {
                status: 403,
                words: words(),
            },
            PodOutcome::Unreachable { what: words() },
            PodOutcome::NotReached,
        ];
        assert_eq!(
            left.each_ref().map(PodOutcome::as_str),
            PodOutcome::LEFT_BEHIND
        );
        assert!(left.iter().all(PodOutcome::is_left_behind));
        let rest = [
            PodOutcome::Gone,
            PodOutcome::WouldEvict,
            PodOutcome::Skipped { reason: words() },
            PodOutcome::Completed,
        ];
        assert_eq!(
            rest.each_ref().map(PodOutcome::as_str),
            PodOutcome::DEALT_WITH
        );
        assert!(!rest.iter().any(PodOutcome::is_left_behind));
    }
}
