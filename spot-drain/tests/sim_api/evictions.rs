//! Evictions, their preconditions and their budgets.

use std::time::Duration;

use serde_json::{Value, json};
use spot_drain::sim::{Budget, Kind};

use crate::bench::{Bench, EVICTION, POD, cause};

#[tokio::test]
async fn an_eviction_marks_the_pod_and_sets_its_deletion() {
    let mut bench = Bench::new(1, None);
    let (code, status) = bench.evict(&json!({"gracePeriodSeconds": 20}));
    assert_eq!((code, &status["status"]), (201, &json!("Success")));
    let (_, pod) = bench.get(POD);
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 20);
    assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T12:00:20Z");
    assert_eq!(pod["metadata"]["generation"], 2);
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|c| c["reason"] == "EvictionByEvictionAPI")
    );
}

#[tokio::test]
async fn a_longer_grace_later_changes_nothing_and_a_shorter_one_only_the_object() {
    let mut bench = Bench::new(1, None);
    bench.evict(&json!({"gracePeriodSeconds": 20}));
    let before = bench.world.api().version();
    assert_eq!(bench.evict(&json!({"gracePeriodSeconds": 30})).0, 201);
    assert_eq!(bench.evict(&Value::Null).0, 201);
    assert_eq!(bench.world.api().version(), before);
    assert_eq!(bench.evict(&json!({"gracePeriodSeconds": 3})).0, 201);
    assert_eq!(
        bench.get(POD).1["metadata"]["deletionGracePeriodSeconds"],
        3
    );
    bench.pass(4);
    assert!(
        bench.world.ended().is_empty(),
        "the kubelet heeds the first grace"
    );
    bench.pass(1);
    assert_eq!(bench.world.ended()[0].grace, Some(Duration::from_secs(20)));
}

#[tokio::test]
async fn grace_zero_removes_at_once() {
    let mut bench = Bench::new(1, None);
    assert_eq!(bench.evict(&json!({"gracePeriodSeconds": 0})).0, 201);
    assert_eq!(bench.get(POD).0, 404);
}

#[tokio::test]
async fn preconditions_that_do_not_hold_are_conflicts() {
    let mut bench = Bench::new(1, None);
    let (code, status) = bench.evict(&json!({"preconditions": {"uid": "zz"}}));
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let words = status["message"].as_str().unwrap();
    assert!(words.starts_with("Operation cannot be fulfilled on Pod \"web-0\": the UID in the precondition (zz) does not match the UID in record ("), "{words}");
    let (code, _) = bench.evict(&json!({"preconditions": {"resourceVersion": "1"}}));
    assert_eq!(code, 409);
    let (code, _) = bench.ask("DELETE", POD, &json!({"preconditions": {"uid": "zz"}}));
    assert_eq!(code, 409);
    bench.evict(&Value::Null);
    let body =
        json!({"metadata": {"name": "web-0"}, "deleteOptions": {"preconditions": {"uid": "zz"}}});
    let answer = bench.send("POST", EVICTION, "application/json", &body);
    assert_eq!(
        answer.delay,
        Duration::from_secs(10),
        "the server retries that one"
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let mut bench = Bench::new(2, Some(Budget::min_available("1")));
    let before = bench.world.api().version();
    assert_eq!(bench.evict(&json!({"dryRun": ["All"]})).0, 201);
    assert_eq!(bench.evict(&json!({"dryRun": ["Foo"]})).0, 422);
    assert_eq!(
        bench
            .ask("DELETE", &format!("{POD}?dryRun=All"), &Value::Null)
            .0,
        200
    );
    let node = "/api/v1/nodes/n1?dryRun=All";
    let (code, patched) = bench.ask("PATCH", node, &json!({"spec": {"unschedulable": true}}));
    assert_eq!(
        (code, &patched["spec"]["unschedulable"]),
        (200, &json!(true))
    );
    assert_eq!(bench.world.api().version(), before);
}

#[tokio::test]
async fn a_closed_budget_is_the_cause_of_a_429() {
    let mut bench = Bench::new(1, Some(Budget::min_available("1")));
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!((code, &status["reason"]), (429, &json!("TooManyRequests")));
    let words = "The disruption budget web needs 1 healthy pods and has 1 currently";
    assert_eq!(cause(&status), ("DisruptionBudget", words));
    assert!(status["details"].get("retryAfterSeconds").is_none());
}

#[tokio::test]
async fn a_budget_that_has_changed_is_still_being_processed() {
    let mut bench = Bench::new(3, Some(Budget::min_available("1")));
    let budget = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web";
    bench.ask("PATCH", budget, &json!({"spec": {"minAvailable": 2}}));
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!(
        (code, &status["details"]["retryAfterSeconds"]),
        (429, &json!(10))
    );
    let words = "The disruption budget web is still being processed by the server.";
    assert_eq!(cause(&status), ("DisruptionBudget", words));
    bench.pass(1);
    assert_eq!(bench.evict(&Value::Null).0, 201);
}

#[tokio::test]
async fn a_budget_is_spent_even_where_the_deletion_then_conflicts() {
    let mut bench = Bench::new(2, Some(Budget::min_available("1")));
    assert_eq!(bench.evict(&json!({"preconditions": {"uid": "zz"}})).0, 409);
    assert_eq!(bench.evict(&Value::Null).0, 429);
    let budget = bench
        .world
        .api()
        .object(Kind::PodDisruptionBudget, "default/web")
        .unwrap();
    assert!(budget["status"]["disruptedPods"].get("web-0").is_some());
    bench.pass(122);
    assert_eq!(
        bench.evict(&Value::Null).0,
        201,
        "it comes back when no deletion is seen"
    );
}

#[tokio::test]
async fn two_budgets_and_a_negative_one() {
    let mut bench = Bench::new(2, Some(Budget::min_available("1")));
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let second =
        json!({"metadata": {"name": "other"}, "spec": {"maxUnavailable": 1, "selector": {}}});
    assert_eq!(bench.ask("POST", budgets, &second).0, 201);
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!((code, status.get("reason")), (500, None));
    assert_eq!(
        bench
            .ask("DELETE", &format!("{budgets}/other"), &Value::Null)
            .0,
        200
    );
    let now = bench.world.at(bench.now);
    let mut budget = (*bench
        .world
        .api()
        .object(Kind::PodDisruptionBudget, "default/web")
        .unwrap())
    .clone();
    budget["status"]["disruptionsAllowed"] = json!(-1);
    bench
        .world
        .api_mut()
        .put(Kind::PodDisruptionBudget, budget, now);
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn pods_that_are_not_ready_by_the_policy() {
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    for (budget, code) in [
        (Budget::min_available("1"), 429),
        (Budget::min_available("1").always_allow_unhealthy(), 201),
    ] {
        let mut bench = Bench::with_kubelets(1, Some(budget), false);
        bench.ask("PATCH", &format!("{POD}/status"), &unready);
        bench.pass(1);
        assert_eq!(bench.evict(&Value::Null).0, code);
    }
    // Where the others are enough, the budget does not guard it.
    let mut bench = Bench::with_kubelets(2, Some(Budget::min_available("1")), false);
    bench.ask("PATCH", &format!("{POD}/status"), &unready);
    bench.pass(1);
    assert_eq!(bench.evict(&Value::Null).0, 201);
}

#[tokio::test]
async fn bodies_that_are_no_evictions() {
    let mut bench = Bench::new(1, None);
    for body in [
        json!({"metadata": {"name": "other"}}),
        json!({"metadata": {}}),
        json!({"metadata": {"name": "web-0", "namespace": "other"}}),
        json!({"apiVersion": "v1", "kind": "Eviction", "metadata": {"name": "web-0"}}),
        json!({"apiVersion": "policy/v1", "kind": "Pod", "metadata": {"name": "web-0"}}),
    ] {
        assert_eq!(bench.ask("POST", EVICTION, &body).0, 400, "{body}");
    }
    let gone = EVICTION.replace("web-0", "gone");
    let (code, status) = bench.ask("POST", &gone, &json!({"metadata": {"name": "gone"}}));
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("pods \"gone\" not found"))
    );
    assert_eq!(bench.get(EVICTION).0, 405);
}

#[tokio::test]
async fn a_namespace_that_is_going() {
    let mut bench = Bench::new(1, None);
    assert_eq!(
        bench
            .ask("DELETE", "/api/v1/namespaces/default", &Value::Null)
            .0,
        200
    );
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!(code, 403);
    assert_eq!(cause(&status).0, "NamespaceTerminating");
    bench.pass(60);
    assert_eq!(bench.get("/api/v1/namespaces/default").0, 404);
}
