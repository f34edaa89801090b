//! `spot-interrupt-handler`: sees that EC2 takes this node's instance back, quarantines the
//! node and moves its pods away in time.

mod demo;
mod exit;
mod health;
mod log;
mod run;
mod signals;
mod simulate;
mod tellers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// Sees that EC2 takes a Spot instance back, cordons its node and drains it in time.
#[derive(Parser)]
#[command(name = "spot-interrupt-handler", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look after one node: the daemon
    #[command(after_long_help = run::AFTER_HELP)]
    Run(Box<run::RunArgs>),
    /// See a node saved in seconds, on a simulated cluster: nothing to install, no network
    Demo,
    /// Serve simulated instance metadata with a notice in it, for a rehearsal
    #[command(after_long_help = simulate::AFTER_HELP)]
    Simulate(simulate::SimulateArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    // One thread is plenty: the daemon waits nearly all the time.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Exit::bug(format!("no runtime: {error}")).report(),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(*args).await,
            Command::Demo => demo::demo().await,
            Command::Simulate(args) => simulate::simulate(args).await,
        }
    });
    // Nothing is left that matters; a look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}
