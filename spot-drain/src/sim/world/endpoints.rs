//! The endpoint slice controller: which pods serve a Service, and which of them are going.

use serde_json::{Value, json};
use spot_core::clock::Now;

use super::World;
use crate::sim::json::{is_ended, is_ready, is_terminating, key, list, text};
use crate::sim::kind::Kind;
use crate::sim::selector::Labels;

impl World {
    /// One slice per Service.
    pub(super) fn sync_endpoints(&mut self, name: &str, now: Now) {
        let Some((namespace, short)) = name.split_once('/') else {
            return;
        };
        let slice = format!("{short}-sim");
        let Some(service) = self.api.store.get(Kind::Service, name).cloned() else {
            self.api
                .store
                .remove(Kind::EndpointSlice, &key(namespace, &slice));
            return;
        };
        let Some(labels) = Labels::of_map(&service["spec"]["selector"]) else {
            return;
        };
        let endpoints: Vec<Value> = self
            .api
            .store
            .within(Kind::Pod, namespace)
            .filter(|pod| labels.matches(pod) && !is_ended(pod))
            .filter(|pod| !text(pod, "/status/podIP").is_empty())
            .map(|pod| {
                let (ready, going) = (is_ready(pod), is_terminating(pod));
                json!({ "addresses": [pod["status"]["podIP"]],
                    "conditions": { "ready": ready && !going, "serving": ready,
                        "terminating": going },
                    "nodeName": pod["spec"]["nodeName"],
                    "targetRef": { "kind": "Pod", "namespace": namespace,
                        "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] } })
            })
            .collect();
        let ports: Vec<Value> = list(&service, "/spec/ports")
            .iter()
            .map(|port| {
                let target = port.get("targetPort").filter(|t| t.is_number());
                json!({ "name": text(port, "/name"), "protocol": "TCP",
                    "port": target.unwrap_or(&port["port"]) })
            })
            .collect();
        let object = json!({ "metadata": { "name": slice, "namespace": namespace,
                "labels": { "kubernetes.io/service-name": short,
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" },
                "ownerReferences": [super::controllers::owner_of(&service, "v1")] },
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports });
        self.api.put(Kind::EndpointSlice, object, now);
    }
}
