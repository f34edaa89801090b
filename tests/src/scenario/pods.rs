//! Which pods go and which stay (scenarios 1 to 7).

use crate::wire::Call;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use spot_core::drainer::DrainOutcome;
use spot_drain::report::PodOutcome;

use super::{
    Stage,
    script::{Rule, Script, answer},
    secs,
    stage::{Kind, Rights},
};
use crate::{
    Result,
    cluster::{Node, Workload},
    wait::wait_until,
};

/// A DaemonSet with its pod on the node.
async fn agent(stage: &Stage, node: &Node) -> Result<Vec<String>> {
    stage.cluster.daemon_set(&Workload::new("agent", 0)).await?;
    wait_until("the DaemonSet's pod", secs(30), async || {
        let staying = stage.staying(node, "agent").await;
        match staying.map_err(|error| error.to_string())? {
            pods if pods.is_empty() => Err("none".to_owned()),
            pods => Ok(pods),
        }
    })
    .await
}

pub(super) async fn fifty_take_fifty_requests_and_eight(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 50).exit_after(0.2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let drained = stage.drain(&doomed).run().await?;
    let tally = drained.tally();
    assert!(drained.all_gone("web", 50), "{drained}");
    assert_eq!(drained.report.outcome, DrainOutcome::Complete);
    assert_eq!(tally[&Call::ListPods], 1, "{tally:?} {drained}");
    // A busy server closes the watch of a client that reads it slowly, which goes on from there.
    let watches = if stage.kind() == Kind::Real {
        1..=4
    } else {
        1..=1
    };
    assert!(
        watches.contains(&tally[&Call::WatchPods]),
        "{tally:?} {drained}"
    );
    assert_eq!(tally[&Call::Evict], 50, "{tally:?} {drained}");
    assert!(drained.requests.len() <= 50 + 8, "{tally:?}");
    assert_eq!(
        usize::try_from(drained.report.requests).ok(),
        Some(drained.requests.len()),
        "it counts its own requests"
    );
    Ok(())
}

pub(super) async fn mirror_daemon_set_and_own_pod_stay(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let cluster = &stage.cluster;
    cluster
        .mirror_pod(&doomed, &Workload::new("mirror", 1))
        .await?;
    cluster
        .bare_pod(&doomed, &Workload::new("ourselves", 1))
        .await?;
    agent(stage, &doomed).await?;
    let web = Workload::new("web", 2).exit_after(0.2);
    cluster.deploy_on(&doomed, &web).await?;
    let ourselves = (cluster.namespace().to_owned(), "ourselves".to_owned());
    let drain = stage.drain(&doomed);
    let drain = drain.settings(|settings| settings.ourselves = Some(ourselves));
    let drained = drain.run().await?;

    assert_eq!(drained.report.outcome, DrainOutcome::Complete);
    assert!(drained.all_gone("web", 2), "{drained}");
    for (app, why) in [
        ("mirror", "mirror pod"),
        ("ourselves", "own pod"),
        ("agent", "owned by a DaemonSet"),
    ] {
        let pod = drained.pod(app)?;
        let said = pod.outcome.to_string();
        assert!(said.contains("skipped") && said.contains(why), "{said}");
        assert_eq!(drained.evictions(app).len(), 0, "{app}");
        let there = stage.staying(&doomed, app).await?;
        assert_eq!(
            there,
            std::slice::from_ref(&pod.uid.0),
            "{app} is untouched"
        );
    }
    Ok(())
}

pub(super) async fn the_pod_of_a_daemon_set_that_is_gone_is_evicted(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let orphan = Workload::new("orphan", 1).exit_after(0.2);
    stage.cluster.bare_pod(&doomed, &orphan).await?;
    stage.cluster.wait_ready("orphan", 1).await?;
    // Of a version that is no longer served: the garbage collector cannot look the owner up
    // and leaves its pods alone, where it would remove those of an owner that it knows is gone.
    let owner = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "extensions/v1beta1", "kind": "DaemonSet", "name": "orphan",
        "uid": "00000000-0000-4000-8000-000000000000", "controller": true,
    }]}});
    stage.cluster.merge::<Pod>("orphan", owner).await?;
    let drained = stage.drain(&doomed).run().await?;
    let pod = drained.pod("orphan")?;
    assert_eq!(pod.outcome, PodOutcome::Gone, "{drained}");
    let warned = pod.warnings.iter().any(|w| w.contains("DaemonSet is gone"));
    assert!(warned, "{:?}", pod.warnings);
    Ok(())
}

pub(super) async fn daemon_sets_that_cannot_be_looked_up_keep_their_pods(
    stage: &Stage,
) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let there = agent(stage, &doomed).await?;
    let refused = Rights::all().without("list", "daemonsets");
    let broken =
        Script::new().rule(Rule::always(answer(500, None, "boom")).on([Call::ListDaemonSets]));
    for (rights, faults) in [(refused, Script::new()), (Rights::all(), broken)] {
        stage.set_faults(faults);
        let drained = stage.drain(&doomed).rights(rights).run().await?;
        let said = drained.pod("agent")?.outcome.to_string();
        assert!(said.contains("could not be looked up"), "{said}");
        assert!(drained.took() < secs(10), "nothing is waited for");
        assert_eq!(drained.evictions("agent").len(), 0);
        assert_eq!(stage.staying(&doomed, "agent").await?, there);
    }
    Ok(())
}

pub(super) async fn unmanaged_pods_and_their_empty_dirs_go_with_a_warning(
    stage: &Stage,
) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let volumes = json!([{"name": "scratch", "emptyDir": {}}]);
    let lone = Workload::new("lone", 1).exit_after(0.2);
    let lone = lone.pod_field("volumes", volumes);
    stage.cluster.bare_pod(&doomed, &lone).await?;
    stage.cluster.wait_ready("lone", 1).await?;
    let drained = stage.drain(&doomed).run().await?;
    let pod = drained.pod("lone")?;
    assert_eq!(pod.outcome, PodOutcome::Gone, "{drained}");
    let warnings = pod.warnings.join("; ");
    assert!(
        warnings.contains("no controller brings it back"),
        "{warnings}"
    );
    assert!(warnings.contains("emptyDir is lost"), "{warnings}");
    Ok(())
}

pub(super) async fn ended_pods_are_not_waited_for(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    for (name, phase) in [("done", "Succeeded"), ("failed", "Failed")] {
        stage
            .cluster
            .bare_pod(&doomed, &Workload::new(name, 1))
            .await?;
        stage.cluster.wait_running(name, 1).await?;
        stage.cluster.set_phase(name, phase).await?;
    }
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Complete);
    assert!(
        drained.took() < secs(3) + stage.noise(),
        "{:?}",
        drained.took()
    );
    assert_eq!(drained.pod("done")?.outcome, PodOutcome::Completed);
    assert_eq!(drained.pod("failed")?.outcome, PodOutcome::Completed);
    assert_eq!(drained.calls(Call::Evict).len(), 0);
    Ok(())
}

pub(super) async fn a_pod_that_is_going_is_waited_for_and_not_evicted(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let going = Workload::new("going", 1).exit_after(4.0);
    let pod = stage.cluster.bare_pod(&doomed, &going).await?;
    stage.cluster.wait_ready("going", 1).await?;
    stage.cluster.delete_pod(&pod).await?;
    let drained = stage.drain(&doomed).run().await?;
    assert_eq!(drained.pod("going")?.outcome, PodOutcome::Gone);
    assert_eq!(drained.calls(Call::Evict).len(), 0);
    assert!(drained.took() > secs(2), "{:?}", drained.took());
    Ok(())
}
