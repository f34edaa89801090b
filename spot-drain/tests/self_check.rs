//! The self-check against the simulated cluster, and against sockets that are no cluster:
//! every link broken one at a time, named, mended and cleared.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use spot_core::armed::{Finding, Link, SelfCheck as _, Verdict};
use spot_core::clock::Now;
use spot_core::notice::Instance;
use spot_drain::cluster::Cluster;
use spot_drain::replacement::MakeBeforeBreak;
use spot_drain::sim::{Budget, Fault, Injection, Kind, Node, Sim, Workload, World};
use tokio::net::TcpListener;
use tokio::time::Instant;

const NODE: &str = "spot-1";
/// Those to the cluster, without make before break.
const LINKS: &[Link] = Link::ALL.split_at(2).1.split_at(7).0;

/// A node with a budgeted pod and another, and one with none.
async fn sim() -> Sim {
    let world = World::builder()
        .node(Node::new(NODE).provider_id("aws:///us-east-1a/i-1"))
        .node(Node::new("empty").provider_id("aws:///us-east-1a/i-2"))
        .workload(
            Workload::deployment("web")
                .on(NODE)
                .budget(Budget::max_unavailable("1")),
        )
        .workload(Workload::deployment("free").on(NODE))
        .build(Instant::now());
    let sim = Sim::new(world);
    let _ = tokio::time::timeout(Duration::from_secs(60), sim.run()).await;
    sim
}

/// The version of the last change, and all that a check could have changed.
fn all_of_it(sim: &Sim) -> (u64, Vec<Value>) {
    sim.with(|world| {
        let kinds = [Kind::Node, Kind::Pod, Kind::PodDisruptionBudget];
        let objects = kinds.map(|kind| world.api().objects(kind).cloned().collect::<Vec<_>>());
        (world.api().version(), objects.concat())
    })
}

/// Checks a node without make before break.
async fn check_node(sim: &Sim, node: &str, instance: &str) -> Vec<Finding> {
    check_of(sim, node, instance, MakeBeforeBreak::Off).await
}

/// Checks a node; nothing is changed by it, and no more is asked than may be.
async fn check_of(sim: &Sim, node: &str, instance: &str, make: MakeBeforeBreak) -> Vec<Finding> {
    let before = all_of_it(sim);
    let asked = sim.requests().len();
    let cluster = Cluster::from_client(sim.client());
    let found = cluster
        .self_check(node)
        .with_make_before_break(make)
        .check(Some(Instance::new(instance)))
        .await;
    assert_eq!(all_of_it(sim), before);
    let asked = sim.requests().len() - asked;
    let most = if make == MakeBeforeBreak::Off { 5 } else { 10 };
    assert!(asked <= most, "{asked}");
    assert_eq!(cluster.requests(), u64::try_from(asked).unwrap());
    found
}

async fn check(sim: &Sim) -> Vec<Finding> {
    check_node(sim, NODE, "i-1").await
}

fn all_hold() -> Vec<Finding> {
    LINKS.iter().copied().map(Finding::holds).collect()
}

/// The links that are broken, with reason and remedy.
fn broken(found: &[Finding]) -> Vec<(Link, String)> {
    let broken = found.iter().filter_map(|finding| match &finding.verdict {
        Verdict::Broken { reason, remedy } => Some((finding.link, format!("{reason}; {remedy}"))),
        _ => None,
    });
    broken.collect()
}

#[tokio::test(start_paused = true)]
async fn all_links_hold_and_nothing_changes() {
    let sim = sim().await;
    assert_eq!(check(&sim).await, all_hold());
    let asked: Vec<String> = sim.requests().iter().map(|r| r.method.clone()).collect();
    assert_eq!(asked, ["GET", "PATCH", "GET", "POST"]);
    let evicted: Value = serde_json::from_slice(&sim.requests()[3].body).unwrap();
    assert_eq!(evicted["deleteOptions"]["dryRun"][0], "All");
    assert!(sim.requests().iter().all(|r| r.status < Some(300)));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_pods_is_proven_by_a_review() {
    let sim = sim().await;
    assert_eq!(check_node(&sim, "empty", "i-2").await, all_hold());
    let asked = sim.requests();
    assert!(asked[3].path.ends_with("/selfsubjectaccessreviews"));
    sim.with(|world| {
        let access = &mut world.api_mut().access;
        access.deny("create", "pods/eviction");
    });
    let found = broken(&check_node(&sim, "empty", "i-2").await);
    assert_eq!(found.len(), 1);
    assert!(found[0].1.contains("create"), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_closed_breaks_no_link() {
    let world = World::builder()
        .node(Node::new(NODE).provider_id("aws:///us-east-1a/i-1"))
        .workload(
            Workload::deployment("web")
                .on(NODE)
                .budget(Budget::max_unavailable("0")),
        )
        .build(Instant::now());
    let sim = Sim::new(world);
    let _ = tokio::time::timeout(Duration::from_secs(60), sim.run()).await;
    assert_eq!(check(&sim).await, all_hold());
    assert_eq!(sim.requests()[3].status, Some(429));
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_node_is_checked_as_any_other() {
    use spot_core::node::{NodeControl as _, Phase, Quarantine, Release};
    use spot_core::notice::{Notice, NoticeId, NoticeKind};
    let sim = sim().await;
    let node = Cluster::from_client(sim.client()).node(NODE);
    let id = NoticeId::new("n");
    let notice = Notice::new(id, NoticeKind::SpotInterruption, Instant::now());
    let wish = Quarantine::new(&notice, Phase::Draining, jiff::Timestamp::UNIX_EPOCH);
    let wish = wish.on_instance("i-1");
    node.quarantine(wish.clone()).await.unwrap();
    assert_eq!(check(&sim).await, all_hold());
    let release = Release::of(Some("i-1".into())).settling(wish);
    node.release(release).await.unwrap();
    assert_eq!(check(&sim).await, all_hold());
}

#[tokio::test(start_paused = true)]
async fn each_missing_permission_is_named_and_cleared() {
    let sim = sim().await;
    let table = [
        ("get", "nodes", Link::Identity),
        ("patch", "nodes", Link::Quarantine),
        ("list", "pods", Link::Eviction),
        ("create", "pods/eviction", Link::Eviction),
    ];
    for (verb, resource, link) in table {
        sim.with(|world| world.api_mut().access.deny(verb, resource));
        let found = check(&sim).await;
        let said = broken(&found);
        assert_eq!(said.len(), 1, "{found:?}");
        assert_eq!(said[0].0, link);
        for words in [
            format!("not allowed to {verb} {resource}"),
            format!("grant `{verb}`"),
            format!("on `{resource}`"),
        ] {
            assert!(said[0].1.contains(&words), "{words}: {said:?}");
        }
        sim.with(|world| world.api_mut().access.allow_all());
        assert_eq!(check(&sim).await, all_hold());
    }
}

#[tokio::test(start_paused = true)]
async fn each_right_that_make_before_break_lacks_is_named_and_cleared() {
    let sim = sim().await;
    for (node, instance) in [(NODE, "i-1"), ("empty", "i-2")] {
        let check = async || check_of(&sim, node, instance, MakeBeforeBreak::On).await;
        let hold: Vec<Finding> = Link::ALL[2..].iter().copied().map(Finding::holds).collect();
        assert_eq!(check().await, hold);
        for (verb, resource) in [
            ("patch", "pods"),
            ("get", "replicasets"),
            ("watch", "replicasets"),
            ("get", "deployments"),
        ] {
            sim.with(|world| world.api_mut().access.deny(verb, resource));
            let said = broken(&check().await);
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!(said[0].0, Link::Replacement);
            let words = format!("grant `{verb}` on `{resource}` to");
            assert!(said[0].1.contains(&words), "{words}: {said:?}");
            // Whoever does not ask for it does not miss it.
            assert_eq!(check_node(&sim, node, instance).await, all_hold());
            sim.with(|world| world.api_mut().access.allow_all());
            assert_eq!(check().await, hold);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_instances_node_and_a_missing_one_are_named_and_cleared() {
    let sim = sim().await;
    for (node, instance, words) in [
        (NODE, "i-9", "is instance i-1"),
        ("gone", "i-1", "not exist"),
    ] {
        let found = check_node(&sim, node, instance).await;
        let said = broken(&found);
        assert_eq!(said.len(), 1, "{found:?}");
        assert_eq!(said[0].0, Link::Identity);
        assert!(said[0].1.contains(words), "{said:?}");
        let quarantine = found.iter().find(|f| f.link == Link::Quarantine).unwrap();
        assert!(matches!(quarantine.verdict, Verdict::Unproven { .. }));
        assert_eq!(check(&sim).await, all_hold());
    }
    assert!(
        sim.requests()
            .iter()
            .all(|r| r.method != "PATCH" || r.status == Some(200))
    );
}

/// What goes wrong with a request while it is broken.
type Broken = (fn(&Request<Bytes>) -> bool, Injection, Link, &'static str);

#[tokio::test(start_paused = true)]
async fn each_fault_of_the_server_is_named_and_cleared() {
    let sim = sim().await;
    let no_webhook = r#"{"reason":"InternalError","message":"failed calling webhook"}"#;
    let unauthorized = r#"{"kind":"Status","reason":"Unauthorized","code":401}"#;
    let table: [Broken; 7] = [
        (
            |_| true,
            Injection::status(401, unauthorized),
            Link::Credentials,
            "token",
        ),
        (
            |_| true,
            Injection::status(503, "no backend"),
            Link::Connection,
            "503 no backend",
        ),
        (
            |_| true,
            Fault::ResetBefore.into(),
            Link::Connection,
            "reset",
        ),
        (
            |_| true,
            Fault::BlackHole.into(),
            Link::Connection,
            "no answer within",
        ),
        (
            |r| r.method() == "PATCH",
            Injection::status(500, no_webhook),
            Link::Quarantine,
            "webhook",
        ),
        (
            |r| r.method() == "PATCH",
            Fault::BlackHole.into(),
            Link::Quarantine,
            "no answer",
        ),
        (
            |r| r.method() == "POST",
            Injection::status(500, no_webhook),
            Link::Eviction,
            "webhook",
        ),
    ];
    for (which, fault, link, words) in table {
        let faulty = fault.clone();
        sim.set_faults(move |_, request: &Request<Bytes>, _: Now| {
            if which(request) {
                faulty.clone()
            } else {
                Injection::none()
            }
        });
        let start = Instant::now();
        let found = check(&sim).await;
        assert!(start.elapsed() < Duration::from_secs(60));
        let said = broken(&found);
        assert_eq!(said.len(), 1, "{fault:?}: {found:?}");
        assert_eq!(said[0].0, link);
        assert!(said[0].1.contains(words), "{said:?}");
        sim.set_faults(|_, _: &Request<Bytes>, _: Now| Injection::none());
        assert_eq!(check(&sim).await, all_hold());
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_dropped_leaves_nothing_behind() {
    let sim = sim().await;
    let before = all_of_it(&sim);
    sim.set_faults(|_, request: &Request<Bytes>, _: Now| {
        if request.method() == "POST" {
            Fault::BlackHoleAfter.into()
        } else {
            Injection::none()
        }
    });
    let cluster = Cluster::from_client(sim.client());
    let check = cluster.self_check(NODE);
    let check = check.check(None);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), check)
            .await
            .is_err()
    );
    assert_eq!(all_of_it(&sim), before);
    assert_eq!(cluster.requests(), 4);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.requests(), 4);
}

/// What is found at an address.
async fn found_at(url: &str) -> Vec<Finding> {
    let cluster = Cluster::connect(kube::Config::new(url.parse().unwrap())).unwrap();
    cluster.self_check(NODE).check(None).await
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_from_a_server_that_is_away() {
    let found = found_at("https://api.nowhere.invalid:6443").await;
    let said = broken(&found);
    assert_eq!(said.len(), 1, "{found:?}");
    assert_eq!(said[0].0, Link::NameResolution, "{said:?}");
    assert!(said[0].1.contains("resolver"), "{said:?}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://{address}");
        let found = tokio::select! {
            () = close_all(&listener) => unreachable!(),
            found = found_at(&url) => found,
        };
        let said = broken(&found);
        assert_eq!(said.len(), 1, "{found:?}");
        assert_eq!(said[0].0, Link::Connection, "{said:?}");
        assert_eq!(found[0], Finding::holds(Link::NameResolution));
    }
    drop(listener);
    let found = found_at(&format!("https://{address}")).await;
    let said = broken(&found);
    assert_eq!(said[0].0, Link::Connection, "{said:?}");
    assert!(said[0].1.contains("refused"), "{said:?}");
}

/// Takes every connection and closes it.
async fn close_all(listener: &TcpListener) {
    loop {
        drop(listener.accept().await);
    }
}
