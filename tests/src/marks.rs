//! What a handler has left on a node.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    Result,
    cluster::{Cluster, Node},
    error::Context as _,
    wait::wait_until,
};

/// The key of our taint.
pub const TAINT: &str = "spot-interrupt-handler/interruption";
/// The annotation of what we remember.
pub const MEMORY: &str = "spot-interrupt-handler/memory";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What a handler writes on a node, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `spec.unschedulable`, whoever set it.
    pub cordoned: bool,
    /// The values of our taint, one for each effect.
    pub taints: Vec<String>,
    /// Whether load balancers leave the node out.
    pub excluded: bool,
    /// What is remembered; null where nothing is.
    pub memory: Value,
}

impl Marks {
    /// Those of a node.
    pub fn of(node: core::Node) -> Self {
        let spec = node.spec.unwrap_or_default();
        let taints = spec.taints.into_iter().flatten();
        let ours = taints.filter(|taint| taint.key == TAINT);
        let memory = node.metadata.annotations.unwrap_or_default().remove(MEMORY);
        Self {
            cordoned: spec.unschedulable == Some(true),
            taints: ours.map(|taint| taint.value.unwrap_or_default()).collect(),
            excluded: (node.metadata.labels).is_some_and(|labels| labels.contains_key(EXCLUDED)),
            memory: memory
                .and_then(|memory| serde_json::from_str(&memory).ok())
                .unwrap_or_default(),
        }
    }

    /// Whether the node takes nothing new because of this kind, and this far it has come.
    pub fn is(&self, kind: &str, phase: &str) -> bool {
        self.cordoned
            && self.taints == [kind]
            && self.memory["notice"]["kind"] == kind
            && self.memory["phase"] == phase
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing is held, and a notice is remembered as dealt with.
    pub fn is_settled(&self) -> bool {
        let held = self.cordoned || self.excluded || !self.taints.is_empty();
        !held && self.memory["phase"] == "settled"
    }
}

impl Cluster {
    /// What a handler has left on the node.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn marks(&self, node: &Node) -> Result<Marks> {
        self.node(&node.name).await.map(Marks::of)
    }

    /// Waits until the node's marks are as wanted.
    ///
    /// # Errors
    /// When they are not within the time; says what they are.
    pub async fn wait_marks(
        &self,
        node: &Node,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Marks) -> bool,
    ) -> Result<Marks> {
        wait_until(format!("{what} on {}", node.name), within, async || {
            let marks = self.marks(node).await.map_err(|error| error.to_string())?;
            if wanted(&marks) {
                Ok(marks)
            } else {
                Err(format!("{marks:?}"))
            }
        })
        .await
    }

    /// The machine behind the node boots anew: its kubelet shows another boot.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn reboot(&self, node: &Node, boot_id: &str) -> Result<()> {
        let status = json!({"status": {"nodeInfo": {"bootID": boot_id}}});
        self.nodes()
            .patch_status(&node.name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .map(drop)
            .context(format!("reboot {}", node.name))
    }

    /// Leaves on the node what another handler may have left there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn leave(&self, node: &Node, kind: &str, memory: &Value) -> Result<()> {
        let taint = json!({"key": TAINT, "value": kind, "effect": "NoSchedule"});
        let left = json!({
            "metadata": {"annotations": {MEMORY: memory.to_string()}},
            "spec": {"unschedulable": true, "taints": [taint]},
        });
        self.nodes()
            .patch(&node.name, &PatchParams::default(), &Patch::Merge(left))
            .await
            .map(drop)
            .context(format!("leave marks on {}", node.name))
    }
}
