//! What goes into a plan and what comes out of it.

use tokio::time::Instant;

use crate::budget::{BudgetFacts, Budgets};
use crate::classify::DaemonSets;
use crate::facts::{PodFacts, Uid};
use crate::replacement::{Detachment, ReplicaSetFacts, Workload};
use crate::reply::Reply;

/// What a plan is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// All pods of the node.
    Listed(Vec<PodFacts>),
    /// A pod of the node is new or has changed.
    Seen(PodFacts),
    /// A pod's object is gone.
    Deleted(Uid),
    /// The node's pods cannot be seen at present, and why.
    Unseen(String),
    /// The answer to an [`Effect::Evict`] or [`Effect::Delete`].
    Answered {
        /// The pod that the call named.
        pod: Uid,
        /// What the server said.
        reply: Reply,
    },
    /// The answer to [`Effect::LookAtVolumes`]: the volumes that are attached to the node, or
    /// why that could not be learnt.
    Attached(Result<Vec<String>, String>),
    /// The answer to an [`Effect::Detach`] or [`Effect::Reattach`].
    Patched {
        /// The pod that the call named.
        pod: Uid,
        /// What the server said.
        reply: Reply,
    },
    /// The node takes no new pods from now on: replacements land elsewhere.
    Cordoned,
    /// The machine goes earlier than was known.
    Nearer(Instant),
    /// Stop.
    Cancelled,
    /// The time of [`Plan::next_wake`](super::Plan::next_wake) has come.
    Woken,
    /// Something of the whole cluster; all plans of a [`Fleet`](super::Fleet) hear it.
    Learnt(Learnt),
}

/// What is learnt of the whole cluster.
#[derive(Clone, Debug)]
pub enum Learnt {
    /// The answer to [`Effect::ListDaemonSets`].
    DaemonSets(DaemonSets),
    /// The answer to [`Effect::ListBudgets`].
    Budgets(Budgets),
    /// The answer to [`Effect::CheckAccess`]. A plan believes a no when it has been said twice,
    /// a second apart, and asks again of itself.
    Access {
        /// The namespace.
        namespace: String,
        /// May we evict its pods at all? `None`: not learnt.
        allowed: Option<bool>,
    },
    /// The answer to [`Effect::LookAtWorkload`].
    Workload {
        /// The namespace.
        namespace: String,
        /// The ReplicaSet that was asked for.
        replica_set: String,
        /// What is known of it.
        workload: Workload,
    },
    /// The watch of [`Effect::WatchReplicaSets`] has begun.
    ReplicaSetsWatched {
        /// The namespace.
        namespace: String,
    },
    /// It could not begin, or has ended, and why.
    ReplicaSetsUnwatched {
        /// The namespace.
        namespace: String,
        /// Why.
        why: String,
    },
    /// A watched ReplicaSet is there at the beginning, is new or has changed.
    ReplicaSet(ReplicaSetFacts),
    /// A watched ReplicaSet is gone.
    ReplicaSetGone(ReplicaSetFacts),
    /// A watched budget is new or has changed.
    Budget(BudgetFacts),
    /// A watched budget is gone.
    BudgetGone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The watch of [`Effect::WatchBudgets`] has begun.
    BudgetsWatched {
        /// The namespace.
        namespace: String,
    },
    /// It could not begin, or has ended, and why.
    BudgetsUnwatched {
        /// The namespace.
        namespace: String,
        /// Why.
        why: String,
    },
}

impl From<Learnt> for Input {
    fn from(learnt: Learnt) -> Self {
        Self::Learnt(learnt)
    }
}

/// A call that names the pod that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The pod's UID, a precondition of the call.
    pub pod: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The grace to ask for, in seconds; `None`: the pod's own.
    pub grace: Option<u32>,
    /// The server checks the call and does not carry it out.
    pub dry_run: bool,
}

/// Makes a pod's ReplicaSet let go of it, and writes down that we did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detach {
    /// The pod's UID, a precondition of the patch.
    pub pod: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is written on it. The label is removed only where it has this value still.
    pub detachment: Detachment,
    /// Whether it has annotations already.
    pub annotated: bool,
}

/// Puts a detached pod back: the label returns and the annotation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reattach {
    /// The pod's UID, a precondition of the patch.
    pub pod: Uid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The value of the label.
    pub hash: String,
}

/// What a plan asks for. No arm may be left out by the one who performs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Evict a pod.
    Evict(Call),
    /// Delete a pod past its budget.
    Delete(Call),
    /// Learn which DaemonSets exist.
    ListDaemonSets,
    /// Learn which budgets exist, so that pods under none need not go carefully.
    ListBudgets,
    /// Watch the budgets of a namespace from now on: one of them holds a pod.
    WatchBudgets {
        /// The namespace.
        namespace: String,
    },
    /// Learn whether evictions are allowed at all in a namespace.
    CheckAccess {
        /// The namespace.
        namespace: String,
    },
    /// Learn which volumes are still attached to the node.
    LookAtVolumes,
    /// Make a pod's ReplicaSet let go of it.
    Detach(Detach),
    /// Put a detached pod back.
    Reattach(Reattach),
    /// Learn of a ReplicaSet and of its Deployment.
    LookAtWorkload {
        /// The namespace.
        namespace: String,
        /// The ReplicaSet.
        replica_set: String,
    },
    /// Watch the ReplicaSets of a namespace that bear one of these hashes from now on, in place
    /// of those that were watched there before.
    WatchReplicaSets {
        /// The namespace.
        namespace: String,
        /// Values of the label `pod-template-hash`.
        hashes: Vec<String>,
    },
    /// The watch should have spoken: list the node's pods again, no older than what was seen.
    Relist,
}
