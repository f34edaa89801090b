//! A node's drain beside `kubectl drain`.

use std::time::Duration;

use clap::Args;
use spot_tests::{Result, audit::tally, control_plane::ControlPlane, figures::DrainFigures};
use tokio::time::Instant;

use crate::fixture::{OWNERS, drained, full_node, invalid, notice};

#[derive(Args)]
pub(crate) struct Options {
    /// How many pods
    #[arg(default_values_t = [30, 110, 250])]
    pods: Vec<usize>,
    /// Seconds that a pod takes to end
    #[arg(long, default_value_t = 10.0)]
    exit_after: f64,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let exit_after = options.exit_after;
    println!("pods that take {exit_after} s to end, of {OWNERS} deployments, no budgets");
    println!("| pods | who | cordon to last accepted eviction | to the end | API requests |");
    println!("|---|---|---|---|---|");
    for &pods in &options.pods {
        let (cluster, node) = full_node(plane, pods, exit_after).await?;
        let notice = notice(plane, &node).await?;
        let end = drained(&notice).await?.elapsed;
        let figures = notice.figures(plane).await?;
        row("ours", pods, &figures, end)?;
        println!("|  | | | | {:?} |", tally(&notice.requests(plane).await?));
        cluster.delete().await?;

        let (cluster, node) = full_node(plane, pods, exit_after).await?;
        let mark = plane.audit().mark();
        let start = Instant::now();
        let kubectl = plane.kubectl(["drain", "--ignore-daemonsets", &node.name])?;
        kubectl.wait(Duration::from_secs(300)).await?;
        let end = start.elapsed();
        let figures = DrainFigures::of(&plane.audit().of_user(mark, "kubectl").await?);
        row("kubectl drain", pods, &figures, end)?;
        cluster.delete().await?;
    }
    println!("held to: requests at most pods + 8; 110 pods accepted within 1 s of the cordon");
    Ok(())
}

fn row(who: &str, pods: usize, figures: &DrainFigures, end: Duration) -> Result<()> {
    if figures.evicted != pods {
        let evicted = figures.evicted;
        return Err(invalid(format!("{who}: {evicted} of {pods} pods evicted")));
    }
    println!(
        "| {pods} | {who} | {:.3} s | {:.1} s | {} |",
        figures
            .cordon_to_last_eviction()
            .unwrap_or_default()
            .as_secs_f64(),
        end.as_secs_f64(),
        figures.requests,
    );
    Ok(())
}
