//! Make before break over the API: the patches of pods, and what is asked of their workloads.

use http::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{CallError, Cluster, escape, request, unexpected};
use crate::facts::PodFacts;
use crate::plan::{Detach, Reattach};
use crate::replacement::{DETACHED_ANNOTATION, Detachment, HASH_LABEL, ReplicaSetFacts, Workload};
use crate::reply::Status;

/// The patch that detaches a pod: this very one, and with this very label. What other writers have
/// put on it stays.
pub(super) fn detach(detach: &Detach) -> Request<Vec<u8>> {
    let annotations = "/metadata/annotations";
    let mut steps = vec![
        json!({ "op": "test", "path": "/metadata/uid", "value": detach.pod }),
        json!({ "op": "test", "path": label(), "value": detach.detachment.hash }),
        json!({ "op": "remove", "path": label() }),
    ];
    if !detach.annotated {
        // Nobody has annotated it meanwhile: theirs would be gone.
        steps.push(json!({ "op": "test", "path": annotations, "value": null }));
        steps.push(json!({ "op": "add", "path": annotations, "value": {} }));
    }
    let written = json!(detach.detachment).to_string();
    steps.push(json!({ "op": "add", "path": annotation(), "value": written }));
    patch(&detach.namespace, &detach.name, &steps.into())
}

/// The patch that puts a pod back.
pub(super) fn reattach(reattach: &Reattach) -> Request<Vec<u8>> {
    let steps = json!([
        { "op": "test", "path": "/metadata/uid", "value": reattach.pod },
        { "op": "remove", "path": annotation() },
        // Its ReplicaSet selects other labels too: there is a map.
        { "op": "add", "path": label(), "value": reattach.hash },
    ]);
    patch(&reattach.namespace, &reattach.name, &steps)
}

/// A watch of ReplicaSets by their hashes. From any version: the stream then begins with what
/// there is, from the cache.
pub(super) fn watch(namespace: &str, hashes: &[String], seconds: u32) -> Request<Vec<u8>> {
    let hashes: Vec<String> = hashes.iter().map(|h| escape(h).to_string()).collect();
    let path = format!(
        "/apis/apps/v1/namespaces/{}/replicasets?labelSelector={HASH_LABEL}%20in%20%28{}%29&watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion=0",
        escape(namespace),
        hashes.join("%2C")
    );
    request(Method::GET, &path, "application/json", Vec::new())
}

/// The same change of any pod, as a dry run: what admission makes of it.
pub(super) fn trial(pod: &PodFacts) -> Request<Vec<u8>> {
    // A policy holds what is written to what is removed.
    let detachment = Detachment {
        hash: pod.labels.get(HASH_LABEL).cloned().unwrap_or_default(),
        ..Detachment::default()
    };
    let change = json!({ "metadata": {
        "uid": pod.uid,
        "labels": { HASH_LABEL: null },
        "annotations": { DETACHED_ANNOTATION: json!(detachment).to_string() },
    }});
    let path = format!("{}&dryRun=All", path(&pod.namespace, &pod.name));
    let body = change.to_string().into_bytes();
    request(Method::PATCH, &path, "application/merge-patch+json", body)
}

fn label() -> String {
    format!("/metadata/labels/{}", pointer(HASH_LABEL))
}

fn annotation() -> String {
    format!("/metadata/annotations/{}", pointer(DETACHED_ANNOTATION))
}

/// A name as a part of a JSON pointer.
fn pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn patch(namespace: &str, name: &str, steps: &Value) -> Request<Vec<u8>> {
    let path = path(namespace, name);
    let media = "application/json-patch+json";
    request(Method::PATCH, &path, media, steps.to_string().into_bytes())
}

fn path(namespace: &str, name: &str) -> String {
    format!(
        "/api/v1/namespaces/{}/pods/{}?fieldManager=spot-interrupt-handler",
        escape(namespace),
        escape(name)
    )
}

fn unknown(error: &CallError) -> Workload {
    match error {
        CallError::Status { .. } => Workload::Unavailable(error.to_string()),
        CallError::Timeout(_) | CallError::Transport { .. } => {
            Workload::Unanswered(error.to_string())
        }
    }
}

impl Cluster {
    /// Reads a ReplicaSet, and its Deployment where it has one.
    pub(super) async fn workload(&self, namespace: &str, replica_set: &str) -> Workload {
        let sets: Result<Option<ReplicaSetFacts>, _> =
            self.read_of("replicasets", namespace, replica_set).await;
        let set = match sets {
            Ok(Some(set)) => set,
            Ok(None) => return Workload::Gone,
            Err(error) => return unknown(&error),
        };
        let Some(owner) = set.owner.as_ref().filter(|o| o.kind == "Deployment") else {
            return Workload::Known(set, None);
        };
        match self.read_of("deployments", namespace, &owner.name).await {
            Ok(deployment) => Workload::Known(set, deployment),
            Err(error) => unknown(&error),
        }
    }

    /// Reads an object of the apps group; `None` where the API server knows none.
    async fn read_of<T: DeserializeOwned>(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, CallError> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/{resource}/{}",
            escape(namespace),
            escape(name)
        );
        let get = request(Method::GET, &path, "application/json", Vec::new());
        let raw = self.call(get).await?;
        match raw.status {
            // By way of a JSON value, as what is watched: it need not be read in two ways.
            200 => serde_json::from_slice(&raw.body)
                .ok()
                // An empty object would be a Deployment that rolls.
                .filter(|object: &Value| object.pointer("/metadata/name") == Some(&json!(name)))
                .and_then(|object| serde_json::from_value(object).ok())
                .map(Some)
                .ok_or_else(|| unexpected(&raw)),
            404 if Status::of(&raw).is_not_found() => Ok(None),
            _ => Err(unexpected(&raw)),
        }
    }
}
