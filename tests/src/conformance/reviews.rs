//! Access reviews and Kubernetes Events.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, Request, case, delete, get, merge_patch, post},
    target::User,
};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

pub(super) fn group() -> Group {
    let mut cases = reviews();
    cases.extend(events());
    Group {
        name: "reviews",
        facts: include_str!("facts/reviews.json"),
        cases,
    }
}

fn review(verb: &str, resource: &str, subresource: &str) -> Request {
    let attributes = json!({"verb": verb, "resource": resource, "subresource": subresource});
    review_of(&json!({"resourceAttributes": attributes}))
}

fn review_of(spec: &Value) -> Request {
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": spec,
    });
    post(REVIEWS, &body)
        .see("/spec")
        .see("/status/allowed")
        .see("/status/denied")
}

fn reviews() -> Vec<Case> {
    vec![
        case("review-evict-allowed").when(review("create", "pods", "eviction")),
        case("review-evict-denied").when(review("create", "pods", "eviction").user(User::Nobody)),
        case("review-patch-nodes-denied").when(review("patch", "nodes", "").user(User::Nobody)),
        case("review-in-a-namespace").when(review_of(&json!({"resourceAttributes": {
            "namespace": "<ns>", "verb": "delete", "resource": "pods", "name": "a",
        }}))),
        case("review-of-an-unknown-resource").when(review("create", "things", "")),
        case("review-without-attributes").when(review_of(&json!({}))),
        case("review-with-both-attributes").when(review_of(&json!({
            "resourceAttributes": {"verb": "get", "resource": "pods"},
            "nonResourceAttributes": {"verb": "get", "path": "/healthz"},
        }))),
        case("review-of-a-path").when(
            review_of(&json!({"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}))
                .user(User::Nobody),
        ),
        case("review-cannot-be-read").when(get(REVIEWS)),
        case("review-by-a-stranger")
            .when(review("create", "pods", "eviction").user(User::Stranger)),
    ]
}

fn event(namespace: &str, about: &Value, more: &Value) -> Value {
    let mut event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "drain-", "namespace": namespace},
        "involvedObject": about,
        "reason": "Interrupted",
        "message": "the instance goes",
        "type": "Warning",
        "source": {"component": "conformance"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    event
}

fn seen(request: Request) -> Request {
    request
        .see("/involvedObject")
        .see("/reason")
        .see("/type")
        .see("/count")
        .see("/source")
}

fn events() -> Vec<Case> {
    let pod = json!({"kind": "Pod", "name": "a", "namespace": "<ns>", "apiVersion": "v1"});
    let node = json!({"kind": "Node", "name": "<ns>", "uid": "<ns>", "apiVersion": "v1"});
    let named = json!({"metadata": {"name": "one", "namespace": "<ns>"}});
    let new_event = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "one", "namespace": "<ns>"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/conformance",
        "reportingInstance": "conformance-1",
        "action": "Draining",
        "reason": "Interrupted",
        "regarding": pod,
        "note": "the instance goes",
        "type": "Warning",
    });
    let new_events = "/apis/events.k8s.io/v1/namespaces/<ns>/events";
    vec![
        case("event-about-a-pod")
            .when(seen(post("events", &event("<ns>", &pod, &json!({})))))
            .when(seen(get("events"))),
        case("event-about-a-node-in-default").when(seen(post(
            "/api/v1/namespaces/default/events",
            &event("default", &node, &json!({})),
        ))),
        case("event-about-a-node-elsewhere").when(post("events", &event("<ns>", &node, &named))),
        case("event-of-another-type").when(post(
            "events",
            &event("<ns>", &pod, &json!({"type": "Alarm"})),
        )),
        case("event-counted-up")
            .when(post("events", &event("<ns>", &pod, &named)))
            .when(seen(merge_patch("events/one", &json!({"count": 2}))))
            .when(post("events", &event("<ns>", &pod, &named))),
        case("event-of-the-new-kind")
            .when(
                post(new_events, &new_event)
                    .see("/reason")
                    .see("/regarding")
                    .see("/note"),
            )
            .when(
                get("events/one")
                    .see("/reason")
                    .see("/involvedObject")
                    .see("/message"),
            ),
        case("event-of-the-new-kind-without-action").when(post(new_events, &{
            let mut event = new_event.clone();
            event["action"] = Value::Null;
            event
        })),
        case("event-without-rights")
            .when(post("events", &event("<ns>", &pod, &json!({}))).user(User::Nobody)),
        case("event-in-a-terminating-namespace")
            .given([delete("/api/v1/namespaces/<ns>")])
            .when(post("events", &event("<ns>", &pod, &json!({})))),
    ]
}
