//! The node itself: its taints, its clock, and a run that changes nothing (scenarios 24, 25, 36
//! and 40).

use crate::wire::Call;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Taint};
use serde_json::json;
use spot_core::{
    clock::WallClock,
    node::{NodeControl as _, NodeError, Phase, Quarantine, Release},
    notice::{Notice, NoticeId, NoticeKind},
};
use spot_drain::{report::PodOutcome, sim::Injection};
use tokio::time::Instant;

use super::{
    Handling, Stage, millis,
    script::{Rule, Script},
    secs,
    stage::Rights,
};
use crate::{
    Error, Result,
    cluster::{Budget, Node, NodeSpec, Workload},
    marks::TAINT,
    wait::wait_until,
};

/// The taints of a node whose key starts so.
pub(super) async fn taints(stage: &Stage, node: &Node, key: &str) -> Result<Vec<Taint>> {
    let spec = stage.cluster.node(&node.name).await?.spec;
    let taints = spec.and_then(|spec| spec.taints).unwrap_or_default();
    let of_it = |taint: &Taint| taint.key.starts_with(key);
    Ok(taints.into_iter().filter(of_it).collect())
}

pub(super) async fn is_cordoned(stage: &Stage, node: &Node) -> Result<bool> {
    let spec = stage.cluster.node(&node.name).await?.spec;
    Ok(spec.and_then(|spec| spec.unschedulable) == Some(true))
}

fn wish(stage: &Stage, node: &Node) -> Quarantine {
    let id = NoticeId::new("spot-interruption");
    let notice = Notice::new(id, NoticeKind::SpotInterruption, Instant::now());
    let quarantine = Quarantine::new(&notice, Phase::Draining, stage.clock().now());
    quarantine.on_instance(&node.instance_id)
}

fn failed(error: &NodeError) -> Error {
    Error::Usage(error.describe())
}

pub(super) async fn twenty_writers_and_we_all_have_our_taints(stage: &Stage) -> Result<()> {
    let (node, _other) = stage.two_nodes().await?;
    // The others write between our look and our patch.
    let slow = Injection {
        before: millis(200),
        ..Injection::none()
    };
    stage.set_faults(Script::new().rule(Rule::always(slow).on([Call::PatchNode])));
    let ours = stage.connect(&Rights::all()).await?.node(&node.name);
    let writers = (0..20_u32).map(|number| {
        let (client, path) = (
            stage.cluster.client(),
            format!("/api/v1/nodes/{}", node.name),
        );
        async move {
            let taint = json!({"key": format!("writer-{number}"), "effect": "NoSchedule"});
            let add = json!([{"op": "add", "path": "/spec/taints/-", "value": taint}]);
            tokio::time::sleep(millis(20) * number).await;
            wait_until(format!("writer {number}"), secs(20), async || {
                let request = http::Request::patch(&path)
                    .header("content-type", "application/json-patch+json")
                    .body(add.to_string().into_bytes());
                let request = request.map_err(|error| error.to_string())?;
                let patched = client.request_text(request).await;
                patched.map(drop).map_err(|error| error.to_string())
            })
            .await
        }
    });
    let (written, quarantined) = join(join_all(writers), ours.quarantine(wish(stage, &node))).await;
    quarantined.map_err(|error| failed(&error))?;
    for written in written {
        written?;
    }
    assert_eq!(taints(stage, &node, "writer-").await?.len(), 20);
    assert_eq!(taints(stage, &node, TAINT).await?.len(), 1);
    assert_eq!(taints(stage, &node, "spotInstance").await?.len(), 1);
    assert!(is_cordoned(stage, &node).await?);
    Ok(())
}

pub(super) async fn a_node_without_taints_gets_ours_and_loses_it(stage: &Stage) -> Result<()> {
    let node = stage.cluster.add_node(&NodeSpec::on_demand("bare")).await?;
    assert!(taints(stage, &node, "").await?.is_empty());
    let ours = stage.connect(&Rights::all()).await?.node(&node.name);
    let quarantined = ours.quarantine(wish(stage, &node)).await;
    quarantined.map_err(|error| failed(&error))?;
    assert_eq!(taints(stage, &node, TAINT).await?.len(), 1);
    assert!(is_cordoned(stage, &node).await?);
    ours.release(Release::default())
        .await
        .map_err(|error| failed(&error))?;
    assert!(taints(stage, &node, TAINT).await?.is_empty());
    assert!(!is_cordoned(stage, &node).await?);
    Ok(())
}

/// A wall clock that somebody sets.
struct Jumping {
    right: Arc<dyn WallClock>,
    seconds: AtomicI64,
}

impl WallClock for Jumping {
    fn now(&self) -> Timestamp {
        let off = SignedDuration::from_secs(self.seconds.load(Ordering::Relaxed));
        self.right
            .now()
            .saturating_add(off)
            .unwrap_or(Timestamp::MAX)
    }
}

/// How long after its beginning the drain of `node`'s held pod ended, where the clock jumped
/// when it had begun.
async fn across_a_jump(stage: &Stage, node: &Node, seconds: i64) -> Result<Duration> {
    let clock = Arc::new(Jumping {
        right: stage.clock(),
        seconds: AtomicI64::new(0),
    });
    let begun = Instant::now();
    let handling = Handling::start(stage, node, &Rights::all(), clock.clone()).await?;
    handling.interrupt(begun + secs(10)).await?;
    handling.quarantined().await?;
    clock.seconds.store(seconds, Ordering::Relaxed);
    // Sources repeat themselves, with a deadline that is anchored anew.
    handling.interrupt(begun + secs(10)).await?;
    let (report, ended) = handling.drained(secs(20)).await?;
    let is_held = |outcome: &PodOutcome| matches!(outcome, PodOutcome::Blocked { .. });
    let held = report
        .pods
        .iter()
        .filter(|pod| is_held(&pod.outcome))
        .count();
    assert_eq!(held, 1, "{report}");
    Ok(ended - begun)
}

pub(super) async fn a_wall_clock_that_jumps_moves_no_deadline(stage: &Stage) -> Result<()> {
    let mut nodes = Vec::new();
    for name in ["ahead", "behind"] {
        let node = stage.cluster.add_node(&NodeSpec::spot(name)).await?;
        let held = Workload::new(name, 1);
        stage.cluster.deploy_on(&node, &held).await?;
        stage.cluster.budget(&held, Budget::MinAvailable(1)).await?;
        stage.cluster.wait_budget(name, 0).await?;
        nodes.push(node);
    }
    let (ahead, behind) = join(
        across_a_jump(stage, &nodes[0], 60),
        across_a_jump(stage, &nodes[1], -60),
    )
    .await;
    for took in [ahead?, behind?] {
        // 10 s less a margin of 1 s.
        let latest = secs(10) + stage.noise();
        assert!((millis(8500)..latest).contains(&took), "{took:?}");
    }
    Ok(())
}

pub(super) async fn a_dry_run_changes_no_resource_version(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let versions = async || -> Result<Vec<Option<String>>> {
        let pods: Vec<Pod> = stage.cluster.pods_on(&doomed.name).await?;
        let node = stage.cluster.node(&doomed.name).await?;
        let pods = pods.into_iter().map(|pod| pod.metadata.resource_version);
        Ok(pods.chain([node.metadata.resource_version]).collect())
    };
    let before = versions().await?;
    let connection = stage.connect(&Rights::all()).await?;
    let node = connection.node(&doomed.name).with_dry_run(true);
    let quarantined = node.quarantine(wish(stage, &doomed)).await;
    quarantined.map_err(|error| failed(&error))?;
    let drain = stage.drain(&doomed).uncordoned();
    let drained = drain.settings(|s| s.dry_run = true).run().await?;
    assert_eq!(drained.evictions("web").len(), 3);
    let would = |outcome: &PodOutcome| *outcome == PodOutcome::WouldEvict;
    assert!(drained.pods("web").iter().all(|pod| would(&pod.outcome)));
    assert_eq!(versions().await?, before);
    Ok(())
}
