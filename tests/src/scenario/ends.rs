//! How a drain ends where it cannot do what it should (scenarios 27 and 29), and where it is told
//! to end sooner.

use crate::wire::{Call, OnTheWire as _};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use spot_core::drainer::DrainOutcome;
use spot_drain::sim::Recorded;
use spot_drain::{report::PodOutcome, window::Window};

use super::{Stage, millis, script::Script, secs};
use crate::{
    Result,
    cluster::{Budget, Node, Workload},
    wait::sleep_until_after,
};

pub(super) async fn what_is_still_going_at_the_end_is_told(stage: &Stage) -> Result<()> {
    let (doomed, other) = stage.two_nodes().await?;
    let finalized = Workload::new("finalized", 1).exit_after(0.2);
    stage.cluster.bare_pod(&doomed, &finalized).await?;
    stage.cluster.wait_ready("finalized", 1).await?;
    let hold = json!({"metadata": {"finalizers": ["spot-tests/hold"]}});
    stage.cluster.merge::<Pod>("finalized", hold).await?;
    let drained = stage.drain(&doomed).window(6).run().await?;
    let pod = drained.pod("finalized")?;
    assert_eq!(pod.outcome, PodOutcome::Terminating, "{drained}");
    assert_eq!(pod.finalizers, ["spot-tests/hold"]);
    let said = drained.report.to_string();
    assert!(
        said.contains("held by finalizers spot-tests/hold"),
        "{said}"
    );

    let silent = Workload::new("silent", 1).grace(2);
    stage.cluster.bare_pod(&other, &silent).await?;
    stage.cluster.wait_ready("silent", 1).await?;
    stage.stop_kubelet(&other).await?;
    let drained = stage.drain(&other).window(8).run().await?;
    assert_eq!(drained.pod("silent")?.outcome, PodOutcome::Terminating);
    assert_eq!(drained.report.outcome, DrainOutcome::Incomplete);
    assert_eq!(drained.evictions("silent").len(), 1, "once is enough");
    Ok(())
}

/// A pod that goes and one whose budget keeps it.
async fn one_goes_one_stays(stage: &Stage, node: &Node) -> Result<()> {
    let free = Workload::new("free", 2).exit_after(0.2);
    stage.cluster.deploy_on(node, &free).await?;
    let held = Workload::new("held", 2).exit_after(0.2);
    stage.cluster.deploy_on(node, &held).await?;
    stage.cluster.budget(&held, Budget::MinAvailable(2)).await?;
    stage.cluster.wait_budget("held", 0).await
}

pub(super) async fn a_black_hole_under_way_does_not_hold_it(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    one_goes_one_stays(stage, &doomed).await?;
    stage.set_faults(Script::new().black_hole(secs(4)));
    let drained = stage.drain(&doomed).window(12).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Incomplete);
    assert!(drained.all_gone("free", 2), "{drained}");
    assert_eq!(drained.pods("held").len(), 2);
    assert!(
        drained.ended + millis(100) >= drained.times.end(),
        "it did not give up"
    );
    assert!(
        drained.requests.len() < 40,
        "nor hammer: {:?}",
        drained.tally()
    );
    Ok(())
}

pub(super) async fn a_black_hole_from_the_start_does_not_hold_it(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    one_goes_one_stays(stage, &doomed).await?;
    stage.set_faults(Script::new().black_hole(secs(0)));
    let drained = stage.drain(&doomed).window(8).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Incomplete);
    assert!(!drained.report.listed && drained.report.pods.is_empty());
    let said = drained.report.to_string();
    assert!(said.contains("could not be listed"), "{said}");
    Ok(())
}

fn is_refused(request: &Recorded) -> bool {
    request.call() == Call::Evict && request.status == Some(429)
}

pub(super) async fn a_drain_that_is_cancelled_evicts_nothing_more(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    one_goes_one_stays(stage, &doomed).await?;
    let drain = stage.drain(&doomed).start().await?;
    stage.request("a refusal", secs(10), is_refused).await?;
    drain.cancel();
    let drained = drain.end().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Cancelled);
    assert!(drained.took() < secs(8), "{:?}", drained.took());
    // Longer than any pause between two tries.
    let asked = stage.requests().len();
    sleep_until_after(drained.ended, secs(6)).await;
    assert_eq!(stage.requests().len(), asked, "no work outlives it");
    assert_eq!(stage.staying(&doomed, "held").await?.len(), 2);
    Ok(())
}

pub(super) async fn a_nearer_deadline_ends_it_sooner(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    one_goes_one_stays(stage, &doomed).await?;
    let drain = stage.drain(&doomed).window(120).start().await?;
    stage.request("a refusal", secs(10), is_refused).await?;
    drain.bring_nearer(secs(10));
    let latest = Window::new(drain.began(), drain.began() + secs(10)).end();
    let drained = drain.end().await?;
    let late = drained.ended.saturating_duration_since(latest);
    assert!(late < secs(1) + stage.noise(), "{late:?} late");
    assert_eq!(drained.report.outcome, DrainOutcome::Incomplete);
    Ok(())
}
