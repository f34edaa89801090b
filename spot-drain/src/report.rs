//! What became of every pod, as a type that serialises and as text for a person.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Serialize, Serializer};
use spot_core::drainer::{DrainOutcome, DrainReport};

use crate::facts::Uid;

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
    /// Requests made to the API server.
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
            (Self::BudgetWatch { namespace: a, .. }, Self::BudgetWatch { namespace: b, .. }) => {
                a == b
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { why } => write!(f, "the node's pods could not be seen at the end ({why})"),
            Self::DaemonSets { why } => {
                write!(f, "DaemonSets unknown, their pods left alone ({why})")
            }
            Self::Budgets { why } => {
                write!(
                    f,
                    "budgets unknown, pods of one owner went carefully ({why})"
                )
            }
            Self::BudgetWatch { namespace, why } => write!(
                f,
                "budgets of {namespace} could not be watched, closed ones were asked every few seconds ({why})"
            ),
            Self::Volumes { why } => write!(f, "attached volumes unknown ({why})"),
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
    /// What became of it.
    #[serde(flatten)]
    pub outcome: PodOutcome,
    /// What an operator should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
        !matches!(
            self,
            Self::Gone | Self::WouldEvict | Self::Skipped { .. } | Self::Completed
        )
    }
}

impl fmt::Display for PodOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked {
                budget: Some(name),
                words,
            } => {
                write!(f, "blocked by PodDisruptionBudget {name} ({words})")
            }
            Self::Blocked {
                budget: None,
                words,
            } => {
                write!(f, "blocked by a PodDisruptionBudget ({words})")
            }
            Self::Misconfigured { words } => write!(f, "more than one budget ({words})"),
            Self::Forbidden { words } => write!(f, "forbidden ({words})"),
            Self::Denied { status, words } => write!(f, "denied with {status} ({words})"),
            Self::Unreachable { what } => write!(f, "unreachable ({what})"),
            Self::Skipped { reason } => write!(f, "skipped ({reason})"),
            other => f.write_str(other.as_str()),
        }
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self
            .pods
            .iter()
            .filter(|p| p.outcome.is_left_behind())
            .count();
        let seconds = self.elapsed.as_secs_f64();
        let tally: Vec<String> = self
            .tally()
            .iter()
            .map(|(outcome, n)| format!("{n} {outcome}"))
            .collect();
        let tally = if tally.is_empty() {
            "no pods".to_owned()
        } else {
            tally.join(", ")
        };
        let dry = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        write!(
            f,
            "drain {} after {seconds:.1} s{dry}: {tally}",
            self.outcome
        )?;
        if let Some(slack) = self.slack {
            write!(f, "; {:.1} s left to the deadline", slack.as_secs_f64())?;
        }
        if !self.listed {
            write!(
                f,
                "\n  the node's pods could not be listed: nothing is known of them"
            )?;
        }
        if left > 0 {
            write!(f, "\n  left behind:")?;
        }
        for pod in self.pods.iter().filter(|p| p.outcome.is_left_behind()) {
            write!(f, "\n    {}/{}: {}", pod.namespace, pod.name, pod.outcome)?;
            if matches!(pod.outcome, PodOutcome::Terminating) && !pod.finalizers.is_empty() {
                write!(f, ", held by finalizers {}", pod.finalizers.join(", "))?;
            }
            let tries = pod.tries;
            write!(f, ", {tries} {}", if tries == 1 { "try" } else { "tries" })?;
        }
        if !self.attached.is_empty() {
            write!(f, "\n  still attached: {}", self.attached.join(", "))?;
        }
        for hindrance in &self.hindrances {
            write!(f, "\n  {hindrance}")?;
        }
        for pod in &self.pods {
            let mut notes = String::new();
            if let Some(grace) = pod.grace {
                let _ = write!(
                    notes,
                    "grace cut from {} to {grace} s",
                    pod.own_grace.as_secs()
                );
            }
            if pod.deleted {
                notes.push_str(if notes.is_empty() { "" } else { "; " });
                notes.push_str("deleted past its budget");
            }
            for warning in &pod.warnings {
                notes.push_str(if notes.is_empty() { "" } else { "; " });
                notes.push_str(warning);
            }
            if !notes.is_empty() {
                write!(f, "\n  note {}/{}: {notes}", pod.namespace, pod.name)?;
            }
        }
        Ok(())
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
