//! The scenarios of the specification, each written once and played on a real control plane and
//! in the simulator.
//!
//! A scenario is a function of a [`Stage`]: it builds a small cluster, breaks what it likes by a
//! [`script`] of faults, drains, and looks at the report, at the cluster and at the bytes of the
//! handler's requests. What every drain promises is checked on each of them by the way
//! ([`drained::Drained`]).
//!
//! [`SCENARIOS`] is the list; `docs/scenarios.md` is the same for readers. The binaries
//! `scenarios_real` and `scenarios_sim` run it:
//!
//! ```text
//! cargo test -p spot-tests --test scenarios_real -- scenario_13
//! ```

mod budgets;
mod denied;
mod document;
mod drain;
pub mod drained;
mod ends;
mod handling;
mod inputs;
mod list;
mod outages;
mod pods;
mod quarantine;
mod replaced;
mod replacements;
mod restarts;
mod rights;
pub mod runner;
pub mod script;
pub mod stage;
mod times;
mod troubles;
mod watches;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

pub use document::document;
pub use drain::{Drain, DrainOf};
pub use handling::Handling;
pub use list::SCENARIOS;
pub use stage::Stage;

use crate::Result;
use stage::Kind;

/// Where a scenario plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stages {
    /// On both stages.
    Both,
    /// On the real control plane only.
    RealOnly {
        /// Why not in the simulator.
        why: &'static str,
    },
    /// In the simulator only.
    SimulatorOnly {
        /// Why not on the real control plane.
        why: &'static str,
    },
}

/// A scenario: what happens, and what must come of it.
pub struct Scenario {
    /// Its number in the specification, or what it belongs to.
    pub number: Number,
    /// The name of its test, without the number.
    pub name: &'static str,
    /// What happens and what must come of it.
    pub what: &'static str,
    /// Where it plays.
    pub stages: Stages,
    play: for<'a> fn(&'a Stage) -> LocalBoxFuture<'a, Result<()>>,
}

/// What a scenario belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// The specification's list.
    Listed(u8),
    /// The course of an outage or of an order.
    Outage,
    /// Input that is not what it should be.
    BadInput,
    /// Replacements that are made first.
    Replacement,
}

impl Scenario {
    /// The test's name, such as `scenario_13_an_opened_budget_is_used_within_a_second`.
    pub fn test(&self) -> String {
        match self.number {
            Number::Listed(number) => format!("scenario_{number:02}_{}", self.name),
            Number::Outage => format!("outage_{}", self.name),
            Number::BadInput => format!("bad_input_{}", self.name),
            Number::Replacement => format!("make_before_break_{}", self.name),
        }
    }

    /// Whether it plays there.
    pub fn plays_on(&self, kind: Kind) -> bool {
        match self.stages {
            Stages::Both => true,
            Stages::RealOnly { .. } => kind == Kind::Real,
            Stages::SimulatorOnly { .. } => kind == Kind::Simulator,
        }
    }

    /// Plays it.
    ///
    /// # Errors
    /// What went wrong; an assertion that does not hold panics.
    pub async fn play(&self, stage: &Stage) -> Result<()> {
        (self.play)(stage).await
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
