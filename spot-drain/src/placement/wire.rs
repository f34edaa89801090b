//! The fields as they come; whatever is missing or new is no reason to fail.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Demand, Host, HostTaint, Resources, Toleration};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    metadata: Metadata,
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    taints: Vec<HostTaint>,
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: Resources,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

impl From<Node> for Host {
    fn from(node: Node) -> Self {
        let mut conditions = node.status.conditions.iter();
        Self {
            name: node.metadata.name,
            labels: node.metadata.labels,
            taints: node.spec.taints,
            cordoned: node.spec.unschedulable,
            ready: conditions.any(|c| c.r#type == "Ready" && c.status == "True"),
            allocatable: node.status.allocatable,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: Resources,
    resources: Asked,
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    resources: Asked,
    restart_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    requests: Resources,
}

impl From<Pod> for Demand {
    fn from(Pod { spec }: Pod) -> Self {
        let mut requests = requests(&spec);
        // What the pod asks for as a whole counts in place of what its containers do.
        for (name, amount) in spec.resources.requests.amounts() {
            requests.set(name, amount);
        }
        requests.add(&spec.overhead);
        Self {
            requests: requests.with("pods", "1"),
            node_selector: spec.node_selector,
            tolerations: spec.tolerations,
        }
    }
}

/// What the containers request: all that run together, or what an init container needs beside
/// the sidecars that were started before it, whichever is more (Kubernetes, "Sidecar Containers").
fn requests(spec: &Spec) -> Resources {
    let mut together = Resources::default();
    for container in &spec.containers {
        together.add(&container.resources.requests);
    }
    let (mut sidecars, mut starting) = (Resources::default(), Resources::default());
    for container in &spec.init_containers {
        let mut now = sidecars.clone();
        now.add(&container.resources.requests);
        starting.at_least(&now);
        if container.restart_policy == "Always" {
            together.add(&container.resources.requests);
            sidecars = now;
        }
    }
    together.at_least(&starting);
    together
}
