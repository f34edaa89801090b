//! The ports that tell others how a drain goes, and what the API server is asked.

use std::collections::BTreeMap;

use crate::plan::Call;
use crate::reply::Reply;
use crate::report::Report;

/// What a drain is about to do, said once: as soon as it is known what is on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overview {
    /// Pods by what is done with them, as [`Class::as_str`](crate::classify::Class::as_str) says.
    pub pods: BTreeMap<&'static str, u32>,
    /// Pods to be evicted whose own grace does not fit the time left.
    pub trimmed: u32,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// How a pod is made to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// Within its budgets.
    Eviction,
    /// Past them.
    Deletion,
}

/// What is done to a pod so that its replacement is made first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Its ReplicaSet is made to let go of it, and to start another.
    Detach,
    /// It is put back, the drain being called off.
    PutBack,
}

/// Is told how a drain goes.
///
/// Called on the drain's own path: never block, never wait.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait DrainObserver: Send + Sync {
    /// What is on the node is known.
    fn planned(&self, overview: &Overview);

    /// A call that was to make a pod go has been answered.
    fn answered(&self, removal: Removal, call: &Call, reply: &Reply);

    /// A call that was to change a pod has been answered.
    fn patched(&self, change: Change, reply: &Reply);

    /// The drain has ended; also one that only put back what an earlier one had detached, where
    /// something came of it.
    fn finished(&self, report: &Report);
}

/// One request to the API server, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiCall {
    /// The HTTP method, or `WATCH`.
    pub method: &'static str,
    /// The HTTP status, or why there is no answer: `timed-out` or `no-answer`.
    pub answer: Result<u16, &'static str>,
}

/// Is told what the API server is asked.
///
/// Called on the caller's own path: never block, never wait.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait CallObserver: Send + Sync {
    /// A request has been answered, or has failed. One that was dropped is not told.
    fn called(&self, call: &ApiCall);
}
