//! All pods of a node under one budget that allows one disruption at a time: pods that end
//! quickly, replacements that are ready elsewhere at once.

use std::time::Duration;

use clap::Args;
use spot_tests::{
    Result,
    cluster::{Budget, Cluster, Node, Workload},
    control_plane::ControlPlane,
    figures::{DrainFigures, between},
};
use tokio::time::Instant;

use crate::{
    fixture::{drained, notice, two_nodes},
    sheet::time,
};

/// What `kubectl drain` is given: our drain ends as long before the deadline.
const KUBECTL: Duration = Duration::from_secs(115);

#[derive(Args)]
pub(crate) struct Options {
    /// How many pods
    #[arg(default_value_t = 110)]
    pods: usize,
    /// Seconds that a pod takes to end
    #[arg(long, default_value_t = 0.2)]
    exit_after: f64,
    /// The same with `kubectl drain --timeout 115s`, for comparison
    #[arg(long)]
    kubectl: bool,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    println!(
        "\n{} pods that take {} s to end, one budget, one disruption at a time, two minutes\n",
        options.pods, options.exit_after
    );
    println!("| who | pods evicted | a second | refused | requests | returned after |");
    println!("|---|---|---|---|---|---|");
    let (cluster, node) = guarded(plane, options).await?;
    let notice = notice(plane, &node).await?;
    let end = drained(&notice).await?.elapsed;
    row("ours", &notice.figures(plane).await?, end);
    cluster.delete().await?;

    if options.kubectl {
        let (cluster, node) = guarded(plane, options).await?;
        let (mark, start) = (plane.audit().mark(), Instant::now());
        let timeout = format!("--timeout={}s", KUBECTL.as_secs());
        let kubectl = plane.kubectl(["drain", "--ignore-daemonsets", &timeout, &node.name])?;
        kubectl.wait(KUBECTL + Duration::from_secs(30)).await?;
        let end = start.elapsed();
        let requests = plane.audit().of_user(mark, "kubectl").await?;
        row("kubectl drain", &DrainFigures::of(&requests), end);
        cluster.delete().await?;
    }
    println!("held to: serial progress to the end, few refusals (none with a watch on the budget)");
    Ok(())
}

async fn guarded(plane: &ControlPlane, options: &Options) -> Result<(Cluster, Node)> {
    let (cluster, node) = two_nodes(plane).await?;
    let workload = Workload::new("guarded", options.pods).exit_after(options.exit_after);
    cluster.deploy_on(&node, &workload).await?;
    cluster.budget(&workload, Budget::MaxUnavailable(1)).await?;
    cluster.wait_budget(workload.name(), 1).await?;
    Ok((cluster, node))
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred pods")]
fn row(who: &str, figures: &DrainFigures, end: Duration) {
    let took = figures
        .first_eviction
        .zip(figures.last_eviction)
        .map(|(first, last)| between(first, last).as_secs_f64())
        .filter(|took| *took > 0.0);
    let rate = took.map_or(0.0, |took| (figures.evicted - 1) as f64 / took);
    println!(
        "| {who} | {} | {rate:.2} | {} | {} | {} |",
        figures.evicted,
        figures.refused,
        figures.requests,
        time(Some(end)),
    );
}
