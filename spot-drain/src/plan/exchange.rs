//! What goes into a plan and what comes out of it.

use tokio::time::Instant;

use crate::budget::Budgets;
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
    /// The answer to [`Effect::ListDaemonSets`].
    DaemonSets(DaemonSets),
    /// The answer to [`Effect::ListBudgets`].
    Budgets(Budgets),
    /// The answer to an [`Effect::Evict`] or [`Effect::Delete`].
    Answered {
        /// The pod that the call named.
        pod: Uid,
        /// What the server said.
        reply: Reply,
    },
    /// The answer to [`Effect::CheckAccess`]: may we evict at all? `None`: not learnt.
    Access(Option<bool>),
    /// The machine goes earlier than was known.
    Nearer(Instant),
    /// Stop.
    Cancelled,
    /// The time of [`Plan::next_wake`](super::Plan::next_wake) has come.
    Woken,
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
    /// Learn whether evictions are allowed at all.
    CheckAccess,
    /// The watch should have spoken: list the node's pods again, and not from a cache.
    Relist,
}
