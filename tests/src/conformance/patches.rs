//! Media types of patches, and patches of what may not be changed.

use serde_json::json;

use super::{
    case::{Case, Group, Request, case, json_patch, merge_patch, put},
    fixtures::{NODE, look_at_node, look_at_pod, node, running, see_node, taint},
};

pub(super) fn group() -> Group {
    Group {
        name: "patches",
        facts: include_str!("facts/patches.json"),
        cases: cases(),
    }
}

fn patch(name: &'static str, media: Option<&'static str>, body: &str) -> Case {
    let mut request: Request = merge_patch(NODE, &json!({})).raw(body);
    request.content_type = media;
    case(name)
        .given(node(&json!({"taints": [taint("first", "NoSchedule")]})))
        .when(see_node(request))
        .when(look_at_node())
}

fn cases() -> Vec<Case> {
    let cordon = json!({"spec": {"unschedulable": true}}).to_string();
    let pod_path = "pods/a";
    vec![
        patch("patch-without-a-media-type", None, &cordon),
        patch("patch-as-json", Some("application/json"), &cordon),
        patch("patch-as-text", Some("text/plain"), &cordon),
        patch(
            "patch-merge-with-charset",
            Some("application/merge-patch+json; charset=utf-8"),
            &cordon,
        ),
        patch(
            "patch-strategic-cordon",
            Some("application/strategic-merge-patch+json"),
            &cordon,
        ),
        patch(
            "patch-strategic-replaces-taints",
            Some("application/strategic-merge-patch+json"),
            &json!({"spec": {"taints": [taint("ours", "NoSchedule")]}}).to_string(),
        ),
        case("patch-a-pod-annotation")
            .given(running("a"))
            .when(
                merge_patch(pod_path, &json!({"metadata": {"annotations": {"a": "b"}}}))
                    .see("/metadata/annotations"),
            )
            .when(look_at_pod("a")),
        case("patch-a-pod-label-away")
            .given(running("a"))
            .when(
                json_patch(
                    pod_path,
                    &json!([
                        {"op": "test", "path": "/metadata/uid", "value": "<uid a>"},
                        {"op": "remove", "path": "/metadata/labels/app"},
                    ]),
                )
                .see("/metadata/labels"),
            )
            .when(look_at_pod("a")),
        case("patch-a-pod-to-another-node")
            .given(running("a"))
            .when(merge_patch(
                pod_path,
                &json!({"spec": {"nodeName": "other"}}),
            ))
            .when(look_at_pod("a").see("/spec/nodeName")),
        case("patch-a-pod-status-through-its-spec")
            .given(running("a"))
            .when(merge_patch(
                pod_path,
                &json!({"status": {"phase": "Failed"}}),
            ))
            .when(look_at_pod("a")),
        case("patch-a-missing-pod").when(merge_patch(pod_path, &json!({"metadata": {}}))),
        case("patch-a-pod-with-stale-version")
            .given(running("a"))
            .when(merge_patch(
                pod_path,
                &json!({"metadata": {"resourceVersion": "<first rv a>", "labels": {"x": "y"}}}),
            ))
            .when(look_at_pod("a").see("/metadata/labels")),
        case("put-a-node-with-stale-version")
            .given(node(&json!({})))
            .when(put(
                NODE,
                &json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": "<ns>", "resourceVersion": "<first rv node>"},
                    "spec": {"unschedulable": true},
                }),
            ))
            .when(look_at_node()),
        case("put-a-node-with-its-version")
            .given(node(&json!({})))
            .when(see_node(put(
                NODE,
                &json!({
                    "apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": "<ns>", "resourceVersion": "<rv node>"},
                    "spec": {"unschedulable": true},
                }),
            ))),
    ]
}
