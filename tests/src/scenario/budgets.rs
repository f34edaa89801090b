//! Pods that a budget holds (scenarios 11 to 16 and 38).

use crate::wire::{Call, OnTheWire as _};
use spot_drain::sim::Recorded;
use std::time::Duration;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;
use spot_core::drainer::DrainOutcome;
use spot_drain::{plan::BudgetPolicy, report::PodOutcome};
use tokio::time::Instant;

use super::{
    Stage,
    drain::Drain,
    drained::Drained,
    millis,
    script::{Rule, Script, answer},
    secs,
    stage::Rights,
};
use crate::{
    Result,
    cluster::{Budget, Node, Workload},
    wait::sleep_until_after,
};

/// A workload whose budget allows nothing.
async fn guarded(stage: &Stage, node: &Node, name: &str, replicas: u32) -> Result<Workload> {
    let count = usize::try_from(replicas).unwrap_or_default();
    let guarded = Workload::new(name, count).exit_after(0.2);
    stage.cluster.deploy_on(node, &guarded).await?;
    let all = Budget::MinAvailable(replicas);
    stage.cluster.budget(&guarded, all).await?;
    stage.cluster.wait_budget(name, 0).await?;
    Ok(guarded)
}

/// Lets everything under a budget go, and returns when its status says so.
async fn open(stage: &Stage, name: &str, allows: i32) -> Result<Instant> {
    let none = json!({"spec": {"minAvailable": 0}});
    stage
        .cluster
        .merge::<PodDisruptionBudget>(name, none)
        .await?;
    stage.cluster.wait_budget(name, allows).await?;
    Ok(Instant::now())
}

fn is_blocked_by(drained: &Drained, name: &str) -> bool {
    let blocked = |outcome: &PodOutcome| matches!(outcome, PodOutcome::Blocked { budget: Some(budget), .. } if budget == name);
    let pods = drained.pods(name);
    !pods.is_empty() && pods.iter().all(|pod| blocked(&pod.outcome))
}

pub(super) async fn a_closed_budget_is_named_and_nothing_deleted(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    guarded(stage, &doomed, "guarded", 2).await?;
    let free = Workload::new("free", 2).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &free).await?;
    let drained = stage.drain(&doomed).window(12).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Incomplete);
    assert!(is_blocked_by(&drained, "guarded"), "{drained}");
    assert!(drained.all_gone("free", 2), "{drained}");
    assert_eq!(drained.calls(Call::Delete).len(), 0);
    assert_eq!(stage.staying(&doomed, "guarded").await?.len(), 2);
    Ok(())
}

pub(super) async fn delete_at_deletes_when_it_was_said_to(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    guarded(stage, &doomed, "guarded", 2).await?;
    let grace = secs(5);
    let drain = stage.drain(&doomed).rights(Rights::all().with_delete());
    let drain = drain.settings(|s| s.budgets = BudgetPolicy::DeleteAt { grace });
    let drained = drain.run().await?;
    assert!(drained.all_gone("guarded", 2), "{drained}");
    let due = drained.times.end() - grace;
    let deletes = drained.calls(Call::Delete);
    assert_eq!(deletes.len(), 2);
    for delete in deletes {
        // P12: never early.
        assert!(delete.at >= due, "{:?} early", due - delete.at);
        assert!(delete.at - due < secs(1) + stage.noise());
    }
    assert!(drained.pods("guarded").iter().all(|pod| pod.deleted));
    Ok(())
}

/// Opens the budget of a drain that has been under way for a while, and says how long after that
/// it was used.
async fn used_after(stage: &Stage, drain: Drain<'_>) -> Result<Duration> {
    let opened = open(stage, "guarded", 1).await?;
    let drained = drain.end().await?;
    assert_eq!(drained.pod("guarded")?.outcome, PodOutcome::Gone);
    assert!(
        drained.evictions("guarded").len() < 20,
        "it is not hammered"
    );
    Ok(drained
        .accepted("guarded")?
        .at
        .saturating_duration_since(opened))
}

pub(super) async fn an_opened_budget_is_used_within_a_second(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    guarded(stage, &doomed, "guarded", 1).await?;
    let drain = stage.drain(&doomed).window(40).start().await?;
    sleep_until_after(drain.began(), secs(14)).await;
    let after = used_after(stage, drain).await?;
    assert!(after < secs(1), "used {after:?} after it opened");
    Ok(())
}

pub(super) async fn without_a_watch_an_opened_budget_is_used_within_five_seconds(
    stage: &Stage,
) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    guarded(stage, &doomed, "guarded", 1).await?;
    let rights = Rights::all().without("watch", "poddisruptionbudgets");
    let drain = stage.drain(&doomed).window(40).rights(rights);
    let drain = drain.start().await?;
    // The pauses have grown to their longest by then, and one of them has just begun.
    let grown = drain.began() + secs(12);
    let refused = |r: &Recorded| r.at > grown && r.call() == Call::Evict && r.status == Some(429);
    stage
        .request("a refusal after 12 s", secs(20), refused)
        .await?;
    let after = used_after(stage, drain).await?;
    // And the pause's jitter.
    assert!(after < secs(6), "used {after:?} after it opened");
    Ok(())
}

pub(super) async fn two_budgets_over_a_pod_are_told_and_the_others_go(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let twice = Workload::new("twice", 2).exit_after(0.2);
    let free = Workload::new("free", 3).exit_after(0.2);
    for workload in [&twice, &free] {
        stage.cluster.deploy_on(&doomed, workload).await?;
    }
    for name in ["first", "second"] {
        let budget = json!({
            "metadata": {"name": name},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "twice"}}},
        });
        stage.cluster.make::<PodDisruptionBudget>(budget).await?;
        stage.cluster.wait_budget(name, 1).await?;
    }
    let drained = stage.drain(&doomed).window(12).run().await?;
    assert!(drained.all_gone("free", 3), "{drained}");
    let free = drained.evictions("free");
    assert!(free.iter().all(|r| drained.at(r) < secs(2) + stage.noise()));
    for pod in drained.pods("twice") {
        let misconfigured = matches!(pod.outcome, PodOutcome::Misconfigured { .. });
        assert!(misconfigured, "{drained}");
        assert!(pod.tries < 8, "{} tries", pod.tries);
    }
    assert_eq!(drained.pods("twice").len(), 2);
    Ok(())
}

pub(super) async fn stale_numbers_are_not_waited_for_as_long_as_asked(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 1).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    stage
        .cluster
        .budget(&web, Budget::MaxUnavailable(1))
        .await?;
    stage.cluster.wait_budget("web", 1).await?;
    let words = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests", "code": 429,
        "details": {"retryAfterSeconds": 10, "causes": [{"reason": "DisruptionBudget",
            "message": "The disruption budget web is still being processed by the server."}]},
    });
    let refusal = answer(429, Some(10), words.to_string());
    stage.set_faults(Script::new().rule(Rule::always(refusal).on([Call::Evict]).times(1)));
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.pod("web")?.outcome, PodOutcome::Gone);
    let [first, second] = drained.evictions("web")[..] else {
        panic!("{} tries", drained.evictions("web").len());
    };
    let pause = second.at - first.at;
    assert!(pause < secs(4) + stage.noise(), "{pause:?}");
    assert!(pause >= millis(200), "{pause:?}");
    Ok(())
}

pub(super) async fn unready_pods_go_where_their_budget_lets_them(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    for (name, policy) in [("strict", "IfHealthyBudget"), ("lenient", "AlwaysAllow")] {
        let unready = Workload::new(name, 1)
            .exit_after(0.2)
            .ready_after(100_000.0);
        stage.cluster.deploy_unready_on(&doomed, &unready).await?;
        let budget = json!({
            "metadata": {"name": name},
            "spec": {
                "minAvailable": 1,
                "selector": {"matchLabels": {"app": name}},
                "unhealthyPodEvictionPolicy": policy,
            },
        });
        stage.cluster.make::<PodDisruptionBudget>(budget).await?;
        stage.cluster.wait_budget(name, 0).await?;
    }
    let drained = stage.drain(&doomed).window(10).run().await?;
    assert!(is_blocked_by(&drained, "strict"), "{drained}");
    assert_eq!(drained.pod("lenient")?.outcome, PodOutcome::Gone);
    Ok(())
}

pub(super) async fn a_budget_of_one_lets_110_pods_go_one_by_one(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let many = Workload::new("many", 110).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &many).await?;
    stage
        .cluster
        .budget(&many, Budget::MaxUnavailable(1))
        .await?;
    stage.cluster.wait_budget("many", 1).await?;
    let drained = stage.drain(&doomed).run().await?;
    let pods = drained.pods("many");
    assert_eq!(pods.len(), 110);
    let gone = |outcome: &PodOutcome| matches!(outcome, PodOutcome::Gone | PodOutcome::Terminating);
    let (went, held): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| gone(&pod.outcome));
    assert!(went.len() >= 4, "{drained}");
    for pod in held {
        let is_many =
            matches!(&pod.outcome, PodOutcome::Blocked { budget: Some(b), .. } if b == "many");
        assert!(is_many, "{}: {}", pod.name, pod.outcome);
    }
    // One at a time, and as many as it was seen to allow: hardly anything is refused.
    let refused = drained
        .evictions("many")
        .iter()
        .filter(|r| r.status == Some(429))
        .count();
    assert!(refused <= 10, "{refused} refusals");
    Ok(())
}
