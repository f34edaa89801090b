//! Deletions of pods.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, Request, case, delete, merge_patch},
    fixtures::{look_at_pod, make, phase, pod, running, running_with_grace, unbound},
    target::User,
};

pub(super) fn group() -> Group {
    let mut cases = cases();
    cases.extend(finalizers());
    Group {
        name: "deletes",
        facts: include_str!("facts/deletes.json"),
        cases,
    }
}

fn with(options: &Value) -> Request {
    let mut options = options.clone();
    options["apiVersion"] = "v1".into();
    options["kind"] = "DeleteOptions".into();
    delete("pods/a").json(&options)
}

fn one(name: &'static str, request: Request) -> Case {
    case(name)
        .given(running("a"))
        .when(request)
        .when(look_at_pod("a"))
}

fn cases() -> Vec<Case> {
    let other = "00000000-0000-4000-8000-000000000000";
    vec![
        one("delete-a-running-pod", delete("pods/a")),
        one("delete-with-empty-options", with(&json!({}))),
        one(
            "delete-grace-shorter",
            with(&json!({"gracePeriodSeconds": 5})),
        ),
        one(
            "delete-grace-longer",
            with(&json!({"gracePeriodSeconds": 300})),
        ),
        one("delete-grace-zero", with(&json!({"gracePeriodSeconds": 0}))),
        one(
            "delete-grace-negative",
            with(&json!({"gracePeriodSeconds": -1})),
        ),
        one(
            "delete-grace-in-query",
            delete("pods/a?gracePeriodSeconds=9"),
        ),
        one("delete-dry-run", with(&json!({"dryRun": ["All"]}))),
        one("delete-dry-run-in-query", delete("pods/a?dryRun=All")),
        one("delete-dry-run-unknown", with(&json!({"dryRun": ["Half"]}))),
        one(
            "delete-uid-matches",
            with(&json!({"preconditions": {"uid": "<uid a>"}})),
        ),
        one(
            "delete-uid-mismatch",
            with(&json!({"preconditions": {"uid": other}})),
        ),
        one(
            "delete-version-matches",
            with(&json!({"preconditions": {"resourceVersion": "<rv a>"}})),
        ),
        one(
            "delete-version-stale",
            with(&json!({"preconditions": {"resourceVersion": "<first rv a>"}})),
        ),
        one(
            "delete-malformed",
            delete("pods/a").raw("{").media("application/json"),
        ),
        one("delete-without-rights", delete("pods/a").user(User::Nobody)),
        case("delete-a-missing-pod").when(delete("pods/a")),
        case("delete-missing-with-uid").when(with(&json!({"preconditions": {"uid": other}}))),
        case("delete-an-unbound-pod")
            .given([make(&unbound("a"))])
            .when(delete("pods/a"))
            .when(look_at_pod("a")),
        case("delete-a-succeeded-pod")
            .given([make(&pod("a")), phase("a", "Succeeded", false)])
            .when(delete("pods/a"))
            .when(look_at_pod("a")),
        case("delete-a-pod-with-grace-zero")
            .given(running_with_grace("a", 0))
            .when(delete("pods/a"))
            .when(look_at_pod("a")),
        case("delete-again")
            .given(running("a"))
            .when(delete("pods/a"))
            .when(delete("pods/a"))
            .when(look_at_pod("a")),
        case("delete-again-shorter")
            .given(running("a"))
            .when(delete("pods/a"))
            .when(with(&json!({"gracePeriodSeconds": 2})))
            .when(look_at_pod("a")),
        case("delete-again-longer")
            .given(running("a"))
            .when(delete("pods/a"))
            .when(with(&json!({"gracePeriodSeconds": 200})))
            .when(look_at_pod("a")),
        case("delete-as-a-kubelet-does")
            .given(running("a"))
            .when(delete("pods/a"))
            .when(with(
                &json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "<uid a>"}}),
            ))
            .when(look_at_pod("a")),
        case("delete-and-make-again")
            .given(running("a"))
            .when(with(&json!({"gracePeriodSeconds": 0})))
            .when(make(&pod("a")))
            .when(look_at_pod("a")),
        case("delete-a-node")
            .given(super::fixtures::node(&json!({})))
            .when(delete(super::fixtures::NODE))
            .when(super::fixtures::look_at_node()),
    ]
}

fn finalizers() -> Vec<Case> {
    let hold = merge_patch(
        "pods/a",
        &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
    );
    let let_go = merge_patch("pods/a", &json!({"metadata": {"finalizers": null}}));
    vec![
        case("finalizer-holds-a-pod-with-grace")
            .given(running("a"))
            .given([hold.clone()])
            .when(delete("pods/a"))
            .when(with(&json!({"gracePeriodSeconds": 0})))
            .when(look_at_pod("a"))
            .when(let_go.clone())
            .when(look_at_pod("a")),
        case("finalizer-holds-an-unbound-pod")
            .given([make(&unbound("a")), hold])
            .when(delete("pods/a"))
            .when(look_at_pod("a"))
            .when(let_go)
            .when(look_at_pod("a")),
    ]
}
