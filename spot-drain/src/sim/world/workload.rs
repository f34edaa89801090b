//! Workloads of fixtures: an owner, its pods, and where told so a budget and a Service.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spot_core::clock::Now;

use super::controllers::pod_of;
use super::timing::{EXIT_AFTER, READY_AFTER, START_AFTER};
use super::{Pace, World};
use crate::sim::api::Api;
use crate::sim::json::{has, key_of, set, text};
use crate::sim::kind::Kind;

/// A PodDisruptionBudget of a fixture's workload.
#[derive(Clone, Debug)]
pub struct Budget(Value);

/// A count, or a percentage as text.
fn count_or_percent(value: &str) -> Value {
    value
        .parse::<i64>()
        .map_or_else(|_| value.into(), Value::from)
}

impl Budget {
    /// `minAvailable`, such as `2` or `50%`.
    pub fn min_available(value: &str) -> Self {
        Self(json!({ "minAvailable": count_or_percent(value) }))
    }

    /// `maxUnavailable`, such as `1` or `30%`.
    pub fn max_unavailable(value: &str) -> Self {
        Self(json!({ "maxUnavailable": count_or_percent(value) }))
    }

    /// With `unhealthyPodEvictionPolicy: AlwaysAllow`.
    #[must_use]
    pub fn always_allow_unhealthy(mut self) -> Self {
        self.0["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        self
    }
}

/// A workload of a fixture, with its pods and, where told so, its budget and Service.
#[derive(Clone, Debug)]
pub struct Workload {
    kind: Option<Kind>,
    name: String,
    namespace: String,
    replicas: u32,
    /// Nodes to which the pods are bound in turn; the scheduler's choice where there is none.
    nodes: Vec<String>,
    template: Value,
    strategy: Option<Value>,
    budget: Option<Budget>,
    service: bool,
}

impl Workload {
    fn new(kind: Option<Kind>, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            kind,
            namespace: "default".to_owned(),
            replicas: 1,
            nodes: Vec::new(),
            template: json!({ "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "sim" }] } }),
            strategy: None,
            budget: None,
            service: false,
            name,
        }
    }

    /// A Deployment with its ReplicaSet.
    pub fn deployment(name: impl Into<String>) -> Self {
        Self::new(Some(Kind::Deployment), name)
    }

    /// A ReplicaSet of its own.
    pub fn replica_set(name: impl Into<String>) -> Self {
        Self::new(Some(Kind::ReplicaSet), name)
    }

    /// A `StatefulSet`.
    pub fn stateful_set(name: impl Into<String>) -> Self {
        Self::new(Some(Kind::StatefulSet), name)
    }

    /// A DaemonSet, one pod on every node that exists.
    pub fn daemon_set(name: impl Into<String>) -> Self {
        Self::new(Some(Kind::DaemonSet), name)
    }

    /// Pods without an owner.
    pub fn bare(name: impl Into<String>) -> Self {
        Self::new(None, name)
    }

    /// In a namespace, which is made.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// With so many pods.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Its first pods are on this node; called again, they take turns.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.nodes.push(node.to_owned());
        self
    }

    /// `terminationGracePeriodSeconds`.
    #[must_use]
    pub fn grace(mut self, seconds: i64) -> Self {
        set(
            &mut self.template,
            &["spec", "terminationGracePeriodSeconds"],
            seconds,
        );
        self
    }

    /// From SIGTERM to the process's end, in seconds, or `never`.
    #[must_use]
    pub fn exit_after(self, seconds: &str) -> Self {
        self.annotation(EXIT_AFTER, seconds)
    }

    /// From running to ready, in seconds, or `never`.
    #[must_use]
    pub fn ready_after(self, seconds: &str) -> Self {
        self.annotation(READY_AFTER, seconds)
    }

    /// From binding to running, in seconds, or `never`.
    #[must_use]
    pub fn start_after(self, seconds: &str) -> Self {
        self.annotation(START_AFTER, seconds)
    }

    /// An annotation of its pods.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        set(
            &mut self.template,
            &["metadata", "annotations", name],
            value,
        );
        self
    }

    /// A label of its pods, beside `app`.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        set(&mut self.template, &["metadata", "labels", name], value);
        self
    }

    /// Any other field of its pods' spec, such as `tolerations`, `nodeSelector` or `volumes`.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        set(&mut self.template, &["spec", field], value);
        self
    }

    /// `priorityClassName`.
    #[must_use]
    pub fn priority_class(self, name: &str) -> Self {
        self.spec("priorityClassName", name.into())
    }

    /// Finalizers of its pods.
    #[must_use]
    pub fn finalizer(mut self, name: &str) -> Self {
        set(
            &mut self.template,
            &["metadata", "finalizers"],
            json!([name]),
        );
        self
    }

    /// A Deployment's `spec.strategy`.
    #[must_use]
    pub fn strategy(mut self, strategy: Value) -> Self {
        self.strategy = Some(strategy);
        self
    }

    /// With a budget of the same name over all of its pods.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// With a Service of the same name over all of its pods.
    #[must_use]
    pub fn service(mut self) -> Self {
        self.service = true;
        self
    }

    pub(super) fn make(&self, api: &mut Api, now: Now) {
        api.make_namespace(&self.namespace, now);
        let labels = json!({ "app": self.name });
        let metadata = json!({ "name": self.name, "namespace": self.namespace, "labels": labels });
        let owner = self.kind.map(|kind| {
            let mut spec = json!({ "selector": { "matchLabels": labels },
                "template": self.template });
            if kind != Kind::DaemonSet {
                spec["replicas"] = self.replicas.into();
            }
            if let Some(strategy) = &self.strategy {
                spec["strategy"] = strategy.clone();
            } else if kind == Kind::Deployment {
                spec["strategy"] = json!({ "type": "RollingUpdate",
                    "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } });
            }
            let object = json!({ "metadata": metadata, "spec": spec });
            let made = api.put(kind, object, now);
            if kind == Kind::Deployment {
                // The ReplicaSet is made here, so that pods can be given their places.
                let key = key_of(&made);
                let mut world = World::new(
                    std::mem::replace(api, Api::new(0, now)),
                    now,
                    Pace::default(),
                );
                world.sync_deployment(&key, now);
                *api = world.api;
                let of_it = |set: &&Value| {
                    crate::sim::json::controller(set)
                        .is_some_and(|o| o["uid"] == made["metadata"]["uid"])
                };
                api.objects(Kind::ReplicaSet).find(of_it).cloned()
            } else {
                Some((*made).clone())
            }
        });
        self.make_pods(api, owner.flatten().as_ref(), now);
        if let Some(budget) = &self.budget {
            let mut spec = budget.0.clone();
            spec["selector"] = json!({ "matchLabels": labels });
            let object = json!({ "metadata": metadata, "spec": spec });
            api.put(Kind::PodDisruptionBudget, object, now);
        }
        if self.service {
            let object = json!({ "metadata": metadata, "spec": { "selector": labels,
                "clusterIP": "None", "ports": [{ "port": 80 }] } });
            api.put(Kind::Service, object, now);
        }
    }

    fn make_pods(&self, api: &mut Api, owner: Option<&Value>, now: Now) {
        if self.kind == Some(Kind::DaemonSet) {
            return;
        }
        let mut places: BTreeMap<u32, &str> = BTreeMap::new();
        if !self.nodes.is_empty() {
            for (ordinal, node) in (0..self.replicas).zip(self.nodes.iter().cycle()) {
                places.insert(ordinal, node);
            }
        }
        for ordinal in 0..self.replicas {
            let node = places.get(&ordinal).copied();
            let mut pod = if let Some(owner) = owner {
                let stem = format!("{}-", text(owner, "/metadata/name"));
                let name = if self.kind == Some(Kind::StatefulSet) {
                    format!("{stem}{ordinal}")
                } else {
                    api.store.free_name(Kind::Pod, &self.namespace, &stem)
                };
                pod_of(owner, &name, node)
            } else {
                let stand_in = json!({ "metadata": { "namespace": self.namespace },
                    "spec": { "template": self.template } });
                let name = format!("{}-{ordinal}", self.name);
                let mut pod = pod_of(&stand_in, &name, node);
                crate::sim::json::unset(&mut pod, &["metadata", "ownerReferences"]);
                pod
            };
            if !has(&pod, "/status") {
                pod["status"] = json!({});
            }
            api.put(Kind::Pod, pod, now);
        }
    }
}
