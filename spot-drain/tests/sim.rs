//! The drain against the simulated cluster: the real client, the real driver, no mocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use serde_json::Value;
use spot_core::deadline::Deadline;
use spot_core::drainer::Order;
use spot_core::notice::{Notice, NoticeId, NoticeKind};
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_drain::report::Report;
use spot_drain::sim::{Budget, Fault, How, Injection, Kind, Node, Sim, Workload, World};
use tokio::time::Instant;

const NODE: &str = "spot-1";

/// Drains the node within a time, while the cluster lives.
async fn drain(sim: &Sim, cluster: &Cluster, within: u64) -> Report {
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let now = Instant::now();
    let deadline = wall + jiff::SignedDuration::from_secs(within.try_into().unwrap());
    let notice = Notice::new(NoticeId::new("n"), NoticeKind::ScheduledMaintenance, now)
        .with_deadline(Deadline::anchored(deadline, wall, now));
    let (_order, orders) = tokio::sync::watch::channel(Order::from_notice(&notice));
    let drainer = NodeDrainer::new(cluster.pods(NODE));
    tokio::select! {
        never = sim.run() => match never {},
        report = drainer.drain(orders) => report,
    }
}

async fn live(sim: &Sim, seconds: u64) {
    let _ = tokio::time::timeout(Duration::from_secs(seconds), sim.run()).await;
}

/// Thirty pods on one node, three workloads, two budgets, and room elsewhere.
fn thirty() -> Sim {
    let web = Workload::deployment("web")
        .namespace("shop")
        .replicas(12)
        .on(NODE)
        .on("other-1");
    let api = Workload::deployment("api")
        .namespace("shop")
        .replicas(10)
        .on(NODE);
    let jobs = Workload::replica_set("jobs")
        .namespace("batch")
        .replicas(14)
        .on(NODE);
    let world = World::builder()
        .node(Node::new(NODE))
        .node(Node::new("other-1"))
        .node(Node::new("other-2"))
        .workload(
            web.grace(20)
                .exit_after("3")
                .ready_after("2")
                .service()
                .budget(Budget::max_unavailable("25%")),
        )
        .workload(
            api.grace(30)
                .exit_after("5")
                .ready_after("4")
                .budget(Budget::min_available("8")),
        )
        .workload(jobs.grace(600).exit_after("never"))
        .build(Instant::now());
    let sim = Sim::new(world);
    sim.with(|world| {
        let here = world
            .api()
            .objects(Kind::Pod)
            .filter(|p| p["spec"]["nodeName"] == NODE);
        assert_eq!(here.count(), 30);
    });
    sim.with(cordon);
    sim
}

fn cordon(world: &mut World) {
    let now = world.at(Instant::now());
    let mut node = (*world.api().object(Kind::Node, NODE).unwrap()).clone();
    node["spec"]["unschedulable"] = true.into();
    world.api_mut().put(Kind::Node, node, now);
}

fn evictions(sim: &Sim) -> Vec<Value> {
    let requests = sim.requests();
    let posts = requests.iter().filter(|r| r.path.ends_with("/eviction"));
    posts
        .map(|r| serde_json::from_slice(&r.body).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn thirty_pods_leave_within_their_budgets_and_come_back_elsewhere() {
    let sim = thirty();
    let cluster = Cluster::from_client(sim.client());
    let began = Instant::now();
    let report = drain(&sim, &cluster, 120).await;
    assert!(began.elapsed() < Duration::from_secs(120), "{report}");
    live(&sim, 60).await;
    sim.with(|world| {
        let pods: Vec<&Value> = world.api().objects(Kind::Pod).collect();
        assert_eq!(pods.len(), 36, "{report}");
        for pod in pods {
            assert_ne!(pod["spec"]["nodeName"], NODE, "{report}");
            assert_eq!(pod["status"]["phase"], "Running");
        }
        let killed: Vec<_> = world
            .ended()
            .iter()
            .filter(|e| e.how == How::Killed)
            .collect();
        assert_eq!(killed.len(), 14);
        assert!(killed.iter().all(|e| e.pod.starts_with("batch/jobs-")));
        // Nothing but the notice's window bounds the grace of what never ends by itself.
        assert!(
            killed
                .iter()
                .all(|e| e.grace.unwrap() < Duration::from_secs(120))
        );
        let budget = world
            .api()
            .object(Kind::PodDisruptionBudget, "shop/web")
            .unwrap();
        assert_eq!(budget["status"]["currentHealthy"], 12);
    });
}

#[tokio::test(start_paused = true)]
async fn the_grace_that_is_asked_for_is_the_grace_that_is_given() {
    let sim = thirty();
    let cluster = Cluster::from_client(sim.client());
    drain(&sim, &cluster, 120).await;
    for eviction in evictions(&sim) {
        let name = eviction["metadata"]["name"].as_str().unwrap();
        let grace = &eviction["deleteOptions"]["gracePeriodSeconds"];
        if name.starts_with("jobs") {
            assert_eq!(*grace, 110, "{name}");
        } else {
            assert!(grace.is_null(), "{name}: {grace}");
        }
    }
    sim.with(|world| {
        for ended in world.ended() {
            let grace = ended.grace.unwrap().as_secs();
            let wanted = if ended.pod.starts_with("batch") {
                110
            } else {
                grace
            };
            assert_eq!(grace, wanted);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_stays_closed_is_named() {
    let world = World::builder()
        .node(Node::new(NODE))
        .node(Node::new("other-1"))
        .workload(Workload::deployment("free").replicas(2).on(NODE))
        .workload(
            Workload::deployment("guarded")
                .on(NODE)
                .budget(Budget::max_unavailable("0")),
        )
        .build(Instant::now());
    let sim = Sim::new(world);
    sim.with(cordon);
    let cluster = Cluster::from_client(sim.client());
    let report = drain(&sim, &cluster, 30).await.to_string();
    assert!(report.contains("guarded"), "{report}");
    let requests = sim.requests();
    let refused = requests.iter().filter(|r| r.status == Some(429)).count();
    assert!(
        (1..=2).contains(&refused),
        "the watch tells when it opens: {refused}"
    );
    let watches = requests
        .iter()
        .filter(|r| r.path.ends_with("/poddisruptionbudgets") && r.query.contains("watch=true"));
    assert_eq!(watches.count(), 1);
    assert!(!sim.requests().iter().any(|r| r.method == "DELETE"));
    assert_eq!(sim.with(|w| w.ended().len()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_after_the_effect_evicts_once() {
    let world = World::builder()
        .node(Node::new(NODE))
        .node(Node::new("other-1"))
        .workload(Workload::deployment("web").on(NODE).exit_after("2"))
        .build(Instant::now());
    let sim = Sim::new(world);
    sim.with(cordon);
    let mut broken = false;
    sim.set_faults(move |_, request: &http::Request<bytes::Bytes>, _| {
        let breaks = !broken && request.uri().path().ends_with("/eviction");
        broken |= breaks;
        if breaks {
            Injection::from(Fault::ResetAfter)
        } else {
            Injection::none()
        }
    });
    let cluster = Cluster::from_client(sim.client());
    let report = drain(&sim, &cluster, 60).await;
    let ended = sim.with(|world| world.ended().to_vec());
    assert_eq!(ended.len(), 1, "{report}");
    assert_eq!(ended[0].how, How::Exited);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes() {
    async fn story() -> (Vec<(Duration, String, String, bytes::Bytes)>, Vec<String>) {
        let sim = thirty();
        let began = Instant::now();
        let cluster = Cluster::from_client(sim.client());
        drain(&sim, &cluster, 120).await;
        live(&sim, 30).await;
        let requests = sim.requests().into_iter();
        let requests = requests.map(|r| (r.at - began, r.method, r.path, r.body));
        let objects = |world: &mut World| {
            let pods = world.api().objects(Kind::Pod);
            pods.map(Value::to_string).collect()
        };
        (requests.collect(), sim.with(objects))
    }
    assert_eq!(story().await, story().await);
}

#[tokio::test]
async fn a_drain_over_a_socket() {
    let world = World::builder()
        .node(Node::new(NODE))
        .node(Node::new("other-1"))
        .pace(|pace| pace.start = Duration::from_millis(50))
        .workload(
            Workload::deployment("web")
                .replicas(6)
                .on(NODE)
                .exit_after("0.1")
                .budget(Budget::max_unavailable("2")),
        )
        .build(Instant::now());
    let sim = Sim::new(world);
    sim.with(cordon);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = kube::Config::new(address.parse().unwrap());
    let cluster = Cluster::connect(config).unwrap();
    let report = tokio::select! {
        never = sim.serve(listener) => match never {},
        report = drain(&sim, &cluster, 30) => report,
    };
    let left = sim.with(|world| {
        let pods = world.api().objects(Kind::Pod);
        pods.filter(|p| p["spec"]["nodeName"] == NODE).count()
    });
    assert_eq!(left, 0, "{report}");
    assert!(sim.with(|w| w.ended().iter().all(|e| e.how == How::Exited)));
}
