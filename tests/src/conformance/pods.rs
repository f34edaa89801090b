//! Making, reading and binding pods.

use serde_json::json;

use super::{
    case::{Case, Group, case, delete, get, merge_patch, post},
    fixtures::{look_at_pod, make, phase, pod, running, unbound},
    target::User,
};

pub(super) fn group() -> Group {
    Group {
        name: "pods",
        facts: include_str!("facts/pods.json"),
        cases: cases(),
    }
}

fn cases() -> Vec<Case> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": "a"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "<ns>"},
    });
    let mut unnamed = unbound("a");
    unnamed["metadata"] = json!({"generateName": "web-"});
    let mut bad_name = pod("a");
    bad_name["metadata"]["name"] = "Not A Name".into();
    vec![
        case("pod-is-made-with-defaults")
            .when(
                make(&unbound("a"))
                    .see("/spec/terminationGracePeriodSeconds")
                    .see("/spec/restartPolicy")
                    .see("/status/phase"),
            )
            .when(look_at_pod("a")),
        case("pod-is-made-twice")
            .given([make(&pod("a"))])
            .when(make(&pod("a")))
            .when(look_at_pod("a")),
        case("pod-with-a-generated-name").when(make(&unnamed)),
        case("pod-with-a-bad-name").when(make(&bad_name)),
        case("pod-without-containers").when(make(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {},
        }))),
        case("pod-made-dry-run")
            .when(post("pods?dryRun=All", &pod("a")))
            .when(look_at_pod("a")),
        case("pod-made-in-a-missing-namespace").when(post(
            "/api/v1/namespaces/<ns>-none/pods",
            &json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
                "spec": {"containers": [{"name": "main", "image": "example.com/main"}]},
            }),
        )),
        case("pod-made-in-a-terminating-namespace")
            .given([delete("/api/v1/namespaces/<ns>")])
            .when(make(&pod("a"))),
        case("pod-made-with-another-namespace").when(make(&{
            let mut pod = pod("a");
            pod["metadata"]["namespace"] = "default".into();
            pod
        })),
        case("pod-read").given(running("a")).when(
            get("pods/a")
                .see("/metadata/labels")
                .see("/spec/nodeName")
                .see("/spec/terminationGracePeriodSeconds")
                .see("/status/phase")
                .see("/status/conditions/0/type")
                .see("/status/conditions/0/status"),
        ),
        case("pod-read-missing").when(get("pods/a")),
        case("pod-read-without-rights")
            .given(running("a"))
            .when(get("pods/a").user(User::Nobody)),
        case("pod-read-as-metadata").given(running("a")).when(
            get("pods/a")
                .accept("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
                .see("/metadata/labels")
                .see("/spec"),
        ),
        case("pod-bound")
            .given([make(&unbound("a"))])
            .when(post("pods/a/binding", &binding))
            .when(look_at_pod("a").see("/spec/nodeName"))
            .when(post("pods/a/binding", &binding))
            .when(look_at_pod("a")),
        case("pod-status-moves-on")
            .given([make(&pod("a"))])
            .when(phase("a", "Running", true).see("/status/phase"))
            .when(phase("a", "Running", true).see("/status/phase"))
            .when(phase("a", "Succeeded", false).see("/status/phase")),
        case("pod-status-of-a-missing-pod").when(phase("a", "Running", true)),
        case("pod-finalizer-unqualified")
            .given([make(&pod("a"))])
            .when(merge_patch(
                "pods/a",
                &json!({"metadata": {"finalizers": ["hold"]}}),
            )),
    ]
}
