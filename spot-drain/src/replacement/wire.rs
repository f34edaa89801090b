//! The fields of ReplicaSets and Deployments as they come; whatever is missing or new is no reason
//! to fail.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{DeploymentFacts, HASH_LABEL, ReplicaSetFacts};
use crate::facts::{Owner, Uid};

/// The surge of a Deployment that names none (Kubernetes API, `RollingUpdateDeployment`).
const DEFAULT_SURGE: &str = "25%";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    uid: Uid,
    resource_version: String,
    generation: i64,
    owner_references: Vec<Owner>,
    deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplicaSet {
    metadata: Metadata,
    spec: SetSpec,
    status: SetStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SetSpec {
    replicas: Option<i64>,
    selector: Selector,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SetStatus {
    replicas: i64,
    available_replicas: i64,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

impl Condition {
    /// What kept pods from being made, where it says so: `ReplicaFailure` tells of deletions too.
    fn failure(self) -> Option<String> {
        let tells = self.r#type == "ReplicaFailure" && self.status == "True";
        (tells && self.reason == "FailedCreate").then_some(self.message)
    }
}

/// A Deployment and what it is called.
#[derive(Deserialize)]
#[serde(from = "Deployment")]
pub(crate) struct NamedDeployment {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) facts: DeploymentFacts,
}

impl From<Deployment> for NamedDeployment {
    fn from(deployment: Deployment) -> Self {
        Self {
            namespace: deployment.metadata.namespace.clone(),
            name: deployment.metadata.name.clone(),
            facts: deployment.into(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Deployment {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<i64>,
    strategy: Strategy,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Strategy {
    r#type: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RollingUpdate {
    max_surge: Option<Count>,
}

/// A number, or a percentage of the replicas.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(String),
}

impl Count {
    /// Resolved against the replicas, rounded up as the Deployment controller does. What cannot
    /// be read is none.
    fn of(&self, replicas: i64) -> u32 {
        match self {
            Self::Number(number) => counted(*number),
            Self::Text(text) => {
                let percent = text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok());
                counted(percent.map_or(0, |percent| {
                    percent
                        .saturating_mul(replicas)
                        .saturating_add(99)
                        .div_euclid(100)
                }))
            }
        }
    }
}

fn counted(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    observed_generation: i64,
    replicas: i64,
    updated_replicas: i64,
}

fn controller(owners: Vec<Owner>) -> Option<Owner> {
    owners.into_iter().find(|o| o.controller)
}

impl From<ReplicaSet> for ReplicaSetFacts {
    fn from(
        ReplicaSet {
            metadata,
            spec,
            status,
        }: ReplicaSet,
    ) -> Self {
        let mut labels = spec.selector.match_labels;
        Self {
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            version: metadata.resource_version,
            hash: labels.remove(HASH_LABEL),
            owner: controller(metadata.owner_references),
            wanted: counted(spec.replicas.unwrap_or(1)),
            available: counted(status.available_replicas),
            made: counted(status.replicas),
            failure: status.conditions.into_iter().find_map(Condition::failure),
            going: metadata.deletion_timestamp.is_some(),
        }
    }
}

impl From<Deployment> for DeploymentFacts {
    fn from(
        Deployment {
            metadata,
            spec,
            status,
        }: Deployment,
    ) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy;
        let surge = strategy.rolling_update.and_then(|r| r.max_surge);
        let surge = surge.unwrap_or_else(|| Count::Text(DEFAULT_SURGE.to_owned()));
        let current = status.observed_generation >= metadata.generation;
        Self {
            rolls: matches!(strategy.r#type.as_str(), "" | "RollingUpdate"),
            surge: surge.of(replicas),
            // Not compared with what is wanted: that is missed too while a pod is being detached
            // elsewhere, lost, or yet to be made after a scaling. A rollout has pods of another
            // template as long as it lasts.
            rolled_out: current && status.updated_replicas >= status.replicas,
            going: metadata.deletion_timestamp.is_some(),
        }
    }
}
