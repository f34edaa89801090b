//! An API server that is away for a while (scenario 28 and the courses of outages).

use std::time::Duration;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use spot_core::drainer::DrainOutcome;
use tokio::time::Instant;

use super::{
    Stage,
    drain::Drain,
    drained::Drained,
    script::{Rule, Script, answer},
    secs,
};
use crate::{
    Result,
    cluster::{Budget, Node, Workload},
    wait::sleep_until_after,
};

/// Two pods that go at once, and one that its budget holds until the outage.
async fn setting(stage: &Stage) -> Result<Node> {
    let (doomed, _other) = stage.two_nodes().await?;
    let free = Workload::new("free", 2).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &free).await?;
    let held = Workload::new("held", 1).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &held).await?;
    stage.cluster.budget(&held, Budget::MinAvailable(1)).await?;
    stage.cluster.wait_budget("held", 0).await?;
    Ok(doomed)
}

/// While the handler is cut off, the budget goes and another pod comes.
async fn meanwhile(stage: &Stage, node: &Node) -> Result<()> {
    stage.cluster.remove::<PodDisruptionBudget>("held").await?;
    let late = Workload::new("late", 1).exit_after(0.2);
    stage.cluster.bare_pod(node, &late).await.map(drop)
}

/// Everything was evicted before the server went or within two seconds of its return.
fn used_its_return(stage: &Stage, drained: &Drained, returned: Instant) -> Result<()> {
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    for (app, count) in [("free", 2), ("held", 1), ("late", 1)] {
        assert!(drained.all_gone(app, count), "{app}: {drained}");
    }
    for app in ["held", "late"] {
        let after = drained
            .accepted(app)?
            .at
            .saturating_duration_since(returned);
        let latest = secs(2) + stage.noise();
        assert!(
            after <= latest,
            "{app} {after:?} after its return: {drained}"
        );
    }
    Ok(())
}

async fn reset_between(stage: &Stage, from: Duration, until: Duration) -> Result<()> {
    let doomed = setting(stage).await?;
    let drain: Drain<'_> = stage.drain(&doomed).window(40).start().await?;
    stage.set_faults(Script::new().away(from, until));
    let returned = Instant::now() + until;
    sleep_until_after(drain.began(), from + secs(3)).await;
    meanwhile(stage, &doomed).await?;
    let drained = drain.end().await?;
    used_its_return(stage, &drained, returned)
}

pub(super) async fn what_an_outage_held_up_goes_when_it_is_over(stage: &Stage) -> Result<()> {
    reset_between(stage, secs(5), secs(25)).await
}

pub(super) async fn a_black_hole_that_ends_is_found_to_have_ended(stage: &Stage) -> Result<()> {
    let doomed = setting(stage).await?;
    let drain = stage.drain(&doomed).window(75).start().await?;
    stage.set_faults(Script::new().black_hole_between(secs(3), secs(13)));
    sleep_until_after(drain.began(), secs(6)).await;
    meanwhile(stage, &doomed).await?;
    let drained = drain.end().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    for (app, count) in [("free", 2), ("held", 1), ("late", 1)] {
        assert!(drained.all_gone(app, count), "{app}: {drained}");
    }
    assert!(drained.took() < secs(55) + stage.noise(), "{drained}");
    Ok(())
}

pub(super) async fn refused_connections_from_4_to_24_s(stage: &Stage) -> Result<()> {
    let (_, proxy) = stage.real_parts()?;
    let doomed = setting(stage).await?;
    let drain = stage.drain(&doomed).window(40).start().await?;
    sleep_until_after(drain.began(), secs(4)).await;
    proxy.go_away().await?;
    meanwhile(stage, &doomed).await?;
    sleep_until_after(drain.began(), secs(24)).await;
    proxy.come_back().await?;
    let returned = Instant::now();
    let drained = drain.end().await?;
    used_its_return(stage, &drained, returned)
}

pub(super) async fn a_server_that_knows_nobody_for_a_while(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let unknown = Rule::always(answer(401, None, "who are you?"));
    stage.set_faults(Script::new().rule(unknown.until(secs(6))));
    let drained = stage.drain(&doomed).run().await?;
    assert!(drained.all_gone("web", 3), "{drained}");
    assert!(drained.last_try("web")? < secs(8) + stage.noise());
    Ok(())
}
