//! Make before break against the simulated cluster: the real client, the real driver, no mocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use spot_core::deadline::Deadline;
use spot_core::drainer::{Drainer as _, Order};
use spot_core::notice::{Notice, NoticeId, NoticeKind};
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_drain::plan::Settings;
use spot_drain::replacement::{DETACHED_ANNOTATION, MakeBeforeBreak};
use spot_drain::report::{Replacement, Report};
use spot_drain::sim::{Budget, Kind, Node, Sim, Workload, World};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const NODE: &str = "spot-1";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A cluster of three nodes, of which one is cordoned, with these workloads.
fn cluster(workloads: impl IntoIterator<Item = Workload>) -> Sim {
    let nodes = World::builder()
        .node(Node::new(NODE))
        .node(Node::new("other-1"))
        .node(Node::new("other-2"));
    let world = workloads
        .into_iter()
        .fold(nodes, spot_drain::sim::Builder::workload);
    let sim = Sim::new(world.build(Instant::now()));
    cordon(&sim, NODE);
    sim
}

fn cordon(sim: &Sim, name: &str) {
    sim.with(|world| {
        let now = world.at(Instant::now());
        let mut node = (*world.api().object(Kind::Node, name).unwrap()).clone();
        node["spec"]["unschedulable"] = true.into();
        world.api_mut().put(Kind::Node, node, now);
    });
}

/// A Deployment whose replacements are ready twenty seconds after they are made.
fn web(name: &str) -> Workload {
    Workload::deployment(name)
        .on(NODE)
        .grace(30)
        .exit_after("5")
        .ready_after("19")
}

fn drainer(sim: &Sim) -> NodeDrainer {
    drainer_of(sim, NODE)
}

fn drainer_of(sim: &Sim, node: &str) -> NodeDrainer {
    let settings = Settings::default().with_make_before_break(MakeBeforeBreak::On);
    NodeDrainer::new(Cluster::from_client(sim.client()).pods(node)).with_settings(settings)
}

fn order(left: u64) -> (watch::Sender<Order>, watch::Receiver<Order>) {
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let now = Instant::now();
    let deadline = wall + jiff::SignedDuration::from_secs(left.try_into().unwrap());
    let notice = Notice::new(NoticeId::new("n"), NoticeKind::SpotInterruption, now)
        .with_deadline(Deadline::anchored(deadline, wall, now));
    watch::channel(Order::from_notice(&notice).with_held(true))
}

/// How many pods of each workload serve.
fn serving(sim: &Sim) -> BTreeMap<String, usize> {
    let mut serving = BTreeMap::new();
    sim.with(|world| {
        for pod in world.api().objects(Kind::Pod) {
            let app = pod["metadata"]["labels"]["app"].as_str().unwrap();
            let ready = pod["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter()
                    .any(|c| c["type"] == "Ready" && c["status"] == "True")
            });
            let serves = ready && pod["metadata"]["deletionTimestamp"].is_null();
            *serving.entry(app.to_owned()).or_default() += usize::from(serves);
        }
    });
    serving
}

/// Lives for so long, and says how few pods of each workload served at the worst.
async fn worst(sim: &Sim, span: Duration) -> BTreeMap<String, usize> {
    let mut worst = serving(sim);
    let end = Instant::now() + span;
    let watching = async {
        while Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
            for (app, now) in serving(sim) {
                let least = worst.entry(app).or_insert(now);
                *least = now.min(*least);
            }
        }
    };
    tokio::select! {
        never = sim.run() => match never {},
        () = watching => worst,
    }
}

/// Drains within a time, and says how few served at the worst in the next three minutes.
async fn drained(sim: &Sim, left: u64) -> (Report, BTreeMap<String, usize>) {
    let (_order, orders) = order(left);
    let drainer = drainer(sim);
    let (report, worst) = tokio::join!(drainer.drain(orders), worst(sim, secs(180)));
    println!("{report}");
    (report, worst)
}

fn pods(sim: &Sim) -> Vec<Value> {
    sim.with(|world| world.api().objects(Kind::Pod).cloned().collect())
}

fn replacements(report: &Report, app: &str) -> Vec<Option<Replacement>> {
    let of_it = report.pods.iter().filter(|p| p.name.starts_with(app));
    of_it.map(|p| p.replacement.clone()).collect()
}

/// Nothing detached is left, and each workload has as many pods as it wants.
fn is_whole(sim: &Sim, wanted: &[(&str, usize)]) {
    let pods = pods(sim);
    for pod in &pods {
        let detached = &pod["metadata"]["annotations"][DETACHED_ANNOTATION];
        assert!(detached.is_null(), "P14: {pod:#}");
        assert!(
            !pod["metadata"]["ownerReferences"].is_null(),
            "an orphan: {pod:#}"
        );
    }
    let of = |app: &str| {
        pods.iter()
            .filter(|p| p["metadata"]["labels"]["app"] == app)
            .count()
    };
    for (app, wanted) in wanted {
        assert_eq!(of(app), *wanted, "{app}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_replica_is_missed_where_the_rules_allow_it() {
    let sim = cluster([
        web("free"),
        web("guarded").budget(Budget::min_available("1")),
        web("together").replicas(2).service(),
        web("spread").replicas(3).on("other-1").on("other-2"),
        web("ten")
            .replicas(10)
            .on("other-1")
            .budget(Budget::max_unavailable("25%")),
        web("all-guarded")
            .replicas(3)
            .budget(Budget::max_unavailable("0")),
        web("slow").replicas(2).grace(60).exit_after("55"),
    ]);
    let wanted = [
        ("free", 1),
        ("guarded", 1),
        ("together", 2),
        ("spread", 3),
        ("ten", 10),
        ("all-guarded", 3),
        ("slow", 2),
    ];
    let (report, worst) = drained(&sim, 120).await;
    for (app, wanted) in wanted {
        assert_eq!(worst[app], wanted, "{app}");
    }
    let all = report.pods.iter().map(|p| p.replacement.as_ref());
    assert!(
        all.clone().all(|r| r == Some(&Replacement::First)),
        "{report}"
    );
    is_whole(&sim, &wanted);
    assert!(report.elapsed < secs(85), "{report}");
}

/// While one node has a pod detached the Deployment counts one pod less, as in a rollout.
#[tokio::test(start_paused = true)]
async fn two_nodes_with_pods_of_one_workload_are_drained_together() {
    for later in (0..400).step_by(40).map(Duration::from_millis) {
        let sim = cluster([web("web").replicas(4).on("other-1").on("other-2")]);
        cordon(&sim, "other-1");
        let (_order, orders) = order(120);
        let (first, second) = (drainer(&sim), drainer_of(&sim, "other-1"));
        let also = orders.clone();
        let second = async {
            sleep(later).await;
            second.drain(also).await
        };
        let drains = async { tokio::join!(first.drain(orders), second) };
        let ((first, second), worst) = tokio::join!(drains, worst(&sim, secs(180)));
        for report in [first, second] {
            let all = report.pods.iter().map(|p| p.replacement.as_ref());
            assert!(
                all.clone().all(|r| r == Some(&Replacement::First)),
                "{later:?}: {report}"
            );
        }
        assert_eq!(worst["web"], 4, "{later:?}");
        is_whole(&sim, &[("web", 4)]);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_the_rules_forbid_are_evicted_at_once() {
    let recreate = serde_json::json!({ "type": "Recreate" });
    let no_surge = serde_json::json!({ "type": "RollingUpdate",
        "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
    let claim = serde_json::json!([{ "name": "data",
        "persistentVolumeClaim": { "claimName": "data" } }]);
    let off = "spot-interrupt-handler/make-before-break";
    let sim = cluster([
        web("recreate").strategy(recreate),
        web("no-surge").strategy(no_surge),
        web("claims").spec("volumes", claim),
        web("off").annotation(off, "off"),
        Workload::replica_set("set").on(NODE),
        Workload::stateful_set("db").on(NODE),
        Workload::bare("bare").on(NODE),
        web("too-slow").grace(110).exit_after("100"),
    ]);
    let (report, _) = drained(&sim, 120).await;
    for pod in &report.pods {
        let refused = matches!(pod.replacement, Some(Replacement::NotFirst { .. }));
        assert!(refused, "{report}");
        assert!(pod.accepted_after.unwrap() < secs(1), "{report}");
    }
    let patches = sim
        .requests()
        .iter()
        .filter(|r| r.method == "PATCH")
        .count();
    assert_eq!(patches, 0);
}

#[tokio::test(start_paused = true)]
async fn replacements_that_never_come_cost_no_grace() {
    let nowhere = serde_json::json!({ "zone": "none" });
    let sim = cluster([
        web("no-room").spec("nodeSelector", nowhere),
        web("no-image").start_after("never"),
        web("never-ready").ready_after("never"),
    ]);
    // What the fixture began with is ready; what is made from the template is not.
    sim.with(|world| {
        let now = world.at(Instant::now());
        let pods: Vec<Value> = world.api().objects(Kind::Pod).cloned().collect();
        for mut pod in pods {
            pod["status"]["conditions"] = serde_json::json!([{ "type": "Ready",
                "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
            world.api_mut().put(Kind::Pod, pod, now);
        }
    });
    let (report, _) = drained(&sim, 120).await;
    for pod in &report.pods {
        assert_eq!(pod.replacement, Some(Replacement::Late), "{report}");
        assert_eq!(pod.grace, None, "{report}");
        // 115 s, less 30 s, 5 s and one for a late timer.
        let accepted = pod.accepted_after.unwrap();
        assert!(accepted >= secs(79) && accepted < secs(80), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_minimum_of_ready_seconds_counts() {
    let sim = cluster([]);
    sim.with(|world| {
        let now = world.at(Instant::now());
        let deployment = serde_json::json!({
            "metadata": { "name": "web", "namespace": "default" },
            "spec": { "replicas": 1, "minReadySeconds": 10,
                "selector": { "matchLabels": { "app": "web" } },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": {
                    "nodeSelector": { "kubernetes.io/hostname": NODE },
                    "containers": [{ "name": "main", "image": "sim" }] } } },
        });
        world.api_mut().put(Kind::Deployment, deployment, now);
    });
    let _ = timeout(secs(5), sim.run()).await;
    let set = sim.with(|world| world.api().objects(Kind::ReplicaSet).next().cloned());
    let available =
        |set: &Option<Value>| set.as_ref().unwrap()["status"]["availableReplicas"].clone();
    assert_eq!(available(&set), 0, "nothing is placed on a cordoned node");
    let now = sim.with(|world| world.at(Instant::now()));
    sim.with(|world| {
        let mut node = (*world.api().object(Kind::Node, NODE).unwrap()).clone();
        node["spec"]["unschedulable"] = false.into();
        node["metadata"]["labels"]["kubernetes.io/hostname"] = NODE.into();
        world.api_mut().put(Kind::Node, node, now);
    });
    let mut counts = Vec::new();
    for _ in 0..4 {
        let _ = timeout(secs(4), sim.run()).await;
        let set = sim.with(|world| world.api().objects(Kind::ReplicaSet).next().cloned());
        let set = set.unwrap();
        counts.push((
            set["status"]["readyReplicas"].clone(),
            available(&Some(set)),
        ));
    }
    let expected = [(1, 0), (1, 0), (1, 1), (1, 1)];
    let expected: Vec<(Value, Value)> = expected.map(|(a, b)| (a.into(), b.into())).into();
    assert_eq!(counts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_is_taken_back_leaves_no_trace() {
    for after in [1, 10, 25] {
        let sim = cluster([web("web").replicas(3), web("one")]);
        let (send, orders) = order(120);
        let cancels = async {
            sleep(secs(after)).await;
            send.send_modify(|order| order.cancelled = true);
        };
        let drainer = drainer(&sim);
        let drains = async { tokio::join!(drainer.drain(orders), cancels).0 };
        let (report, _) = tokio::join!(drains, worst(&sim, secs(90)));
        println!("{report}");
        is_whole(&sim, &[("web", 3), ("one", 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_carried_on_by_the_next() {
    for killed_after in [20, 200, 1_000, 15_000, 21_000] {
        let sim = cluster([
            web("web").replicas(3),
            web("one").budget(Budget::min_available("1")),
        ]);
        let (_order, orders) = order(120);
        let first = drainer(&sim);
        let killed = async {
            let _ = timeout(Duration::from_millis(killed_after), first.drain(orders)).await;
        };
        tokio::select! {
            never = sim.run() => match never {},
            () = killed => {}
        }
        let (_order, orders) = order(100);
        let second = drainer(&sim);
        let (report, worst) = tokio::join!(second.drain(orders), worst(&sim, secs(150)));
        println!("{killed_after} ms: {report}");
        assert_eq!((worst["web"], worst["one"]), (3, 1), "{killed_after} ms");
        is_whole(&sim, &[("web", 3), ("one", 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_put_back_when_the_notice_is_gone() {
    for killed_after in [20, 200, 1_000, 15_000] {
        let sim = cluster([web("web").replicas(3)]);
        let (_order, orders) = order(120);
        let first = drainer(&sim);
        let killed = async {
            let _ = timeout(Duration::from_millis(killed_after), first.drain(orders)).await;
        };
        tokio::select! {
            never = sim.run() => match never {},
            () = killed => {}
        }
        let second = drainer(&sim);
        tokio::select! {
            never = sim.run() => match never {},
            done = second.take_back() => assert!(done),
        }
        worst(&sim, secs(60)).await;
        is_whole(&sim, &[("web", 3)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_deleted_meanwhile_leaves_no_orphan() {
    let sim = cluster([web("web").replicas(2)]);
    let (_order, orders) = order(120);
    let drainer = drainer(&sim);
    let deleted = async {
        sleep(secs(5)).await;
        sim.with(|world| {
            let set = world
                .api()
                .objects(Kind::ReplicaSet)
                .next()
                .cloned()
                .unwrap();
            let set = format!("default/{}", set["metadata"]["name"].as_str().unwrap());
            world.api_mut().remove(Kind::Deployment, "default/web");
            world.api_mut().remove(Kind::ReplicaSet, &set);
        });
    };
    let drains = async { tokio::join!(drainer.drain(orders), deleted).0 };
    let (report, _) = tokio::join!(drains, worst(&sim, secs(60)));
    assert_eq!(replacements(&report, "web").len(), 2, "{report}");
    let left: Vec<Value> = pods(&sim);
    assert!(
        left.iter().all(|p| p["spec"]["nodeName"] != NODE),
        "{left:#?}"
    );
}
