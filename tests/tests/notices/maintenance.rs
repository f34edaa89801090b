//! Scheduled maintenance: taken back, and with a reboot.

use spot_imds::sim::Announcement;
use spot_tests::{Result, marks::Marks, metadata_sim::MetadataSim};

use crate::stage::{A_WHILE, Stage, said, says, secs};

const KIND: &str = "scheduled-maintenance";

fn reboot() -> Announcement {
    Announcement::maintenance("system-reboot")
}

#[tokio::test]
async fn maintenance_that_is_cancelled_gives_the_node_back() -> Result<()> {
    let stage = Stage::new("cancelled").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let event = metadata.imds.announce(reboot().left(secs(600)));
    let handler = stage.handler(&metadata.url, &[]).await?;
    let drained = |marks: &Marks| marks.is(KIND, "drained");
    stage
        .cluster
        .wait_marks(&stage.node, "the drain", A_WHILE, drained)
        .await?;
    assert_eq!(stage.pods_left().await?, 0);
    metadata.imds.cancel(event);
    stage
        .cluster
        .wait_marks(&stage.node, "nothing", A_WHILE, Marks::is_none)
        .await?;
    let ended = says(&handler, "the notice stands no longer").await?;
    assert_eq!(ended["how"], "cancelled");
    assert_eq!(said(&handler, "drain started"), 1);
    stage.cluster.delete().await
}

#[tokio::test]
async fn maintenance_in_weeks_is_cancelled_without_a_trace() -> Result<()> {
    let stage = Stage::new("weeks").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let event = metadata.imds.announce(reboot());
    let handler = stage.handler(&metadata.url, &[]).await?;
    says(&handler, "the notice waits for its time").await?;
    metadata.imds.cancel(event);
    says(&handler, "the notice stands no longer").await?;
    assert!(stage.cluster.marks(&stage.node).await?.is_none());
    assert_eq!(stage.pods_left().await?, 1);
    stage.cluster.delete().await
}

/// A drain for a reboot in a few seconds, the reboot, and the handler that comes up after it.
async fn rebooted(stage: &Stage, metadata: &MetadataSim) -> Result<spot_tests::handler::Handler> {
    let before = stage.handler(&metadata.url, &[]).await?;
    let drained = |marks: &Marks| marks.memory["phase"] == "drained";
    stage
        .cluster
        .wait_marks(&stage.node, "the drain", A_WHILE, drained)
        .await?;
    assert_eq!(stage.pods_left().await?, 0);
    // Its time comes; the machine goes with all that is on it, and comes back.
    let due = std::time::Duration::from_secs(4);
    tokio::time::sleep(due).await;
    before.process().kill()?;
    stage.cluster.reboot(&stage.node, "another-boot").await?;
    stage.handler(&metadata.url, &[]).await
}

#[tokio::test]
async fn a_node_that_is_back_from_its_reboot_is_given_back_and_not_drained_again() -> Result<()> {
    let stage = Stage::new("reboot").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    let event = metadata.imds.announce(reboot().left(secs(4)));
    let after = rebooted(&stage, &metadata).await?;
    // EC2 shows the event for a while after the reboot.
    let settled = Marks::is_settled;
    stage
        .cluster
        .wait_marks(&stage.node, "settled", A_WHILE, settled)
        .await?;
    // Also a third process leaves it alone.
    after.process().kill()?;
    let third = stage.handler(&metadata.url, &[]).await?;
    says(&third, "notices can be heard").await?;
    metadata.imds.with(|imds, now| imds.complete(event, now));
    stage
        .cluster
        .wait_marks(&stage.node, "nothing", A_WHILE, Marks::is_none)
        .await?;
    for handler in [&after, &third] {
        assert_eq!(said(handler, "drain started"), 0);
    }
    stage.cluster.delete().await
}

#[tokio::test]
async fn a_node_that_somebody_else_had_cordoned_stays_cordoned_after_its_reboot() -> Result<()> {
    let stage = Stage::new("foreign-cordon").await?;
    stage.cluster.cordon(&stage.node.name, true).await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    metadata.imds.announce(reboot().left(secs(4)));
    let _after = rebooted(&stage, &metadata).await?;
    let free = |marks: &Marks| marks.cordoned && marks.taints.is_empty() && !marks.excluded;
    let marks = stage
        .cluster
        .wait_marks(&stage.node, "their cordon", A_WHILE, free)
        .await?;
    assert_eq!(marks.memory["cordoned"], false, "{marks:?}");
    stage.cluster.delete().await
}
