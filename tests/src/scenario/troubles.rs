//! A server that is overloaded, slow or broken (scenarios 30, 33 and 34).

use crate::wire::Call;
use std::time::Duration;

use spot_core::{drainer::DrainOutcome, sim::Random};
use spot_drain::{
    report::PodOutcome,
    sim::{Fault, Injection},
};

use super::{
    Stage, millis,
    script::{Rule, Script, answer},
    secs,
};
use crate::{Result, cluster::Workload};

pub(super) async fn an_overload_is_not_taken_for_a_budget(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 4).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let overload = || {
        let words = "too many requests, please try again later.";
        Rule::always(answer(429, Some(1), words)).on([Call::Evict])
    };
    // To the end.
    stage.set_faults(Script::new().rule(overload()));
    let drained = stage.drain(&doomed).window(5).run().await?;
    for pod in drained.pods("web") {
        let blocked = matches!(pod.outcome, PodOutcome::Blocked { .. });
        assert!(!blocked && pod.outcome.is_left_behind(), "{drained}");
    }
    // For four seconds.
    stage.set_faults(Script::new().rule(overload().until(secs(4))));
    let drained = stage.drain(&doomed).run().await?;
    assert!(drained.all_gone("web", 4), "{drained}");
    let refused = drained
        .evictions("web")
        .iter()
        .filter(|r| r.status == Some(429))
        .count();
    assert!(
        (1..=4 * 5).contains(&refused),
        "{refused} tries in four seconds"
    );
    Ok(())
}

pub(super) async fn a_reset_after_the_eviction_evicts_once(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 1).exit_after(2.0);
    let pods = stage.cluster.deploy_on(&doomed, &web).await?;
    let breaks = Rule::always(Fault::ResetAfter).on([Call::Evict]).times(1);
    stage.set_faults(Script::new().rule(breaks));
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.pod("web")?.outcome, PodOutcome::Gone, "{drained}");
    let uid = pods
        .into_iter()
        .filter_map(|pod| pod.metadata.uid)
        .collect();
    assert_eq!(drained.evicted_uids("web"), uid);
    assert!(
        drained.evictions("web").len() <= 2,
        "{:?}",
        drained.evictions("web")
    );
    let back = stage.cluster.wait_ready("web", 1).await?;
    assert!(
        back.iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_none())
    );
    Ok(())
}

/// Drains twelve pods from a server that is so slow and fails one answer in five.
async fn slow_and_broken(stage: &Stage, latency: Duration, window: u64) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 12).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let mut random = Random::new(34);
    let slow = Rule::decided(move |_, _| Injection {
        before: latency / 2,
        after: latency / 2,
        fault: random
            .chance(1, 5)
            .then(|| answer(503, None, "no leader").fault)
            .flatten(),
        ..Injection::none()
    });
    stage.set_faults(Script::new().rule(slow));
    let drained = stage.drain(&doomed).window(window).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    assert!(drained.all_gone("web", 12), "{drained}");
    assert!(drained.requests.len() < 60, "{:?}", drained.tally());
    Ok(())
}

pub(super) async fn a_slow_server_that_fails_often_is_drained(stage: &Stage) -> Result<()> {
    slow_and_broken(stage, millis(4000), 60).await
}

pub(super) async fn at_five_seconds_of_latency_it_still_progresses(stage: &Stage) -> Result<()> {
    slow_and_broken(stage, millis(5100), 60).await
}
