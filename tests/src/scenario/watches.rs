//! Watches that expire, say nothing, or cannot be had (scenarios 31 and 32).

use crate::wire::Call;
use std::time::Duration;

use spot_core::drainer::DrainOutcome;
use spot_drain::sim::{Injection, WatchFault};

use super::{
    Stage,
    drained::Drained,
    millis,
    script::{Rule, Script, answer, watch},
    secs,
};
use crate::{Result, cluster::Workload};

/// Drains three pods that need `exit` seconds, with this wrong with watches.
async fn under(stage: &Stage, rule: Rule, exit: f64) -> Result<Drained> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(exit);
    stage.cluster.deploy_on(&doomed, &web).await?;
    stage.set_faults(Script::new().rule(rule.on([Call::WatchPods])));
    let drained = stage.drain(&doomed).window(40).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    assert!(drained.all_gone("web", 3), "{drained}");
    Ok(drained)
}

pub(super) async fn an_expired_watch_is_made_up_for_by_a_list(stage: &Stage) -> Result<()> {
    // It tells that the pods are going, and not that they have gone.
    let expires = watch(WatchFault {
        silent_after: Some(millis(2500)),
        expired_after: Some(secs(6)),
        ..WatchFault::default()
    });
    let drained = under(stage, Rule::always(expires).times(1), 4.0).await?;
    let took = drained.took();
    assert!(
        (secs(5)..secs(8) + stage.noise()).contains(&took),
        "{took:?}"
    );
    assert_eq!(drained.calls(Call::ListPods).len(), 2);
    Ok(())
}

/// The first watch says nothing more from a time on.
async fn stalls(stage: &Stage, after: Duration, exit: f64) -> Result<()> {
    let silent = watch(WatchFault {
        silent_after: Some(after),
        ..WatchFault::default()
    });
    let drained = under(stage, Rule::always(silent).times(1), exit).await?;
    assert!(drained.took() < secs(15), "{:?}", drained.took());
    Ok(())
}

pub(super) async fn a_watch_that_never_speaks_is_noticed(stage: &Stage) -> Result<()> {
    stalls(stage, Duration::ZERO, 1.0).await
}

pub(super) async fn a_watch_that_stops_speaking_is_noticed(stage: &Stage) -> Result<()> {
    // It tells that the pods are going, and not that they have gone.
    stalls(stage, secs(2), 4.0).await
}

pub(super) async fn watches_that_cannot_be_had(stage: &Stage) -> Result<()> {
    let refused = answer(500, None, "no watches today");
    let drained = under(stage, Rule::always(refused), 4.0).await?;
    assert!(drained.took() < secs(15), "{:?}", drained.took());
    Ok(())
}

pub(super) async fn watches_that_always_break(stage: &Stage) -> Result<()> {
    let breaks = Rule::decided(|_, _| {
        let watch = WatchFault {
            reset_after: Some(millis(300)),
            ..WatchFault::default()
        };
        Injection {
            watch,
            ..Injection::none()
        }
    });
    let drained = under(stage, breaks, 1.0).await?;
    assert!(drained.took() < secs(10), "{:?}", drained.took());
    Ok(())
}

pub(super) async fn events_that_come_twice_and_late(stage: &Stage) -> Result<()> {
    let muddled = watch(WatchFault {
        late: secs(1),
        twice: true,
        ..WatchFault::default()
    });
    let drained = under(stage, Rule::always(muddled), 1.0).await?;
    assert!(drained.took() < secs(15), "{:?}", drained.took());
    assert_eq!(drained.evictions("web").len(), 3);
    Ok(())
}
