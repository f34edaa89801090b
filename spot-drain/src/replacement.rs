//! Make before break: a pod's replacement is ready before the pod is evicted. Which pods that is
//! done for, and why not for others. Pure.
//!
//! A pod without the label `pod-template-hash` is none of its ReplicaSet's any more: that lets go
//! of it and makes another, while the pod goes on serving, since its Service and its budget select
//! it by the application's labels. It is evicted when the other one is ready. `docs/make-before-break.md`
//! in the repository says how that looks from outside.
//!
//! ```
//! use spot_drain::facts::PodFacts;
//! use spot_drain::replacement::{MakeBeforeBreak, Obstacle};
//!
//! let pod: PodFacts = serde_json::from_str(r#"{"metadata": {"name": "db-0", "ownerReferences":
//!     [{"kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]},
//!     "status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#).unwrap();
//! let obstacle = MakeBeforeBreak::On.obstacle(&pod);
//! assert_eq!(obstacle, Some(Obstacle::NoReplicaSet));
//! ```

mod obstacle;
mod wire;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::facts::{Owner, PodFacts, Uid};
use crate::window::Window;
pub use obstacle::Obstacle;
pub(crate) use wire::NamedDeployment;

/// The annotation by which a pod's template says `on` or `off` for its workload.
pub const MAKE_ANNOTATION: &str = "spot-interrupt-handler/make-before-break";
/// Our annotation on a pod that its ReplicaSet was made to let go of: a [`Detachment`].
pub const DETACHED_ANNOTATION: &str = "spot-interrupt-handler/detached";
/// The label by which a Deployment tells the pods of its ReplicaSets apart.
pub const HASH_LABEL: &str = "pod-template-hash";

/// A wait that is shorter than this makes no difference: hardly a pod is ready within it.
const WORTH: Duration = Duration::from_secs(5);

/// Until when it is worth the while to have a replacement made for a pod of this grace.
pub(crate) fn worth_until(window: &Window, grace: Duration) -> Instant {
    let latest = window.latest_for(grace);
    latest.checked_sub(WORTH).unwrap_or(latest)
}

/// For which workloads a replacement is made before a pod is evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum MakeBeforeBreak {
    /// For none. Annotations are not looked at, and nothing is asked for or written.
    #[default]
    Off,
    /// For those whose pods are annotated `on`.
    Annotated,
    /// For all but those whose pods are annotated `off`.
    On,
}

impl MakeBeforeBreak {
    /// What keeps a pod from having its replacement made first, as far as the pod itself tells;
    /// `None` too where it is switched off altogether or not asked for ([`Self::considers`]).
    pub fn obstacle(self, pod: &PodFacts) -> Option<Obstacle> {
        let owner = pod.owner.as_ref();
        match pod.make.as_deref() {
            _ if !self.considers(pod) => return None,
            Some("on") | None => {}
            Some("off") => return Some(Obstacle::OptedOut),
            Some(_) => return Some(Obstacle::Annotation),
        }
        if owner.is_none_or(|owner| owner.kind != "ReplicaSet") {
            Some(Obstacle::NoReplicaSet)
        } else if !pod.labels.contains_key(HASH_LABEL) {
            Some(Obstacle::NoDeployment)
        } else if pod.bound {
            Some(Obstacle::Volume)
        } else if pod.tolerates_cordon {
            Some(Obstacle::ToleratesCordon)
        } else if !pod.ready {
            Some(Obstacle::NotReady)
        } else {
            None
        }
    }

    /// Whether the pod is one to make a replacement for, were there no obstacle.
    pub fn considers(self, pod: &PodFacts) -> bool {
        match self {
            Self::Off => false,
            Self::Annotated => pod.make.as_deref() == Some("on"),
            Self::On => true,
        }
    }
}

impl fmt::Display for MakeBeforeBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Annotated => "annotated",
            Self::On => "on",
        })
    }
}

/// What is written on a pod that was detached: enough for another process to carry on, or to put
/// it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detachment {
    /// The value of the label that was removed.
    pub hash: String,
    /// The ReplicaSet that owned it.
    pub replica_set: String,
    /// That one's UID.
    pub uid: Uid,
    /// The notice by which it was detached, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// A ReplicaSet as make before break sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::ReplicaSet")]
pub struct ReplicaSetFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// The `resourceVersion` that was seen.
    pub version: String,
    /// The value of [`HASH_LABEL`] that it selects; `None`: removing that label would change
    /// nothing.
    pub hash: Option<String>,
    /// Its controller.
    pub owner: Option<Owner>,
    /// How many pods it wants.
    pub wanted: u32,
    /// How many of its pods are available: ready for as long as it asks (`minReadySeconds`).
    pub available: u32,
    /// How many pods it has that are not going.
    pub made: u32,
    /// Why it cannot make the rest at present (condition `ReplicaFailure`), such as a quota.
    pub failure: Option<String>,
    /// Whether it is being deleted.
    pub going: bool,
}

/// What is known of the Deployments of the cluster, by namespace and name.
#[derive(Clone, Debug, Default)]
pub enum Deployments {
    /// Nothing.
    #[default]
    Unknown,
    /// They could not be learnt, and why.
    Unavailable(String),
    /// These exist.
    Known(BTreeMap<(String, String), DeploymentFacts>),
}

/// A Deployment as make before break sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::Deployment")]
pub struct DeploymentFacts {
    /// Whether its strategy is `RollingUpdate`.
    pub rolls: bool,
    /// How many pods more than it wants its strategy allows.
    pub surge: u32,
    /// Whether all of its pods are of its present template.
    pub rolled_out: bool,
    /// Whether it is being deleted.
    pub going: bool,
}

/// What is known of the workload that a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "hardly one of them is unknown")]
pub enum Workload {
    /// Its ReplicaSet, and the Deployment of that one, where it has one.
    Known(ReplicaSetFacts, Option<DeploymentFacts>),
    /// There is no such ReplicaSet.
    Gone,
    /// It could not be learnt, and why.
    Unavailable(String),
    /// The same, and nobody answered at all.
    Unanswered(String),
}

impl Workload {
    /// What keeps a replacement from being made first for `pod`, as far as its workload tells.
    pub fn obstacle(&self, pod: &PodFacts) -> Option<Obstacle> {
        let (set, deployment) = match self {
            Self::Known(set, deployment) => (set, deployment),
            Self::Gone => return Some(Obstacle::Deleted),
            Self::Unavailable(why) | Self::Unanswered(why) => {
                return Some(Obstacle::Unknown(why.clone()));
            }
        };
        let Some(deployment) = deployment else {
            return Some(Obstacle::NoDeployment);
        };
        let is_its = pod.owner.as_ref().is_some_and(|o| o.uid == set.uid);
        if !is_its || set.going || deployment.going {
            Some(Obstacle::Deleted)
        } else if set.hash.is_none() || set.hash.as_ref() != pod.labels.get(HASH_LABEL) {
            Some(Obstacle::NoDeployment)
        } else if let Some(obstacle) = deployment.obstacle() {
            Some(obstacle)
        } else {
            // Its last try to make a pod failed: so would the next, and each one later than the other.
            set.failure.clone().map(Obstacle::NotMade)
        }
    }
}

impl DeploymentFacts {
    /// What keeps replacements of its pods from being made first.
    pub fn obstacle(&self) -> Option<Obstacle> {
        if !self.rolls {
            Some(Obstacle::Recreate)
        } else if self.surge == 0 {
            Some(Obstacle::NoSurge)
        } else if !self.rolled_out {
            Some(Obstacle::RollingOut)
        } else {
            None
        }
    }
}

impl PodFacts {
    /// Whether its ReplicaSet was made to let go of it, and it was not put back since.
    pub fn is_detached(&self) -> bool {
        self.detached.is_some() && !self.labels.contains_key(HASH_LABEL)
    }

    /// The pod as it was before it was detached; any other as it is.
    pub(crate) fn as_owned(&self) -> Cow<'_, Self> {
        let Some(was) = self.detached.as_ref().filter(|_| self.is_detached()) else {
            return Cow::Borrowed(self);
        };
        let mut owned = self.clone();
        owned.labels.insert(HASH_LABEL.to_owned(), was.hash.clone());
        owned.owner.get_or_insert_with(|| Owner {
            kind: "ReplicaSet".to_owned(),
            name: was.replica_set.clone(),
            uid: was.uid.clone(),
            controller: true,
        });
        Cow::Owned(owned)
    }
}

#[cfg(test)]
mod tests;
