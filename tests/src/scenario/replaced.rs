//! Pods whose names pass to others, and pods that come late (scenarios 17 to 20 and 23).

use crate::wire::{Call, OnTheWire as _};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, api::DeleteParams};
use spot_drain::{
    report::PodOutcome,
    sim::{Injection, WatchFault},
};

use super::{
    Stage, millis,
    script::{Rule, Script, watch},
    secs,
};
use crate::{
    Result,
    cluster::{Budget, Node, Workload},
    error::Context as _,
    wait::wait_until,
};

/// A `StatefulSet`'s only pod, which its budget holds on the node.
async fn held(stage: &Stage, node: &Node) -> Result<Pod> {
    let db = Workload::new("db", 1).exit_after(0.2).grace(5);
    let pods = stage.cluster.stateful_set_on(node, &db).await?;
    stage.cluster.budget(&db, Budget::MinAvailable(1)).await?;
    stage.cluster.wait_budget("db", 0).await?;
    Ok(pods.into_iter().next().unwrap_or_default())
}

/// Waits until there is another pod under the name of `former`, and returns its UID.
async fn successor(stage: &Stage, former: &Pod) -> Result<Option<String>> {
    let pods = stage.cluster.api::<Pod>();
    wait_until("another pod of that name", secs(20), async || {
        let pod = pods.get_opt("db-0").await.map_err(|e| e.to_string())?;
        let uid = pod.and_then(|pod| pod.metadata.uid);
        if uid.is_some() && uid != former.metadata.uid {
            Ok(uid)
        } else {
            Err("the same, or none".to_owned())
        }
    })
    .await
}

/// Drains a node whose pod is made again elsewhere, or nowhere, while it is being retried.
async fn replaced(stage: &Stage, room: bool) -> Result<()> {
    let (doomed, other) = stage.two_nodes().await?;
    let former = held(stage, &doomed).await?;
    let drain = stage.drain(&doomed).start().await?;
    let refused = |r: &spot_drain::sim::Recorded| r.call() == Call::Evict && r.status == Some(429);
    stage.request("a refusal", secs(10), refused).await?;
    if !room {
        stage.cluster.cordon(&other.name, true).await?;
    }
    stage.cluster.delete_pod(&former).await?;
    let new = successor(stage, &former).await?;
    let drained = drain.end().await?;
    let pod = drained.pod("db")?;
    assert_eq!(Some(&pod.uid.0), former.metadata.uid.as_ref());
    assert_eq!(pod.outcome, PodOutcome::Gone, "{drained}");
    assert!(drained.took() < secs(12), "{:?}", drained.took());
    assert_eq!(successor(stage, &former).await?, new, "it is untouched");
    assert_eq!(drained.evicted_uids("db").len(), 1);
    Ok(())
}

pub(super) async fn a_pod_made_again_elsewhere_is_untouched(stage: &Stage) -> Result<()> {
    Box::pin(replaced(stage, true)).await
}

pub(super) async fn a_pod_made_again_and_pending_is_untouched(stage: &Stage) -> Result<()> {
    Box::pin(replaced(stage, false)).await
}

pub(super) async fn an_eviction_of_the_former_pod_spares_the_new_one(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let former = held(stage, &doomed).await?;
    // Nothing is heard of the change until long after the next try.
    let late = watch(WatchFault {
        late: secs(12),
        ..WatchFault::default()
    });
    stage.set_faults(Script::new().rule(Rule::always(late).on([Call::WatchPods])));
    let drain = stage.drain(&doomed).window(30).start().await?;
    let refused = |r: &spot_drain::sim::Recorded| r.call() == Call::Evict && r.status == Some(429);
    stage.request("a refusal", secs(10), refused).await?;
    stage.cluster.delete_pod(&former).await?;
    let new = successor(stage, &former).await?;
    stage.cluster.wait_ready("db", 1).await?;
    stage.cluster.remove::<PodDisruptionBudget>("db").await?;
    let drained = drain.end().await?;
    assert_eq!(drained.pod("db")?.outcome, PodOutcome::Gone, "{drained}");
    let tries = drained.evictions("db");
    assert!(tries.len() > 1, "the race took place");
    assert_eq!(drained.evicted_uids("db").len(), 1);
    assert!(tries.iter().all(|r| !r.succeeded()), "{tries:?}");
    let mismatched = tries.iter().any(|r| r.status == Some(409));
    assert!(mismatched, "its UID was refused: {tries:?}");
    assert_eq!(successor(stage, &former).await?, new, "it is untouched");
    Ok(())
}

pub(super) async fn pods_of_a_namespace_that_is_going_go_by_themselves(
    stage: &Stage,
) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 2).exit_after(4.0);
    stage.cluster.deploy_on(&doomed, &web).await?;
    // The evictions are under way when the namespace begins to go.
    let slow = Injection {
        before: millis(1500),
        ..Injection::none()
    };
    stage.set_faults(Script::new().rule(Rule::always(slow).on([Call::Evict])));
    let drain = stage.drain(&doomed).start().await?;
    let evicts = |r: &spot_drain::sim::Recorded| r.call() == Call::Evict;
    stage.request("an eviction", secs(10), evicts).await?;
    let namespaces = Api::<Namespace>::all(stage.cluster.client().clone());
    let name = stage.cluster.namespace();
    let going = namespaces.delete(name, &DeleteParams::default()).await;
    going.context("delete the namespace")?;
    let drained = drain.end().await?;
    assert!(drained.all_gone("web", 2), "{drained}");
    let refused = drained
        .evictions("web")
        .iter()
        .filter(|r| r.status == Some(403))
        .count();
    assert!(refused > 0, "{:?}", drained.evictions("web"));
    assert!(refused <= 4, "{refused} refusals");
    assert_eq!(
        drained.calls(Call::Review).len(),
        0,
        "it is no missing right"
    );
    Ok(())
}

pub(super) async fn a_pod_that_is_bound_after_the_list_is_evicted(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let slow = Workload::new("slow", 1).exit_after(5.0);
    stage.cluster.deploy_on(&doomed, &slow).await?;
    let drain = stage.drain(&doomed).start().await?;
    let evicted = |r: &spot_drain::sim::Recorded| r.call() == Call::Evict && r.succeeded();
    stage
        .request("the first eviction", secs(10), evicted)
        .await?;
    let late = Workload::new("late", 1).exit_after(0.2);
    stage.cluster.bare_pod(&doomed, &late).await?;
    let drained = drain.end().await?;
    assert!(drained.all_gone("late", 1), "{drained}");
    assert!(drained.all_gone("slow", 1), "{drained}");
    assert_eq!(drained.calls(Call::ListPods).len(), 1, "the watch told it");
    Ok(())
}
