//! The one patch that quarantines a node, and the one that releases it. Pure.
//!
//! `spec.taints` is one atomic list that several writers share. Where the list exists, our
//! taint is appended by JSON Patch, which no other writer's append disturbs; where it does
//! not, a merge patch makes it under the `resourceVersion` that was read. `test` operations
//! make a patch fail where the node is no longer what was read; it is then read again.

mod release;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Value, json};
use spot_core::node::{Memory, Quarantine};

pub use release::release;

/// What we remember is written under this annotation.
pub const MEMORY_ANNOTATION: &str = "spot-interrupt-handler/memory";
/// The label by which cloud load balancers leave a node out (Kubernetes, well-known labels).
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The value by which we know our own label again.
pub const EXCLUDE_VALUE: &str = "spot-interrupt-handler";

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They are not scheduled to the node.
    NoSchedule,
    /// They are rather scheduled elsewhere.
    PreferNoSchedule,
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
        }
    }
}

/// The taint that says why the node takes nothing new; its value is the kind of notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its effect.
    pub effect: Effect,
}

impl Default for Taint {
    fn default() -> Self {
        Self {
            key: "spot-interrupt-handler/interruption".into(),
            effect: Effect::NoSchedule,
        }
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key, self.effect.as_str())
    }
}

/// A taint that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaintError {
    /// `NoExecute` deletes pods without asking their budgets.
    #[error("NoExecute would delete pods without asking their budgets; write NoSchedule")]
    NoExecute,
    /// It is not of the form.
    #[error(
        "write KEY:NoSchedule or KEY:PreferNoSchedule, such as {}",
        Taint::default()
    )]
    Form,
}

impl FromStr for Taint {
    type Err = TaintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, effect) = text.rsplit_once(':').ok_or(TaintError::Form)?;
        let effect = match effect {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => return Err(TaintError::NoExecute),
            _ => return Err(TaintError::Form),
        };
        if !is_qualified_name(key) {
            return Err(TaintError::Form);
        }
        Ok(Self {
            key: key.to_owned(),
            effect,
        })
    }
}

/// Whether `key` is `[prefix/]name` as the API server wants it.
fn is_qualified_name(key: &str) -> bool {
    let label = |part: &str, longest: usize| {
        let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = part.as_bytes();
        part.len() <= longest
            && ends(bytes.first())
            && ends(bytes.last())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    match key.split_once('/') {
        None => label(key, 63),
        Some((prefix, name)) => {
            label(prefix, 253)
                && !prefix.bytes().any(|b| b == b'_' || b.is_ascii_uppercase())
                && label(name, 63)
        }
    }
}

/// What the quarantine consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantineSettings {
    /// The taint.
    pub taint: Taint,
    /// Whether load balancers are told to leave the node out.
    pub exclude_from_load_balancers: bool,
}

impl Default for QuarantineSettings {
    fn default() -> Self {
        Self {
            taint: Taint::default(),
            exclude_from_load_balancers: true,
        }
    }
}

/// What the patch needs to know of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "wire::Node")]
pub struct NodeFacts {
    /// Its UID.
    pub uid: String,
    /// The version that was read.
    pub resource_version: String,
    /// Its labels; `None` where it has no such map.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its annotations; `None` where it has no such map.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Its taints as they are written; `None` where there is no list.
    pub taints: Option<Vec<Value>>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Which machine it is, for example `aws:///us-east-1a/i-0123`.
    pub provider_id: Option<String>,
    /// Its present boot.
    pub boot_id: Option<String>,
}

mod wire {
    use super::{BTreeMap, Deserialize, NodeFacts, Value};

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Node {
        metadata: Metadata,
        spec: Spec,
        status: Status,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Metadata {
        uid: String,
        resource_version: String,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        taints: Option<Vec<Value>>,
        unschedulable: bool,
        #[serde(rename = "providerID")]
        provider_id: Option<String>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Status {
        node_info: Info,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Info {
        #[serde(rename = "bootID")]
        boot_id: Option<String>,
    }

    impl From<Node> for NodeFacts {
        fn from(
            Node {
                metadata,
                spec,
                status,
            }: Node,
        ) -> Self {
            let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
            Self {
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                labels: metadata.labels,
                annotations: metadata.annotations,
                taints: spec.taints,
                unschedulable: spec.unschedulable,
                provider_id: filled(spec.provider_id),
                boot_id: filled(status.node_info.boot_id),
            }
        }
    }
}

/// What is remembered on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing.
    Nothing,
    /// This.
    Memory(Memory),
    /// Something that this version does not understand, and leaves alone.
    Unreadable,
}

impl NodeFacts {
    /// What is remembered on the node.
    pub fn remembered(&self) -> Remembered {
        match self.annotation() {
            None => Remembered::Nothing,
            Some(text) => match serde_json::from_str::<Memory>(text) {
                Ok(memory) if memory.v == Memory::VERSION => Remembered::Memory(memory),
                _ => Remembered::Unreadable,
            },
        }
    }

    /// The instance behind the node, the last part of its `providerID`.
    pub fn instance(&self) -> Option<&str> {
        self.provider_id
            .as_deref()?
            .rsplit('/')
            .next()
            .filter(|i| !i.is_empty())
    }

    fn annotation(&self) -> Option<&str> {
        Some(self.annotations.as_ref()?.get(MEMORY_ANNOTATION)?.as_str())
    }

    fn label(&self) -> Option<&str> {
        Some(self.labels.as_ref()?.get(EXCLUDE_LABEL)?.as_str())
    }
}

/// A patch of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePatch {
    /// `application/json-patch+json`.
    Json(Value),
    /// `application/merge-patch+json`; carries the `resourceVersion` that was read.
    Merge(Value),
}

/// The patch that brings `node` to `wish`; `None` where it is there.
pub fn quarantine(
    node: &NodeFacts,
    wish: &Quarantine,
    settings: &QuarantineSettings,
) -> Option<NodePatch> {
    let before = match node.remembered() {
        Remembered::Memory(memory) => Some(memory),
        _ => None,
    };
    let writable = node.remembered() != Remembered::Unreadable;
    let exclude = settings.exclude_from_load_balancers && node.label().is_none();
    // What we did before is ours still; what somebody else did before us never becomes ours.
    let cordoned = before.as_ref().is_some_and(|m| m.cordoned) || !node.unschedulable;
    let excluded = exclude
        || (before.as_ref().is_some_and(|m| m.excluded) && node.label() == Some(EXCLUDE_VALUE));
    let memory = Memory::of(wish, node.boot_id.clone(), cordoned, excluded);
    let remember = writable && before.as_ref() != Some(&memory);

    let taint = json!({
        "key": settings.taint.key,
        "value": wish.kind.as_str(),
        "effect": settings.taint.effect.as_str(),
    });
    let taints = node.taints.as_deref().unwrap_or_default();
    let same = taints.iter().position(|t| is_same_taint(t, &taint));
    let tainted = same.is_some_and(|i| taints[i]["value"] == taint["value"]);
    if tainted && node.unschedulable && !exclude && !remember {
        return None;
    }
    let memory = serde_json::to_string(&memory).ok()?;

    let list_missing = !tainted && taints.is_empty();
    let map_missing =
        (exclude && node.labels.is_none()) || (remember && node.annotations.is_none());
    if list_missing || map_missing {
        let mut metadata = json!({ "uid": node.uid, "resourceVersion": node.resource_version });
        let mut spec = json!({ "unschedulable": true });
        if remember {
            metadata["annotations"] = json!({ MEMORY_ANNOTATION: memory });
        }
        if exclude {
            metadata["labels"] = json!({ EXCLUDE_LABEL: EXCLUDE_VALUE });
        }
        if !tainted {
            let others = taints.iter().filter(|t| !is_same_taint(t, &taint));
            spec["taints"] = others.chain([&taint]).cloned().collect();
        }
        return Some(NodePatch::Merge(
            json!({ "metadata": metadata, "spec": spec }),
        ));
    }

    let mut ops = vec![json!({ "op": "test", "path": "/metadata/uid", "value": node.uid })];
    // Each `test` fails where somebody else has written meanwhile: theirs would be lost, or
    // taken for ours later. One for `null` holds where nothing is.
    let mut swap = |path: String, before: Value, after: Value| {
        ops.push(json!({ "op": "test", "path": path, "value": before }));
        let op = if path.starts_with("/spec/taints") {
            "replace"
        } else {
            "add"
        };
        ops.push(json!({ "op": op, "path": path, "value": after }));
    };
    if !node.unschedulable {
        swap("/spec/unschedulable".into(), Value::Null, true.into());
    }
    let label = pointer("/metadata/labels", EXCLUDE_LABEL);
    if exclude {
        swap(label.clone(), Value::Null, EXCLUDE_VALUE.into());
    }
    if remember {
        let path = pointer("/metadata/annotations", MEMORY_ANNOTATION);
        swap(path, json!(node.annotation()), memory.into());
    }
    match same {
        Some(_) if tainted => {}
        Some(i) => swap(format!("/spec/taints/{i}"), taints[i].clone(), taint),
        None => ops.push(json!({ "op": "add", "path": "/spec/taints/-", "value": taint })),
    }
    // What is so already, and was perhaps seen long ago, must be so still.
    let mut relied_on = |path: String, value: Value| {
        ops.push(json!({ "op": "test", "path": path, "value": value }));
    };
    if node.unschedulable {
        relied_on("/spec/unschedulable".into(), true.into());
    }
    if settings.exclude_from_load_balancers && !exclude {
        relied_on(label, json!(node.label()));
    }
    if let Some(i) = same.filter(|_| tainted) {
        relied_on(format!("/spec/taints/{i}"), taints[i].clone());
    }
    Some(NodePatch::Json(ops.into()))
}

/// Whether two taints are one to the API server: the same key and effect.
fn is_same_taint(a: &Value, b: &Value) -> bool {
    a["key"] == b["key"] && a["effect"] == b["effect"]
}

/// A JSON pointer (RFC 6901) to `key` below `parent`.
fn pointer(parent: &str, key: &str) -> String {
    format!("{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests;
