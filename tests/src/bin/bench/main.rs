//! Figures of the shipping binary on the real control plane, each beside what it is held to.
//!
//! `cargo run -p spot-tests --bin bench -- NAME`; compare ratios of one run, not seconds of two
//! machines. Times are the audit log's wherever it can tell them.

mod blocked;
mod bystander;
mod check;
mod cordon;
mod damage;
mod drain;
mod fixture;
mod floor;
mod footprint;
mod one_budget;
mod outage;
mod sheet;
mod zone;

use clap::{Parser, Subcommand};
use spot_tests::{Result, handler};

/// Measures the handler.
#[derive(Parser)]
struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A node's drain, side by side with `kubectl drain`
    Drain(drain::Options),
    /// The floor: a bare client that posts the same evictions, and ours, by turns
    Floor(floor::Options),
    /// From a notice to the cordon, with default polling
    Cordon(cordon::Options),
    /// Size, memory and idle CPU
    Footprint(footprint::Options),
    /// Ten pods that a closed budget holds for two minutes, and ten free ones
    Blocked(blocked::Options),
    /// All pods of a node under one budget that allows one disruption at a time
    OneBudget(one_budget::Options),
    /// An API server that is away for twenty seconds of the drain, or to its end
    Outage(outage::Options),
    /// `kubectl spot check` of 200 nodes with 30 pods each, in the simulator
    Check(check::Options),
    /// A zone's worth of nodes, reclaimed at one moment
    Zone(zone::Options),
    /// What users lose by an interruption, beside `kubectl drain`
    Damage(damage::Options),
}

#[tokio::main]
async fn main() -> Result<()> {
    let bench = Bench::parse();
    if let What::Check(options) = &bench.what {
        return check::run(options).await;
    }
    handler::binary().await?;
    match bench.what {
        What::Drain(options) => drain::run(&fixture::plane().await?, &options).await,
        What::Floor(options) => floor::run(&fixture::plane().await?, &options).await,
        What::Cordon(options) => cordon::run(&fixture::plane().await?, &options).await,
        What::Footprint(options) => footprint::run(&fixture::plane().await?, &options).await,
        What::Blocked(options) => blocked::run(&fixture::plane().await?, &options).await,
        What::OneBudget(options) => one_budget::run(&fixture::plane().await?, &options).await,
        What::Outage(options) => outage::run(&options).await,
        What::Check(options) => check::run(&options).await,
        What::Zone(options) => zone::run(&fixture::plane().await?, &options).await,
        What::Damage(options) => damage::run(&fixture::plane().await?, &options).await,
    }
}
