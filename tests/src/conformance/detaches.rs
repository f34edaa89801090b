//! The patches of make before break, and what is asked of ReplicaSets. Their controller takes no
//! part here: the scenarios have it, on both stages.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, Request, case, get, json_patch, post},
    fixtures::{look_at_pod, make, pod},
};

const SETS: &str = "/apis/apps/v1/namespaces/<ns>/replicasets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/<ns>/deployments";
const ANNOTATIONS: &str = "/metadata/annotations";
const DETACHED: &str = "/metadata/annotations/spot-interrupt-handler~1detached";
const HASH: &str = "/metadata/labels/pod-template-hash";

pub(super) fn group() -> Group {
    let mut cases = patches();
    cases.extend(sets());
    Group {
        name: "detaches",
        facts: include_str!("facts/detaches.json"),
        cases,
    }
}

/// A pod of a Deployment, as far as its labels tell, with these annotations.
fn hashed(annotations: &Value) -> Request {
    let mut pod = pod("a");
    pod["metadata"]["labels"]["pod-template-hash"] = "abc".into();
    pod["metadata"]["annotations"] = annotations.clone();
    make(&pod)
}

fn detach(uid: &str, hash: &str, annotated: bool) -> Request {
    let mut steps = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": uid}),
        json!({"op": "test", "path": HASH, "value": hash}),
        json!({"op": "remove", "path": HASH}),
    ];
    if !annotated {
        steps.push(json!({"op": "test", "path": ANNOTATIONS, "value": null}));
        steps.push(json!({"op": "add", "path": ANNOTATIONS, "value": {}}));
    }
    steps.push(json!({"op": "add", "path": DETACHED, "value": "{}"}));
    seen(json_patch(
        "pods/a?fieldManager=spot-interrupt-handler",
        &steps.into(),
    ))
}

fn put_back() -> Request {
    let steps = json!([
        {"op": "test", "path": "/metadata/uid", "value": "<uid a>"},
        {"op": "remove", "path": DETACHED},
        {"op": "add", "path": HASH, "value": "abc"},
    ]);
    seen(json_patch("pods/a", &steps))
}

fn seen(request: Request) -> Request {
    request.see("/metadata/labels").see(ANNOTATIONS)
}

fn patches() -> Vec<Case> {
    let theirs = json!({"example.com/theirs": "kept"});
    let none = json!({});
    let patched = |name, annotations: &Value, patch: Request| {
        case(name)
            .given([hashed(annotations)])
            .when(patch)
            .when(seen(look_at_pod("a")))
    };
    let detached = |annotated| detach("<uid a>", "abc", annotated);
    vec![
        patched("detach-a-pod-with-annotations", &theirs, detached(true)),
        patched("detach-a-pod-without-annotations", &none, detached(false)),
        patched(
            "detach-as-if-it-had-no-annotations",
            &theirs,
            detached(false),
        ),
        patched("detach-as-if-it-had-annotations", &none, detached(true)),
        patched(
            "detach-a-pod-of-another-hash",
            &theirs,
            detach("<uid a>", "def", true),
        ),
        patched(
            "detach-another-pod-of-that-name",
            &theirs,
            detach("00000000-0000-4000-8000-000000000000", "abc", true),
        ),
        patched("detach-a-pod-twice", &theirs, detached(true)).when(detached(true)),
        case("detach-a-missing-pod").when(detach("1", "abc", true)),
        patched("put-a-pod-back", &none, detached(false))
            .when(put_back())
            .when(seen(look_at_pod("a"))),
        patched("put-a-pod-back-twice", &theirs, detached(true))
            .when(put_back())
            .when(put_back()),
    ]
}

/// A ReplicaSet of a hash; nobody makes its pods.
fn set(name: &str, hash: &str) -> Request {
    let labels = json!({"app": "web", "pod-template-hash": hash});
    post(
        SETS,
        &json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
        }}}),
    )
}

fn sets() -> Vec<Case> {
    let of = "labelSelector=pod-template-hash%20in%20%28abc%2Cdef%29";
    vec![
        case("sets-watched-by-their-hashes")
            .given([set("a", "abc"), set("b", "ghi"), set("c", "def")])
            .open(
                get(&format!("{SETS}?{of}&watch=true&resourceVersion=0"))
                    .see("/metadata/name")
                    .see("/spec/selector/matchLabels")
                    .see("/spec/replicas"),
            )
            .read(2),
        case("a-set-and-a-deployment-that-are-not-there")
            .when(get(&format!("{SETS}/none")).words())
            .when(get(&format!("{DEPLOYMENTS}/none")).words()),
    ]
}
