//! What the tests do a few times, done many times.
//!
//! `cargo run -p spot-tests --bin soak -- kills --times 200 --seed N`
//! `cargo run --release -p spot-tests --bin soak -- chaos --seeds 1000 --from N`

use clap::{Parser, Subcommand};
use spot_tests::{
    Error, Result, chaos::Hour, clock::wall_now, control_plane::ControlPlane, kills::Kills, rbac,
};

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
    /// Lives through hours of chaos in virtual time, on the simulators
    Chaos {
        /// How many hours, each of the next seed
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
}

fn main() -> Result<()> {
    match Soak::parse().what {
        What::Kills {
            times,
            seed,
            at_once,
        } => kills(times, seed, usize::from(at_once)),
        What::Chaos { seeds, from } => chaos(from, seeds),
    }
}

fn chaos(from: u64, seeds: u64) -> Result<()> {
    let mut sum = Hour::default();
    let mut wrong = 0_u64;
    for seed in from..from.saturating_add(seeds) {
        match spot_tests::chaos::live(seed) {
            Ok(hour) => sum += hour,
            Err(story) => {
                wrong += 1;
                println!("{story}");
            }
        }
    }
    println!("{seeds} hours from seed {from}: {wrong} of them went wrong; {sum}");
    if wrong > 0 {
        return Err(Error::Usage(format!("{wrong} of {seeds} hours went wrong")));
    }
    Ok(())
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
