//! Watches.

use serde_json::json;

use super::{
    case::{Case, Group, Request, case, delete, get, merge_patch, post},
    fixtures::{NODE, evict, evict_with, make, node, phase, pod, running, unbound},
    target::User,
};

const FROM: &str = "resourceVersion=<rv list>";
const ON_NODE: &str = "fieldSelector=spec.nodeName%3D<ns>&resourceVersion=<rv list>";

pub(super) fn group() -> Group {
    let mut cases = changes();
    cases.extend(selections());
    cases.extend(starts());
    cases.extend(ends());
    Group {
        name: "watches",
        facts: include_str!("facts/watches.json"),
        cases,
    }
}

/// A watch of the namespace's pods.
fn watch(query: &str) -> Request {
    get(&format!("pods?watch=true&{query}"))
        .see("/spec/nodeName")
        .see("/status/phase")
        .see("/metadata/labels")
}

fn bind(name: &str) -> Request {
    post(
        &format!("pods/{name}/binding"),
        &json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "<ns>"},
        }),
    )
}

fn changes() -> Vec<Case> {
    let from = FROM;
    let on_node = ON_NODE;
    let now = json!({"gracePeriodSeconds": 0});
    vec![
        case("watch-what-was-made-since")
            .given([make(&pod("a"))])
            .when(get("pods"))
            .when(make(&pod("b")))
            .when(phase("b", "Running", true))
            .open(watch(from))
            .read(2),
        case("watch-live")
            .given([make(&pod("a"))])
            .when(get("pods"))
            .open(watch(from))
            .when(make(&pod("b")))
            .read(1)
            .when(phase("a", "Running", true))
            .read(1)
            .when(delete("pods/b").json(&now))
            .read(2),
        case("watch-an-eviction")
            .given(running("a"))
            .when(get("pods"))
            .open(watch(on_node))
            .when(evict("a"))
            .read(2)
            .when(delete("pods/a").json(&now))
            .read(2),
        case("watch-an-eviction-with-grace-zero")
            .given(running("a"))
            .when(get("pods"))
            .when(evict_with("a", &now))
            .open(watch(&format!("{on_node}&timeoutSeconds=1")))
            .read_to_end(),
        case("watch-a-deletion-without-grace")
            .given([make(&unbound("a"))])
            .when(get("pods"))
            .when(delete("pods/a"))
            .open(watch(&format!("{from}&timeoutSeconds=1")))
            .read_to_end(),
    ]
}

/// What a selector lets through.
fn selections() -> Vec<Case> {
    let from = FROM;
    let on_node = ON_NODE;
    vec![
        case("watch-a-pod-come-to-the-node")
            .given([make(&unbound("a"))])
            .when(get("pods"))
            .open(watch(on_node))
            .when(bind("a"))
            .read(1)
            .when(phase("a", "Running", true))
            .read(1),
        case("watch-a-pod-leave-the-selection-by-node")
            .given([make(&unbound("a"))])
            .when(get("pods"))
            .open(watch("fieldSelector=spec.nodeName%3D&resourceVersion=<rv list>"))
            .when(bind("a"))
            .read(1),
        case("watch-a-pod-leave-the-selection-by-label")
            .given(running("a"))
            .when(get("pods"))
            .open(watch("labelSelector=app%3Dweb&resourceVersion=<rv list>"))
            .when(merge_patch("pods/a", &json!({"metadata": {"labels": {"app": "other"}}})))
            .read(1)
            .when(merge_patch("pods/a", &json!({"metadata": {"labels": {"app": "web"}}})))
            .read(1),
        case("watch-passes-others-by")
            .given([make(&unbound("a"))])
            .when(get("pods"))
            .when(make(&unbound("b")))
            .when(make(&pod("c")))
            .open(watch(on_node))
            .read(1),
        case("watch-shows-no-dry-run")
            .given(running("a"))
            .when(get("pods"))
            .when(evict_with("a", &json!({"dryRun": ["All"]})))
            .when(make(&pod("z")))
            .open(watch(from))
            .read(1),
        case("watch-a-node")
            .given(node(&json!({})))
            .open(
                get("/api/v1/nodes?watch=true&fieldSelector=metadata.name%3D<ns>&resourceVersion=<rv node>")
                    .see("/spec/unschedulable"),
            )
            .when(merge_patch(NODE, &json!({"spec": {"unschedulable": true}})))
            .read(1)
            .when(delete(NODE))
            .read(1),
        case("watch-pods-of-all-namespaces")
            .given([make(&pod("a"))])
            .when(get("/api/v1/pods?fieldSelector=spec.nodeName%3D<ns>"))
            .when(evict("a"))
            .open(get("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3D<ns>&resourceVersion=<rv list>"))
            .read(2),
        case("watch-as-metadata")
            .given([make(&pod("a"))])
            .open(
                watch("resourceVersion=0")
                    .accept("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
            )
            .read(1),
    ]
}

fn starts() -> Vec<Case> {
    let two = |name| {
        case(name)
            .given(running("a"))
            .given([make(&pod("b"))])
            .when(get("pods"))
    };
    vec![
        two("watch-from-zero")
            .open(watch("resourceVersion=0"))
            .read(2),
        two("watch-from-anywhere")
            .open(watch("allowWatchBookmarks=true"))
            .read(2),
        two("watch-with-initial-events")
            .open(watch(
                "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
            ))
            .read(3)
            .when(delete("pods/b"))
            .read(1),
        two("watch-with-initial-events-of-the-node")
            .open(watch(
                "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan\
                 &fieldSelector=spec.nodeName%3Dnone",
            ))
            .read(1),
        two("watch-initial-events-without-match")
            .when(watch("sendInitialEvents=true&allowWatchBookmarks=true")),
        two("watch-match-without-initial-events").when(watch(
            "resourceVersion=<rv list>&resourceVersionMatch=NotOlderThan",
        )),
        two("watch-malformed-version").when(watch("resourceVersion=soon")),
        two("watch-version-of-the-future")
            .open(watch("resourceVersion=900000000&timeoutSeconds=1"))
            .read_to_end(),
        two("watch-unknown-field").when(watch("fieldSelector=spec.nope%3D1")),
        two("watch-malformed-label").when(watch("labelSelector=%3D%3D")),
        case("watch-a-version-that-was-forgotten")
            .given(running("a"))
            .when(get("pods"))
            .when(make(&pod("b")))
            .forget()
            .open(watch("resourceVersion=<rv list>"))
            .read_to_end(),
        case("watch-by-the-old-path")
            .given(running("a"))
            .when(get("pods"))
            .when(make(&pod("b")))
            .open(get(
                "/api/v1/watch/namespaces/<ns>/pods?resourceVersion=<rv list>",
            ))
            .read(1),
        case("watch-without-rights").when(watch("resourceVersion=0").user(User::Nobody)),
    ]
}

fn ends() -> Vec<Case> {
    let listed = |name| case(name).given(running("a")).when(get("pods"));
    vec![
        listed("watch-ends-by-itself")
            .open(watch("resourceVersion=<rv list>&timeoutSeconds=1"))
            .read_to_end(),
        listed("watch-ends-after-its-events")
            .when(make(&pod("b")))
            .open(watch("resourceVersion=<rv list>&timeoutSeconds=1"))
            .read_to_end(),
        listed("watch-bookmark-before-the-end")
            .open(watch(
                "resourceVersion=<rv list>&timeoutSeconds=5&allowWatchBookmarks=true",
            ))
            .read_to_end(),
        listed("watch-without-bookmarks")
            .open(watch("resourceVersion=<rv list>&timeoutSeconds=5"))
            .read_to_end(),
        listed("watch-goes-on-from-an-event")
            .when(make(&pod("b")))
            .open(watch("resourceVersion=<rv list>"))
            .read(1)
            .when(make(&pod("c")))
            .open(watch("resourceVersion=<rv b>"))
            .read(1),
        listed("watch-timeout-text").when(watch("timeoutSeconds=soon")),
    ]
}
