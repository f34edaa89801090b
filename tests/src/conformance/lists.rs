//! Lists: versions, pages, metadata only.

use serde_json::json;

use super::{
    case::{Case, Group, case, delete, get, post},
    fixtures::{evict, make, node, node_named, pod, running, unbound},
    target::User,
};

/// As the drain asks for the DaemonSets that exist.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

pub(super) fn group() -> Group {
    let mut cases = lists();
    cases.extend(pages());
    cases.extend(others());
    Group {
        name: "lists",
        facts: include_str!("facts/lists.json"),
        cases,
    }
}

fn lists() -> Vec<Case> {
    let two = |name| case(name).given(running("a")).given([make(&unbound("b"))]);
    vec![
        case("list-nothing").when(get("pods")),
        case("list-nothing-as-metadata").when(get("pods").accept(METADATA)),
        case("list-nothing-as-metadata-from-the-cache")
            .when(get("pods?resourceVersion=0").accept(METADATA)),
        two("list-all").when(get("pods").see("/spec/nodeName").see("/status/phase")),
        two("list-from-the-cache")
            .when(get("pods"))
            .when(get("pods?resourceVersion=0")),
        two("list-not-older-than")
            .when(get("pods"))
            .when(get("pods?resourceVersion=<rv list>&resourceVersionMatch=NotOlderThan")),
        two("list-exact-version")
            .when(get("pods"))
            .when(delete("pods/b"))
            .when(get("pods?resourceVersion=<rv list>&resourceVersionMatch=Exact")),
        two("list-match-without-version").when(get("pods?resourceVersionMatch=Exact")),
        two("list-exact-zero").when(get("pods?resourceVersion=0&resourceVersionMatch=Exact")),
        two("list-malformed-version").when(get("pods?resourceVersion=soon")),
        two("list-version-of-the-future").when(get("pods?resourceVersion=900000000&timeoutSeconds=1")),
        two("list-shows-terminating-pods")
            .when(evict("a"))
            .when(get("pods")),
        two("list-without-rights").when(get("pods").user(User::Nobody)),
        two("list-with-an-unknown-token").when(get("pods").user(User::Stranger)),
        case("list-of-a-missing-namespace").when(get("/api/v1/namespaces/<ns>-none/pods")),
        two("list-as-metadata").when(get("pods").accept(METADATA).see("/spec").see("/metadata/labels")),
        two("list-as-metadata-or-json").when(
            get("pods")
                .accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json")
                .see("/spec"),
        ),
        two("list-as-a-table").when(
            get("pods").accept("application/json;as=Table;g=meta.k8s.io;v=v1,application/json"),
        ),
    ]
}

fn pages() -> Vec<Case> {
    let five = |name| case(name).given(["a", "b", "c", "d", "e"].map(|name| make(&pod(name))));
    let next = "pods?limit=2&continue=<continue>";
    vec![
        five("pages-to-the-end")
            .when(get("pods?limit=2"))
            .when(get(next))
            .when(get(next)),
        five("pages-of-just-enough").when(get("pods?limit=5")),
        five("pages-show-one-version")
            .when(get("pods?limit=2"))
            .when(delete("pods/d"))
            .when(make(&pod("ca")))
            .when(get(next))
            .when(get(next)),
        five("pages-of-a-selector")
            .when(get("pods?limit=2&labelSelector=app%3Dweb"))
            .when(get(
                "pods?limit=2&labelSelector=app%3Dweb&continue=<continue>",
            )),
        five("pages-of-a-field-selector")
            .when(get("pods?limit=2&fieldSelector=spec.nodeName%3D<ns>"))
            .when(get(
                "pods?limit=2&fieldSelector=spec.nodeName%3D<ns>&continue=<continue>",
            )),
        five("pages-from-the-cache").when(get("pods?limit=2&resourceVersion=0")),
        five("pages-with-a-malformed-token").when(get("pods?limit=2&continue=nonsense")),
        five("pages-with-token-and-version")
            .when(get("pods?limit=2"))
            .when(get(
                "pods?limit=2&continue=<continue>&resourceVersion=<rv a>",
            )),
        five("pages-limit-zero").when(get("pods?limit=0")),
        five("pages-limit-negative").when(get("pods?limit=-1")),
        five("pages-limit-text").when(get("pods?limit=two")),
        five("pages-of-an-expired-token")
            .when(get("pods?limit=2"))
            .when(make(&pod("ca")))
            .forget()
            .when(get(next))
            .when(get(next)),
    ]
}

fn others() -> Vec<Case> {
    let daemon_set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
            },
        },
    });
    let daemon_sets = "/apis/apps/v1/namespaces/<ns>/daemonsets";
    vec![
        case("list-daemon-sets-as-metadata")
            .given([post(daemon_sets, &daemon_set)])
            .when(get(daemon_sets).accept(METADATA).see("/spec")),
        case("list-nodes-by-label")
            .given(node(&json!({})))
            .given(node_named("<ns>-2", &json!({"unschedulable": true})))
            .when(get("/api/v1/nodes?labelSelector=case%3D<ns>").see("/spec/unschedulable")),
        case("list-nodes-by-name")
            .given(node(&json!({})))
            .given(node_named("<ns>-2", &json!({})))
            .when(get("/api/v1/nodes?fieldSelector=metadata.name%3D<ns>-2")),
        case("list-nodes-unschedulable")
            .given(node(&json!({})))
            .given(node_named("<ns>-2", &json!({"unschedulable": true})))
            .when(get(
                "/api/v1/nodes?labelSelector=case%3D<ns>&fieldSelector=spec.unschedulable%3Dtrue",
            )),
        case("list-pods-of-all-namespaces")
            .given(running("a"))
            .when(get("/api/v1/pods?fieldSelector=spec.nodeName%3D<ns>")),
    ]
}
