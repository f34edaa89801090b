//! The nodes: what others wrote on them survives, and nothing of ours is there twice.

use serde_json::Value;

use super::{Verdict, Wrong};
use crate::{
    marks::{MEMORY, TAINT},
    simulation::{
        evidence::{Evidence, who},
        plot::{Left, Plot},
    },
    wire::{Call, OnTheWire as _},
};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

pub(super) fn judge(plot: &Plot, evidence: &Evidence, verdict: &mut Verdict) {
    writes(plot, evidence, verdict);
    for (name, changes) in &evidence.ledger.nodes {
        // Who cordoned it last.
        let machine = plot.machines.iter().find(|machine| machine.name == *name);
        let mut cordoned_by_us =
            machine.is_some_and(|m| m.left.is_some_and(|left| left != Left::Unreadable));
        for change in changes {
            let ours = taints(&change.after).filter(|taint| taint["key"] == TAINT);
            verdict.check("P6", change.at, ours.count() <= 1, || {
                format!(
                    "{name} has our taint twice: {}",
                    change.after["spec"]["taints"]
                )
            });
            let cordoned = |node: &Value| node["spec"]["unschedulable"] == true;
            let (before, after) = (cordoned(&change.before), cordoned(&change.after));
            let by = change.by.and_then(|number| evidence.requests.get(number));
            let by = by.and_then(who);
            if let Some(who) = by {
                let kept = foreign(&change.before) == foreign(&change.after);
                verdict.check("P7", change.at, kept, || {
                    format!(
                        "{who:?} changed what others wrote on {name}: {} became {}",
                        foreign(&change.before),
                        foreign(&change.after)
                    )
                });
                let takes_back = before && !after;
                verdict.check(
                    "uncordons its own",
                    change.at,
                    !takes_back || cordoned_by_us,
                    || format!("{who:?} uncordoned {name}, which others had cordoned"),
                );
                let machine = plot.machines.get(who.machine);
                let blind = evidence.was_blind(who, change.at);
                let own = machine.is_some_and(|m| m.name == *name && (blind || !m.foreign));
                verdict.check("own node", change.at, own, || {
                    format!("{who:?} wrote on {name}, which is not its own")
                });
                verdict.check("P13", change.at, !plot.manner.dry_run, || {
                    format!("{who:?} wrote on {name} in a dry run")
                });
            }
            if !before && after {
                // Where others take our cordon back and make their own while ours stands written
                // down, nothing on the node tells it from ours.
                cordoned_by_us = by.is_some() || is_written(&change.before);
            }
        }
    }
}

/// P13 and the node's border for requests that may have changed nothing.
fn writes(plot: &Plot, evidence: &Evidence, verdict: &mut Verdict) {
    for request in &evidence.requests {
        let Some(who) = who(request) else { continue };
        let at = evidence.since(request.at);
        let machine = plot.machines.get(who.machine);
        let name = machine.map_or("", |machine| machine.name.as_str());
        if matches!(request.call(), Call::PatchNode | Call::GetNode) {
            let own = request.path == format!("/api/v1/nodes/{name}");
            verdict.check("own node", at, own, || {
                format!("{who:?} asked for {}", request.path)
            });
        }
        if request.call() == Call::PatchNode {
            let dry = request.query.contains("dryRun=All");
            verdict.check("P13", at, dry || !plot.manner.dry_run, || {
                format!("{who:?} would write on {name} in a dry run")
            });
        }
        if !matches!(request.method.as_str(), "GET" | "POST" | "PATCH" | "DELETE") {
            let what = format!("{who:?} sent {} {}", request.method, request.path);
            verdict.wrongs.push(Wrong {
                at,
                rule: "calls",
                what,
            });
        }
    }
}

/// Whether a node is cordoned and has our taint.
pub(super) fn is_quarantined(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true && is_tainted(node)
}

/// Whether a node has our taint.
pub(super) fn is_tainted(node: &Value) -> bool {
    taints(node).any(|taint| taint["key"] == TAINT)
}

/// Whether a cordon of ours is written down on a node.
fn is_written(node: &Value) -> bool {
    let memory = node["metadata"]["annotations"][MEMORY].as_str();
    let memory = memory.and_then(|text| serde_json::from_str::<Value>(text).ok());
    memory.is_some_and(|memory| memory["cordoned"] == true)
}

fn taints(node: &Value) -> impl Iterator<Item = &Value> {
    node["spec"]["taints"].as_array().into_iter().flatten()
}

/// A node without what is ours.
fn foreign(node: &Value) -> Value {
    let mut rest = node.clone();
    let others: Vec<Value> = taints(node)
        .filter(|taint| taint["key"] != TAINT)
        .cloned()
        .collect();
    if let Some(spec) = rest["spec"].as_object_mut() {
        spec.remove("unschedulable");
        spec.remove("taints");
        spec.insert("taints".to_owned(), others.into());
    }
    if let Some(metadata) = rest["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.remove("generation");
        for (map, ours) in [("annotations", MEMORY), ("labels", EXCLUDED)] {
            let emptied = metadata
                .get_mut(map)
                .and_then(Value::as_object_mut)
                .is_some_and(|map| {
                    map.remove(ours);
                    map.is_empty()
                });
            if emptied {
                metadata.remove(map);
            }
        }
    }
    rest
}
