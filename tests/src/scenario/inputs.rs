//! Input that is not what it should be: reported, and no reason to stop draining the rest.

use crate::wire::{Call, OnTheWire as _};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::json;
use spot_core::drainer::DrainOutcome;
use spot_drain::sim::Recorded;
use spot_drain::{facts::DRAIN_ANNOTATION, report::PodOutcome};

use super::{
    Stage,
    script::{Rule, Script, answer},
    secs,
};
use crate::{
    Result,
    cluster::{Budget, Workload},
};

pub(super) async fn an_annotation_that_says_nothing_known(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let odd = Workload::new("odd", 1).exit_after(0.2);
    let odd = odd.annotation(DRAIN_ANNOTATION, "{\"after\": \"\\u0000 lunch\"");
    stage.cluster.deploy_on(&doomed, &odd).await?;
    let plain = Workload::new("plain", 1).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &plain).await?;
    let drained = stage.drain(&doomed).run().await?;
    assert!(drained.all_gone("plain", 1), "{drained}");
    let pod = drained.pod("odd")?;
    assert_eq!(pod.outcome, PodOutcome::Gone, "{drained}");
    let warned = pod.warnings.iter().any(|w| w.contains("drain annotation"));
    assert!(warned, "{:?}", pod.warnings);
    Ok(())
}

pub(super) async fn budgets_that_select_nothing_or_cannot_be_read(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let contradiction = json!({
        "metadata": {"name": "contradiction"},
        "spec": {"minAvailable": 3, "selector": {"matchExpressions": [
            {"key": "app", "operator": "In", "values": ["web"]},
            {"key": "app", "operator": "NotIn", "values": ["web"]},
        ]}},
    });
    let make = stage.cluster.make::<PodDisruptionBudget>(contradiction);
    make.await?;
    // Budgets are asked for at the latest where one is in the way.
    let held = Workload::new("held", 2).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &held).await?;
    stage.cluster.budget(&held, Budget::MinAvailable(2)).await?;
    stage.cluster.wait_budget("held", 0).await?;
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "Near", "values": []}]});
    let budget = json!({"metadata": {"namespace": stage.cluster.namespace(), "name": "odd"},
        "spec": {"minAvailable": "a few", "selector": selector},
        "status": {"disruptionsAllowed": -7}});
    let list = json!({"kind": "PodDisruptionBudgetList", "apiVersion": "policy/v1",
        "metadata": {"resourceVersion": "1"}, "items": [budget, {}, {"metadata": {}}]});
    let not_json = Rule::always(answer(200, None, "[not json")).times(1);
    let odd = Rule::always(answer(200, None, list.to_string()));
    let calls = [Call::ListBudgets];
    stage.set_faults(Script::new().rule(not_json.on(calls)).rule(odd.on(calls)));
    let drained = stage.drain(&doomed).window(10).run().await?;
    assert!(!drained.calls(Call::ListBudgets).is_empty(), "it read them");
    assert!(drained.all_gone("web", 3), "{drained}");
    let held = drained.pods("held");
    assert_eq!(held.len(), 2, "{drained}");
    let is_blocked = |outcome: &PodOutcome| matches!(outcome, PodOutcome::Blocked { .. });
    assert!(held.iter().all(|pod| is_blocked(&pod.outcome)), "{drained}");
    Ok(())
}

pub(super) async fn graces_that_are_negative_or_absurd(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    for (name, grace) in [
        ("negative", -5),
        ("centuries", 9_000_000_000_i64),
        ("most", i64::MAX),
        ("plain", 30),
    ] {
        let pod = Workload::new(name, 1).exit_after(0.2);
        let pod = pod.pod_field("terminationGracePeriodSeconds", grace.into());
        stage.cluster.deploy_on(&doomed, &pod).await?;
    }
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    for name in ["negative", "centuries", "most", "plain"] {
        assert!(drained.all_gone(name, 1), "{drained}");
    }
    // 20 s less the margin twice; none at all for the others.
    for name in ["centuries", "most"] {
        let graces = drained.graces(name);
        let fits = |grace: &Option<i64>| grace.is_some_and(|grace| (1..=17).contains(&grace));
        assert!(graces.iter().all(fits), "{name}: {graces:?}");
    }
    Ok(())
}

pub(super) async fn a_node_that_is_deleted_half_way(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let free = Workload::new("free", 2).exit_after(0.2);
    let free = stage.cluster.deploy_on(&doomed, &free).await?;
    let held = Workload::new("held", 2).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &held).await?;
    stage.cluster.budget(&held, Budget::MinAvailable(2)).await?;
    stage.cluster.wait_budget("held", 0).await?;
    let drain = stage.drain(&doomed).window(15).start().await?;
    let refused = |r: &Recorded| r.call() == Call::Evict && r.status == Some(429);
    stage.request("a refusal", secs(10), refused).await?;
    for pod in &free {
        stage.cluster.wait_gone(pod, secs(10)).await?;
    }
    stage.cluster.remove_node(&doomed.name).await?;
    stage.cluster.remove::<PodDisruptionBudget>("held").await?;
    let drained = drain.end().await?;
    assert!(drained.all_gone("free", 2), "{drained}");
    // The rest is drained all the same; nobody is left to say that it has ended.
    for pod in drained.pods("held") {
        let went = matches!(pod.outcome, PodOutcome::Gone | PodOutcome::Terminating);
        assert!(went, "{drained}");
    }
    assert_eq!(drained.pods("held").len(), 2);
    Ok(())
}
