//! A check of a cluster with trouble planted in it, the same on a real control plane and in the
//! simulator: all of it is found, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;
use spot_drain::{
    check::{CheckSettings, Finding, Verdict, check, evictions},
    cluster::Cluster as Connection,
};
use spot_tests::{
    Error, Result,
    cluster::{Budget, CLUSTER, Node, NodeSpec, Workload},
    scenario::stage::{Kind, Rights, Stage},
};
use tokio::time::Instant;

const WISH: &str = "spot-interrupt-handler/drain";
/// The label of nodes that only some workloads may use.
const POOL: &str = "spot-tests/pool";

/// What is planted, by the name of the workload; on one pod unless [`TWICE`] says otherwise.
const PLANTED: [&str; 23] = [
    "annotated annotation",
    "annotated sole-replica",
    "big no-room",
    "big sole-replica",
    "cache empty-dir",
    "cache sole-replica",
    "closed budget-closed",
    "closed sole-replica",
    "critical sole-replica",
    "critical waits",
    "final last",
    "final sole-replica",
    "huge no-room",
    "huge sole-replica",
    "kept opted-out",
    "loner unmanaged",
    "picky no-room",
    "picky sole-replica",
    "single sole-replica",
    "slow grace",
    "slow sole-replica",
    "twice sole-replica",
    "twice two-budgets",
];
/// Workloads with two pods.
const TWICE: [&str; 2] = ["closed", "twice"];

#[tokio::test]
async fn what_was_planted_is_found_on_a_real_control_plane() -> Result<()> {
    let stage = Stage::real("check").await?;
    find_all(&stage).await?;
    stage.cluster.clone().delete().await
}

#[tokio::test(start_paused = true)]
async fn what_was_planted_is_found_in_the_simulator() -> Result<()> {
    find_all(&Stage::simulator("check").await?).await
}

async fn find_all(stage: &Stage) -> Result<()> {
    let doomed = NodeSpec::spot("doomed").label(POOL, "special");
    let doomed = stage.cluster.add_node(&doomed).await?;
    let other = NodeSpec::on_demand("other");
    let other = stage.cluster.add_node(&other).await?;
    let guarded = NodeSpec::on_demand("guarded").label(POOL, "special");
    let guarded = guarded.taint("dedicated", "special", "NoSchedule");
    stage.cluster.add_node(&guarded).await?;
    let quiet = NodeSpec::spot("quiet").cpu("2");
    stage.cluster.add_node(&quiet).await?;
    plant(stage, &doomed, &other).await?;
    let connection = connect(stage).await?;
    let settings = CheckSettings::default();
    for dry_runs in [false, true] {
        let survey = connection.survey().await;
        let mut survey = survey.map_err(|error| Error::Usage(error.to_string()))?;
        if dry_runs {
            let calls = evictions(&survey, &settings, Instant::now());
            let asked = calls.len();
            survey.tried = connection.try_evictions(calls).await;
            assert_eq!(survey.tried.len(), asked, "{:?}", survey.tried);
        }
        let found = check(&survey, &settings, Instant::now());
        let mut brief: BTreeMap<String, usize> = BTreeMap::new();
        for finding in &found.findings {
            let pod = finding.pod.as_deref().unwrap_or_default();
            let app = pod.split('-').next().unwrap_or_default();
            let what = format!("{app} {}", finding.reason.as_str());
            *brief.entry(what).or_default() += 1;
        }
        let planted = PLANTED.map(|what| {
            let twice = TWICE.iter().any(|app| what.starts_with(app));
            (what.to_owned(), if twice { 2 } else { 1 })
        });
        assert_eq!(brief, planted.into(), "{found}");
        for (app, why) in [
            ("big", "3 not matched by the pod's node selector"),
            ("huge", "1 with the taint dedicated, 2 without enough cpu"),
            (
                "picky",
                "2 not matched by the pod's node selector, 1 with the taint dedicated",
            ),
        ] {
            let of_app = |f: &&Finding| f.pod.as_ref().is_some_and(|pod| pod.starts_with(app));
            let mut said = found.findings.iter().filter(of_app).map(Finding::to_string);
            let why = format!("no room on 3 other nodes: {why}");
            assert!(said.any(|said| said == why), "{why} {found}");
        }
        assert!(
            found.findings.iter().all(|f| f.node == doomed.name),
            "{found}"
        );
        let verdicts: Vec<Verdict> = found.nodes.iter().map(|node| node.enough).collect();
        assert_eq!(verdicts, [Verdict::No, Verdict::Yes], "{found}");
    }
    Ok(())
}

/// A connection of a user who may list nodes too.
async fn connect(stage: &Stage) -> Result<Connection> {
    match stage.kind() {
        Kind::Simulator => stage.connect(&Rights::all()).await,
        Kind::Real => {
            let config = stage.real_parts()?.0.config("admin")?;
            Connection::connect(config).map_err(|error| Error::Usage(error.to_string()))
        }
    }
}

async fn plant(stage: &Stage, doomed: &Node, other: &Node) -> Result<()> {
    let cluster = &stage.cluster;
    let one = |name| Workload::new(name, 1);
    let here = json!({CLUSTER: cluster.namespace(), "kubernetes.io/hostname": doomed.name});
    let special = json!({CLUSTER: cluster.namespace(), POOL: "special"});
    let cpu = |cpu: &str| json!([{"name": "app", "image": "app", "resources": {"requests": {"cpu": cpu}}}]);
    for workload in [
        one("annotated").annotation(WISH, "nonsense"),
        one("big").pod_field("nodeSelector", here),
        one("cache").pod_field("volumes", json!([{"name": "scratch", "emptyDir": {}}])),
        Workload::new("closed", 2),
        one("critical").pod_field("priorityClassName", json!("system-cluster-critical")),
        one("final").annotation(WISH, "last"),
        // Of 64 there are 24 left elsewhere, and 2 where there never were more.
        one("huge").pod_field("containers", cpu("30")),
        one("kept").annotation(WISH, "skip"),
        one("picky").pod_field("nodeSelector", special),
        one("single"),
        one("slow").grace(600),
        Workload::new("twice", 2),
    ] {
        cluster.deploy_on(doomed, &workload).await?;
    }
    let elsewhere = one("elsewhere").pod_field("containers", cpu("40"));
    cluster.deploy_on(other, &elsewhere).await?;
    cluster.bare_pod(doomed, &one("loner")).await?;
    cluster.mirror_pod(doomed, &one("mirror")).await?;
    let closed = Workload::new("closed", 2);
    cluster.budget(&closed, Budget::MinAvailable(2)).await?;
    let twice = Workload::new("twice", 2);
    cluster.budget(&twice, Budget::MaxUnavailable(1)).await?;
    let _: PodDisruptionBudget = cluster
        .make(json!({"metadata": {"name": "second"},
            "spec": {"selector": {"matchLabels": {"app": "twice"}}, "maxUnavailable": 1}}))
        .await?;
    cluster.wait_ready("loner", 1).await?;
    cluster.wait_budget("closed", 0).await
}
