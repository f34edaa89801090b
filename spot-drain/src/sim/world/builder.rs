//! Fixtures: a cluster described in a few lines, running and settled when it is built.

use jiff::Timestamp;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_core::sim::START;
use tokio::time::Instant;

use super::workload::Workload;
use super::{Pace, World};
use crate::sim::api::Api;
use crate::sim::json::{set, stamp, text};
use crate::sim::kind::Kind;

/// Describes a cluster; see [`World::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    wall: Timestamp,
    pace: Pace,
    nodes: Vec<Node>,
    workloads: Vec<Workload>,
    objects: Vec<(Kind, Value)>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 1,
            wall: START,
            pace: Pace::default(),
            nodes: Vec::new(),
            workloads: Vec::new(),
            objects: Vec::new(),
        }
    }
}

impl Builder {
    /// What UIDs and generated names follow from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The time of day at the beginning; [`START`] unless told otherwise.
    #[must_use]
    pub fn wall(mut self, wall: Timestamp) -> Self {
        self.wall = wall;
        self
    }

    /// How long the parts of the cluster take to notice something.
    #[must_use]
    pub fn pace(mut self, change: impl FnOnce(&mut Pace)) -> Self {
        change(&mut self.pace);
        self
    }

    /// Adds a node.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// Adds a workload and its pods.
    #[must_use]
    pub fn workload(mut self, workload: Workload) -> Self {
        self.workloads.push(workload);
        self
    }

    /// Adds any other object, as it is. Its namespace is made.
    #[must_use]
    pub fn object(mut self, kind: Kind, object: Value) -> Self {
        self.objects.push((kind, object));
        self
    }

    /// The cluster, as it is after everything in it has started: pods are running and ready,
    /// budgets and endpoints are up to date.
    pub fn build(self, begins: Instant) -> World {
        let now = Now {
            instant: begins,
            wall: self.wall,
        };
        let mut world = World::new(Api::new(self.seed, now), now, self.pace);
        for node in self.nodes {
            world.api.put(Kind::Node, node.object(now), now);
        }
        for (kind, object) in self.objects {
            world.api.make_namespace_of(&object, now);
            world.api.put(kind, object, now);
        }
        for workload in &self.workloads {
            workload.make(&mut world.api, now);
        }
        world.settle(now);
        let pods: Vec<String> = world.api.store.all(Kind::Pod).keys().cloned().collect();
        for pod in pods {
            world.settle_pod(&pod, now);
        }
        world.settle(now);
        world.built = world.api.version();
        world
    }
}

impl Api {
    fn make_namespace_of(&mut self, object: &Value, now: Now) {
        let namespace = text(object, "/metadata/namespace");
        if !namespace.is_empty() {
            self.make_namespace(namespace, now);
        }
    }
}

/// A node of a fixture: ready, with room for 110 pods.
#[derive(Clone, Debug)]
pub struct Node(Value);

impl Node {
    /// A node without taints.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self(json!({ "metadata": { "name": name, "labels":
                { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
            "spec": {}, "status": { "allocatable": { "pods": "110" },
                "capacity": { "pods": "110" },
                "nodeInfo": { "bootID": format!("boot-{name}"), "kubeletVersion": "v1.36.3" } } }))
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        set(&mut self.0, &["metadata", "labels", key], value);
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        set(&mut self.0, &["metadata", "annotations", key], value);
        self
    }

    /// Cordoned.
    #[must_use]
    pub fn cordoned(mut self) -> Self {
        set(&mut self.0, &["spec", "unschedulable"], true);
        self
    }

    /// With `spec.providerID`, such as `aws:///eu-west-1a/i-0123`.
    #[must_use]
    pub fn provider_id(mut self, id: &str) -> Self {
        set(&mut self.0, &["spec", "providerID"], id);
        self
    }

    /// With room for so many pods.
    #[must_use]
    pub fn pods(mut self, most: u32) -> Self {
        let most = most.to_string();
        set(
            &mut self.0,
            &["status", "allocatable", "pods"],
            most.as_str(),
        );
        set(&mut self.0, &["status", "capacity", "pods"], most);
        self
    }

    /// With so much of a resource for its pods, as a Kubernetes quantity.
    #[must_use]
    pub fn allocatable(mut self, resource: &str, quantity: &str) -> Self {
        set(&mut self.0, &["status", "allocatable", resource], quantity);
        set(&mut self.0, &["status", "capacity", resource], quantity);
        self
    }

    /// With a taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({ "key": key, "value": value, "effect": effect });
        let mut taints = crate::sim::json::list(&self.0, "/spec/taints").to_vec();
        taints.push(taint);
        set(&mut self.0, &["spec", "taints"], taints);
        self
    }

    fn object(self, now: Now) -> Value {
        let mut node = self.0;
        let time = stamp(now.wall);
        let ready = json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastHeartbeatTime": time,
            "lastTransitionTime": time }]);
        set(&mut node, &["status", "conditions"], ready);
        node
    }
}
