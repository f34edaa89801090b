//! Evictions where no budget is in the way, and what they do to a pod.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, case, delete, merge_patch, post},
    fixtures::{
        evict, evict_with, eviction, look_at_pod, make, phase, pod_with_grace, running,
        running_with_grace, unbound, unready,
    },
    target::User,
};

pub(super) fn group() -> Group {
    let mut cases = plain();
    cases.extend(graces());
    cases.extend(preconditions());
    cases.extend(dying());
    Group {
        name: "evictions",
        facts: include_str!("facts/evictions.json"),
        cases,
    }
}

fn evict_and_look(name: &'static str, options: &Value) -> Case {
    case(name)
        .given(running("a"))
        .when(evict_with("a", options))
        .when(look_at_pod("a"))
}

fn plain() -> Vec<Case> {
    vec![
        evict_and_look("evict-a-running-pod", &json!({})),
        case("evict-marks-the-pod")
            .given(running("a"))
            .when(evict("a"))
            .when(look_at_pod("a").see("/status/conditions")),
        case("evict-an-unready-pod")
            .given(unready("a"))
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-a-pending-bound-pod")
            .given([make(&pod_with_grace("a", 30))])
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-an-unbound-pod")
            .given([make(&unbound("a"))])
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-a-succeeded-pod")
            .given([
                make(&pod_with_grace("a", 30)),
                phase("a", "Succeeded", false),
            ])
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-a-failed-pod")
            .given([make(&pod_with_grace("a", 30)), phase("a", "Failed", false)])
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-a-missing-pod").when(evict("a")),
        case("evict-in-a-missing-namespace").when(post(
            "/api/v1/namespaces/<ns>-none/pods/a/eviction",
            &json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": "a", "namespace": "<ns>-none"},
            }),
        )),
        case("evict-with-a-foreign-finalizer")
            .given([
                make(&pod_with_grace("a", 30)),
                merge_patch(
                    "pods/a",
                    &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
                ),
            ])
            .when(evict("a"))
            .when(look_at_pod("a")),
        evict_and_look("evict-dry-run-in-options", &json!({"dryRun": ["All"]})),
        case("evict-dry-run-in-query")
            .given(running("a"))
            .when(post(
                "pods/a/eviction?dryRun=All",
                &eviction("a", &json!({})),
            ))
            .when(look_at_pod("a")),
        evict_and_look("evict-dry-run-unknown", &json!({"dryRun": ["Some"]})),
        case("evict-without-rights")
            .given(running("a"))
            .when(evict("a").user(User::Nobody))
            .when(look_at_pod("a")),
        case("evict-with-an-unknown-token")
            .given(running("a"))
            .when(evict("a").user(User::Stranger))
            .when(look_at_pod("a")),
    ]
}

fn graces() -> Vec<Case> {
    vec![
        evict_and_look("evict-grace-shorter", &json!({"gracePeriodSeconds": 10})),
        evict_and_look("evict-grace-longer", &json!({"gracePeriodSeconds": 100})),
        evict_and_look("evict-grace-one", &json!({"gracePeriodSeconds": 1})),
        evict_and_look("evict-grace-zero", &json!({"gracePeriodSeconds": 0})),
        evict_and_look("evict-grace-negative", &json!({"gracePeriodSeconds": -5})),
        evict_and_look("evict-grace-text", &json!({"gracePeriodSeconds": "ten"})),
        case("evict-pod-with-grace-zero")
            .given(running_with_grace("a", 0))
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-pod-with-grace-zero-dry-run")
            .given(running_with_grace("a", 0))
            .when(evict_with("a", &json!({"dryRun": ["All"]})))
            .when(look_at_pod("a")),
    ]
}

fn preconditions() -> Vec<Case> {
    let uid = |uid: &str| json!({"preconditions": {"uid": uid}});
    let version = |version: &str| json!({"preconditions": {"resourceVersion": version}});
    vec![
        evict_and_look("evict-uid-matches", &uid("<uid a>")),
        evict_and_look(
            "evict-uid-matches-and-grace",
            &json!({"preconditions": {"uid": "<uid a>"}, "gracePeriodSeconds": 7}),
        ),
        evict_and_look(
            "evict-uid-mismatch",
            &uid("00000000-0000-4000-8000-000000000000"),
        ),
        case("evict-uid-of-a-predecessor")
            .given([make(&unbound("a")), delete("pods/a")])
            .given(running("a"))
            .when(evict_with("a", &uid("<uid a>")))
            .when(look_at_pod("a")),
        evict_and_look("evict-version-matches", &version("<rv a>")),
        evict_and_look("evict-version-stale", &version("<first rv a>")),
        case("evict-succeeded-uid-mismatch")
            .given([
                make(&pod_with_grace("a", 30)),
                phase("a", "Succeeded", false),
            ])
            .when(evict_with(
                "a",
                &uid("00000000-0000-4000-8000-000000000000"),
            ))
            .when(look_at_pod("a")),
        case("evict-terminating-uid-mismatch")
            .given(running("a"))
            .given([delete("pods/a")])
            .when(evict_with(
                "a",
                &uid("00000000-0000-4000-8000-000000000000"),
            ))
            .when(look_at_pod("a")),
    ]
}

fn dying() -> Vec<Case> {
    let twice = |name, options: &Value| {
        case(name)
            .given(running("a"))
            .when(evict("a"))
            .when(look_at_pod("a"))
            .when(evict_with("a", options))
            .when(look_at_pod("a"))
    };
    vec![
        twice("evict-terminating-again", &json!({})),
        twice(
            "evict-terminating-longer",
            &json!({"gracePeriodSeconds": 100}),
        ),
        twice(
            "evict-terminating-shorter",
            &json!({"gracePeriodSeconds": 5}),
        ),
        twice("evict-terminating-zero", &json!({"gracePeriodSeconds": 0})),
        twice("evict-terminating-dry-run", &json!({"dryRun": ["All"]})),
        case("evict-in-a-terminating-namespace")
            .given(running("a"))
            .given([delete("/api/v1/namespaces/<ns>")])
            .when(evict("a"))
            .when(look_at_pod("a")),
        case("evict-dry-run-in-a-terminating-namespace")
            .given(running("a"))
            .given([delete("/api/v1/namespaces/<ns>")])
            .when(evict_with("a", &json!({"dryRun": ["All"]}))),
        case("evict-missing-in-a-terminating-namespace")
            .given([delete("/api/v1/namespaces/<ns>")])
            .when(evict("a")),
    ]
}
