//! What a check finds.

use std::cmp::{Ordering, Reverse};

use serde::{Serialize, Serializer};

use super::ReasonKind;
use crate::classify::Warning;
use crate::plan::BudgetPolicy;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something would be lost or missed, and the drain cannot help it.
    Warning,
    /// The notice would not be enough.
    Problem,
}

impl Severity {
    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// Something that a drain of a node would meet.
///
/// As text it is what is wrong, without the node and the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The node.
    pub node: String,
    /// The namespace of the pod, or of the budget where it is about several pods.
    pub namespace: String,
    /// The pod; `None` where it is about several.
    pub pod: Option<String>,
    /// What it is.
    pub reason: Reason,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Its budget allows no disruption at present.
    BudgetClosed {
        /// The budget's name, where it is known.
        budget: Option<String>,
        /// The API server's words, where it was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<String>,
    },
    /// More than one budget selects it, and the API server refuses its eviction.
    TwoBudgets {
        /// Their names, as far as they are known.
        budgets: Vec<String>,
    },
    /// Its grace does not fit.
    Grace {
        /// Its own grace, in seconds.
        own_seconds: u64,
        /// What it would get, in seconds.
        given_seconds: u32,
    },
    /// No other node has room for it, even alone.
    NoRoom {
        /// How many nodes there are beside its own.
        nodes: usize,
        /// What keeps it from how many of them.
        obstacles: Vec<String>,
    },
    /// A policy of the cluster refused its eviction.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        words: String,
    },
    /// Other nodes have room for it, but maybe not for all pods of its node together: placed one
    /// after the other, the biggest first, it was left over.
    Crowded,
    /// Its budget lets the node's pods go only a few at a time.
    BudgetSlow {
        /// The budget's name.
        budget: String,
        /// The node's pods under it.
        pods: usize,
        /// How many of them may go at a time.
        allowed: u32,
        /// How long they take if each needs its whole grace, in seconds.
        needs_seconds: u64,
    },
    /// No other ready replica of its workload runs elsewhere.
    SoleReplica {
        /// The workload, such as `ReplicaSet/web-5d8f`.
        workload: String,
        /// Its ready replicas on this node.
        here: usize,
    },
    /// Its replacement is made, and ready, before it is evicted.
    MadeFirst,
    /// Replacements are made first, and not for this one.
    NotMadeFirst {
        /// Why.
        why: String,
    },
    /// No controller brings it back.
    Unmanaged,
    /// Its DaemonSet is gone: no controller brings it back.
    Orphan,
    /// It keeps data in an `emptyDir`.
    EmptyDir,
    /// Its annotation is neither `skip` nor `last`.
    Annotation,
    /// Its annotation keeps it from being evicted.
    OptedOut,
    /// Its eviction could not be tried.
    Untried {
        /// What happened.
        what: String,
    },
    /// Its budget's numbers are not up to date.
    BudgetStale {
        /// The budget's name.
        budget: String,
    },
    /// An embedder's rule leaves it alone.
    LeftAlone {
        /// The rule's words.
        rule: &'static str,
    },
    /// An embedder's rule waits for its end.
    Awaited,
    /// It waits for pods of earlier waves, as `system-*-critical` ones do.
    Waits {
        /// For so long at most, in seconds from the notice on.
        at_most_seconds: u64,
    },
    /// Its annotation asks to go as late as its grace allows.
    Last {
        /// When it goes, in seconds from the notice on.
        after_seconds: u64,
    },
    /// It has claimed volumes.
    Volumes,
}

impl Reason {
    /// Its kind, by which findings are chosen.
    pub fn kind(&self) -> ReasonKind {
        match self {
            Self::BudgetClosed { .. } => ReasonKind::BudgetClosed,
            Self::TwoBudgets { .. } => ReasonKind::TwoBudgets,
            Self::Grace { .. } => ReasonKind::Grace,
            Self::NoRoom { .. } => ReasonKind::NoRoom,
            Self::Denied { .. } => ReasonKind::Denied,
            Self::Crowded => ReasonKind::Crowded,
            Self::BudgetSlow { .. } => ReasonKind::BudgetSlow,
            Self::SoleReplica { .. } => ReasonKind::SoleReplica,
            Self::MadeFirst => ReasonKind::MadeFirst,
            Self::NotMadeFirst { .. } => ReasonKind::NotMadeFirst,
            Self::Unmanaged => ReasonKind::Unmanaged,
            Self::Orphan => ReasonKind::Orphan,
            Self::EmptyDir => ReasonKind::EmptyDir,
            Self::Annotation => ReasonKind::Annotation,
            Self::OptedOut => ReasonKind::OptedOut,
            Self::Untried { .. } => ReasonKind::Untried,
            Self::BudgetStale { .. } => ReasonKind::BudgetStale,
            Self::LeftAlone { .. } => ReasonKind::LeftAlone,
            Self::Awaited => ReasonKind::Awaited,
            Self::Waits { .. } => ReasonKind::Waits,
            Self::Last { .. } => ReasonKind::Last,
            Self::Volumes => ReasonKind::Volumes,
        }
    }

    /// The name in tables.
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// How grave it is, where pods that a budget holds are treated so.
    pub(super) fn severity(&self, budgets: BudgetPolicy) -> Severity {
        match self {
            // They are deleted in time all the same.
            Self::BudgetClosed { .. } | Self::TwoBudgets { .. }
                if budgets != BudgetPolicy::Respect =>
            {
                Severity::Warning
            }
            Self::BudgetClosed { .. }
            | Self::TwoBudgets { .. }
            | Self::Grace { .. }
            | Self::NoRoom { .. }
            | Self::Denied { .. } => Severity::Problem,
            Self::Crowded
            | Self::BudgetSlow { .. }
            | Self::SoleReplica { .. }
            | Self::Unmanaged
            | Self::Orphan
            | Self::EmptyDir
            | Self::Annotation
            | Self::OptedOut
            | Self::Untried { .. } => Severity::Warning,
            Self::BudgetStale { .. }
            | Self::MadeFirst
            | Self::NotMadeFirst { .. }
            | Self::LeftAlone { .. }
            | Self::Awaited
            | Self::Waits { .. }
            | Self::Last { .. }
            | Self::Volumes => Severity::Note,
        }
    }

    /// What mends it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::BudgetClosed { .. } => {
                "give the workload more replicas than its budget needs, or let the budget allow one disruption"
            }
            Self::TwoBudgets { .. } => "let one PodDisruptionBudget select the pod",
            Self::Grace { .. } => {
                "shorten terminationGracePeriodSeconds to what fits, and have the process save its state by then"
            }
            Self::NoRoom { .. } => {
                "add a node that fits the pod, or change its requests, node selector or tolerations"
            }
            Self::Denied { .. } => "let the policy allow evictions from spot nodes",
            Self::Crowded => "keep as much free on other nodes as one spot node holds",
            Self::BudgetSlow { .. } => {
                "let the budget allow more disruptions, spread the pods over more nodes, or shorten their graces"
            }
            Self::SoleReplica { .. } => {
                "run a second replica, and keep the two on different nodes by pod anti-affinity or topology spread"
            }
            Self::MadeFirst => "nothing; it serves until its replacement does",
            Self::NotMadeFirst { .. } => {
                "let a Deployment with RollingUpdate and maxSurge own it, without claimed volumes; or run another replica"
            }
            Self::Unmanaged => "let a controller own the pod, such as a Deployment",
            Self::Orphan => "delete the pod, or give it a controller",
            Self::EmptyDir => "keep what matters in a volume that outlives the node",
            Self::Annotation => "write skip or last in the annotation spot-interrupt-handler/drain",
            Self::OptedOut => {
                "remove the annotation spot-interrupt-handler/drain, or keep the pod off spot nodes"
            }
            Self::Untried { .. } => {
                "grant create on pods/eviction to whoever checks, and check again"
            }
            Self::BudgetStale { .. } => "check again in a moment",
            Self::LeftAlone { .. } | Self::Awaited => "nothing; a rule of the handler says so",
            Self::Waits { .. } | Self::Last { .. } => "nothing; its grace still fits then",
            Self::Volumes => {
                "nothing; a ReadWriteOnce volume serves elsewhere only once it is detached"
            }
        }
    }
}

impl From<Warning> for Reason {
    fn from(warning: Warning) -> Self {
        match warning {
            Warning::Unmanaged => Self::Unmanaged,
            Warning::Orphan => Self::Orphan,
            Warning::EmptyDir => Self::EmptyDir,
            Warning::Annotation => Self::Annotation,
        }
    }
}

impl Finding {
    /// `namespace/name` of the pod; the namespace alone where it is about several.
    pub fn subject(&self) -> String {
        match &self.pod {
            Some(pod) => format!("{}/{pod}", self.namespace),
            None => format!("{}/", self.namespace),
        }
    }

    pub(super) fn order(&self, other: &Self) -> Ordering {
        let key = |f: &Self| {
            let name = f.reason.as_str();
            let pod = (f.node.clone(), f.namespace.clone(), f.pod.clone());
            (Reverse(f.severity), pod, name)
        };
        key(self).cmp(&key(other))
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            severity: Severity,
            node: &'a str,
            namespace: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            pod: Option<&'a str>,
            #[serde(flatten)]
            reason: &'a Reason,
            message: String,
            remedy: &'static str,
        }
        Written {
            severity: self.severity,
            node: &self.node,
            namespace: &self.namespace,
            pod: self.pod.as_deref(),
            reason: &self.reason,
            message: self.to_string(),
            remedy: self.reason.remedy(),
        }
        .serialize(serializer)
    }
}
