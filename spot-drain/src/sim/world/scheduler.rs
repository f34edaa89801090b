//! The scheduler: places pending pods on nodes with room, evenly and always the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use spot_core::clock::Now;

use super::World;
use crate::sim::json::{
    controller, is_ended, is_terminating, is_true, list, set, set_condition, text,
};
use crate::sim::kind::Kind;
use crate::sim::store::Store;

/// How many pods a node takes that does not say (the kubelet's own default).
const MOST_PODS: usize = 110;

impl World {
    pub(super) fn schedule(&mut self, now: Now) {
        let nodes: Vec<Arc<Value>> = self.api.store.all(Kind::Node).values().cloned().collect();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut same: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut pending = Vec::new();
        for (key, pod) in self.api.store.all(Kind::Pod) {
            let node = text(pod, "/spec/nodeName");
            if node.is_empty() {
                if !is_terminating(pod) && !is_ended(pod) {
                    pending.push((Store::version_of(pod), key.clone(), Arc::clone(pod)));
                }
            } else if !is_ended(pod) {
                *taken.entry(node.to_owned()).or_default() += 1;
                *same.entry((owner(pod), node.to_owned())).or_default() += 1;
            }
        }
        // In the order in which they came.
        pending.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.waiting.clear();
        for (_, key, pod) in pending {
            let fitting = nodes.iter().filter(|node| {
                let used = taken
                    .get(text(node, "/metadata/name"))
                    .copied()
                    .unwrap_or(0);
                used < room(node) && fits(&pod, node)
            });
            let best = fitting.min_by_key(|node| {
                let name = text(node, "/metadata/name").to_owned();
                let of_same = same.get(&(owner(&pod), name.clone())).copied().unwrap_or(0);
                let used = taken.get(&name).copied().unwrap_or(0);
                (avoided(&pod, node), of_same, used, name)
            });
            let mut placed = (*pod).clone();
            if let Some(node) = best {
                let name = text(node, "/metadata/name").to_owned();
                set(&mut placed, &["spec", "nodeName"], name.as_str());
                set_condition(&mut placed, "PodScheduled", "True", ("", ""), now.wall);
                *taken.entry(name.clone()).or_default() += 1;
                *same.entry((owner(&pod), name)).or_default() += 1;
            } else {
                self.waiting.insert(key);
                let words = format!("0/{} nodes are available.", nodes.len());
                let words = ("Unschedulable", words.as_str());
                set_condition(&mut placed, "PodScheduled", "False", words, now.wall);
            }
            self.api.store.replace(Kind::Pod, placed);
        }
    }
}

fn owner(pod: &Value) -> String {
    let owner = controller(pod).map_or("", |o| text(o, "/uid"));
    owner.to_owned()
}

fn room(node: &Value) -> usize {
    let pods = &node["status"]["allocatable"]["pods"];
    pods.as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(MOST_PODS)
}

fn fits(pod: &Value, node: &Value) -> bool {
    let cordoned = node["spec"]["unschedulable"] == true;
    is_true(node, "Ready")
        && !is_terminating(node)
        && (!cordoned || tolerates(pod, &unschedulable()))
        && selected(&pod["spec"]["nodeSelector"], node)
        && list(node, "/spec/taints")
            .iter()
            .filter(|taint| text(taint, "/effect") != "PreferNoSchedule")
            .all(|taint| tolerates(pod, taint))
}

/// How many of a node's taints would rather not have the pod.
fn avoided(pod: &Value, node: &Value) -> usize {
    list(node, "/spec/taints")
        .iter()
        .filter(|t| text(t, "/effect") == "PreferNoSchedule" && !tolerates(pod, t))
        .count()
}

/// The taint of a cordoned node.
pub(super) fn unschedulable() -> Value {
    serde_json::json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" })
}

fn tolerates(pod: &Value, taint: &Value) -> bool {
    list(pod, "/spec/tolerations").iter().any(|toleration| {
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let exists = text(toleration, "/operator") == "Exists";
        (effect.is_empty() || effect == text(taint, "/effect"))
            && ((key.is_empty() && exists) || key == text(taint, "/key"))
            && (exists || text(toleration, "/value") == text(taint, "/value"))
    })
}

/// Whether a map of labels selects a node; an empty one selects all.
pub(super) fn selected(selector: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    selector.as_object().is_none_or(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    })
}
