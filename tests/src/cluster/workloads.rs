//! Deployments, DaemonSets, Services, budgets and pods without an owner.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Resource, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use spot_drain::sim;

use super::{CLUSTER, Cluster, Node};
use crate::{
    Error, Result,
    error::Context as _,
    kwok::{EXIT_AFTER, READY_AFTER},
};

/// Pods that are all alike, with the label `app` set to the workload's name.
#[derive(Clone, Debug)]
pub struct Workload {
    name: String,
    replicas: usize,
    grace: Option<u32>,
    annotations: BTreeMap<String, String>,
    pod_spec: serde_json::Map<String, Value>,
}

/// How much of a workload may be missing.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// `minAvailable`, a count.
    MinAvailable(u32),
    /// `maxUnavailable`, a count.
    MaxUnavailable(u32),
}

impl Workload {
    /// `replicas` pods that exit half a second after their deletion, with the grace that
    /// Kubernetes gives (30 s).
    pub fn new(name: &str, replicas: usize) -> Self {
        Self {
            name: name.into(),
            replicas,
            grace: None,
            annotations: BTreeMap::new(),
            pod_spec: serde_json::Map::new(),
        }
    }

    /// The name, of the deployment and in the pods' label `app`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pods' `terminationGracePeriodSeconds`.
    #[must_use]
    pub fn grace(mut self, seconds: u32) -> Self {
        self.grace = Some(seconds);
        self
    }

    /// How long the processes take to end once they are told to.
    #[must_use]
    pub fn exit_after(self, seconds: f64) -> Self {
        let seconds = seconds.to_string();
        self.annotation(EXIT_AFTER, &seconds)
            .annotation(sim::EXIT_AFTER, &seconds)
    }

    /// How long the pods run before they are ready.
    #[must_use]
    pub fn ready_after(self, seconds: f64) -> Self {
        let seconds = seconds.to_string();
        self.annotation(READY_AFTER, &seconds)
            .annotation(sim::READY_AFTER, &seconds)
    }

    /// An annotation of the pods.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Any other field of the pods' `spec`, such as `priorityClassName` or `volumes`.
    #[must_use]
    pub fn pod_field(mut self, key: &str, value: Value) -> Self {
        self.pod_spec.insert(key.into(), value);
        self
    }

    fn labels(&self) -> Value {
        json!({"app": self.name})
    }

    fn template(&self, cluster: &str) -> Value {
        let mut spec = json!({
            "containers": [{
                "name": "app",
                "image": "app",
                "resources": {"requests": {"cpu": "10m"}},
            }],
            "nodeSelector": {CLUSTER: cluster},
            "tolerations": [{
                "key": "spotInstance",
                "operator": "Equal",
                "value": "true",
                "effect": "PreferNoSchedule",
            }],
            "automountServiceAccountToken": false,
        });
        if let Some(grace) = self.grace {
            spec["terminationGracePeriodSeconds"] = grace.into();
        }
        for (key, value) in &self.pod_spec {
            spec[key] = value.clone();
        }
        json!({
            "metadata": {"labels": self.labels(), "annotations": self.annotations},
            "spec": spec,
        })
    }
}

impl Cluster {
    /// Makes a deployment. Its pods go to any node of the cluster.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn deploy(&self, workload: &Workload) -> Result<Deployment> {
        self.make(json!({
            "metadata": {"name": workload.name},
            "spec": {
                "replicas": workload.replicas,
                "selector": {"matchLabels": workload.labels()},
                "template": workload.template(self.namespace()),
            },
        }))
        .await
    }

    /// Makes a deployment whose pods all start on `node`, and waits until they are ready.
    /// Their replacements may go anywhere. (All other nodes of the cluster are cordoned
    /// meanwhile: a preference alone loses against the scheduler's wish to spread.)
    ///
    /// # Errors
    /// When the API server refuses, or the pods are not ready within the time.
    pub async fn deploy_on(&self, node: &Node, workload: &Workload) -> Result<Vec<Pod>> {
        self.alone(node, async {
            self.deploy(workload).await?;
            self.wait_ready(&workload.name, workload.replicas).await
        })
        .await
    }

    /// The same of pods that will not be ready for a long time: waits until they run.
    ///
    /// # Errors
    /// When the API server refuses, or the pods do not run within the time.
    pub async fn deploy_unready_on(&self, node: &Node, workload: &Workload) -> Result<Vec<Pod>> {
        self.alone(node, async {
            self.deploy(workload).await?;
            self.wait_running(&workload.name, workload.replicas).await
        })
        .await
    }

    /// Makes a `StatefulSet` whose pods all start on `node`, and waits until they are ready.
    ///
    /// # Errors
    /// When the API server refuses, or the pods are not ready within the time.
    pub async fn stateful_set_on(&self, node: &Node, workload: &Workload) -> Result<Vec<Pod>> {
        self.alone(node, async {
            self.make_stateful_set(workload).await?;
            self.wait_ready(&workload.name, workload.replicas).await
        })
        .await
    }

    /// Makes a `StatefulSet`. Its pods go to any node of the cluster.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn make_stateful_set(&self, workload: &Workload) -> Result<StatefulSet> {
        self.make(json!({
            "metadata": {"name": workload.name},
            "spec": {
                "replicas": workload.replicas,
                "serviceName": workload.name,
                "selector": {"matchLabels": workload.labels()},
                "template": workload.template(self.namespace()),
            },
        }))
        .await
    }

    /// Does `work` while all nodes of the cluster but `node` are cordoned.
    async fn alone<T>(&self, node: &Node, work: impl Future<Output = Result<T>>) -> Result<T> {
        let others = self.other_nodes(&node.name).await?;
        for other in &others {
            self.cordon(other, true).await?;
        }
        let done = work.await;
        for other in &others {
            self.cordon(other, false).await?;
        }
        done
    }

    /// Makes a DaemonSet on the cluster's nodes. The count of replicas is not used.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn daemon_set(&self, workload: &Workload) -> Result<DaemonSet> {
        self.make(json!({
            "metadata": {"name": workload.name},
            "spec": {
                "selector": {"matchLabels": workload.labels()},
                "template": workload.template(self.namespace()),
            },
        }))
        .await
    }

    /// Makes a Service for a workload's pods, of the same name.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service(&self, workload: &Workload) -> Result<Service> {
        self.make(json!({
            "metadata": {"name": workload.name},
            "spec": {"selector": workload.labels(), "ports": [{"port": 80}]},
        }))
        .await
    }

    /// Makes a PodDisruptionBudget for a workload's pods, of the same name. The controller
    /// takes a moment to fill its status: see [`Cluster::wait_budget`].
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn budget(&self, workload: &Workload, budget: Budget) -> Result<PodDisruptionBudget> {
        let (field, count) = match budget {
            Budget::MinAvailable(count) => ("minAvailable", count),
            Budget::MaxUnavailable(count) => ("maxUnavailable", count),
        };
        self.make(json!({
            "metadata": {"name": workload.name},
            "spec": {"selector": {"matchLabels": workload.labels()}, field: count},
        }))
        .await
    }

    /// Makes one pod without an owner on `node`, of the workload's name.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn bare_pod(&self, node: &Node, workload: &Workload) -> Result<Pod> {
        self.make(self.pod(node, workload)).await
    }

    /// Makes what a kubelet shows of a static pod: annotated as a mirror and owned by the node.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn mirror_pod(&self, node: &Node, workload: &Workload) -> Result<Pod> {
        let mut pod = self.pod(node, workload);
        let uid = self.node(&node.name).await?.metadata.uid;
        pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "spot-tests".into();
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1",
            "kind": "Node",
            "name": node.name,
            "uid": uid,
            "controller": true,
        }]);
        self.make(pod).await
    }

    fn pod(&self, node: &Node, workload: &Workload) -> Value {
        let mut pod = workload.template(self.namespace());
        pod["metadata"]["name"] = workload.name.clone().into();
        pod["spec"]["nodeName"] = node.name.clone().into();
        pod
    }

    async fn other_nodes(&self, name: &str) -> Result<Vec<String>> {
        let ours =
            kube::api::ListParams::default().labels(&format!("{CLUSTER}={}", self.namespace()));
        let nodes = self.nodes().list(&ours).await.context("list nodes")?;
        Ok(nodes
            .into_iter()
            .filter(|node| {
                node.spec
                    .as_ref()
                    .is_none_or(|spec| spec.unschedulable != Some(true))
            })
            .filter_map(|node| node.metadata.name)
            .filter(|other| other != name)
            .collect())
    }

    /// Makes any object of the namespace.
    ///
    /// # Errors
    /// When it is none of its kind, or the API server refuses.
    pub async fn make<K>(&self, object: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
        K::DynamicType: Default,
    {
        let what = format!(
            "make {} {}",
            K::kind(&K::DynamicType::default()),
            object["metadata"]
        );
        let object: K = serde_json::from_value(object)
            .map_err(|error| Error::Usage(format!("{what}: {error}")))?;
        self.api()
            .create(&PostParams::default(), &object)
            .await
            .context(what)
    }
}
