//! Lives through seeds of the simulation.
//!
//! `cargo run --release -p spot-tests --bin simulate -- --seed N` tells the story of one;
//! `-- --seeds A..B` lives through many, on all cores.

use std::{
    ops::{ControlFlow, Range},
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use clap::Parser;
use spot_tests::simulation::{self, Coverage, ENOUGH, Lived, Tally, live};
use tokio::time::Instant;

/// A quarter of a simulation's time goes to the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives through seeds of the simulation
#[derive(Parser)]
struct Simulate {
    /// Tells the story of this one
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Lives through these, the last one not
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Ends after so many seeds in which a rule was broken
    #[arg(long, default_value_t = 10)]
    most_wrong: u64,
    /// Tells the whole story of each of them
    #[arg(long)]
    stories: bool,
    /// Shows which faults and replies met drains in which phase, and names the holes
    #[arg(long)]
    coverage: bool,
    /// Prints a digest of all stories, to compare two builds
    #[arg(long)]
    digest: bool,
    /// How many at once [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text
        .split_once("..")
        .ok_or("write a range such as 0..1000")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let args = Simulate::parse();
    if let Some(seed) = args.seed {
        return tell(seed);
    }
    let began = Instant::now();
    let Summary {
        tally,
        coverage,
        digest,
    } = many(&args);
    if args.digest {
        println!("digest {digest:016x}");
    }
    if args.coverage {
        println!("{coverage}");
        let holes = coverage.holes();
        println!("{} holes, met less than {ENOUGH} times", holes.len());
        for hole in holes {
            println!("  {hole}");
        }
    }
    println!("{tally}\nin {:.1} s", began.elapsed().as_secs_f64());
    if tally.wrong > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn tell(seed: u64) -> ExitCode {
    match live(seed) {
        Ok(lived) => {
            print!("{}", lived.complaint());
            println!("{}", lived.tally());
            if lived.wrongs().is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            println!("seed {seed}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Summary {
    tally: Tally,
    coverage: Coverage,
    digest: u64,
}

/// Lives through all of them, or until too many went wrong.
fn many(args: &Simulate) -> Summary {
    let sum = Mutex::new(Summary::default());
    simulation::many(args.seeds.clone(), args.threads, |seed, lived| {
        let lived = tell_of(seed, lived, args.stories);
        let tally = lived.as_ref().map_or_else(failed, Lived::tally);
        let coverage = lived
            .as_ref()
            .filter(|_| args.coverage)
            .map(Lived::coverage);
        let digest = lived.as_ref().filter(|_| args.digest).map(Lived::digest);
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.tally += tally;
        sum.coverage += coverage.unwrap_or_default();
        // In whatever order they come.
        sum.digest ^= digest.unwrap_or_default();
        if sum.tally.wrong >= args.most_wrong {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One that could not be lived through.
fn failed() -> Tally {
    Tally {
        seeds: 1,
        wrong: 1,
        ..Tally::default()
    }
}

/// Tells what was wrong; `None` where it could not be lived through.
fn tell_of(seed: u64, lived: Result<Lived, String>, stories: bool) -> Option<Lived> {
    match lived {
        Ok(lived) => {
            match lived.wrongs() {
                [] => {}
                _ if stories => println!("{}", lived.complaint()),
                [first, more @ ..] => println!("seed {seed}: {first} (and {} more)", more.len()),
            }
            Some(lived)
        }
        Err(error) => {
            println!("seed {seed}: {error}");
            None
        }
    }
}
