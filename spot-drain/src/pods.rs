//! The port to a node's pods: list, watch, evict, delete.

use std::error::Error as StdError;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::budget::{BudgetFacts, Budgets};
use crate::classify::DaemonSets;
use crate::facts::PodFacts;
use crate::plan::{Call, Detach, Reattach};
use crate::replacement::{ReplicaSetFacts, Workload};
use crate::reply::Reply;

/// All pods of the node, and the version of the collection from which a watch goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The pods.
    pub pods: Vec<PodFacts>,
    /// The collection's `resourceVersion`.
    pub version: String,
}

/// How far a list may lag behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As far as the API server's cache does.
    Any,
    /// No further than this version, which was seen already.
    NotOlderThan(String),
    /// Not at all: the API server asks its store, which costs it much more.
    Latest,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pod is new or has changed.
    Seen(PodFacts),
    /// A pod's object is gone.
    Deleted(PodFacts),
    /// Nothing changed up to a version.
    Bookmark,
}

/// A change and the version up to which the watch has come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What changed.
    pub change: Change,
    /// The `resourceVersion` to go on from.
    pub version: String,
}

/// What a watch of budgets says.
#[derive(Clone, Debug)]
pub enum BudgetChange {
    /// A budget is there at the beginning, is new, or has changed.
    Seen(BudgetFacts),
    /// A budget is gone.
    Deleted {
        /// Its name.
        name: String,
    },
}

/// What a watch of ReplicaSets says.
#[derive(Clone, Debug)]
pub enum ReplicaSetChange {
    /// One is there at the beginning, is new, or has changed.
    Seen(ReplicaSetFacts),
    /// One is gone.
    Deleted(ReplicaSetFacts),
}

/// Why something could not be listed or watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PodsError {
    /// The version is too old for a watch: list again (HTTP 410).
    #[error("the watch's version has expired")]
    Expired,
    /// A permission is missing.
    #[error("not allowed to {verb} {resource}: {words}")]
    Forbidden {
        /// The verb, as RBAC writes it.
        verb: &'static str,
        /// The resource, as RBAC writes it.
        resource: &'static str,
        /// The server's words.
        words: String,
    },
    /// No usable answer.
    #[error("no usable answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl PodsError {
    /// Whether the same call may succeed soon.
    pub fn is_transient(&self) -> bool {
        !self.is_permission()
    }

    /// Whether a permission is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// What mends it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Forbidden { verb, resource, .. } => {
                format!("grant {verb} on {resource} to the handler's account")
            }
            Self::Expired | Self::Unavailable(_) => "none needed; it is tried again".to_owned(),
        }
    }
}

/// A node's pods. The implementation bounds every call in time, so that one that hangs is
/// tried again; opening a watch is a call, following it is not.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Pods: Send + Sync {
    /// Lists the node's pods.
    ///
    /// # Errors
    /// [`PodsError`].
    async fn list(&self, freshness: Freshness) -> Result<Listed, PodsError>;

    /// Watches the node's pods from `version` on. The stream ends when the server ends it.
    ///
    /// # Errors
    /// [`PodsError`], also as an item of the stream, which then ends.
    async fn watch(
        &self,
        version: String,
    ) -> Result<BoxStream<'static, Result<Watched, PodsError>>, PodsError>;

    /// Evicts a pod by its name and UID.
    async fn evict(&self, call: Call) -> Reply;

    /// Deletes a pod by its name and UID, past its budget.
    async fn delete(&self, call: Call) -> Reply;

    /// Makes a pod's ReplicaSet let go of it, and writes down that we did: all of it or nothing.
    async fn detach(&self, detach: Detach) -> Reply;

    /// Puts a detached pod back: all of it or nothing.
    async fn reattach(&self, reattach: Reattach) -> Reply;

    /// What is known of a ReplicaSet and of its Deployment.
    async fn workload(&self, namespace: String, replica_set: String) -> Workload;

    /// Watches the ReplicaSets of a namespace that bear one of these values of the label
    /// `pod-template-hash`; the stream begins with those that exist, and ends when the server ends
    /// it.
    ///
    /// # Errors
    /// [`PodsError`], also as an item of the stream, which then ends.
    async fn watch_replica_sets(
        &self,
        namespace: String,
        hashes: Vec<String>,
    ) -> Result<BoxStream<'static, Result<ReplicaSetChange, PodsError>>, PodsError>;

    /// Which DaemonSets exist.
    async fn daemon_sets(&self) -> DaemonSets;

    /// Which PodDisruptionBudgets exist.
    async fn budgets(&self) -> Budgets;

    /// Watches the budgets of a namespace; the stream begins with those that exist, and ends
    /// when the server ends it.
    ///
    /// # Errors
    /// [`PodsError`], also as an item of the stream, which then ends.
    async fn watch_budgets(
        &self,
        namespace: String,
    ) -> Result<BoxStream<'static, Result<BudgetChange, PodsError>>, PodsError>;

    /// Which volumes are attached to the node, by the names that its status gives them.
    ///
    /// # Errors
    /// [`PodsError`].
    async fn volumes(&self) -> Result<Vec<String>, PodsError>;

    /// Whether we may evict pods of a namespace at all; `None` where it could not be learnt.
    async fn may_evict(&self, namespace: String) -> Option<bool>;

    /// How many requests this has made so far.
    fn requests(&self) -> u64;
}
