//! Whether a pod finds room on another node: by resource requests, node selector, taints and
//! cordons. Pure.
//!
//! Affinity, topology spread, host ports, priorities and the zones of volumes are not considered,
//! so a pod that finds room here may still find none in the cluster.

mod resources;
mod room;
mod wire;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use resources::Resources;
pub use room::{Obstacle, Room};

/// The taint of a cordoned node (Kubernetes, well-known taints).
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// A node as a scheduler sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::Node")]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<HostTaint>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether its kubelet says that it is ready.
    pub ready: bool,
    /// What its pods can have together.
    pub allocatable: Resources,
}

/// A taint of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostTaint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for HostTaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        match value.as_str() {
            "" => write!(f, "{key}:{effect}"),
            _ => write!(f, "{key}={value}:{effect}"),
        }
    }
}

/// What a pod asks of the node that it is to run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::Pod")]
pub struct Demand {
    /// What it requests, as the scheduler counts it, and one of `pods`.
    pub requests: Resources,
    /// The labels that the node must have.
    pub node_selector: BTreeMap<String, String>,
    /// The taints that it can live with.
    pub tolerations: Vec<Toleration>,
}

/// A toleration of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; with `Exists` an empty one is any.
    pub key: String,
    /// `Exists`, or `Equal`, which an empty one is too.
    pub operator: String,
    /// The taint's value, with `Equal`.
    pub value: String,
    /// The taint's effect; an empty one is any.
    pub effect: String,
}

impl Toleration {
    /// Whether the pod can live with `taint` (Kubernetes, "Taints and Tolerations"). An operator
    /// that is not known tolerates nothing.
    pub fn tolerates(&self, taint: &HostTaint) -> bool {
        if !self.effect.is_empty() && self.effect != taint.effect {
            return false;
        }
        match self.operator.as_str() {
            "Exists" => self.key.is_empty() || self.key == taint.key,
            "" | "Equal" => self.key == taint.key && self.value == taint.value,
            _ => false,
        }
    }
}

impl Demand {
    fn tolerates(&self, taint: &HostTaint) -> bool {
        self.tolerations.iter().any(|t| t.tolerates(taint))
    }
}

impl From<&k8s_openapi::api::core::v1::Node> for Host {
    /// For those who have whole nodes already, such as a reflector's.
    fn from(node: &k8s_openapi::api::core::v1::Node) -> Self {
        // A node that has been read can be written, and what is written can be read.
        let host = serde_json::to_value(node).and_then(serde_json::from_value);
        host.unwrap_or_default()
    }
}

impl From<&k8s_openapi::api::core::v1::Pod> for Demand {
    /// For those who have whole pods already, such as a reflector's.
    fn from(pod: &k8s_openapi::api::core::v1::Pod) -> Self {
        let demand = serde_json::to_value(pod).and_then(serde_json::from_value);
        demand.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
