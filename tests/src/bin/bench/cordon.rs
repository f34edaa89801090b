//! From a notice to the cordon, with default polling.

use std::time::Duration;

use clap::Args;
use spot_tests::{
    Result,
    cluster::{Cluster, NodeSpec},
    control_plane::ControlPlane,
    figures::{between, median_and_max},
    interruption::Interruption,
    metadata_mock::TWO_MINUTES,
};
use tokio::time::sleep;

#[derive(Args)]
pub(crate) struct Options {
    /// How many notices
    #[arg(default_value_t = 50)]
    notices: usize,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let cluster = Cluster::create(&plane.client("admin")?, "bench").await?;
    let mut took = Vec::new();
    for n in 0..options.notices {
        let node = cluster.add_node(&NodeSpec::spot(&format!("n{n}"))).await?;
        // Handlers start at any moment of a second, notices show at its beginning.
        sleep(Duration::from_millis(37 * (n as u64 % 27))).await;
        let delay = Duration::from_secs(2);
        let notice =
            Interruption::announce(plane, &node, delay, TWO_MINUTES, |flags| flags).await?;
        notice.finished(Duration::from_secs(30)).await?;
        let shown = notice.metadata.notice().map(|notice| notice.shows_at);
        let cordoned = notice.figures(plane).await?.cordoned;
        if let (Some(shown), Some(cordoned)) = (shown, cordoned) {
            took.push(between(shown, cordoned));
        }
    }
    let (median, max) = median_and_max(&took).unwrap_or_default();
    println!("| notices | median notice to cordon | maximum |");
    println!("|---|---|---|");
    println!(
        "| {} | {:.3} s | {:.3} s |",
        took.len(),
        median.as_secs_f64(),
        max.as_secs_f64()
    );
    println!("held to: median at most 0.35 s, maximum at most 0.8 s");
    cluster.delete().await
}
