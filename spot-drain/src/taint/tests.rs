//! Both patches applied to nodes of every shape, by an API server in miniature.

use jiff::Timestamp;
use spot_core::node::Phase;
use spot_core::notice::{Notice, NoticeId, NoticeKind};
use tokio::time::Instant;

use super::*;

mod properties;
mod released;
mod server;
mod shapes;

use server::{Refused, apply, facts};

const FOREIGN_LABEL: &str = "topology.kubernetes.io/zone";

fn wish(kind: NoticeKind, phase: Phase) -> Quarantine {
    let notice = Notice::new(NoticeId::new("n"), kind, Instant::now());
    Quarantine::new(&notice, phase, Timestamp::UNIX_EPOCH).on_instance("i-1")
}

fn drains() -> Quarantine {
    wish(NoticeKind::SpotInterruption, Phase::Draining)
}

/// Settings by default.
fn by_default() -> QuarantineSettings {
    QuarantineSettings::default()
}

/// A node as it is before anybody touched it, with this `spec`.
fn node(spec: &Value) -> Value {
    let mut node = json!({
        "metadata": {"name": "n", "uid": "u", "resourceVersion": "1",
            "labels": {FOREIGN_LABEL: "a"}, "annotations": {"foreign": "kept"}},
        "spec": {"providerID": "aws:///us-east-1a/i-1"},
        "status": {"nodeInfo": {"bootID": "b"}},
    });
    for (key, value) in spec.as_object().unwrap() {
        node["spec"][key] = value.clone();
    }
    node
}

fn foreign_taint() -> Value {
    json!({"key": "dedicated", "value": "gpu", "effect": "NoSchedule"})
}

fn our_taint(value: &str, effect: &str) -> Value {
    json!({"key": Taint::default().key, "value": value, "effect": effect})
}

/// The node after our quarantine.
fn quarantined(node: &Value, wish: &Quarantine) -> Value {
    match quarantine(&facts(node), wish, &by_default()) {
        None => node.clone(),
        Some(patch) => apply(node, &patch).unwrap_or_else(|e| panic!("{e:?}: {patch:?}")),
    }
}

fn released(node: &Value) -> Value {
    settled(node, None)
}

/// The node after our release, with `settled` remembered.
fn settled(node: &Value, settled: Option<&Quarantine>) -> Value {
    match release(&facts(node), settled, &by_default()) {
        None => node.clone(),
        Some(patch) => apply(node, &patch).unwrap_or_else(|e| panic!("{e:?}: {patch:?}")),
    }
}

fn remembered(node: &Value) -> Memory {
    match facts(node).remembered() {
        Remembered::Memory(memory) => memory,
        other => panic!("{other:?}"),
    }
}

fn taints(node: &Value) -> Vec<Value> {
    node["spec"]["taints"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
