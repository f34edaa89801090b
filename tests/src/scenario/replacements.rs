//! Make before break: on the real control plane the ReplicaSets, budgets and endpoints are those
//! that there are everywhere.

use std::{collections::BTreeSet, future::Future, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, ResourceQuota},
};
use serde_json::json;
use spot_core::{
    drainer::{DrainOutcome, Drainer as _},
    observer::Occurrence,
};
use spot_drain::{
    driver::NodeDrainer,
    plan::Settings,
    replacement::{DETACHED_ANNOTATION, MakeBeforeBreak},
    report::{PodReport, Replacement},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Handling, Stage, drain::order_for, drained::Drained, millis, quarantine::is_cordoned, secs,
    stage::Rights,
};
use crate::{
    Result,
    cluster::{Budget, Node, NodeSpec, Workload},
    wait::wait_until,
    wire::Call,
};

fn rights() -> Rights {
    Rights::all().with_make_before_break()
}

fn switch_on(settings: &mut Settings) {
    settings.make_before_break = MakeBeforeBreak::On;
}

/// Pods with a grace of 5 s, whose replacements are ready three seconds after they run.
fn slow_to_start(name: &str, replicas: usize) -> Workload {
    Workload::new(name, replicas)
        .grace(5)
        .exit_after(0.5)
        .ready_after(3.0)
}

fn is_detached(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(DETACHED_ANNOTATION))
}

fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The pods of a workload that serve.
async fn serving(stage: &Stage, app: &str) -> Result<usize> {
    let pods = stage.cluster.pods(app).await?;
    Ok(pods.iter().filter(|pod| serves(pod)).count())
}

/// What comes of `work`, and how few pods of a workload served meanwhile at the worst.
async fn at_worst<T>(
    stage: &Stage,
    app: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, usize)> {
    let mut least = serving(stage, app).await?;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok((done?, least)),
            now = async {
                sleep(millis(100)).await;
                serving(stage, app).await
            } => least = least.min(now?),
        }
    }
}

/// As many pods as are wanted, none detached and each with an owner.
async fn is_whole(stage: &Stage, app: &str, wanted: usize) -> Result<()> {
    wait_until(format!("{wanted} pods of {app}"), secs(30), async || {
        let pods = stage.cluster.pods(app).await.map_err(|e| e.to_string())?;
        let owned = |pod: &Pod| pod.metadata.owner_references.is_some() && !is_detached(pod);
        let served = pods.iter().filter(|pod| serves(pod)).count();
        if pods.len() == wanted && served == wanted && pods.iter().all(owned) {
            Ok(())
        } else {
            Err(format!("{} pods, of which {served} serve", pods.len()))
        }
    })
    .await
}

/// Waits until so many pods of a workload are detached, and let go of by their ReplicaSet.
async fn detached(stage: &Stage, app: &str, count: usize) -> Result<()> {
    wait_until(format!("{count} detached pods"), secs(15), async || {
        let pods = stage.cluster.pods(app).await.map_err(|e| e.to_string())?;
        let free = |pod: &&Pod| is_detached(pod) && pod.metadata.owner_references.is_none();
        match pods.iter().filter(free).count() {
            found if found == count => Ok(()),
            found => Err(format!("{found}")),
        }
    })
    .await
}

/// Of how many pods it went so with their replacements.
fn count(pods: &[PodReport], replacement: &Replacement) -> usize {
    let it_went_so = |pod: &&PodReport| pod.replacement.as_ref() == Some(replacement);
    pods.iter().filter(it_went_so).count()
}

pub(super) async fn nobody_is_missed(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let guarded = slow_to_start("guarded", 1);
    stage.cluster.deploy_on(&doomed, &guarded).await?;
    stage
        .cluster
        .budget(&guarded, Budget::MinAvailable(1))
        .await?;
    stage.cluster.wait_budget("guarded", 0).await?;
    let web = slow_to_start("web", 3);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let drain = stage.drain(&doomed).window(60).rights(rights());
    let drain = drain.settings(switch_on);
    let web = Box::pin(at_worst(stage, "web", drain.run()));
    let both = at_worst(stage, "guarded", web).await?;
    let ((drained, least_of_web), least_of_guarded) = both;
    assert_eq!((least_of_web, least_of_guarded), (3, 1), "{drained}");
    assert_eq!(drained.report.outcome, DrainOutcome::Complete, "{drained}");
    let first = count(&drained.report.pods, &Replacement::First);
    assert_eq!(first, 4, "{drained}");
    // The budget's refusal was not even asked for before its time: once, for its number lags.
    assert!(drained.evictions("guarded").len() <= 2, "{drained}");
    is_whole(stage, "web", 3).await?;
    is_whole(stage, "guarded", 1).await
}

pub(super) async fn without_room_elsewhere_no_grace_is_cut(stage: &Stage) -> Result<()> {
    let (doomed, other) = stage.two_nodes().await?;
    stage
        .cluster
        .deploy_on(&doomed, &slow_to_start("web", 2))
        .await?;
    stage.cluster.cordon(&other.name, true).await?;
    let drain = stage.drain(&doomed).window(30).rights(rights());
    let drained = drain.settings(switch_on).run().await?;
    late_and_whole(&drained)
}

pub(super) async fn replacements_that_are_ready_too_late_cut_no_grace(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 2).ready_after(25.0);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let drain = stage.drain(&doomed).window(30).rights(rights());
    let drained = drain.settings(switch_on).run().await?;
    late_and_whole(&drained)?;
    is_whole(stage, "web", 2).await
}

pub(super) async fn where_a_quota_is_reached_pods_go_as_ever(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 3);
    stage.cluster.deploy_on(&doomed, &web).await?;
    stage
        .cluster
        .budget(&web, Budget::MaxUnavailable(1))
        .await?;
    stage.cluster.wait_budget("web", 1).await?;
    let quota = json!({"metadata": {"name": "full"}, "spec": {"hard": {"pods": "3"}}});
    stage.cluster.make::<ResourceQuota>(quota).await?;
    // Until the quota counts them it refuses none.
    wait_until("a full quota", secs(30), async || {
        let quota = stage.cluster.api::<ResourceQuota>().get("full").await;
        let used = quota
            .map_err(|e| e.to_string())?
            .status
            .and_then(|s| s.used);
        let used = used.and_then(|used| Some(used.get("pods")?.0.clone()));
        if used.as_deref() == Some("3") {
            Ok(())
        } else {
            Err(format!("{used:?}"))
        }
    })
    .await?;
    let drain = stage.drain(&doomed).window(90).rights(rights());
    let drain = drain.settings(switch_on);
    let (drained, least) = at_worst(stage, "web", drain.run()).await?;
    assert!(drained.all_gone("web", 3), "{drained}");
    assert_eq!(drained.graces("web"), [None; 3], "{drained}");
    // As the budget allows, and the first at once: its ReplicaSet tries again soon.
    assert!(least >= 2, "{drained}");
    let first = drained.at(drained.accepted("web")?);
    assert!(first < secs(5) + stage.noise(), "{drained}");
    for pod in drained.pods("web") {
        let why = match &pod.replacement {
            Some(Replacement::NotFirst { why }) => why.clone(),
            other => format!("{other:?}"),
        };
        assert!(why.contains("exceeded quota"), "{drained}");
    }
    is_whole(stage, "web", 3).await
}

pub(super) async fn two_nodes_at_once_are_both_replaced_first(stage: &Stage) -> Result<()> {
    let (one, other) = stage.two_nodes().await?;
    let two = stage.cluster.add_node(&NodeSpec::spot("too")).await?;
    let web = slow_to_start("web", 2);
    stage.cluster.deploy_on(&one, &web).await?;
    stage.cluster.cordon(&one.name, true).await?;
    stage.cluster.cordon(&other.name, true).await?;
    let more = json!({"spec": {"replicas": 4}});
    stage.cluster.merge::<Deployment>("web", more).await?;
    stage.cluster.wait_ready("web", 4).await?;
    stage.cluster.cordon(&two.name, true).await?;
    stage.cluster.cordon(&other.name, false).await?;
    let connection = stage.connect(&rights()).await?;
    let (_orders, ordered) = watch::channel(order_for(Instant::now(), secs(60)).with_held(true));
    let drain = |node: &Node, later: u64| {
        let mut settings = Settings::default();
        switch_on(&mut settings);
        let drainer = NodeDrainer::new(connection.pods(&node.name)).with_settings(settings);
        let ordered = ordered.clone();
        async move {
            sleep(millis(later)).await;
            drainer.drain(ordered).await
        }
    };
    let drains = async { Ok(tokio::join!(drain(&one, 0), drain(&two, 30))) };
    let ((first, second), least) = Box::pin(at_worst(stage, "web", drains)).await?;
    for report in [first, second] {
        let replaced = count(&report.pods, &Replacement::First);
        assert_eq!(
            (report.outcome, replaced),
            (DrainOutcome::Complete, 2),
            "{report}"
        );
    }
    assert_eq!(least, 4);
    is_whole(stage, "web", 4).await
}

pub(super) async fn without_the_right_to_evict_what_is_detached_is_told(
    stage: &Stage,
) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    stage
        .cluster
        .deploy_on(&doomed, &slow_to_start("web", 2))
        .await?;
    let rights = rights().without("create", "pods/eviction");
    let connection = stage.connect(&rights).await?;
    let drain = stage.drain(&doomed).window(60).rights(rights);
    let drained = drain.settings(switch_on).run().await?;
    let why = "evictions are forbidden".to_owned();
    let stuck = count(&drained.report.pods, &Replacement::Stuck { why });
    assert_eq!(stuck, 2, "{drained}");
    // Where the notice is taken back after all, so are they.
    let mut settings = Settings::default();
    switch_on(&mut settings);
    let again = NodeDrainer::new(connection.pods(&doomed.name)).with_settings(settings);
    assert!(again.take_back().await);
    is_whole(stage, "web", 2).await
}

/// Both pods of `web` were evicted when their graces had to begin, and had all of them.
fn late_and_whole(drained: &Drained) -> Result<()> {
    assert!(drained.all_gone("web", 2), "{drained}");
    assert_eq!(drained.graces("web"), [None, None], "{drained}");
    let late = count(&drained.report.pods, &Replacement::Late);
    assert_eq!(late, 2, "{drained}");
    // The end at 28 s, less 5 s of grace, 2 s of margin and one for a late timer.
    let first = drained.accepted("web")?;
    assert!(drained.at(first) >= secs(20), "{drained}");
    Ok(())
}

pub(super) async fn a_recreate_deployment_is_evicted_as_ever(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 1);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let recreate = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    stage.cluster.merge::<Deployment>("web", recreate).await?;
    let drain = stage.drain(&doomed).rights(rights()).settings(switch_on);
    let drained = drain.run().await?;
    let why = match &drained.pod("web")?.replacement {
        Some(Replacement::NotFirst { why }) => why.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(why, "its Deployment's strategy is not RollingUpdate");
    assert!(drained.calls(Call::PatchPod).is_empty(), "{drained}");
    Ok(())
}

pub(super) async fn without_the_right_to_patch_pods_they_go_as_ever(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    stage
        .cluster
        .deploy_on(&doomed, &slow_to_start("web", 1))
        .await?;
    let rights = rights().without("patch", "pods");
    let drain = stage.drain(&doomed).window(30).rights(rights);
    let drained = drain.settings(switch_on).run().await?;
    assert!(drained.all_gone("web", 1), "{drained}");
    assert_eq!(drained.calls(Call::PatchPod).len(), 3, "{drained}");
    let accepted = drained.at(drained.accepted("web")?);
    assert!(accepted < secs(4) + stage.noise(), "{drained}");
    Ok(())
}

pub(super) async fn called_off_the_pods_are_taken_back(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 2).ready_after(8.0);
    let before = stage.cluster.deploy_on(&doomed, &web).await?;
    let drain = stage.drain(&doomed).window(60).rights(rights());
    let drain = drain.settings(switch_on).start().await?;
    detached(stage, "web", 2).await?;
    drain.cancel();
    let (drained, least) = at_worst(stage, "web", async {
        let drained = drain.end().await?;
        is_whole(stage, "web", 2).await?;
        Ok(drained)
    })
    .await?;
    assert_eq!(drained.report.outcome, DrainOutcome::Cancelled, "{drained}");
    assert_eq!(least, 2, "{drained}");
    let uids = |pods: Vec<Pod>| -> BTreeSet<_> {
        pods.into_iter().filter_map(|p| p.metadata.uid).collect()
    };
    assert_eq!(uids(stage.cluster.pods("web").await?), uids(before));
    Ok(())
}

pub(super) async fn called_off_in_any_phase_none_is_left_over(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let mut apps = Vec::new();
    // Before the patches and during them, while the replacements start, when they are ready, and
    // when the pods have been evicted.
    for (phase, after) in [0, 30, 300, 2_500, 3_300, 6_000].into_iter().enumerate() {
        let web = slow_to_start(&format!("web-{phase}"), 2);
        apps.push(web.name().to_owned());
        stage.cluster.cordon(&doomed.name, false).await?;
        stage.cluster.deploy_on(&doomed, &web).await?;
        let drain = stage.drain(&doomed).window(60).rights(rights());
        let drain = drain.settings(switch_on).start().await?;
        sleep(millis(after)).await;
        drain.cancel();
        drain.end().await?;
        for app in &apps {
            is_whole(stage, app, 2).await?;
        }
    }
    sleep(secs(60)).await; // nobody has more to come
    for app in &apps {
        is_whole(stage, app, 2).await?;
    }
    Ok(())
}

pub(super) async fn a_handler_called_off_gives_the_node_back_whole(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 2).ready_after(8.0);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let handling = start(stage, &doomed).await?;
    handling.interrupt(Instant::now() + secs(60)).await?;
    detached(stage, "web", 2).await?;
    handling.call_off().await?;
    let released = |what: &Occurrence| matches!(what, Occurrence::Released);
    handling.wait("the release", secs(20), released).await?;
    assert!(!is_cordoned(stage, &doomed).await?);
    is_whole(stage, "web", 2).await
}

async fn start(stage: &Stage, node: &Node) -> Result<Handling> {
    let mut settings = Settings::default();
    switch_on(&mut settings);
    Handling::start_with(stage, node, &rights(), stage.clock(), settings).await
}

pub(super) async fn killed_in_each_phase_it_is_carried_on(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 2);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let deadline = Instant::now() + secs(90);
    let work = async {
        // After the cordon, the patches, the replacements, the evictions.
        for lives in [1_000, 2_000, 1_000, 4_000] {
            let handling = start(stage, &doomed).await?;
            handling.interrupt(deadline).await?;
            handling.quarantined().await?;
            sleep(millis(lives)).await;
        }
        let last = start(stage, &doomed).await?;
        last.interrupt(deadline).await?;
        wait_until("an empty node", secs(60), async || {
            let pods = stage.cluster.pods_on(&doomed.name).await;
            match pods.map_err(|e| e.to_string())?.len() {
                0 => Ok(()),
                left => Err(format!("{left} pods")),
            }
        })
        .await
    };
    let ((), least) = at_worst(stage, "web", work).await?;
    assert_eq!(least, 2);
    is_whole(stage, "web", 2).await
}

pub(super) async fn killed_and_the_notice_gone_it_is_taken_back(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = slow_to_start("web", 2).ready_after(8.0);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let connection = stage.connect(&rights()).await?;
    let drain = stage.drain(&doomed).window(60).rights(rights());
    let drain = drain.settings(switch_on).start().await?;
    detached(stage, "web", 2).await?;
    drop(drain); // as a kill
    let mut settings = Settings::default();
    switch_on(&mut settings);
    let next = NodeDrainer::new(connection.pods(&doomed.name)).with_settings(settings);
    assert!(next.take_back().await);
    stage.cluster.cordon(&doomed.name, false).await?;
    is_whole(stage, "web", 2).await?;
    sleep(Duration::from_secs(5)).await;
    is_whole(stage, "web", 2).await
}

/// Killed after the patches were sent, while the replacements start, when they are ready, and when
/// the pods are being evicted; what follows is told the next drain. A minute later there is nobody
/// who is nobody's, and none too many.
async fn killed_in_any_phase(stage: &Stage, called_off: bool) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let mut apps = Vec::new();
    for (phase, lives) in [30, 300, 1_500, 3_300, 4_000].into_iter().enumerate() {
        let web = slow_to_start(&format!("web-{phase}"), 2);
        apps.push(web.name().to_owned());
        stage.cluster.cordon(&doomed.name, false).await?;
        stage.cluster.deploy_on(&doomed, &web).await?;
        let drain = || stage.drain(&doomed).window(60).rights(rights());
        let killed = drain().settings(switch_on).start().await?;
        sleep(millis(lives)).await;
        drop(killed);
        let next = drain().settings(switch_on).start().await?;
        if called_off {
            sleep(millis(300)).await;
            next.cancel();
        }
        next.end().await?;
        for app in &apps {
            is_whole(stage, app, 2).await?;
        }
    }
    sleep(secs(60)).await;
    for app in &apps {
        is_whole(stage, app, 2).await?;
    }
    Ok(())
}

pub(super) async fn killed_in_any_phase_none_is_left_over(stage: &Stage) -> Result<()> {
    killed_in_any_phase(stage, false).await
}

pub(super) async fn killed_in_any_phase_and_called_off_none_is_left_over(
    stage: &Stage,
) -> Result<()> {
    killed_in_any_phase(stage, true).await
}
