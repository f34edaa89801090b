//! Evictions under PodDisruptionBudgets.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, case, delete, get, merge_patch, post},
    fixtures::{
        BUDGETS, budget, budget_status, evict, evict_with, look_at_budget, look_at_pod, make,
        phase, pod, pod_with_grace, running, unbound, unready,
    },
};

pub(super) fn group() -> Group {
    let mut cases = open_and_closed();
    cases.extend(selected());
    cases.extend(health());
    cases.extend(writes());
    Group {
        name: "budgets",
        facts: include_str!("facts/budgets.json"),
        cases,
    }
}

/// One ready pod under a budget with that status.
fn under(name: &'static str, spec: &Value, status: &Value) -> Case {
    case(name)
        .given(running("a"))
        .given(budget("b", spec, status))
}

/// An eviction, and what is left of pod and budget.
fn evicted(case: Case, options: &Value) -> Case {
    case.when(evict_with("a", options).words())
        .when(look_at_pod("a"))
        .when(look_at_budget("b"))
}

fn open_and_closed() -> Vec<Case> {
    let spec = json!({"minAvailable": 1});
    let plain = json!({});
    let dry = json!({"dryRun": ["All"]});
    let open = budget_status(1, 2, 1);
    let closed = budget_status(0, 1, 1);
    let stale = json!({"observedGeneration": 0, "disruptionsAllowed": 1,
        "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2});
    let percent = json!({"maxUnavailable": "25%"});
    vec![
        evicted(under("budget-open", &spec, &open), &plain),
        evicted(under("budget-open-dry-run", &spec, &open), &dry),
        evicted(under("budget-open-by-percentage", &percent, &open), &plain),
        evicted(under("budget-closed", &spec, &closed), &plain),
        evicted(under("budget-closed-dry-run", &spec, &closed), &dry),
        evicted(
            under("budget-closed-uid-mismatch", &spec, &closed),
            &json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}),
        ),
        evicted(
            under("budget-open-uid-mismatch", &spec, &open),
            &json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}),
        ),
        evicted(
            under("budget-open-version-stale", &spec, &open),
            &json!({"preconditions": {"resourceVersion": "<first rv a>"}}),
        ),
        evicted(under("budget-stale", &spec, &stale), &plain),
        evicted(under("budget-stale-dry-run", &spec, &stale), &dry),
        case("budget-never-processed")
            .given(running("a"))
            .given(budget("b", &spec, &json!({})))
            .when(evict("a").words())
            .when(look_at_pod("a")),
        // Writing -1 is refused; see `budget-status-negative`.
        evicted(
            under(
                "budget-closed-max-unavailable-zero",
                &json!({"maxUnavailable": 0}),
                &budget_status(0, 1, 1),
            ),
            &plain,
        ),
    ]
}

/// Which budgets a pod has, and how they are spent.
fn selected() -> Vec<Case> {
    let spec = json!({"minAvailable": 1});
    let dry = json!({"dryRun": ["All"]});
    let open = budget_status(1, 2, 1);
    let closed = budget_status(0, 1, 1);
    vec![
        case("budget-selects-another-pod")
            .given(running("a"))
            .given(budget("b", &json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "other"}}}), &closed))
            .when(evict("a"))
            .when(look_at_budget("b")),
        case("budget-selects-all-with-an-empty-selector")
            .given(running("a"))
            .given(budget("b", &json!({"minAvailable": 1, "selector": {"matchLabels": null}}), &closed))
            .when(evict("a").words())
            .when(look_at_budget("b")),
        case("budget-selects-by-expression")
            .given(running("a"))
            .given(budget("b", &json!({"minAvailable": 1, "selector": {
                "matchLabels": null,
                "matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}],
            }}), &closed))
            .when(evict("a").words())
            .when(look_at_pod("a")),
        case("budget-without-a-selector")
            .given(running("a"))
            .given(budget("b", &json!({"minAvailable": 1, "selector": null}), &closed))
            .when(evict("a"))
            .when(look_at_budget("b")),
        case("budgets-two")
            .given(running("a"))
            .given(budget("b", &spec, &open))
            .given(budget("c", &spec, &open))
            .when(evict("a").words())
            .when(evict_with("a", &dry).words())
            .when(look_at_pod("a"))
            .when(look_at_budget("b")),
        case("budgets-two-and-a-terminating-pod")
            .given(running("a"))
            .given(budget("b", &spec, &open))
            .given(budget("c", &spec, &open))
            .given([delete("pods/a")])
            .when(evict("a").words())
            .when(look_at_budget("b")),
        case("budget-spent-by-two-evictions")
            .given(running("a"))
            .given(running("b1"))
            .given(budget("b", &spec, &budget_status(1, 2, 1)))
            .when(evict("a"))
            .when(evict("b1").words())
            .when(look_at_budget("b")),
        case("budget-of-two-spent-by-three-evictions")
            .given(running("a"))
            .given(running("a2"))
            .given(running("a3"))
            .given(budget("b", &json!({"maxUnavailable": 2}), &budget_status(2, 3, 1)))
            .when(evict("a"))
            .when(evict("a2"))
            .when(evict("a3").words())
            .when(look_at_budget("b")),
        case("budget-opens-later")
            .given(running("a"))
            .given(budget("b", &spec, &closed))
            .when(evict("a").words())
            .when(merge_patch(
                &format!("{BUDGETS}/b/status"),
                &json!({"status": {"disruptionsAllowed": 1, "currentHealthy": 2}}),
            ).see("/status/disruptionsAllowed"))
            .when(evict("a"))
            .when(look_at_budget("b")),
        case("budget-stale-after-its-spec-changed")
            .given(running("a"))
            .given(budget("b", &spec, &open))
            .when(merge_patch(&format!("{BUDGETS}/b"), &json!({"spec": {"minAvailable": 2}}))
                .see("/metadata/generation"))
            .when(evict("a").words())
            .when(look_at_budget("b")),
        case("budget-gone-again")
            .given(running("a"))
            .given(budget("b", &spec, &closed))
            .when(evict("a"))
            .when(delete(&format!("{BUDGETS}/b")))
            .when(evict("a"))
            .when(look_at_pod("a")),
    ]
}

/// What a pod must be for a budget to be asked.
fn health() -> Vec<Case> {
    let closed = budget_status(0, 1, 2);
    let guarded = budget_status(0, 2, 2);
    let one = json!({"minAvailable": 2});
    let if_healthy = json!({"minAvailable": 2, "unhealthyPodEvictionPolicy": "IfHealthyBudget"});
    let always = json!({"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
    let sick = |name, spec: &Value, status: &Value| {
        evicted(
            case(name)
                .given(unready("a"))
                .given(budget("b", spec, status)),
            &json!({}),
        )
    };
    vec![
        sick("unready-default-policy-and-healthy-budget", &one, &guarded),
        sick("unready-default-policy-and-disrupted-budget", &one, &closed),
        sick(
            "unready-if-healthy-and-healthy-budget",
            &if_healthy,
            &guarded,
        ),
        sick(
            "unready-if-healthy-and-disrupted-budget",
            &if_healthy,
            &closed,
        ),
        sick(
            "unready-if-healthy-and-desired-zero",
            &if_healthy,
            &budget_status(0, 0, 0),
        ),
        sick("unready-always-allow", &always, &closed),
        sick("unready-open-budget", &one, &budget_status(1, 3, 2)),
        sick(
            "unready-always-allow-and-stale",
            &always,
            &json!({"observedGeneration": 0}),
        ),
        evicted(
            under("ready-always-allow-and-closed", &always, &closed),
            &json!({}),
        ),
        evicted(
            case("pending-bound-and-closed-budget")
                .given([make(&pod("a"))])
                .given(budget("b", &one, &closed)),
            &json!({}),
        ),
        evicted(
            case("unbound-and-closed-budget")
                .given([make(&unbound("a"))])
                .given(budget("b", &one, &closed)),
            &json!({}),
        ),
        evicted(
            case("succeeded-and-closed-budget")
                .given([make(&pod("a")), phase("a", "Succeeded", false)])
                .given(budget("b", &one, &closed)),
            &json!({}),
        ),
        evicted(
            case("terminating-and-closed-budget")
                .given(running("a"))
                .given(budget("b", &one, &closed))
                .given([delete("pods/a")]),
            &json!({}),
        ),
        evicted(
            case("terminating-and-closed-budget-shorter")
                .given(running("a"))
                .given(budget("b", &one, &closed))
                .given([delete("pods/a")]),
            &json!({"gracePeriodSeconds": 3}),
        ),
        evicted(
            case("running-with-grace-zero-and-closed-budget")
                .given([make(&pod_with_grace("a", 0)), phase("a", "Running", true)])
                .given(budget("b", &one, &closed)),
            &json!({}),
        ),
    ]
}

fn writes() -> Vec<Case> {
    let spec = json!({"minAvailable": 1});
    vec![
        case("budget-status-negative")
            .given(running("a"))
            .given(budget("b", &spec, &budget_status(1, 1, 1)))
            .when(
                merge_patch(
                    &format!("{BUDGETS}/b/status"),
                    &json!({"status": {"disruptionsAllowed": -1}}),
                )
                .words(),
            )
            .when(look_at_budget("b")),
        case("budget-both-bounds").when(post(
            BUDGETS,
            &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "b"},
                "spec": {"minAvailable": 1, "maxUnavailable": 1, "selector": {}}}),
        )),
        case("budget-listed")
            .given(budget("b", &spec, &budget_status(0, 1, 1)))
            .given(budget(
                "c",
                &json!({"maxUnavailable": "25%"}),
                &budget_status(1, 1, 0),
            ))
            .when(
                get(BUDGETS)
                    .see("/spec/minAvailable")
                    .see("/spec/maxUnavailable")
                    .see("/spec/selector")
                    .see("/status/disruptionsAllowed"),
            ),
        case("budget-watched")
            .given(budget("b", &spec, &budget_status(0, 1, 1)))
            .when(get(BUDGETS))
            .when(merge_patch(
                &format!("{BUDGETS}/b/status"),
                &json!({"status": {"disruptionsAllowed": 1}}),
            ))
            .open(
                get(&format!("{BUDGETS}?watch=true&resourceVersion=<rv list>"))
                    .see("/status/disruptionsAllowed"),
            )
            .read(1),
        case("budget-spec-is-written-apart-from-status")
            .given(budget("b", &spec, &budget_status(0, 1, 1)))
            .when(merge_patch(
                &format!("{BUDGETS}/b"),
                &json!({"status": {"disruptionsAllowed": 5}}),
            ))
            .when(look_at_budget("b")),
    ]
}
