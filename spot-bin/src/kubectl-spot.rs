//! `kubectl spot`: the spot nodes of a cluster, their pods, and whether a notice would be enough.

mod exit;
mod kubectl_spot;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spot_drain::args::ClusterArgs;

use crate::exit::Exit;
use crate::kubectl_spot::{check, nodes, pods};

/// Lists spot nodes and their pods, and says whether a notice would be enough for them.
#[derive(Parser)]
#[command(
    name = "kubectl-spot",
    bin_name = "kubectl spot",
    version,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    cluster: ClusterArgs,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the nodes by their life cycle, with their taints
    Nodes(nodes::NodesArgs),
    /// List the pods on spot nodes
    Pods(pods::PodsArgs),
    /// Say for every spot node whether a notice would be enough, and what would keep it from being
    #[command(after_long_help = check::after_help())]
    Check(check::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Exit::bug(format!("no runtime: {error}")).report(),
    };
    let outcome = runtime.block_on(async {
        let cluster = cli.cluster.cluster().await.map_err(|e| {
            let line = exit::chain(&e);
            Exit::usage(format!("{line}; write --kubeconfig FILE or set KUBECONFIG"))
        })?;
        let label = &cli.cluster.spot_label;
        match &cli.command {
            Command::Nodes(args) => nodes::list(&cluster, label, args).await,
            Command::Pods(args) => pods::list(&cluster, label, args).await,
            Command::Check(args) => check::run(&cluster, &cli.cluster, args).await,
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}
