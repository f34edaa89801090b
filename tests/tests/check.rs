//! A check of a cluster with trouble planted in it, the same on a real control plane and in the
//! simulator: all of it is found, and nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;
use spot_drain::{
    check::{CheckSettings, Verdict, check, evictions},
    cluster::Cluster as Connection,
};
use spot_tests::{
    Error, Result,
    cluster::{Budget, CLUSTER, Node, NodeSpec, Workload},
    scenario::stage::{Kind, Rights, Stage},
};
use tokio::time::Instant;

const WISH: &str = "spot-interrupt-handler/drain";

/// What is planted, by the name of the workload.
const PLANTED: [&str; 19] = [
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
    "kept opted-out",
    "loner unmanaged",
    "single sole-replica",
    "slow grace",
    "slow sole-replica",
    "twice sole-replica",
    "twice two-budgets",
];

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
    let (doomed, other) = stage.two_nodes().await?;
    stage.cluster.add_node(&NodeSpec::spot("quiet")).await?;
    plant(stage, &doomed, &other).await?;
    let connection = connect(stage).await?;
    let settings = CheckSettings::default();
    for dry_runs in [false, true] {
        let survey = connection.survey().await;
        let mut survey = survey.map_err(|error| Error::Usage(error.to_string()))?;
        if dry_runs {
            let calls = evictions(&survey, &settings, Instant::now());
            survey.tried = connection.try_evictions(calls).await;
        }
        let found = check(&survey, &settings, Instant::now());
        let brief = found.findings.iter().map(|finding| {
            let pod = finding.pod.as_deref().unwrap_or_default();
            let app = pod.split('-').next().unwrap_or_default();
            format!("{app} {}", finding.reason.as_str())
        });
        let brief: BTreeSet<String> = brief.collect();
        assert_eq!(brief, PLANTED.map(str::to_owned).into(), "{found}");
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
    for workload in [
        one("annotated").annotation(WISH, "nonsense"),
        one("big").pod_field("nodeSelector", here),
        one("cache").pod_field("volumes", json!([{"name": "scratch", "emptyDir": {}}])),
        Workload::new("closed", 2),
        one("critical").pod_field("priorityClassName", json!("system-cluster-critical")),
        one("final").annotation(WISH, "last"),
        one("kept").annotation(WISH, "skip"),
        one("single"),
        one("slow").grace(600),
        Workload::new("twice", 2),
    ] {
        cluster.deploy_on(doomed, &workload).await?;
    }
    cluster.deploy_on(other, &one("elsewhere")).await?;
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
