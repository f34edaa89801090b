//! Patches, lists, watches and rights.

use serde_json::{Value, json};
use spot_drain::sim::Followed;

use crate::bench::{Bench, POD, cause, whole};

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
