//! Objects for cases, as requests that make them.

use serde_json::{Value, json};

use super::case::{Request, get, merge_patch, post};

/// Where the budgets of the case's namespace are.
pub(super) const BUDGETS: &str = "/apis/policy/v1/namespaces/<ns>/poddisruptionbudgets";
/// The case's node.
pub(super) const NODE: &str = "/api/v1/nodes/<ns>";

/// A pod `name` of app `web` on the case's node, with the grace given.
pub(super) fn pod_with_grace(name: &str, grace: i64) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "nodeName": "<ns>",
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": "main", "image": "example.com/main"}],
        },
    })
}

/// The same with the default grace of 30 s.
pub(super) fn pod(name: &str) -> Value {
    pod_with_grace(name, 30)
}

/// A request that makes a pod.
pub(super) fn make(pod: &Value) -> Request {
    post("pods", pod)
}

/// A request that gives a pod its phase and readiness.
pub(super) fn phase(name: &str, phase: &str, ready: bool) -> Request {
    let ready = if ready { "True" } else { "False" };
    let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]});
    merge_patch(&format!("pods/{name}/status"), &json!({"status": status}))
}

/// A bound, running, ready pod.
pub(super) fn running(name: &str) -> [Request; 2] {
    [make(&pod(name)), phase(name, "Running", true)]
}

/// The same with another grace.
pub(super) fn running_with_grace(name: &str, grace: i64) -> [Request; 2] {
    [
        make(&pod_with_grace(name, grace)),
        phase(name, "Running", true),
    ]
}

/// A bound pod that runs and is not ready.
pub(super) fn unready(name: &str) -> [Request; 2] {
    [make(&pod(name)), phase(name, "Running", false)]
}

/// A pod that no node was found for.
pub(super) fn unbound(name: &str) -> Value {
    let mut pod = pod(name);
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("nodeName");
    }
    pod
}

/// The status of a budget that allows `allowed` and has `healthy` of `desired`.
pub(super) fn budget_status(allowed: i64, healthy: i64, desired: i64) -> Value {
    json!({
        "observedGeneration": 1,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": healthy,
    })
}

/// A budget over app `web` with that specification besides, and that status.
pub(super) fn budget(name: &str, spec: &Value, status: &Value) -> [Request; 2] {
    let mut budget = json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        budget["spec"][key] = value.clone();
    }
    [
        post(BUDGETS, &budget),
        merge_patch(
            &format!("{BUDGETS}/{name}/status"),
            &json!({"status": status}),
        ),
    ]
}

/// What a budget is after an eviction.
pub(super) fn look_at_budget(name: &str) -> Request {
    get(&format!("{BUDGETS}/{name}"))
        .see("/status/disruptionsAllowed")
        .see("/status/currentHealthy")
        .see("/status/desiredHealthy")
        .see("/status/expectedPods")
        .see("/status/observedGeneration")
        .see("/status/disruptedPods")
}

/// What a pod is after an eviction or a deletion.
pub(super) fn look_at_pod(name: &str) -> Request {
    get(&format!("pods/{name}")).see("/status/phase")
}

/// The body of an eviction with these options.
pub(super) fn eviction(name: &str, options: &Value) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "<ns>"},
        "deleteOptions": options,
    })
}

/// An eviction with these options.
pub(super) fn evict_with(name: &str, options: &Value) -> Request {
    post(&format!("pods/{name}/eviction"), &eviction(name, options))
}

/// An eviction without options.
pub(super) fn evict(name: &str) -> Request {
    evict_with(name, &json!({}))
}

/// The case's node with this specification.
pub(super) fn node(spec: &Value) -> [Request; 2] {
    node_named("<ns>", spec)
}

/// A node of that name. The server taints a new node as not ready: its taints are then made
/// to be those of `spec`.
pub(super) fn node_named(name: &str, spec: &Value) -> [Request; 2] {
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"case": "<ns>"}},
        "spec": spec,
    });
    let tidy = json!({"metadata": {"labels": {"tidy": "yes"}}, "spec": {"taints": spec["taints"]}});
    [
        post("/api/v1/nodes", &node),
        merge_patch(&format!("/api/v1/nodes/{name}"), &tidy),
    ]
}

/// A taint.
pub(super) fn taint(key: &str, effect: &str) -> Value {
    json!({"key": key, "value": "x", "effect": effect})
}

/// What a node is after a patch.
pub(super) fn look_at_node() -> Request {
    see_node(get(NODE))
}

/// The fields of a node that a quarantine is about.
pub(super) fn see_node(request: Request) -> Request {
    request
        .see("/spec/taints")
        .see("/spec/unschedulable")
        .see("/metadata/annotations")
        .see("/metadata/labels")
}
