//! Why a pod is evicted without a replacement made first.

use std::fmt;

/// Why a pod is evicted without a replacement made first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Its annotation says `off`.
    OptedOut,
    /// Its annotation is neither `on` nor `off`, and is taken for `off`.
    Annotation,
    /// No ReplicaSet owns it: a `StatefulSet`'s, a Job's, or nobody's pod.
    NoReplicaSet,
    /// Its ReplicaSet belongs to no Deployment, which would say whether two may run at once.
    NoDeployment,
    /// It has a volume that a single node may hold.
    Volume,
    /// It tolerates a cordon: its replacement might land on the node that goes.
    ToleratesCordon,
    /// It is not ready, and serves nobody.
    NotReady,
    /// Its Deployment's strategy is not `RollingUpdate`: two must not run at once.
    Recreate,
    /// Its Deployment's `maxSurge` is 0: two must not run at once.
    NoSurge,
    /// Its Deployment is being rolled out, and replaces pods by itself.
    RollingOut,
    /// Its ReplicaSet or Deployment is gone or going.
    Deleted,
    /// Its ReplicaSet could not make another pod, in these words.
    NotMade(String),
    /// Evictions are forbidden in its namespace: it would stay detached.
    Forbidden,
    /// Its workload could not be looked at, and why.
    Unknown(String),
    /// The node was not known to take no new pods: its replacement might have come back to it.
    NotCordoned,
    /// Its own grace leaves no time to wait for another.
    NoTime,
    /// The API server refused to have it detached, in these words.
    Refused(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OptedOut => "its annotation says off",
            Self::Annotation => "unknown value of its make-before-break annotation",
            Self::NoReplicaSet => "no ReplicaSet owns it",
            Self::NoDeployment => "no Deployment says whether two may run at once",
            Self::Volume => "it has a volume that one node may hold",
            Self::ToleratesCordon => "it tolerates the cordon",
            Self::NotReady => "it is not ready",
            Self::Recreate => "its Deployment's strategy is not RollingUpdate",
            Self::NoSurge => "its Deployment allows no surge",
            Self::RollingOut => "its Deployment is being rolled out",
            Self::Deleted => "its workload is being deleted",
            Self::NotCordoned => "the node was not known to be cordoned",
            Self::NoTime => "its grace leaves no time to wait",
            Self::Forbidden => "evictions are forbidden",
            Self::NotMade(words) => {
                return write!(f, "its ReplicaSet cannot make another ({words})");
            }
            Self::Unknown(why) => return write!(f, "its workload is unknown ({why})"),
            Self::Refused(words) => return write!(f, "it could not be detached ({words})"),
        })
    }
}
