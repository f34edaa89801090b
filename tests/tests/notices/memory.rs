//! What is remembered: carried on by a new process in every state, never by another instance or
//! another boot; and two processes at once.

use serde_json::json;
use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{
    Result,
    audit::tally,
    cluster::{Budget, NodeSpec, Workload},
    marks::Marks,
    metadata_sim::MetadataSim,
};

use crate::stage::{A_WHILE, Stage, said, says, secs};

const SPOT: &str = "spot-interruption";

fn interruption(left: u64) -> Announcement {
    Announcement::spot(InstanceAction::Terminate).left(secs(left))
}

#[tokio::test]
async fn a_process_that_starts_anew_converges_from_every_state() -> Result<()> {
    let stage = Stage::new("restarts").await?;
    let web = Workload::new("web", 1);
    stage.cluster.budget(&web, Budget::MinAvailable(1)).await?;
    stage.cluster.wait_budget("web", 0).await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let on = [("--on", "rebalance-recommendation=cordon,min-age=0s")];
    let start = || stage.handler(&metadata.url, &on);
    let node = &stage.node;

    // Idle.
    let first = start().await?;
    says(&first, "notices can be heard").await?;
    first.process().kill()?;
    // With a notice that waits.
    let event = metadata
        .imds
        .announce(Announcement::maintenance("system-reboot"));
    let waiting = start().await?;
    says(&waiting, "the notice waits for its time").await?;
    waiting.process().kill()?;
    metadata.imds.cancel(event);
    // Cordoned.
    metadata.imds.announce(Announcement::rebalance());
    let cordons = start().await?;
    let cordoned = |marks: &Marks| marks.is("rebalance-recommendation", "cordoned");
    let marks = stage
        .cluster
        .wait_marks(node, "the cordon", A_WHILE, cordoned)
        .await?;
    cordons.process().kill()?;
    let carries_on = start().await?;
    says(&carries_on, "notices can be heard").await?;
    let since = &stage.cluster.marks(node).await?.memory["since"];
    assert_eq!(*since, marks.memory["since"], "it is the same cordon");
    // Draining, with a pod that its budget holds.
    metadata.imds.announce(interruption(25));
    let draining = |marks: &Marks| marks.is(SPOT, "draining");
    stage
        .cluster
        .wait_marks(node, "the drain", A_WHILE, draining)
        .await?;
    carries_on.process().kill()?;
    let drains = start().await?;
    says(&drains, "drain started").await?;
    let drained = |marks: &Marks| marks.is(SPOT, "drained");
    stage
        .cluster
        .wait_marks(node, "the end", A_WHILE, drained)
        .await?;
    // Drained: not again.
    drains.process().kill()?;
    let last = start().await?;
    says(&last, "notices can be heard").await?;
    says(&last, "node cordoned and tainted").await?;
    assert_eq!(said(&last, "drain started"), 0);
    assert!(stage.cluster.marks(node).await?.is(SPOT, "drained"));
    stage.cluster.delete().await
}

/// What an interrupted instance left behind.
fn left_behind(instance: &str, boot: &str) -> serde_json::Value {
    json!({
        "v": 1, "instance": instance, "boot": boot, "cordoned": true, "excluded": false,
        "notice": {"id": SPOT, "kind": SPOT, "action": "stop"},
        "deadline": "2099-01-01T00:00:00Z", "phase": "draining", "since": "2026-01-01T00:00:00Z",
    })
}

#[tokio::test]
async fn a_node_name_that_another_instance_has_now_is_given_back_and_not_drained() -> Result<()> {
    let stage = Stage::new("reused").await?;
    let memory = left_behind("i-0fedcba9876543210", &stage.node.boot_id);
    stage.cluster.leave(&stage.node, SPOT, &memory).await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let handler = stage.handler(&metadata.url, &[]).await?;
    stage
        .cluster
        .wait_marks(&stage.node, "nothing", A_WHILE, Marks::is_none)
        .await?;
    assert_eq!(said(&handler, "drain started"), 0);
    assert_eq!(stage.pods_left().await?, 1);
    stage.cluster.delete().await
}

#[tokio::test]
async fn an_instance_that_was_stopped_and_started_is_given_back_and_not_drained() -> Result<()> {
    let stage = Stage::new("stop-start").await?;
    let memory = left_behind(&stage.node.instance_id, &stage.node.boot_id);
    stage.cluster.leave(&stage.node, SPOT, &memory).await?;
    stage.cluster.reboot(&stage.node, "started-again").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let handler = stage.handler(&metadata.url, &[]).await?;
    stage
        .cluster
        .wait_marks(&stage.node, "nothing", A_WHILE, Marks::is_none)
        .await?;
    assert_eq!(said(&handler, "drain started"), 0);
    // Its next interruption is drained like any other.
    metadata.imds.announce(interruption(60));
    let drained = |marks: &Marks| marks.is(SPOT, "drained");
    let marks = stage
        .cluster
        .wait_marks(&stage.node, "the drain", A_WHILE, drained)
        .await?;
    assert_eq!(marks.memory["boot"], "started-again");
    assert_eq!(stage.pods_left().await?, 0);
    stage.cluster.delete().await
}

#[tokio::test]
async fn two_handlers_of_one_node_do_no_harm() -> Result<()> {
    let stage = Stage::with("rollout", NodeSpec::spot("doomed")).await?;
    let web = Workload::new("more", 8);
    stage.cluster.deploy_on(&stage.node, &web).await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let mark = stage.plane.audit().mark();
    let one = stage.handler(&metadata.url, &[]).await?;
    let two = stage.handler(&metadata.url, &[]).await?;
    for handler in [&one, &two] {
        says(handler, "notices can be heard").await?;
    }
    let event = metadata
        .imds
        .announce(Announcement::maintenance("instance-stop").left(secs(60)));
    for handler in [&one, &two] {
        let finished = says(handler, "drain finished").await?;
        assert_eq!(finished["outcome"], "complete", "{finished}");
    }
    let drained = |marks: &Marks| marks.is("scheduled-maintenance", "drained");
    stage
        .cluster
        .wait_marks(&stage.node, "the drain", A_WHILE, drained)
        .await?;
    assert_eq!(stage.pods_left().await?, 0);
    stage.cluster.wait_ready("more", 8).await?;
    let requests = stage.plane.audit().of_user(mark, stage.user()).await?;
    let patches = requests
        .iter()
        .filter(|r| r.kind() == "patch nodes")
        .count();
    assert!(patches <= 12, "they do not fight: {:?}", tally(&requests));
    let evicted = requests.iter().filter(|r| r.has_evicted()).count();
    assert!(
        evicted <= 2 * 9,
        "each evicts a pod once at most: {:?}",
        tally(&requests)
    );
    // Both give it back, and neither what the other has.
    metadata.imds.cancel(event);
    for handler in [&one, &two] {
        says(handler, "node released").await?;
    }
    stage
        .cluster
        .wait_marks(&stage.node, "nothing", A_WHILE, Marks::is_none)
        .await?;
    stage.cluster.delete().await
}
