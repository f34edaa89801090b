//! The ReplicaSet controller: adopts and releases by label, and keeps the count.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use spot_core::clock::Now;

use super::World;
use super::agenda::Work;
use super::controllers::{owner_of, pod_of};
use crate::sim::json::{
    condition, controller, is_ended, is_ready, is_terminating, list, number, set, text, unset,
};
use crate::sim::kind::Kind;
use crate::sim::selector::Labels;

impl World {
    pub(super) fn sync_replica_set(&mut self, name: &str, now: Now) {
        let Some(owner) = self.api.store.get(Kind::ReplicaSet, name).cloned() else {
            return;
        };
        if is_terminating(&owner) {
            return;
        }
        let Some(labels) = Labels::of_object(owner["spec"].get("selector")) else {
            return;
        };
        let uid = text(&owner, "/metadata/uid");
        let namespace = text(&owner, "/metadata/namespace");
        let candidates: Vec<Arc<Value>> = self
            .api
            .store
            .within(Kind::Pod, namespace)
            .cloned()
            .collect();
        let mut own = Vec::new();
        for pod in candidates {
            let ours = controller(&pod).map(|o| text(o, "/uid") == uid);
            match (ours, labels.matches(&pod)) {
                (Some(true), true) => own.push(pod),
                (Some(true), false) => self.release(&pod, uid),
                // Only the living are adopted.
                (None, true) if !is_terminating(&pod) && !is_ended(&pod) => {
                    own.push(self.adopt(&pod, &owner));
                }
                _ => {}
            }
        }
        let going = own.iter().filter(|pod| is_terminating(pod)).count();
        let mut active: Vec<&Arc<Value>> = own
            .iter()
            .filter(|pod| !is_terminating(pod) && !is_ended(pod))
            .collect();
        let ready = active.iter().filter(|pod| is_ready(pod)).count();
        let available = self.available(&owner, name, &active, now);
        let all = active.len();
        let wanted = number(&owner, "/spec/replicas").unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or(0);
        for _ in all..wanted {
            let stem = format!("{}-", text(&owner, "/metadata/name"));
            let pod = self.api.store.free_name(Kind::Pod, namespace, &stem);
            let pod = pod_of(&owner, &pod, None);
            self.api.store.insert(Kind::Pod, pod, now.wall);
        }
        if all > wanted {
            // First those that do the least: unplaced, pending, not ready, young.
            active.sort_by_key(|pod| {
                (
                    !text(pod, "/spec/nodeName").is_empty(),
                    text(pod, "/status/phase") == "Running",
                    is_ready(pod),
                    std::cmp::Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
                    text(pod, "/metadata/name").to_owned(),
                )
            });
            let gone: Vec<Arc<Value>> = active
                .iter()
                .take(all - wanted)
                .map(|p| Arc::clone(p))
                .collect();
            for pod in gone {
                self.api.end(Kind::Pod, &pod, None, now);
            }
        }
        let mut new = (*owner).clone();
        new["status"] = json!({ "replicas": all, "readyReplicas": ready,
            "availableReplicas": available, "fullyLabeledReplicas": all,
            "terminatingReplicas": going,
            "observedGeneration": owner["metadata"]["generation"] });
        self.api.store.replace(Kind::ReplicaSet, new);
    }

    /// How many of these pods have been ready for as long as their owner asks; it is looked at
    /// again when the next one has.
    fn available(&mut self, owner: &Value, name: &str, pods: &[&Arc<Value>], now: Now) -> usize {
        let asked = number(owner, "/spec/minReadySeconds").unwrap_or(0);
        let asked = SignedDuration::from_secs(asked);
        let since = |pod: &Arc<Value>| {
            let ready = condition(pod, "Ready").filter(|c| text(c, "/status") == "True")?;
            text(ready, "/lastTransitionTime").parse::<Timestamp>().ok()
        };
        let waits = pods.iter().filter_map(|pod| Some(since(pod)? + asked));
        let (over, next): (Vec<_>, Vec<_>) = waits.partition(|at| *at <= now.wall);
        if let Some(wait) = next.iter().min().map(|at| at.duration_since(now.wall)) {
            let wait = Duration::try_from(wait).unwrap_or_default();
            self.agenda
                .add(now.instant + wait, Work::ReplicaSet(name.to_owned()));
        }
        over.len()
    }

    fn adopt(&mut self, pod: &Value, owner: &Value) -> Arc<Value> {
        let mut adopted = pod.clone();
        let mut owners = list(pod, "/metadata/ownerReferences").to_vec();
        owners.push(owner_of(owner, "apps/v1"));
        set(&mut adopted, &["metadata", "ownerReferences"], owners);
        self.api.store.replace(Kind::Pod, adopted)
    }

    fn release(&mut self, pod: &Value, uid: &str) {
        let mut released = pod.clone();
        let mut owners = list(pod, "/metadata/ownerReferences").to_vec();
        owners.retain(|owner| text(owner, "/uid") != uid);
        if owners.is_empty() {
            unset(&mut released, &["metadata", "ownerReferences"]);
        } else {
            set(&mut released, &["metadata", "ownerReferences"], owners);
        }
        self.api.store.replace(Kind::Pod, released);
    }
}
