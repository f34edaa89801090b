//! Nodes as EC2 and the workshop label them.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, Hasher as _, RandomState},
};

use k8s_openapi::{
    api::core::v1::{self as core, NodeAddress, NodeCondition, NodeStatus, NodeSystemInfo, Taint},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{CLUSTER, Cluster, SOON};
use crate::{Result, error::Context as _, wait::wait_until};

const ZONE: &str = "us-east-1a";

/// The workshop's node label `lifecycle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// `Ec2Spot`, with the taint `spotInstance=true:PreferNoSchedule`.
    Spot,
    /// `OnDemand`.
    OnDemand,
}

/// A node to be made.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    name: String,
    lifecycle: Lifecycle,
    max_pods: u32,
    cpu: String,
    instance_id: String,
    provider_id: Option<String>,
    taints: Vec<Taint>,
    labels: BTreeMap<String, String>,
}

/// A node that was made. The name holds the namespace, so that two tests can both have an `a`.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// The instance-id in its `spec.providerID`.
    pub instance_id: String,
    /// Its `status.nodeInfo.bootID`.
    pub boot_id: String,
}

impl NodeSpec {
    /// A spot node.
    pub fn spot(name: &str) -> Self {
        Self::new(name, Lifecycle::Spot)
    }

    /// An on-demand node.
    pub fn on_demand(name: &str) -> Self {
        Self::new(name, Lifecycle::OnDemand)
    }

    fn new(name: &str, lifecycle: Lifecycle) -> Self {
        let instance_id = format!("i-0{:016x}", random());
        Self {
            name: name.into(),
            lifecycle,
            max_pods: 300,
            cpu: "64".into(),
            provider_id: Some(format!("aws:///{ZONE}/{instance_id}")),
            instance_id,
            taints: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// How many pods fit (300 unless told).
    #[must_use]
    pub fn max_pods(mut self, max_pods: u32) -> Self {
        self.max_pods = max_pods;
        self
    }

    /// How much processor time it has (64 processors unless told).
    #[must_use]
    pub fn cpu(mut self, cpu: &str) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// Another `spec.providerID`, or none.
    #[must_use]
    pub fn provider_id(mut self, provider_id: Option<&str>) -> Self {
        self.provider_id = provider_id.map(Into::into);
        self
    }

    /// One more taint.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        self.taints.push(taint(key, value, effect));
        self
    }

    /// One more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    fn build(&self, namespace: &str, boot_id: &str) -> core::Node {
        let name = format!("{namespace}-{}", self.name);
        let mut taints = self.taints.clone();
        let lifecycle = match self.lifecycle {
            Lifecycle::Spot => {
                taints.push(taint("spotInstance", "true", "PreferNoSchedule"));
                "Ec2Spot"
            }
            Lifecycle::OnDemand => "OnDemand",
        };
        let mut labels = self.labels.clone();
        labels.extend(
            [
                (CLUSTER, namespace),
                ("lifecycle", lifecycle),
                ("kubernetes.io/hostname", &name),
                ("kubernetes.io/os", "linux"),
                ("topology.kubernetes.io/zone", ZONE),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let pods = self.max_pods.to_string();
        let capacity: BTreeMap<String, Quantity> = [
            ("cpu", self.cpu.as_str()),
            ("memory", "256Gi"),
            ("pods", &pods),
        ]
        .map(|(key, value)| (key.to_owned(), Quantity(value.to_owned())))
        .into();
        core::Node {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: Some(core::NodeSpec {
                provider_id: self.provider_id.clone(),
                taints: Some(taints).filter(|taints| !taints.is_empty()),
                ..core::NodeSpec::default()
            }),
            status: Some(NodeStatus {
                addresses: Some(vec![NodeAddress {
                    type_: "Hostname".into(),
                    address: name,
                }]),
                allocatable: Some(capacity.clone()),
                capacity: Some(capacity),
                conditions: Some(vec![not_ready_yet()]),
                node_info: Some(NodeSystemInfo {
                    architecture: "amd64".into(),
                    boot_id: boot_id.into(),
                    operating_system: "linux".into(),
                    ..NodeSystemInfo::default()
                }),
                ..NodeStatus::default()
            }),
        }
    }
}

impl Cluster {
    /// Makes a node and waits until it is Ready and untainted by the node controller.
    ///
    /// # Errors
    /// When the API server refuses or KWOK does not get to it.
    pub async fn add_node(&self, spec: &NodeSpec) -> Result<Node> {
        let boot_id = format!("{:016x}{:016x}", random(), random());
        let node = spec.build(self.namespace(), &boot_id);
        let name = node.metadata.name.clone().unwrap_or_default();
        let api = self.nodes();
        api.create(&PostParams::default(), &node)
            .await
            .context(format!("make node {name}"))?;
        wait_until(format!("node {name} ready"), SOON, async || {
            let node = api.get(&name).await.map_err(|error| error.to_string())?;
            if is_schedulable(&node) {
                Ok(())
            } else {
                Err(format!("{:?}", node.spec))
            }
        })
        .await?;
        Ok(Node {
            name,
            instance_id: spec.instance_id.clone(),
            boot_id,
        })
    }

    /// All nodes of the control plane, other clusters' too.
    pub fn nodes(&self) -> Api<core::Node> {
        Api::all(self.client().clone())
    }

    /// The node as it is now.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn node(&self, name: &str) -> Result<core::Node> {
        self.nodes()
            .get(name)
            .await
            .context(format!("get node {name}"))
    }

    /// Sets or clears `spec.unschedulable`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn cordon(&self, name: &str, cordoned: bool) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"unschedulable": cordoned}}));
        self.nodes()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .map(drop)
            .context(format!("cordon node {name}: {cordoned}"))
    }
}

fn is_schedulable(node: &core::Node) -> bool {
    let ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let not_ready_taint = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key.starts_with("node.kubernetes.io/"));
    ready && !not_ready_taint
}

/// What a kubelet says when it registers its node.
fn not_ready_yet() -> NodeCondition {
    NodeCondition {
        type_: "Ready".into(),
        status: "False".into(),
        reason: Some("KubeletNotReady".into()),
        ..NodeCondition::default()
    }
}

fn taint(key: &str, value: &str, effect: &str) -> Taint {
    Taint {
        key: key.into(),
        value: Some(value.into()),
        effect: effect.into(),
        ..Taint::default()
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
