//! The drain as a state machine: what is observed goes in, what is to be done comes out. Pure.
//!
//! It reads no clock and performs nothing:
//!
//! ```
//! use spot_drain::facts::PodFacts;
//! use spot_drain::plan::{Effect, Input, Plan, Settings};
//! use std::time::Duration;
//!
//! let now = tokio::time::Instant::now();
//! let mut plan = Plan::new(Settings::default(), Some(now + Duration::from_secs(120)), now);
//! let mut effects = Vec::new();
//! let pod: PodFacts = serde_json::from_str(r#"{"metadata": {"uid": "u", "name": "web-1"}}"#).unwrap();
//! plan.on(Input::Listed(vec![pod]), now, &mut effects);
//! assert!(matches!(&effects[..], [Effect::Evict(call)] if call.name == "web-1"));
//! // Perform the effect, hand its answer back, sleep until `plan.next_wake(now)`, …
//! ```
//!
//! Effects other than [`Effect::Relist`], [`Effect::WatchBudgets`] and
//! [`Effect::WatchReplicaSets`] are single calls, which
//! [`perform`](crate::driver::perform) makes. [`Fleet`] is the same for many nodes.
//!
//! What it promises:
//! - no mirror pod, no pod of a live DaemonSet, not our own pod: never an effect;
//! - [`BudgetPolicy::Respect`] never yields a [`Effect::Delete`];
//! - every call names the UID that was observed, and there is one call per pod at a time;
//! - a grace that is sent is at least 1 s and ends within the window;
//! - a pod is gone only when it was seen to be: a delete event, a list without it, another
//!   pod in its place, or the API server's 404;
//! - pods that stand under no budget go at once, those under one budget one at a time, and no
//!   more than it was seen to allow;
//! - a closed budget is watched, is probed by one pod at a time, and holds no slot meanwhile;
//! - where replacements are made first, a pod is detached before the time that its grace needs, and
//!   evicted when its replacement is ready, or at that time; what was detached is evicted, or put
//!   back where the drain is called off;
//! - a server that does not answer is asked by one call a second, and by all once it does.

mod answer;
mod daemon_sets;
mod drain;
mod entry;
mod exchange;
mod fleet;
mod lane;
mod making;
mod outcome;
mod pace;
mod returns;
mod rights;
mod settings;
mod shared;
mod suspicion;
mod turn;
mod volumes;
mod workloads;

pub use exchange::{Call, Detach, Effect, Input, Learnt, Reattach};
pub use fleet::Fleet;
pub use settings::{BudgetPolicy, Limits, Settings};

use std::time::Duration;

use spot_core::deadline::HORIZON;
use spot_core::drainer::DrainOutcome;
use tokio::time::Instant;

use crate::observer::Overview;
use crate::report::Report;
use crate::window::Window;
use drain::Drain;
use shared::Shared;

/// How long a drain stays after it began and after it first saw a pod: another may be bound
/// before the cordon holds.
const LINGER: Duration = Duration::from_secs(1);

/// How long a cancelled drain waits for the answers of calls under way: one that is cut off may
/// leave the pod running and its budget spent.
const ANSWERS: Duration = Duration::from_secs(2);

/// How long a cancelled drain stays to put back what was detached.
const PUTTING_BACK: Duration = Duration::from_secs(20);

/// The drain of one node. See the [module](self).
#[derive(Debug)]
pub struct Plan {
    drain: Drain,
    shared: Shared,
}

impl Plan {
    /// A drain that starts at `now` on a machine that goes at `deadline`.
    pub fn new(settings: Settings, deadline: Option<Instant>, now: Instant) -> Self {
        Self {
            shared: Shared::new(settings.limits),
            drain: Drain::new(settings, deadline, now),
        }
    }

    /// The drain's times.
    pub fn window(&self) -> Window {
        self.drain.window
    }

    /// Takes an input at `now`; what is to be done is appended to `effects`.
    pub fn on(&mut self, input: Input, now: Instant, effects: &mut Vec<Effect>) {
        self.drain.on(input, now, &mut self.shared, effects);
        self.drain.schedule(now, &mut self.shared, effects);
    }

    /// When [`Input::Woken`] is due.
    pub fn next_wake(&self, now: Instant) -> Instant {
        self.drain.next_wake(now, &self.shared)
    }

    /// How the drain has ended at `now`, where it has.
    pub fn outcome(&self, now: Instant) -> Option<DrainOutcome> {
        self.drain.outcome(now, &self.shared)
    }

    /// What is to be done, as it looks at `now`; `None` while it is not known what is on the
    /// node.
    pub fn overview(&self, now: Instant) -> Option<Overview> {
        self.drain.overview(now)
    }

    /// What has become of the pods at `now`.
    pub fn report(&self, now: Instant) -> Report {
        self.drain.report(now, &self.shared)
    }
}

/// `span` after `now`; an absurd span ends at the horizon.
fn after(now: Instant, span: Duration) -> Instant {
    now + span.min(HORIZON)
}

#[cfg(test)]
mod tests;
