//! What goes into a plan and what comes out of it.

use tokio::time::Instant;

use crate::budget::{BudgetFacts, Budgets};
use crate::classify::DaemonSets;
use crate::facts::{PodFacts, Uid};
use crate::reply::Reply;

/// What a plan is told.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "handed over once, never stored")]
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
    /// The watch should have spoken: list the node's pods again, no older than what was seen.
    Relist,
}
