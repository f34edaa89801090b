//! What a drain needs to know of a pod: a few fields, so that a full node's pods are small.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::replacement::Detachment;

/// The grace period of a pod that names none (Kubernetes API, `PodSpec`).
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// A pod's identity over its whole life; a pod made again under the same name has another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub String);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The controller that owns a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// For example `ReplicaSet`.
    #[serde(default)]
    pub kind: String,
    /// Its name, in the pod's namespace.
    #[serde(default)]
    pub name: String,
    /// Its UID.
    #[serde(default)]
    pub uid: Uid,
    /// Whether it is the controller among the owners.
    #[serde(default)]
    pub controller: bool,
}

/// A pod as a drain sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::Pod")]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// The node that it is bound to; empty before it is.
    pub node: String,
    /// The `resourceVersion` that was seen.
    pub version: String,
    /// Its controller.
    pub owner: Option<Owner>,
    /// Its labels, for budgets.
    pub labels: BTreeMap<String, String>,
    /// What keeps its object after its processes have ended.
    pub finalizers: Vec<String>,
    /// Whether it mirrors a static pod of the kubelet.
    pub mirror: bool,
    /// The value of our annotation on it, `spot-interrupt-handler/drain`.
    pub wish: Option<String>,
    /// The value of its annotation about make before break,
    /// [`MAKE_ANNOTATION`](crate::replacement::MAKE_ANNOTATION).
    pub make: Option<String>,
    /// What was written on it when its ReplicaSet was made to let go of it.
    pub detached: Option<Detachment>,
    /// Whether it has annotations at all: a patch adds to a map that is there.
    pub annotated: bool,
    /// Its own termination grace period.
    pub grace: Duration,
    /// Whether its deletion has begun, and with which grace.
    pub terminating: Option<Duration>,
    /// How far its containers have come.
    pub phase: Phase,
    /// Whether it counts as healthy for its budgets (condition `Ready`).
    pub ready: bool,
    /// Whether its priority class is one of the `system-*-critical`.
    pub critical: bool,
    /// Whether it keeps data in an `emptyDir`, which goes with the machine.
    pub empty_dir: bool,
    /// Whether it has claimed volumes, which must detach before they serve elsewhere.
    pub claims: bool,
    /// Whether it has a volume that one node may hold, by a claim or named in the pod itself: another
    /// pod with it might not start elsewhere.
    pub bound: bool,
    /// Whether it tolerates a cordon (the taint `node.kubernetes.io/unschedulable`), so that what
    /// is made in its place may land on the same node.
    pub tolerates_cordon: bool,
}

/// How far a pod's containers have come, as far as a drain cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// None of them has started. Its eviction asks no budget.
    Pending,
    /// They run; or nothing better is known.
    #[default]
    Running,
    /// They have ended for good (`Succeeded` or `Failed`).
    Completed,
}

impl PodFacts {
    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether a DaemonSet, live or not, is its controller.
    pub fn is_of_daemon_set(&self) -> bool {
        self.owner.as_ref().is_some_and(|o| o.kind == "DaemonSet")
    }
}

impl From<&k8s_openapi::api::core::v1::Pod> for PodFacts {
    /// For those who have whole pods already, such as a reflector's.
    fn from(pod: &k8s_openapi::api::core::v1::Pod) -> Self {
        // A pod that has been read can be written, and what is written can be read.
        let facts = serde_json::to_value(pod).and_then(serde_json::from_value);
        facts.unwrap_or_default()
    }
}

/// The annotation by which a pod says how it wants to be drained.
pub const DRAIN_ANNOTATION: &str = "spot-interrupt-handler/drain";
/// What the kubelet puts on its mirror pods.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The fields as they come; whatever is missing or new is no reason to fail.
mod wire {
    use super::{BTreeMap, DEFAULT_GRACE, Deserialize, Duration, Owner, Phase, PodFacts, Uid};
    use crate::replacement::{DETACHED_ANNOTATION, MAKE_ANNOTATION};

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Pod {
        metadata: Metadata,
        spec: Spec,
        status: Status,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Metadata {
        namespace: String,
        name: String,
        uid: Uid,
        resource_version: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<Owner>,
        finalizers: Vec<String>,
        deletion_timestamp: Option<String>,
        deletion_grace_period_seconds: Option<i64>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Spec {
        node_name: String,
        termination_grace_period_seconds: Option<i64>,
        priority_class_name: String,
        volumes: Vec<Volume>,
        tolerations: Vec<Toleration>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Toleration {
        key: String,
        operator: String,
        value: String,
        effect: String,
    }

    impl Toleration {
        /// Whether it is one of the taint `node.kubernetes.io/unschedulable:NoSchedule`.
        fn is_of_a_cordon(&self) -> bool {
            let any = self.operator == "Exists";
            let key = match self.key.as_str() {
                "" => any,
                key => key == "node.kubernetes.io/unschedulable",
            };
            let effect = matches!(self.effect.as_str(), "" | "NoSchedule");
            key && effect && (any || self.value.is_empty())
        }
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Volume {
        empty_dir: Option<serde::de::IgnoredAny>,
        persistent_volume_claim: Option<serde::de::IgnoredAny>,
        ephemeral: Option<serde::de::IgnoredAny>,
        aws_elastic_block_store: Option<serde::de::IgnoredAny>,
        azure_disk: Option<serde::de::IgnoredAny>,
        cinder: Option<serde::de::IgnoredAny>,
        fc: Option<serde::de::IgnoredAny>,
        gce_persistent_disk: Option<serde::de::IgnoredAny>,
        iscsi: Option<serde::de::IgnoredAny>,
        rbd: Option<serde::de::IgnoredAny>,
        #[serde(rename = "vsphereVolume")]
        vsphere: Option<serde::de::IgnoredAny>,
    }

    impl Volume {
        fn is_claimed(&self) -> bool {
            self.persistent_volume_claim.is_some() || self.ephemeral.is_some()
        }

        /// Whether one node may hold it: a disk of its own.
        fn is_bound(&self) -> bool {
            let disks = [
                &self.aws_elastic_block_store,
                &self.azure_disk,
                &self.cinder,
                &self.fc,
                &self.gce_persistent_disk,
                &self.iscsi,
                &self.rbd,
                &self.vsphere,
            ];
            self.is_claimed() || disks.iter().any(|disk| disk.is_some())
        }
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        phase: String,
        conditions: Vec<Condition>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Condition {
        r#type: String,
        status: String,
    }

    /// A grace from the API; a negative one ends a pod at once, as the kubelet has it.
    fn seconds(value: i64) -> Duration {
        Duration::from_secs(u64::try_from(value).unwrap_or_default())
    }

    impl From<Pod> for PodFacts {
        fn from(
            Pod {
                metadata,
                spec,
                status,
            }: Pod,
        ) -> Self {
            let mut annotations = metadata.annotations;
            let annotated = !annotations.is_empty();
            let detached = annotations.remove(DETACHED_ANNOTATION);
            let grace = spec
                .termination_grace_period_seconds
                .map_or(DEFAULT_GRACE, seconds);
            Self {
                namespace: metadata.namespace,
                name: metadata.name,
                uid: metadata.uid,
                node: spec.node_name,
                version: metadata.resource_version,
                owner: metadata.owner_references.into_iter().find(|o| o.controller),
                labels: metadata.labels,
                finalizers: metadata.finalizers,
                mirror: annotations.contains_key(super::MIRROR_ANNOTATION),
                wish: annotations.remove(super::DRAIN_ANNOTATION),
                make: annotations.remove(MAKE_ANNOTATION),
                // What cannot be read is not ours.
                detached: detached.and_then(|text| serde_json::from_str(&text).ok()),
                annotated,
                grace,
                terminating: metadata.deletion_timestamp.map(|_| {
                    metadata
                        .deletion_grace_period_seconds
                        .map_or(grace, seconds)
                }),
                phase: match status.phase.as_str() {
                    "Pending" => Phase::Pending,
                    "Succeeded" | "Failed" => Phase::Completed,
                    _ => Phase::Running,
                },
                ready: status
                    .conditions
                    .iter()
                    .any(|c| c.r#type == "Ready" && c.status == "True"),
                critical: matches!(
                    spec.priority_class_name.as_str(),
                    "system-node-critical" | "system-cluster-critical"
                ),
                empty_dir: spec.volumes.iter().any(|v| v.empty_dir.is_some()),
                claims: spec.volumes.iter().any(Volume::is_claimed),
                bound: spec.volumes.iter().any(Volume::is_bound),
                tolerates_cordon: spec.tolerations.iter().any(Toleration::is_of_a_cordon),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_read_as_the_api_writes_it() {
        let pod: PodFacts = serde_json::from_value(serde_json::json!({
            "metadata": {
                "namespace": "shop", "name": "web-1", "uid": "u1", "labels": {"app": "web"},
                "annotations": {"spot-interrupt-handler/drain": "last"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web",
                    "uid": "r1", "controller": true}],
                "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7,
            },
            "spec": {
                "nodeName": "worker-1", "terminationGracePeriodSeconds": 45, "priorityClassName": "system-node-critical",
                "volumes": [{"name": "a", "emptyDir": {}},
                    {"name": "b", "persistentVolumeClaim": {"claimName": "c"}}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert_eq!(pod.path(), "shop/web-1");
        assert_eq!(pod.owner.unwrap().uid, Uid("r1".into()));
        assert_eq!(pod.wish.as_deref(), Some("last"));
        assert_eq!(pod.grace, Duration::from_secs(45));
        assert_eq!(pod.terminating, Some(Duration::from_secs(7)));
        assert_eq!((pod.node.as_str(), pod.phase), ("worker-1", Phase::Running));
        assert!(pod.critical && pod.empty_dir && pod.claims && pod.ready && !pod.mirror);
    }

    #[test]
    fn a_toleration_of_a_cordon_is_known_in_each_of_its_forms() {
        let tolerates = |toleration: serde_json::Value| {
            let pod = serde_json::json!({"spec": {"tolerations": [toleration]}});
            let pod: PodFacts = serde_json::from_value(pod).unwrap();
            pod.tolerates_cordon
        };
        let key = "node.kubernetes.io/unschedulable";
        assert!(tolerates(serde_json::json!({"operator": "Exists"})));
        assert!(tolerates(
            serde_json::json!({"key": key, "operator": "Exists"})
        ));
        assert!(tolerates(
            serde_json::json!({"key": key, "effect": "NoSchedule"})
        ));
        assert!(!tolerates(serde_json::json!({"key": key, "value": "x"})));
        assert!(!tolerates(
            serde_json::json!({"key": key, "effect": "NoExecute"})
        ));
        assert!(!tolerates(
            serde_json::json!({"key": "spot", "operator": "Exists"})
        ));
        assert!(!tolerates(
            serde_json::json!({"key": "", "operator": "Equal"})
        ));
    }

    #[test]
    fn a_disk_that_one_node_may_hold_is_known_in_each_of_its_forms() {
        let volume = |source: &str| {
            let pod = serde_json::json!({"spec": {"volumes": [{"name": "a", source: {}}]}});
            let pod: PodFacts = serde_json::from_value(pod).unwrap();
            (pod.bound, pod.claims)
        };
        for claimed in ["persistentVolumeClaim", "ephemeral"] {
            assert_eq!(volume(claimed), (true, true), "{claimed}");
        }
        let disks = [
            "awsElasticBlockStore",
            "azureDisk",
            "cinder",
            "fc",
            "gcePersistentDisk",
            "iscsi",
            "rbd",
            "vsphereVolume",
        ];
        for disk in disks {
            assert_eq!(volume(disk), (true, false), "{disk}");
        }
        for shared in ["emptyDir", "nfs", "configMap", "azureFile", "cephfs"] {
            assert_eq!(volume(shared), (false, false), "{shared}");
        }
    }

    #[test]
    fn an_empty_object_is_a_pod_with_the_default_grace() {
        let pod: PodFacts = serde_json::from_str("{}").unwrap();
        assert_eq!(pod.grace, DEFAULT_GRACE);
        assert_eq!(pod.terminating, None);
    }

    #[test]
    fn a_negative_grace_is_none_at_all() {
        let pod: PodFacts =
            serde_json::from_str(r#"{"spec":{"terminationGracePeriodSeconds":-5}}"#).unwrap();
        assert_eq!(pod.grace, Duration::ZERO);
    }

    #[test]
    fn a_whole_pod_comes_to_the_same_facts() {
        let pod = serde_json::json!({
            "metadata": {"namespace": "shop", "name": "web-1", "uid": "u1"},
            "spec": {"containers": [], "nodeName": "worker-1"}, "status": {"phase": "Pending"},
        });
        let whole: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod.clone()).unwrap();
        let narrow: PodFacts = serde_json::from_value(pod).unwrap();
        assert_eq!(PodFacts::from(&whole), narrow);
        assert_eq!(narrow.phase, Phase::Pending);
    }
}
