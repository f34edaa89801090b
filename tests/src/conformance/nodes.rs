//! Patches of nodes: cordons and taints, alone and against other writers.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, Request, case, get, json_patch, merge_patch, post},
    fixtures::{NODE, look_at_node, node, see_node, taint},
    target::User,
};

pub(super) fn group() -> Group {
    let mut cases = json_patches();
    cases.extend(tests_in_patches());
    cases.extend(other_operations());
    cases.extend(merge_patches());
    cases.extend(merges_of_parts());
    Group {
        name: "nodes",
        facts: include_str!("facts/nodes.json"),
        cases,
    }
}

fn tainted() -> Value {
    json!({"taints": [taint("first", "NoSchedule")]})
}

fn on(name: &'static str, spec: &Value, patch: Request) -> Case {
    case(name)
        .given(node(spec))
        .when(see_node(patch))
        .when(look_at_node())
}

fn operations(operations: &Value) -> Request {
    json_patch(NODE, operations)
}

fn append(taint: &Value) -> Value {
    json!({"op": "add", "path": "/spec/taints/-", "value": taint})
}

fn json_patches() -> Vec<Case> {
    let ours = taint("ours", "NoSchedule");
    let cordon = json!({"op": "add", "path": "/spec/unschedulable", "value": true});
    vec![
        case("node-is-made-not-ready").when(see_node(post(
            "/api/v1/nodes",
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "<ns>"}}),
        ))),
        on(
            "node-append-a-taint",
            &tainted(),
            operations(&json!([append(&ours)])),
        ),
        on(
            "node-append-a-taint-and-cordon",
            &tainted(),
            operations(&json!([append(&ours), cordon])),
        ),
        on(
            "node-append-without-a-list",
            &json!({}),
            operations(&json!([append(&ours)])),
        ),
        on(
            "node-add-a-list",
            &json!({}),
            operations(&json!([{"op": "add", "path": "/spec/taints", "value": [ours]}])),
        ),
    ]
}

/// `test` operations.
fn tests_in_patches() -> Vec<Case> {
    let ours = taint("ours", "NoSchedule");
    let cordon = json!({"op": "add", "path": "/spec/unschedulable", "value": true});
    let test = |path: &str, value: Value| json!({"op": "test", "path": path, "value": value});
    vec![
        on(
            "node-test-holds",
            &tainted(),
            operations(&json!([
                test("/spec/taints/0/key", json!("first")),
                append(&ours)
            ])),
        ),
        on(
            "node-test-fails",
            &tainted(),
            operations(&json!([
                test("/spec/taints/0/key", json!("other")),
                append(&ours)
            ])),
        ),
        on(
            "node-test-of-a-whole-taint",
            &tainted(),
            operations(&json!([
                test("/spec/taints/0", taint("first", "NoSchedule")),
                {"op": "remove", "path": "/spec/taints/0"},
            ])),
        ),
        on(
            "node-test-null-of-a-missing-path",
            &tainted(),
            operations(&json!([test("/spec/unschedulable", Value::Null), cordon])),
        ),
        on(
            "node-test-null-of-a-present-path",
            &json!({"unschedulable": true}),
            operations(&json!([test("/spec/unschedulable", Value::Null)])),
        ),
        on(
            "node-test-null-below-a-missing-parent",
            &json!({}),
            operations(&json!([
                test("/metadata/annotations/ours", Value::Null),
                cordon
            ])),
        ),
        on(
            "node-test-value-of-a-missing-path",
            &json!({}),
            operations(&json!([test("/spec/unschedulable", json!(true)), cordon])),
        ),
        on(
            "node-test-uid",
            &tainted(),
            operations(&json!([
                test("/metadata/uid", json!("<uid node>")),
                append(&ours)
            ])),
        ),
        on(
            "node-test-uid-fails",
            &tainted(),
            operations(&json!([test("/metadata/uid", json!("no")), append(&ours)])),
        ),
        on(
            "node-test-version",
            &tainted(),
            operations(&json!([
                test("/metadata/resourceVersion", json!("<rv node>")),
                append(&ours)
            ])),
        ),
    ]
}

/// Removals, replacements, and what is refused.
fn other_operations() -> Vec<Case> {
    let ours = taint("ours", "NoSchedule");
    let cordon = json!({"op": "add", "path": "/spec/unschedulable", "value": true});
    vec![
        on(
            "node-remove-a-missing-path",
            &json!({}),
            operations(&json!([{"op": "remove", "path": "/spec/unschedulable"}])),
        ),
        on(
            "node-remove-an-index-out-of-range",
            &tainted(),
            operations(&json!([{"op": "remove", "path": "/spec/taints/3"}])),
        ),
        on(
            "node-remove-the-last-taint",
            &tainted(),
            operations(&json!([{"op": "remove", "path": "/spec/taints/0"}])),
        ),
        on(
            "node-replace-a-missing-path",
            &json!({}),
            operations(&json!([{"op": "replace", "path": "/spec/unschedulable", "value": true}])),
        ),
        on(
            "node-annotation-with-a-slash",
            &json!({}),
            operations(&json!([
                {"op": "add", "path": "/metadata/annotations", "value": {}},
                {"op": "add", "path": "/metadata/annotations/example.com~1a", "value": "1"},
            ])),
        ),
        on(
            "node-duplicate-taint",
            &tainted(),
            operations(&json!([append(&taint("first", "NoSchedule"))])),
        ),
        on(
            "node-same-key-other-effect",
            &tainted(),
            operations(&json!([append(&taint("first", "NoExecute"))])),
        ),
        on(
            "node-bad-effect",
            &tainted(),
            operations(&json!([append(&taint("ours", "Never"))])),
        ),
        on(
            "node-bad-taint-key",
            &tainted(),
            operations(&json!([append(&taint("our key", "NoSchedule"))])),
        ),
        on(
            "node-taint-without-effect",
            &tainted(),
            operations(&json!([append(&json!({"key": "ours"}))])),
        ),
        on(
            "node-append-dry-run",
            &tainted(),
            json_patch(&format!("{NODE}?dryRun=All"), &json!([append(&ours)])),
        ),
        on(
            "node-append-with-manager",
            &tainted(),
            json_patch(
                &format!("{NODE}?fieldManager=conformance"),
                &json!([append(&ours)]),
            )
            .see("/metadata/managedFields/1/manager"),
        ),
        on(
            "node-patch-is-no-list",
            &tainted(),
            operations(&json!({"op": "remove"})),
        ),
        on(
            "node-patch-unknown-operation",
            &tainted(),
            operations(&json!([{"op": "set", "path": "/spec"}])),
        ),
        on("node-patch-empty", &tainted(), operations(&json!([]))),
        on(
            "node-patch-that-changes-nothing",
            &json!({"unschedulable": true}),
            operations(&json!([cordon])),
        ),
        on(
            "node-taints-appended-one-after-the-other",
            &tainted(),
            operations(&json!([append(&ours)])),
        )
        .when(see_node(operations(&json!([append(&taint(
            "theirs",
            "PreferNoSchedule"
        ))])))),
    ]
}

fn merge_patches() -> Vec<Case> {
    let merge = |body: Value| merge_patch(NODE, &body);
    let taints = json!({"taints": [taint("ours", "NoSchedule")], "unschedulable": true});
    let stale = || {
        see_node(merge(json!({
            "metadata": {"resourceVersion": "<first rv node>"},
            "spec": taints,
        })))
    };
    vec![
        on("node-merge", &json!({}), merge(json!({"spec": taints}))),
        on(
            "node-merge-with-version",
            &json!({}),
            merge(json!({"metadata": {"resourceVersion": "<rv node>"}, "spec": taints})),
        ),
        case("node-merge-with-stale-version")
            .given(node(&json!({})))
            .when(stale())
            .when(look_at_node()),
        on(
            "node-merge-with-malformed-version",
            &json!({}),
            merge(json!({"metadata": {"resourceVersion": "soon"}, "spec": taints})),
        ),
        on(
            "node-merge-with-uid",
            &json!({}),
            merge(json!({"metadata": {"uid": "<uid node>"}, "spec": taints})),
        ),
        on(
            "node-merge-with-another-uid",
            &json!({}),
            merge(json!({
                "metadata": {"uid": "00000000-0000-4000-8000-000000000000"}, "spec": taints,
            })),
        ),
        on(
            "node-merge-replaces-the-list",
            &tainted(),
            merge(json!({"spec": taints})),
        ),
    ]
}

/// Merge patches of parts, and what is refused.
fn merges_of_parts() -> Vec<Case> {
    let merge = |body: Value| merge_patch(NODE, &body);
    let taints = json!({"taints": [taint("ours", "NoSchedule")], "unschedulable": true});
    vec![
        on(
            "node-merge-null-removes",
            &tainted(),
            merge(json!({"spec": {"taints": null}})),
        ),
        on(
            "node-merge-uncordon",
            &json!({"unschedulable": true}),
            merge(json!({"spec": {"unschedulable": false}})),
        ),
        on(
            "node-merge-annotation-and-label",
            &json!({}),
            merge(json!({"metadata": {
                "annotations": {"example.com/a": "{\"b\":1}"},
                "labels": {"example.com/b": "c"},
            }})),
        ),
        on(
            "node-merge-bad-label",
            &json!({}),
            merge(json!({"metadata": {"labels": {"a": "not a value"}}})),
        ),
        on(
            "node-merge-annotation-that-is-no-text",
            &json!({}),
            merge(json!({"metadata": {"annotations": {"a": 1}}})),
        ),
        on(
            "node-merge-unknown-field",
            &json!({}),
            merge(json!({"spec": {"unschedulabel": true}})),
        ),
        on(
            "node-merge-unknown-field-strictly",
            &json!({}),
            merge_patch(
                &format!("{NODE}?fieldValidation=Strict"),
                &json!({"spec": {"unschedulabel": true}}),
            ),
        ),
        on(
            "node-merge-wrong-type",
            &json!({}),
            merge(json!({"spec": {"unschedulable": "yes"}})),
        ),
        on(
            "node-merge-provider-id-once-set",
            &json!({"providerID": "aws:///us-east-1a/i-1"}),
            merge(json!({"spec": {"providerID": "aws:///us-east-1a/i-2"}})),
        ),
        on(
            "node-merge-dry-run",
            &json!({}),
            merge_patch(&format!("{NODE}?dryRun=All"), &json!({"spec": taints})),
        ),
        on(
            "node-merge-dry-run-unknown",
            &json!({}),
            merge_patch(&format!("{NODE}?dryRun=some"), &json!({"spec": taints})),
        ),
        on("node-merge-empty", &tainted(), merge(json!({}))),
        on(
            "node-merge-malformed",
            &json!({}),
            merge(json!({}))
                .raw("{\"spec\"")
                .media("application/merge-patch+json"),
        ),
        on(
            "node-merge-without-rights",
            &json!({}),
            merge(json!({"spec": taints})).user(User::Nobody),
        ),
        on(
            "node-merge-another-name",
            &json!({}),
            merge(json!({"metadata": {"name": "other"}})),
        ),
        case("node-merge-missing")
            .when(merge(json!({"spec": taints})))
            .when(json_patch(
                NODE,
                &json!([append(&taint("a", "NoSchedule"))]),
            )),
        case("node-read-without-rights")
            .given(node(&json!({})))
            .when(get(NODE).user(User::Nobody)),
    ]
}
