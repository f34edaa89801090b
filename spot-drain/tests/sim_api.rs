//! The simulated API server, request by request, against what a real one (1.36.3) answered.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{
    Answer, Api, Budget, Fault, Followed, Injection, Kind, Node, Reply, Sim, Watch, WatchFault,
    Workload, World,
};
use tokio::time::Instant;

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const POD: &str = "/api/v1/namespaces/default/pods/web-0";
const EVICTION: &str = "/api/v1/namespaces/default/pods/web-0/eviction";

/// A world that stands still but for what is asked, and its clock.
struct Bench {
    world: World,
    now: Instant,
}

impl Bench {
    fn new(pods: u32, budget: Option<Budget>) -> Self {
        Self::with_kubelets(pods, budget, true)
    }

    fn with_kubelets(pods: u32, budget: Option<Budget>, kubelets: bool) -> Self {
        let now = Instant::now();
        let mut web = Workload::stateful_set("web")
            .replicas(pods)
            .on("n1")
            .exit_after("5");
        if let Some(budget) = budget {
            web = web.budget(budget);
        }
        let world = World::builder()
            .pace(|pace| pace.kubelets = kubelets)
            .node(Node::new("n1").provider_id("aws:///z/i-1"))
            .workload(web)
            .build(now);
        Self { world, now }
    }

    fn send(&mut self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media);
        self.world.handle(&request.body(body).unwrap(), self.now)
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let media = match (method, body) {
            ("PATCH", Value::Array(_)) => JSON_PATCH,
            ("PATCH", _) => MERGE,
            _ => "application/json",
        };
        whole(self.send(method, path, media, body))
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    fn evict(&mut self, options: &Value) -> (u16, Value) {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "web-0", "namespace": "default"}, "deleteOptions": options});
        self.ask("POST", EVICTION, &body)
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.world.advance(self.now);
    }

    fn watch(&mut self, path: &str) -> Watch {
        match self.send("GET", path, "", &Value::Null).reply {
            Reply::Watch(watch) => watch,
            Reply::Whole(response) => panic!("{response:?}"),
        }
    }

    /// The types and versions of what is new to a watch.
    fn follow(&self, watch: &mut Watch) -> Vec<(String, Value)> {
        let now: Now = self.world.at(self.now);
        match self.world.api().follow(watch, now) {
            Followed::Events(lines) => lines
                .iter()
                .map(|line| {
                    let event: Value = serde_json::from_slice(line).unwrap();
                    (
                        event["type"].as_str().unwrap().to_owned(),
                        event["object"].clone(),
                    )
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn whole(answer: Answer) -> (u16, Value) {
    match answer.reply {
        Reply::Whole(response) => {
            let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
            (response.status().as_u16(), body)
        }
        Reply::Watch(_) => panic!("a watch"),
    }
}

fn cause(status: &Value) -> (&str, &str) {
    let cause = &status["details"]["causes"][0];
    (
        cause["reason"].as_str().unwrap_or(""),
        cause["message"].as_str().unwrap_or(""),
    )
}

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

#[tokio::test]
async fn patches_of_a_node() {
    let node = "/api/v1/nodes/n1";
    let mut bench = Bench::new(0, None);
    let taint = json!({"key": "k", "value": "v", "effect": "NoSchedule"});
    let append = json!([{"op": "add", "path": "/spec/taints/-", "value": taint}]);
    assert_eq!(
        bench.ask("PATCH", node, &append).0,
        422,
        "there is no list yet"
    );
    let first = json!([{"op": "test", "path": "/spec/taints", "value": null},
        {"op": "add", "path": "/spec/taints", "value": [taint]}]);
    assert_eq!(bench.ask("PATCH", node, &first).0, 200);
    assert_eq!(bench.ask("PATCH", node, &first).0, 422, "there is one now");
    let (code, status) = bench.ask("PATCH", node, &append);
    assert_eq!((code, cause(&status).0), (422, "FieldValueDuplicate"));
    let old = json!({"metadata": {"resourceVersion": "1"}, "spec": {"unschedulable": true}});
    let (code, status) = bench.ask("PATCH", node, &old);
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        bench
            .ask("PATCH", node, &json!({"metadata": {"uid": "zz"}}))
            .0,
        422
    );
    let media = "application/apply-patch+yaml";
    assert_eq!(whole(bench.send("PATCH", node, media, &json!({}))).0, 415);
}

#[tokio::test]
async fn lists_are_selected_and_paged_at_one_version() {
    let mut bench = Bench::new(5, None);
    let (_, all) =
        bench.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&labelSelector=app+in+(web)");
    assert_eq!(all["items"].as_array().unwrap().len(), 5);
    let (_, page) = bench.get("/api/v1/pods?limit=2");
    assert_eq!(page["metadata"]["remainingItemCount"], 3);
    bench.ask(
        "DELETE",
        &POD.replace("web-0", "web-3"),
        &json!({"gracePeriodSeconds": 0}),
    );
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let (_, rest) = bench.get(&format!("/api/v1/pods?limit=9&continue={token}"));
    assert_eq!(
        rest["items"].as_array().unwrap().len(),
        3,
        "as it was at the first page"
    );
    assert_eq!(
        rest["metadata"]["resourceVersion"],
        page["metadata"]["resourceVersion"]
    );
    let version = bench.world.api().version();
    bench.world.api_mut().compact(version);
    let (code, status) = bench.get(&format!("/api/v1/pods?limit=9&continue={token}"));
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let (_, cached) = bench.get("/api/v1/pods?limit=1&resourceVersion=0");
    assert!(
        cached["items"].as_array().unwrap().len() > 1,
        "a cache gives all of it"
    );
    assert_eq!(bench.get("/api/v1/pods?resourceVersion=999999").0, 504);
}

#[tokio::test]
async fn a_watch_tells_what_enters_and_what_leaves_its_selection() {
    let mut bench = Bench::new(1, None);
    let version = bench.world.api().version();
    let mut watch = bench.watch(&format!(
        "/api/v1/pods?watch=true&resourceVersion={version}&labelSelector=hot%3Dyes"
    ));
    assert!(bench.follow(&mut watch).is_empty());
    bench.ask(
        "PATCH",
        POD,
        &json!({"metadata": {"labels": {"hot": "yes"}}}),
    );
    bench.ask("PATCH", POD, &json!({"metadata": {"labels": {"x": "y"}}}));
    bench.ask(
        "PATCH",
        POD,
        &json!({"metadata": {"labels": {"hot": null}}}),
    );
    let kinds: Vec<String> = bench.follow(&mut watch).into_iter().map(|e| e.0).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
}

#[tokio::test]
async fn watches_begin_with_what_is_there_mark_and_end() {
    let mut bench = Bench::new(2, None);
    let mut watch = bench.watch(
        "/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=90",
    );
    let first = bench.follow(&mut watch);
    let kinds: Vec<&str> = first.iter().map(|e| e.0.as_str()).collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    assert_eq!(
        first[2].1["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    bench.pass(60);
    assert_eq!(bench.follow(&mut watch)[0].0, "BOOKMARK");
    bench.pass(31);
    bench.follow(&mut watch);
    let now = bench.world.at(bench.now);
    assert_eq!(bench.world.api().follow(&mut watch, now), Followed::Ended);
}

#[tokio::test]
async fn a_watch_from_before_the_compaction_has_expired() {
    let mut bench = Bench::new(1, None);
    let mut watch = bench.watch("/api/v1/pods?watch=true&resourceVersion=2");
    let version = bench.world.api().version();
    bench.world.api_mut().compact(version);
    let events = bench.follow(&mut watch);
    assert_eq!(
        (events[0].0.as_str(), &events[0].1["code"]),
        ("ERROR", &json!(410))
    );
    // One that is opened now is told the same way.
    let mut late = bench.watch("/api/v1/pods?watch=true&resourceVersion=2");
    let events = bench.follow(&mut late);
    assert_eq!(
        (events[0].0.as_str(), &events[0].1["reason"]),
        ("ERROR", &json!("Expired"))
    );
}

#[tokio::test]
async fn what_is_denied_is_refused_and_foretold() {
    let mut bench = Bench::new(1, None);
    bench.world.api_mut().access.deny("create", "pods/eviction");
    let (code, status) = bench.evict(&Value::Null);
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("cannot create resource \"pods/eviction\"")
    );
    let review = json!({"spec": {"resourceAttributes":
        {"verb": "create", "resource": "pods", "subresource": "eviction"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(
        bench.ask("POST", path, &review).1["status"]["allowed"],
        false
    );
}

#[tokio::test]
async fn a_replica_set_lets_go_of_a_pod_by_its_label_and_takes_it_back() {
    let now = Instant::now();
    let world = World::builder()
        .node(Node::new("n1"))
        .workload(
            Workload::deployment("web")
                .on("n1")
                .budget(Budget::min_available("1")),
        )
        .build(now);
    let mut bench = Bench { world, now };
    let pod = bench.world.api().objects(Kind::Pod).next().unwrap().clone();
    let name = pod["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    let hash = pod["metadata"]["labels"]["pod-template-hash"].clone();
    let label = |hash: &Value| json!({"metadata": {"labels": {"pod-template-hash": hash}}});
    bench.ask("PATCH", &path, &label(&Value::Null));
    bench.pass(5);
    assert!(
        bench.get(&path).1["metadata"]
            .get("ownerReferences")
            .is_none()
    );
    assert_eq!(
        bench.world.api().objects(Kind::Pod).count(),
        2,
        "a replacement"
    );
    let budget = bench
        .world
        .api()
        .object(Kind::PodDisruptionBudget, "default/web")
        .unwrap();
    assert_eq!(
        budget["status"]["disruptionsAllowed"], 1,
        "the budget counts both"
    );
    bench.ask("PATCH", &path, &label(&hash));
    bench.pass(60);
    assert!(
        bench.get(&path).1["metadata"]
            .get("ownerReferences")
            .is_some()
    );
    assert_eq!(
        bench.world.api().objects(Kind::Pod).count(),
        1,
        "the younger one goes"
    );
}

#[tokio::test]
async fn a_machine_that_dies_takes_its_processes_along() {
    let mut bench = Bench::new(2, None);
    bench.world.stop_machine("n1", bench.now);
    assert_eq!(bench.world.ended().len(), 2);
    bench.evict(&Value::Null);
    bench.pass(100);
    assert_eq!(bench.get(POD).0, 200, "nobody ends it");
    let (_, node) = bench.get("/api/v1/nodes/n1");
    assert_eq!(node["status"]["conditions"][0]["status"], "Unknown");
}

#[tokio::test(start_paused = true)]
async fn faults_of_every_kind() {
    use http_body_util::BodyExt as _;
    let sim = Sim::new(World::builder().node(Node::new("n1")).build(Instant::now()));
    let ask = async |fault: Injection, path: &str| {
        let mut fault = Some(fault);
        sim.set_faults(move |_, _: &Request<Bytes>, _| fault.take().unwrap_or_default());
        let request = Request::builder().uri(path).body(Bytes::new()).unwrap();
        let response = tokio::time::timeout(Duration::from_secs(9), sim.respond(request)).await;
        match response {
            Err(_) => "no answer".to_owned(),
            Ok(Err(error)) => error.kind().to_string(),
            Ok(Ok(response)) => {
                let status = response.status();
                let body =
                    tokio::time::timeout(Duration::from_secs(9), response.into_body().collect());
                match body.await {
                    Err(_) => format!("{status} open"),
                    Ok(Err(_)) => format!("{status} broken"),
                    Ok(Ok(body)) => format!("{} {}", status.as_u16(), body.to_bytes().len() > 20),
                }
            }
        }
    };
    let node = "/api/v1/nodes/n1";
    assert_eq!(ask(Injection::none(), node).await, "200 true");
    assert_eq!(ask(Injection::status(503, "no"), node).await, "503 false");
    assert_eq!(
        ask(Fault::ResetBefore.into(), node).await,
        "connection reset"
    );
    assert_eq!(
        ask(Fault::ResetAfter.into(), node).await,
        "connection reset"
    );
    assert_eq!(ask(Fault::BlackHole.into(), node).await, "no answer");
    assert_eq!(ask(Fault::Truncate(5).into(), node).await, "200 OK broken");
    let watch = "/api/v1/nodes?watch=true";
    let of = |watch: WatchFault| Injection {
        watch,
        ..Injection::none()
    };
    assert_eq!(ask(Injection::none(), watch).await, "200 OK open");
    let second = Some(Duration::from_secs(1));
    let closed = WatchFault {
        closed_after: second,
        ..WatchFault::default()
    };
    assert_eq!(ask(of(closed), watch).await, "200 true");
    let broken = WatchFault {
        reset_after: second,
        ..WatchFault::default()
    };
    assert_eq!(ask(of(broken), watch).await, "200 OK broken");
    let expired = WatchFault {
        expired_after: second,
        ..WatchFault::default()
    };
    assert_eq!(ask(of(expired), watch).await, "200 true");
    assert_eq!(
        sim.requests().iter().filter(|r| r.status.is_none()).count(),
        3
    );
}

#[test]
fn an_api_alone_needs_no_world() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let now = Now {
        instant: Instant::now(),
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    let mut api = Api::new(1, now);
    let request = Request::builder()
        .uri("/api/v1/namespaces")
        .body(Bytes::new())
        .unwrap();
    let (code, list) = whole(api.handle(&request, now));
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
}
