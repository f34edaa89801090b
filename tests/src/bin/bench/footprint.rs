//! Size, memory and idle CPU.

use std::time::Duration;

use clap::Args;
use spot_tests::{
    Result,
    control_plane::ControlPlane,
    error::Context as _,
    handler::{self, Flags, Handler},
    metadata_mock::MetadataMock,
    resources,
};
use tokio::time::sleep;

use crate::{
    fixture::{drained, full_node, notice},
    sheet::{MIB, size},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for which idleness is watched
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let binary = handler::binary().await?;
    let bytes = std::fs::metadata(binary)
        .context("size of the binary")?
        .len();
    println!("binary: {:.2} MB (held to: 9)", size(bytes, 1e6));

    let (cluster, node) = full_node(plane, 110, 10.0).await?;
    let metadata = MetadataMock::quiet(&node.instance_id).await?;
    let user = plane.take_handler_user()?;
    let flags = Flags::run(&node.name, &plane.kubeconfig(&user)?, &metadata.url());
    let handler = Handler::start(&flags).await?;
    sleep(Duration::from_secs(5)).await;
    let pid = handler.process().pid();
    let cpu = resources::cpu_share(pid, Duration::from_secs(options.idle)).await?;
    let resident = resources::resident_bytes(pid)?;
    println!(
        "idle: {:.2} MiB resident (held to: 10)",
        size(resident, MIB)
    );
    println!(
        "idle: {:.3} % of one CPU over {} s (held to: 0.3)",
        cpu * 100.0,
        options.idle
    );
    drop(handler);

    let notice = notice(plane, &node).await?;
    drained(&notice).await?;
    let peak = resources::peak_resident_bytes(notice.handler.process().pid())?;
    println!(
        "draining 110 pods: {:.2} MiB resident at most (held to: 16)",
        size(peak, MIB)
    );
    cluster.delete().await
}
