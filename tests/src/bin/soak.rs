//! What the tests do a few times, done many times.
//!
//! `cargo run -p spot-tests --bin soak -- kills --times 200 --seed N`

use clap::{Parser, Subcommand};
use spot_tests::{Error, Result, clock::wall_now, control_plane::ControlPlane, kills::Kills, rbac};

/// Soaks the shipping binary.
#[derive(Parser)]
struct Soak {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Kills the handler at a random moment of each drain and starts it again
    Kills {
        /// How many drains
        #[arg(long, default_value_t = 200)]
        times: usize,
        /// What the moments are drawn from [default: one of the clock's]
        #[arg(long)]
        seed: Option<u64>,
        /// How many drains go on at the same time
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
        at_once: u8,
    },
}

fn main() -> Result<()> {
    match Soak::parse().what {
        What::Kills {
            times,
            seed,
            at_once,
        } => kills(times, seed, usize::from(at_once)),
    }
}

#[tokio::main]
async fn kills(times: usize, seed: Option<u64>, at_once: usize) -> Result<()> {
    let plane = ControlPlane::start().await?;
    rbac::allow_handlers(&plane.client("admin")?).await?;
    let seed = seed.unwrap_or_else(|| wall_now().as_second().unsigned_abs());
    println!("{times} kills, seed {seed}");
    let kills = Kills {
        times,
        seed,
        at_once,
    };
    let rounds = kills.run(&plane, |round| println!("{round}")).await?;
    let wrong = rounds
        .iter()
        .filter(|round| !round.wrong.is_empty())
        .count();
    println!("{times} kills, seed {seed}: {wrong} of them went wrong");
    if wrong > 0 {
        return Err(Error::Usage(format!("{wrong} of {times} kills went wrong")));
    }
    Ok(())
}
