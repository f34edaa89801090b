//! A check of a simulated cluster, read by a real client: what was planted is found, and nothing
//! else.

use std::collections::BTreeSet;

use serde_json::json;
use spot_drain::check::{Check, CheckSettings, Finding, Verdict, check, evictions};
use spot_drain::cluster::Cluster;
use spot_drain::sim::{Budget, Builder, Kind, Node, Sim, Workload, World};
use tokio::time::Instant;

fn spot(name: &str) -> Node {
    Node::new(name)
        .label("lifecycle", "Ec2Spot")
        .taint("spotInstance", "true", "PreferNoSchedule")
}

/// Two spot nodes and a roomy one, and pods that nothing is to be said about.
fn quiet() -> Builder {
    World::builder()
        .node(spot("spot-1"))
        .node(spot("spot-2"))
        .node(Node::new("other").label("lifecycle", "OnDemand"))
        .workload(
            Workload::daemon_set("agent").spec("volumes", json!([{"name": "a", "emptyDir": {}}])),
        )
        .workload(spread("fine").budget(Budget::max_unavailable("1")))
}

/// A replica on the first spot node, and one elsewhere.
fn spread(name: &str) -> Workload {
    Workload::deployment(name)
        .replicas(2)
        .on("spot-1")
        .on("other")
}

fn planted() -> World {
    let claim = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let empty_dir = json!([{"name": "scratch", "emptyDir": {}}]);
    let big = json!([{"name": "main", "image": "sim", "resources": {"requests": {"cpu": "1"}}}]);
    let second = json!({"metadata": {"name": "second", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "twice"}}, "maxUnavailable": 1}});
    let wish = |value| spread(value).annotation("spot-interrupt-handler/drain", value);
    let slow = Workload::deployment("queue").replicas(4).grace(60);
    quiet()
        .workload(spread("closed").budget(Budget::min_available("2")))
        .workload(spread("twice").budget(Budget::max_unavailable("1")))
        .object(Kind::PodDisruptionBudget, second)
        .workload(spread("patient").grace(600))
        .workload(spread("big").spec("containers", big))
        .workload(Workload::deployment("single").on("spot-1"))
        .workload(Workload::deployment("pair").replicas(2).on("spot-1"))
        .workload(Workload::bare("loner").on("spot-1"))
        .workload(spread("cache").spec("volumes", empty_dir))
        .workload(wish("skip"))
        .workload(wish("last"))
        .workload(wish("nonsense"))
        .workload(spread("dns").priority_class("system-cluster-critical"))
        .workload(
            Workload::stateful_set("db")
                .replicas(2)
                .on("spot-1")
                .on("other")
                .spec("volumes", claim),
        )
        .workload(
            ["spot-1", "spot-1", "spot-1", "other"]
                .into_iter()
                .fold(slow, Workload::on)
                .budget(Budget::max_unavailable("1")),
        )
        .build(Instant::now())
}

/// `app reason` of a finding.
fn brief(finding: &Finding) -> String {
    let pod = finding.pod.as_deref().unwrap_or("(all)");
    let app = pod.split('-').next().unwrap_or_default();
    format!("{app} {}", finding.reason.as_str())
}

#[expect(clippy::unwrap_used, reason = "a fixture")]
async fn checked(sim: &Sim, dry_runs: bool) -> Check {
    let cluster = Cluster::from_client(sim.client());
    let settings = CheckSettings::default();
    let read = async {
        let mut survey = cluster.survey().await.unwrap();
        let calls = evictions(&survey, &settings, Instant::now());
        if dry_runs {
            survey.tried = cluster.try_evictions(calls).await;
        }
        survey
    };
    let survey = tokio::select! {
        survey = read => survey,
        never = sim.run() => match never {},
    };
    check(&survey, &settings, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn what_was_planted_is_found_and_nothing_else() {
    let expected: BTreeSet<String> = [
        "closed budget-closed",
        "twice two-budgets",
        "patient grace",
        "big no-room",
        "single sole-replica",
        "pair sole-replica",
        "loner unmanaged",
        "cache empty-dir",
        "skip opted-out",
        "last last",
        "nonsense annotation",
        "dns waits",
        "db volumes",
        "(all) budget-slow",
    ]
    .map(str::to_owned)
    .into();
    for dry_runs in [false, true] {
        let found = checked(&Sim::new(planted()), dry_runs).await;
        let briefs: BTreeSet<String> = found.findings.iter().map(brief).collect();
        assert_eq!(briefs, expected, "{found}");
        // The pair is two pods.
        assert_eq!(found.findings.len(), expected.len() + 1, "{found}");
        assert!(found.findings.iter().all(|f| f.node == "spot-1"));
        let verdicts: Vec<Verdict> = found.nodes.iter().map(|n| n.enough).collect();
        assert_eq!(verdicts, [Verdict::No, Verdict::Yes]);
        assert!(found.unknown.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_quiet_cluster_nothing_is_found() {
    let sim = Sim::new(quiet().build(Instant::now()));
    let found = checked(&sim, true).await;
    assert!(found.findings.is_empty(), "{found}");
    assert_eq!(found.nodes.len(), 2);
    // Nodes, pods, budgets, DaemonSets, and the one pod that would be evicted.
    assert_eq!(sim.requests().len(), 5);
    let changed = sim
        .requests()
        .iter()
        .any(|r| r.method != "GET" && r.path.ends_with("/pods"));
    assert!(!changed);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_unknown_and_not_fine() {
    let sim = Sim::new(quiet().build(Instant::now()));
    sim.with(|world| {
        world.api_mut().access.deny("list", "poddisruptionbudgets");
        world.api_mut().access.deny("create", "pods/eviction");
    });
    let found = checked(&sim, false).await;
    assert_eq!(found.nodes[0].enough, Verdict::Unknown);
    assert!(found.unknown[0].starts_with("budgets (403"), "{found}");
    let found = checked(&sim, true).await;
    assert_eq!(
        found.findings.iter().map(brief).collect::<Vec<_>>(),
        ["fine untried"]
    );
    sim.with(|world| world.api_mut().access.deny("list", "pods"));
    let unread = Cluster::from_client(sim.client()).survey().await;
    assert!(unread.unwrap_err().is_permission());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_many_pages_is_read_whole() {
    let many = Workload::replica_set("many").replicas(600);
    let many = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .fold(many, Workload::on);
    let nodes = ["a", "b", "c", "d", "e", "f"].into_iter();
    let world = nodes.fold(World::builder(), |world, node| world.node(spot(node)));
    let sim = Sim::new(world.workload(many).build(Instant::now()));
    let survey = Cluster::from_client(sim.client()).survey().await.unwrap();
    let uids: BTreeSet<_> = survey.pods.iter().map(|pod| &pod.facts.uid).collect();
    assert_eq!(
        (uids.len(), survey.pods.len(), survey.nodes.len()),
        (600, 600, 6)
    );
    let lists = sim
        .requests()
        .into_iter()
        .filter(|r| r.path == "/api/v1/pods");
    assert_eq!(lists.count(), 3);
}
