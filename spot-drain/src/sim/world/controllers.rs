//! What a change means for whom, and the controllers of workloads and namespaces.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use spot_core::clock::Now;
use tokio::time::Instant;

use super::World;
use super::agenda::Work;
use crate::sim::budget;
use crate::sim::json::{
    controller, has, is_ended, is_ready, is_terminating, key, key_of, list, number, set, text,
};
use crate::sim::kind::Kind;
use crate::sim::selector::Labels;
use crate::sim::store::{Change, What};

impl World {
    /// Looks at what has changed, and puts on the agenda who wants to know.
    pub(super) fn notice(&mut self, at: Instant) {
        if self.noticed == self.api.store.version() {
            return;
        }
        let from = self.noticed.max(self.api.store.compacted());
        let changes: Vec<Change> = self.api.store.since(from).cloned().collect();
        self.noticed = self.api.store.version();
        self.times.push_back((self.noticed, at));
        let forgotten = self.api.store.compacted();
        while self.times.front().is_some_and(|(to, _)| *to <= forgotten) {
            self.times.pop_front();
        }
        let pace = self.pace.clone();
        for change in changes {
            let object = &change.object;
            let name = change.key.clone();
            let controllers = at + pace.controllers;
            match change.kind {
                Kind::Pod => self.notice_pod(&change, at),
                Kind::Node => {
                    self.agenda.add(at + pace.scheduler, Work::Schedule);
                    self.agenda.add(controllers, Work::Node(name));
                    let sets: Vec<String> = self
                        .api
                        .store
                        .all(Kind::DaemonSet)
                        .keys()
                        .cloned()
                        .collect();
                    for set in sets {
                        self.agenda.add(controllers, Work::DaemonSet(set));
                    }
                }
                Kind::PodDisruptionBudget => {
                    self.agenda.add(at + pace.budgets, Work::Budget(name));
                }
                Kind::Deployment => self.agenda.add(controllers, Work::Deployment(name)),
                Kind::ReplicaSet => {
                    let owner = controller(object).map(|o| text(o, "/name").to_owned());
                    if let Some(owner) = owner {
                        let owner = key(text(object, "/metadata/namespace"), &owner);
                        self.agenda.add(controllers, Work::Deployment(owner));
                    }
                    self.agenda.add(controllers, Work::ReplicaSet(name));
                }
                Kind::StatefulSet => self.agenda.add(controllers, Work::StatefulSet(name)),
                Kind::DaemonSet => self.agenda.add(controllers, Work::DaemonSet(name)),
                Kind::Service => self.agenda.add(at + pace.endpoints, Work::Endpoints(name)),
                Kind::Namespace => self.agenda.add(controllers, Work::Namespace(name)),
                _ => {}
            }
        }
    }

    fn notice_pod(&mut self, change: &Change, at: Instant) {
        let pace = self.pace.clone();
        let (pod, before) = (&change.object, change.previous.as_ref());
        let namespace = text(pod, "/metadata/namespace");
        let either = |selects: &dyn Fn(&Value) -> bool| {
            selects(pod) || before.is_some_and(|before| selects(before))
        };
        let mut wanted = BTreeSet::new();
        for budget in self.api.store.within(Kind::PodDisruptionBudget, namespace) {
            if either(&|pod| budget::selects(budget, pod)) {
                wanted.insert((at + pace.budgets, Work::Budget(key_of(budget))));
            }
        }
        for service in self.api.store.within(Kind::Service, namespace) {
            let labels = Labels::of_map(&service["spec"]["selector"]);
            if labels.is_some_and(|labels| either(&|pod| labels.matches(pod))) {
                wanted.insert((at + pace.endpoints, Work::Endpoints(key_of(service))));
            }
        }
        let controllers = at + pace.controllers;
        for owner in [Some(pod), before]
            .into_iter()
            .flatten()
            .filter_map(|p| controller(p))
        {
            let name = key(namespace, text(owner, "/name"));
            let work = match text(owner, "/kind") {
                "ReplicaSet" => Work::ReplicaSet(name),
                "StatefulSet" => Work::StatefulSet(name),
                "DaemonSet" => Work::DaemonSet(name),
                _ => continue,
            };
            wanted.insert((controllers, work));
        }
        if controller(pod).is_none() && change.what != What::Deleted {
            // Somebody may adopt it.
            for set in self.api.store.within(Kind::ReplicaSet, namespace) {
                let labels = Labels::of_object(set["spec"].get("selector"));
                if labels.is_some_and(|labels| labels.matches(pod)) {
                    wanted.insert((controllers, Work::ReplicaSet(key_of(set))));
                }
            }
        }
        for (when, work) in wanted {
            self.agenda.add(when, work);
        }
        if change.what == What::Deleted {
            self.forget_pod(text(pod, "/metadata/uid"), at);
            if !self.waiting.is_empty() {
                self.agenda.add(at + pace.scheduler, Work::Schedule);
            }
            let terminating = self.api.store.get(Kind::Namespace, namespace);
            if terminating.is_some_and(|n| is_terminating(n)) {
                self.agenda
                    .add(controllers, Work::Namespace(namespace.to_owned()));
            }
            return;
        }
        if text(pod, "/spec/nodeName").is_empty() {
            self.agenda.add(at + pace.scheduler, Work::Schedule);
        } else {
            self.agenda.add(at, Work::Pod(change.key.clone()));
        }
    }

    /// A Deployment has one ReplicaSet, for its template as it is now; others are emptied.
    pub(super) fn sync_deployment(&mut self, name: &str, now: Now) {
        let Some(deployment) = self.api.store.get(Kind::Deployment, name).cloned() else {
            return;
        };
        if is_terminating(&deployment) {
            return;
        }
        let namespace = text(&deployment, "/metadata/namespace");
        let uid = text(&deployment, "/metadata/uid");
        let template = &deployment["spec"]["template"];
        let hash = hash(&template.to_string());
        let own = format!("{}-{hash}", text(&deployment, "/metadata/name"));
        let replicas = number(&deployment, "/spec/replicas").unwrap_or(1);
        let owned: Vec<Arc<Value>> = self
            .api
            .store
            .within(Kind::ReplicaSet, namespace)
            .filter(|set| controller(set).is_some_and(|o| text(o, "/uid") == uid))
            .cloned()
            .collect();
        let (mut all, mut ready, mut available, mut updated) = (0, 0, 0, 0);
        let mut found = false;
        for set in &owned {
            let current = text(set, "/metadata/name") == own;
            found |= current;
            let wanted = if current { replicas } else { 0 };
            let mut new = (**set).clone();
            new["spec"]["replicas"] = wanted.into();
            crate::sim::write::count_generation(Kind::ReplicaSet, &mut new, set);
            self.api.store.replace(Kind::ReplicaSet, new);
            let of_it = number(set, "/status/replicas").unwrap_or(0);
            all += of_it;
            updated += if current { of_it } else { 0 };
            ready += number(set, "/status/readyReplicas").unwrap_or(0);
            available += number(set, "/status/availableReplicas").unwrap_or(0);
        }
        if !found {
            let mut template = template.clone();
            set(
                &mut template,
                &["metadata", "labels", "pod-template-hash"],
                hash.as_str(),
            );
            let mut selector = deployment["spec"]["selector"].clone();
            set(
                &mut selector,
                &["matchLabels", "pod-template-hash"],
                hash.as_str(),
            );
            let set = json!({ "kind": "ReplicaSet", "apiVersion": "apps/v1",
                "metadata": { "name": own, "namespace": namespace,
                    "labels": template["metadata"]["labels"],
                    "ownerReferences": [owner_of(&deployment, "apps/v1")] },
                "spec": { "replicas": replicas, "selector": selector, "template": template,
                    "minReadySeconds": deployment["spec"]["minReadySeconds"] } });
            self.api.store.insert(Kind::ReplicaSet, set, now.wall);
        }
        let mut new = (*deployment).clone();
        new["status"] = json!({ "replicas": all, "readyReplicas": ready,
            "availableReplicas": available, "updatedReplicas": updated,
            "observedGeneration": deployment["metadata"]["generation"] });
        self.api.store.replace(Kind::Deployment, new);
    }

    /// A `StatefulSet`'s pods have names of their own: each is made again once it is gone.
    pub(super) fn sync_stateful_set(&mut self, name: &str, now: Now) {
        let Some(owner) = self.api.store.get(Kind::StatefulSet, name).cloned() else {
            return;
        };
        if is_terminating(&owner) {
            return;
        }
        let namespace = text(&owner, "/metadata/namespace");
        let replicas = number(&owner, "/spec/replicas").unwrap_or(1);
        let (mut all, mut ready) = (0, 0);
        for ordinal in 0..replicas {
            let pod = format!("{}-{ordinal}", text(&owner, "/metadata/name"));
            if let Some(found) = self.api.object(Kind::Pod, &key(namespace, &pod)) {
                all += 1;
                ready += i64::from(is_ready(&found));
                if is_ended(&found) && !is_terminating(&found) {
                    self.api.end(Kind::Pod, &found, Some(0), now);
                }
            } else {
                let pod = pod_of(&owner, &pod, None);
                self.api.store.insert(Kind::Pod, pod, now.wall);
            }
        }
        let mut new = (*owner).clone();
        new["status"] = json!({ "replicas": all, "readyReplicas": ready,
            "availableReplicas": ready, "currentReplicas": all,
            "observedGeneration": owner["metadata"]["generation"] });
        self.api.store.replace(Kind::StatefulSet, new);
    }

    /// A DaemonSet has a pod on every node that its template selects, cordoned or not.
    pub(super) fn sync_daemon_set(&mut self, name: &str, now: Now) {
        let Some(owner) = self.api.store.get(Kind::DaemonSet, name).cloned() else {
            return;
        };
        if is_terminating(&owner) {
            return;
        }
        let namespace = text(&owner, "/metadata/namespace");
        let uid = text(&owner, "/metadata/uid");
        let selector = &owner["spec"]["template"]["spec"]["nodeSelector"];
        let nodes: Vec<String> = self
            .api
            .store
            .all(Kind::Node)
            .iter()
            .filter(|(_, node)| super::scheduler::selected(selector, node))
            .map(|(name, _)| name.clone())
            .collect();
        let pods: Vec<Arc<Value>> = self
            .api
            .store
            .within(Kind::Pod, namespace)
            .filter(|pod| controller(pod).is_some_and(|o| text(o, "/uid") == uid))
            .cloned()
            .collect();
        let mut ready = 0;
        for node in &nodes {
            let here = pods.iter().find(|pod| text(pod, "/spec/nodeName") == node);
            if let Some(pod) = here {
                ready += i64::from(is_ready(pod));
            } else {
                let stem = format!("{}-", text(&owner, "/metadata/name"));
                let pod = self.api.store.free_name(Kind::Pod, namespace, &stem);
                let pod = pod_of(&owner, &pod, Some(node));
                self.api.store.insert(Kind::Pod, pod, now.wall);
            }
        }
        let mut new = (*owner).clone();
        new["status"] = json!({ "desiredNumberScheduled": nodes.len(), "numberReady": ready,
            "currentNumberScheduled": pods.len(), "numberAvailable": ready,
            "numberMisscheduled": 0,
            "observedGeneration": owner["metadata"]["generation"] });
        self.api.store.replace(Kind::DaemonSet, new);
    }

    /// A namespace that is deleted takes its objects with it, pods by their graces.
    pub(super) fn sync_namespace(&mut self, name: &str, now: Now) {
        let Some(namespace) = self.api.store.get(Kind::Namespace, name).cloned() else {
            return;
        };
        if !is_terminating(&namespace) {
            return;
        }
        let mut left = false;
        for kind in Kind::all().filter(|kind| kind.resource().namespaced) {
            let objects: Vec<Arc<Value>> = self.api.store.within(kind, name).cloned().collect();
            for object in objects {
                left = true;
                if !is_terminating(&object) {
                    self.api.end(kind, &object, None, now);
                }
            }
        }
        let held = !list(&namespace, "/metadata/finalizers").is_empty();
        if left {
            let again = now.instant + self.pace.controllers * 50;
            self.agenda.add(again, Work::Namespace(name.to_owned()));
        } else if !held {
            self.api.store.remove(Kind::Namespace, name);
        }
    }
}

/// A pod of a workload's template.
pub(super) fn pod_of(owner: &Value, name: &str, node: Option<&str>) -> Value {
    let template = &owner["spec"]["template"];
    let mut pod = json!({ "kind": "Pod", "apiVersion": "v1",
        "metadata": template["metadata"], "spec": template["spec"],
        "status": { "phase": "Pending", "qosClass": "BestEffort" } });
    set(&mut pod, &["metadata", "name"], name);
    set(
        &mut pod,
        &["metadata", "namespace"],
        text(owner, "/metadata/namespace"),
    );
    let version = text(owner, "/apiVersion").to_owned();
    set(
        &mut pod,
        &["metadata", "ownerReferences"],
        json!([owner_of(owner, &version)]),
    );
    if let Some(node) = node {
        set(&mut pod, &["spec", "nodeName"], node);
    }
    if !has(&pod, "/spec/terminationGracePeriodSeconds") {
        set(&mut pod, &["spec", "terminationGracePeriodSeconds"], 30);
    }
    pod
}

pub(super) fn owner_of(owner: &Value, version: &str) -> Value {
    json!({ "apiVersion": version, "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true })
}

/// A short hash of a template (FNV-1a), in the alphabet of generated names.
fn hash(template: &str) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in template.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut out = String::new();
    for _ in 0..9 {
        let at = usize::try_from(hash % 27).unwrap_or_default();
        out.push(char::from(ALPHABET[at]));
        hash /= 27;
    }
    out
}
