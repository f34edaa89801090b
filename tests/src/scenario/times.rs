//! Graces and turns within a window (scenarios 8, 9, 10 and 37).

use serde_json::json;
use spot_core::drainer::DrainOutcome;
use spot_drain::report::PodOutcome;

use super::{Stage, secs};
use crate::{Result, cluster::Workload};

pub(super) async fn a_grace_that_is_too_long_is_cut_to_110_s(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let slow = Workload::new("slow", 1).grace(600).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &slow).await?;
    let drained = stage.drain(&doomed).window(120).run().await?;
    let graces = drained.graces("slow");
    let cut = graces.first().copied().flatten().unwrap_or_default();
    // 120 s less twice the margin of 5 s, less what went by before it was sent.
    let least = 109 - i64::try_from(stage.noise().as_secs()).unwrap_or_default();
    assert!((least..=110).contains(&cut), "{graces:?}");
    assert_eq!(drained.pod("slow")?.outcome, PodOutcome::Gone);
    assert_eq!(drained.report.trimmed().count(), 1);
    Ok(())
}

pub(super) async fn a_grace_that_fits_is_not_sent(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let quick = Workload::new("quick", 1).grace(5).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &quick).await?;
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.graces("quick"), [None]);
    assert_eq!(drained.report.trimmed().count(), 0);
    Ok(())
}

pub(super) async fn a_grace_of_none_is_never_sent(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let abrupt = Workload::new("abrupt", 1).grace(0);
    stage.cluster.deploy_on(&doomed, &abrupt).await?;
    let drained = stage.drain(&doomed).window(6).run().await?;
    assert_eq!(drained.graces("abrupt"), [None]);
    assert_eq!(drained.pod("abrupt")?.outcome, PodOutcome::Gone);
    Ok(())
}

pub(super) async fn in_a_short_window_all_go_in_one_wave(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let workloads = [
        Workload::new("second", 4).grace(1),
        Workload::new("half-minute", 4).grace(30),
        Workload::new("ten-minutes", 4).grace(600),
        Workload::new("critical", 2)
            .grace(5)
            .pod_field("priorityClassName", json!("system-cluster-critical")),
    ];
    for workload in &workloads {
        let workload = workload.clone().exit_after(0.5);
        stage.cluster.deploy_on(&doomed, &workload).await?;
    }
    let drained = stage.drain(&doomed).window(30).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete);
    let last = drained.last_try("")?;
    assert!(last < secs(2) + stage.noise(), "{last:?}");
    assert_eq!(drained.evictions("").len(), 14, "each was tried once");
    Ok(())
}
