//! Lives through seeds of the simulation.
//!
//! `cargo run --release -p spot-tests --bin simulate -- --seed N` tells the story of one;
//! `-- --seeds A..B` lives through many, on all cores.

use std::{
    ops::Range,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use clap::Parser;
use spot_tests::simulation::{Coverage, ENOUGH, Lived, Tally, live};
use tokio::time::Instant;

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

/// FNV-1a of a story, begun with its seed.
fn hash(seed: u64, story: &str) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    story.bytes().fold(begin, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Each thread takes the next seed, until none is left or too many went wrong.
fn many(args: &Simulate) -> Summary {
    let next = AtomicU64::new(args.seeds.start);
    let wrong = AtomicU64::new(0);
    let worker = || {
        let mut sum = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.seeds.end || wrong.load(Ordering::Relaxed) >= args.most_wrong {
                return sum;
            }
            match one(seed, args.stories, &wrong) {
                Some(lived) => {
                    sum.tally += lived.tally();
                    if args.coverage {
                        sum.coverage += lived.coverage();
                    }
                    if args.digest {
                        // In whatever order they come.
                        sum.digest ^= hash(seed, &lived.story().to_string());
                    }
                }
                None => {
                    sum.tally += Tally {
                        seeds: 1,
                        wrong: 1,
                        ..Tally::default()
                    }
                }
            }
        }
    };
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or_else(cores).max(1);
    let mut all = Summary::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            match worker.join() {
                Ok(sum) => {
                    all.tally += sum.tally;
                    all.coverage += sum.coverage;
                    all.digest ^= sum.digest;
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}

/// Lives through one, and tells what was wrong; `None` where it could not be lived through.
fn one(seed: u64, stories: bool, wrong: &AtomicU64) -> Option<Lived> {
    let lived = match std::panic::catch_unwind(|| live(seed)) {
        Ok(Ok(lived)) if lived.wrongs().is_empty() => return Some(lived),
        Ok(Ok(lived)) => {
            if stories {
                println!("{}", lived.complaint());
            } else {
                let more = lived.wrongs().len() - 1;
                println!("seed {seed}: {} (and {more} more)", lived.wrongs()[0]);
            }
            Some(lived)
        }
        Ok(Err(error)) => {
            println!("seed {seed}: {error}");
            None
        }
        Err(_) => {
            println!("seed {seed}: a panic");
            None
        }
    };
    wrong.fetch_add(1, Ordering::Relaxed);
    lived
}
