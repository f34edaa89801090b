//! The node controllers: the taint of cordoned nodes, and nodes that have gone silent.

use serde_json::{Value, json};
use spot_core::clock::Now;

use super::World;
use super::agenda::Work;
use super::kubelet::be_ready;
use super::scheduler::unschedulable;
use crate::sim::json::{is_ended, is_true, list, set, set_condition, stamp, text, unset};
use crate::sim::kind::Kind;

impl World {
    pub(super) fn sync_node(&mut self, name: &str, now: Now) {
        let Some(old) = self.api.store.get(Kind::Node, name).cloned() else {
            return;
        };
        let mut node = (*old).clone();
        let cordoned = node["spec"]["unschedulable"] == true;
        tainted(&mut node, &unschedulable(), cordoned, now);
        let lost = self
            .silent
            .get(name)
            .map(|since| *since + self.pace.node_lost);
        match lost {
            Some(at) if at > now.instant => self.agenda.add(at, Work::Node(name.to_owned())),
            Some(_) if is_true(&node, "Ready") => {
                let words = ("NodeStatusUnknown", "Kubelet stopped posting node status.");
                set_condition(&mut node, "Ready", "Unknown", words, now.wall);
                tainted(&mut node, &unreachable(), true, now);
                self.unready_pods(name, now);
            }
            None if !is_true(&node, "Ready") && !list(&node, "/status/conditions").is_empty() => {
                let words = ("KubeletReady", "kubelet is posting ready status");
                set_condition(&mut node, "Ready", "True", words, now.wall);
                tainted(&mut node, &unreachable(), false, now);
            }
            _ => {}
        }
        self.api.store.replace(Kind::Node, node);
    }

    fn unready_pods(&mut self, node: &str, now: Now) {
        let pods: Vec<Value> = self
            .api
            .store
            .all(Kind::Pod)
            .values()
            .filter(|pod| text(pod, "/spec/nodeName") == node && !is_ended(pod))
            .map(|pod| (**pod).clone())
            .collect();
        for mut pod in pods {
            be_ready(&mut pod, false, now);
            self.api.store.replace(Kind::Pod, pod);
        }
    }
}

fn unreachable() -> Value {
    json!({ "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule" })
}

/// Sets or removes a taint, and leaves the others alone.
fn tainted(node: &mut Value, taint: &Value, wanted: bool, now: Now) {
    let same = |t: &Value| {
        text(t, "/key") == text(taint, "/key") && text(t, "/effect") == text(taint, "/effect")
    };
    let mut taints = list(node, "/spec/taints").to_vec();
    match (wanted, taints.iter().any(same)) {
        (true, false) => {
            let mut taint = taint.clone();
            taint["timeAdded"] = stamp(now.wall).into();
            taints.push(taint);
        }
        (false, true) => taints.retain(|t| !same(t)),
        _ => return,
    }
    if taints.is_empty() {
        unset(node, &["spec", "taints"]);
    } else {
        set(node, &["spec", "taints"], taints);
    }
}
