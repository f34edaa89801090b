//! A handler that is killed at every point and carried on by the next (scenario 26).

use crate::wire::{Call, OnTheWire as _};
use std::collections::BTreeSet;

use serde_json::Value;
use spot_drain::{
    sim::{Fault, Injection},
    taint::MEMORY_ANNOTATION,
};
use tokio::time::Instant;

use super::{
    Handling, Stage,
    quarantine::{is_cordoned, taints},
    script::{Rule, Script},
    secs,
    stage::Rights,
};
use crate::{
    Error, Result,
    cluster::{Node, Workload},
    control_plane::ControlPlane,
    handler::{Flags, Handler},
    interruption::Interruption,
    marks::TAINT,
    wait::wait_until,
};

/// Lets so many requests through and then nothing: what a handler had done when it was killed.
fn so_many(mut requests: u32) -> Script {
    Script::new().rule(Rule::decided(move |_, _| {
        let passes = requests > 0;
        requests = requests.saturating_sub(1);
        if passes {
            Injection::none()
        } else {
            Injection::from(Fault::BlackHole)
        }
    }))
}

/// How far the node says that its drain has come.
async fn phase(stage: &Stage, node: &Node) -> Result<String> {
    let node = stage.cluster.node(&node.name).await?;
    let annotations = node.metadata.annotations.unwrap_or_default();
    let memory = annotations.get(MEMORY_ANNOTATION).map(String::as_str);
    let memory: Value = serde_json::from_str(memory.unwrap_or("{}"))
        .map_err(|error| Error::Usage(error.to_string()))?;
    Ok(memory["phase"].as_str().unwrap_or("no phase").to_owned())
}

async fn has_one_quarantine(stage: &Stage, node: &Node) -> Result<()> {
    assert_eq!(taints(stage, node, TAINT).await?.len(), 1);
    assert_eq!(taints(stage, node, "spotInstance").await?.len(), 1);
    assert!(is_cordoned(stage, node).await?);
    Ok(())
}

pub(super) async fn a_handler_killed_after_any_request_is_carried_on(stage: &Stage) -> Result<()> {
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 4).exit_after(0.5);
    let pods = stage.cluster.deploy_on(&doomed, &web).await?;
    let deadline = Instant::now() + secs(60);
    for killed_after in 0..12 {
        stage.set_faults(so_many(killed_after));
        let before = stage.requests().len();
        let handling = Handling::start(stage, &doomed, &Rights::all(), stage.clock()).await?;
        handling.interrupt(deadline).await?;
        let all = usize::try_from(killed_after).unwrap_or_default();
        // One more is tried, and swallowed; near the end there is none to be tried.
        let more = |stage: &Stage| stage.requests().len() > before + all;
        let tried = wait_until("one more request", secs(4), async || {
            if more(stage) {
                Ok(())
            } else {
                Err("none".to_owned())
            }
        });
        let _ = tried.await;
        drop(handling);
    }
    stage.set_faults(Script::new());
    let last = Handling::start(stage, &doomed, &Rights::all(), stage.clock()).await?;
    last.interrupt(deadline).await?;
    // It may find that the one before had just finished, and has nothing left to do then.
    wait_until("the end of it", secs(40), async || {
        let phase = phase(stage, &doomed).await.map_err(|e| e.to_string())?;
        if phase == "drained" {
            Ok(())
        } else {
            Err(phase)
        }
    })
    .await?;
    drop(last);
    has_one_quarantine(stage, &doomed).await?;
    assert!(stage.cluster.pods_on(&doomed.name).await?.is_empty());
    let evicted = stage.requests().into_iter();
    let evicted = evicted.filter(|r| r.call() == Call::Evict && r.succeeded());
    let uids: Vec<_> = evicted.filter_map(|r| r.ending()?.uid).collect();
    // The answer to a killed handler is in no record; the next one sees that the pod is going.
    let once: BTreeSet<_> = uids.iter().cloned().collect();
    assert_eq!(once.len(), uids.len(), "evicted twice: {uids:?}");
    let pods: BTreeSet<_> = pods.into_iter().filter_map(|p| p.metadata.uid).collect();
    assert!(once.is_subset(&pods), "{once:?} of {pods:?}");
    Ok(())
}

pub(super) async fn the_shipping_binary_killed_twice_converges(stage: &Stage) -> Result<()> {
    let (plane, _) = stage.real_parts()?;
    let (doomed, _other) = stage.two_nodes().await?;
    let web = Workload::new("web", 3).exit_after(3.0);
    stage.cluster.deploy_on(&doomed, &web).await?;
    let as_is = |flags: Flags| flags;
    let first = Interruption::announce(plane, &doomed, secs(2), secs(40), as_is).await?;
    let says = |message: &'static str| move |line: &Value| line["message"] == message;
    let cordoned = says("node cordoned and tainted");
    first
        .handler
        .wait_for_log("the cordon", secs(30), cordoned)
        .await?;
    first.handler.process().kill()?;

    let second = again(plane, &first, &doomed).await?;
    let drains = says("drain started");
    second
        .wait_for_log("that it drains", secs(30), drains)
        .await?;
    second.process().kill()?;

    let third = again(plane, &first, &doomed).await?;
    let finished = third
        .wait_for_log("the end", secs(60), says("drain finished"))
        .await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");
    has_one_quarantine(stage, &doomed).await?;
    assert!(stage.cluster.pods_on(&doomed.name).await?.is_empty());
    Ok(())
}

async fn again(plane: &ControlPlane, first: &Interruption, node: &Node) -> Result<Handler> {
    let kubeconfig = plane.kubeconfig(&first.user)?;
    Handler::start(&Flags::run(&node.name, &kubeconfig, &first.metadata.url())).await
}
