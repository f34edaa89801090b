//! What lives in the world, and what fails.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{
    Api, Budget, Fault, Injection, Kind, Node, Sim, WatchFault, Workload, World,
};
use tokio::time::Instant;

use crate::bench::{Bench, POD, whole};

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
