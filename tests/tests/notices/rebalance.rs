//! Rebalance recommendations: followed by an interruption, and by nothing.

use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{Result, marks::Marks, metadata_sim::MetadataSim};

use crate::stage::{A_WHILE, Stage, said, says, secs};

const KIND: &str = "rebalance-recommendation";

#[tokio::test]
async fn an_interruption_after_a_recommendation_takes_over() -> Result<()> {
    let stage = Stage::new("superseded").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    metadata.imds.announce(Announcement::rebalance());
    let on = [("--on", "rebalance-recommendation=cordon,min-age=0s")];
    let handler = stage.handler(&metadata.url, &on).await?;
    let cordoned = |marks: &Marks| marks.is(KIND, "cordoned");
    stage
        .cluster
        .wait_marks(&stage.node, "the cordon", A_WHILE, cordoned)
        .await?;
    assert_eq!(stage.pods_left().await?, 1);
    metadata
        .imds
        .announce(Announcement::spot(InstanceAction::Terminate).left(secs(60)));
    let drained = |marks: &Marks| marks.is("spot-interruption", "drained");
    stage
        .cluster
        .wait_marks(&stage.node, "the drain", A_WHILE, drained)
        .await?;
    says(&handler, "another notice leads now").await?;
    assert_eq!(stage.pods_left().await?, 0);
    stage.cluster.delete().await
}

#[tokio::test]
async fn a_recommendation_that_nothing_follows_gives_the_node_back_for_good() -> Result<()> {
    let stage = Stage::new("expires").await?;
    let metadata = MetadataSim::of(&stage.node.instance_id)?;
    metadata.imds.announce(Announcement::rebalance());
    let on = [("--on", "rebalance-recommendation=cordon,min-age=0s,ttl=8s")];
    let first = stage.handler(&metadata.url, &on).await?;
    let cordoned = |marks: &Marks| marks.is(KIND, "cordoned");
    stage
        .cluster
        .wait_marks(&stage.node, "the cordon", A_WHILE, cordoned)
        .await?;
    stage
        .cluster
        .wait_marks(&stage.node, "settled", A_WHILE, Marks::is_settled)
        .await?;
    // It stands still, and the next process leaves the node alone, whatever its policy's time.
    first.process().kill()?;
    let on = [(
        "--on",
        "rebalance-recommendation=cordon,min-age=0s,ttl=none",
    )];
    let second = stage.handler(&metadata.url, &on).await?;
    says(&second, "notices can be heard").await?;
    assert!(stage.cluster.marks(&stage.node).await?.is_settled());
    assert_eq!(said(&second, "node cordoned and tainted"), 0);
    stage.cluster.delete().await
}
