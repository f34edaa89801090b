//! The whole handler in a world of its own, in virtual time, replayed from a seed.
//!
//! The real metadata client, the real Kubernetes client and all that decodes for them run on both
//! simulators in one single-threaded runtime whose time is paused. A seed says which nodes and
//! workloads there are, what EC2 announces, what breaks, who is killed and what others do
//! meanwhile (`plot`); it is acted out (`stage`), and judged by what the simulated servers
//! saw (`judge`). The same seed is the same story, to the byte.

mod coverage;
mod digest;
mod evidence;
mod judge;
mod plot;
mod stage;
mod story;
mod tally;

use std::{
    ops::{ControlFlow, Range},
    panic::catch_unwind,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use spot_core::sim::Timeline;

use evidence::Evidence;
use judge::Verdict;
use plot::Plot;

pub use coverage::{Coverage, ENOUGH};
pub use judge::Wrong;
pub use tally::Tally;

/// What came of a seed.
pub struct Lived {
    seed: u64,
    plot: Plot,
    evidence: Evidence,
    verdict: Verdict,
}

/// Lives through a seed.
///
/// # Errors
/// Where the simulation itself could not be set up.
pub fn live(seed: u64) -> Result<Lived, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let plot = Plot::draw(seed);
    let evidence = runtime.block_on(async { stage::Stage::new(seed, &plot).act().await })?;
    let verdict = judge::judge(&plot, &evidence);
    Ok(Lived {
        seed,
        plot,
        evidence,
        verdict,
    })
}

/// Lives through seeds on so many threads, one a core where that is not said, in whatever order they
/// come, until `each` breaks it off.
pub fn many(
    seeds: Range<u64>,
    threads: Option<usize>,
    each: impl Fn(u64, Result<Lived, String>) -> ControlFlow<()> + Sync,
) {
    let next = AtomicU64::new(seeds.start);
    let over = AtomicBool::new(false);
    let worker = || {
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let lived = catch_unwind(|| live(seed)).unwrap_or(Err("a panic".to_owned()));
            if each(seed, lived).is_break() {
                over.store(true, Ordering::Relaxed);
            }
        }
    };
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.unwrap_or_else(cores).max(1) {
            scope.spawn(worker);
        }
    });
}

impl Lived {
    /// The rules that were broken, by time.
    pub fn wrongs(&self) -> &[Wrong] {
        &self.verdict.wrongs
    }

    /// What it held.
    pub fn tally(&self) -> Tally {
        tally::count(&self.plot, &self.evidence, &self.verdict)
    }

    /// Which faults and replies met its drains, and when.
    pub fn coverage(&self) -> Coverage {
        coverage::cover(&self.plot, &self.evidence)
    }

    /// What happened, as a table.
    pub fn story(&self) -> Timeline {
        story::tell(&self.plot, &self.evidence, &self.verdict)
    }

    /// All that happened, in a number.
    pub fn digest(&self) -> u64 {
        digest::digest(self)
    }

    /// The seed, what was wrong, and the whole story.
    pub fn complaint(&self) -> String {
        let wrongs: Vec<String> = self.wrongs().iter().map(Wrong::to_string).collect();
        let seed = self.seed;
        format!("seed {seed}\n  {}\n{}", wrongs.join("\n  "), self.story())
    }
}
