//! When the chain is checked, and what was found last.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::armed::{Finding, Link, SelfCheck};
use crate::deadline::HORIZON;
use crate::notice::Instance;

/// The time from one check to the next, unless set.
pub const SELF_CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// How long after the start the first check is made, at most: long enough that a group of nodes
/// that start together do not ask together.
const FIRST: Duration = Duration::from_secs(30);

/// The longest that a check is waited for.
const LONGEST: Duration = Duration::from_secs(60);

/// One check at a time, an interval or a little more apart.
pub(super) struct SelfChecks {
    check: Arc<dyn SelfCheck>,
    interval: Duration,
    /// From 0 to 1: this process's own place in time.
    place: f64,
    due: Option<Instant>,
    running: JoinSet<Vec<Finding>>,
}

impl SelfChecks {
    /// Checks from time to time; never, without an interval.
    pub(super) fn new(
        check: Arc<dyn SelfCheck>,
        interval: Option<Duration>,
        seed: Option<u64>,
    ) -> Self {
        let now = Instant::now();
        let (place, interval) = (place(seed), interval.map(|interval| interval.min(HORIZON)));
        Self {
            // Not before the sources have had time to be heard.
            due: interval.map(|interval| now + FIRST.min(interval).mul_f64(0.2 + 0.8 * place)),
            check,
            interval: interval.unwrap_or_default(),
            place,
            running: JoinSet::new(),
        }
    }

    /// Waits until a check is due, then until it is done. Cancel-safe.
    pub(super) async fn next(&mut self, instance: Option<&Instance>) -> Vec<Finding> {
        let Some(due) = self.due else {
            return std::future::pending().await;
        };
        if self.running.is_empty() {
            sleep_until(due).await;
            let (check, instance) = (Arc::clone(&self.check), instance.cloned());
            self.running.spawn(async move {
                let found = timeout(LONGEST, check.check(instance)).await;
                let hangs = format!("the check did not end within {} s", LONGEST.as_secs());
                found.unwrap_or_else(|_| vec![failed(hangs)])
            });
            // Never sooner than asked for: a tenth later at the most.
            self.due =
                Some(Instant::now() + self.interval + (self.interval / 10).mul_f64(self.place));
        }
        match self.running.join_next().await {
            Some(Ok(findings)) => findings,
            // Nothing that a notice needs: it is tried again at its time.
            Some(Err(error)) => vec![failed(format!("the check itself failed: {error}"))],
            None => Vec::new(),
        }
    }
}

/// A number from 0 to 1: the seed's, or one that differs from process to process.
fn place(seed: Option<u64>) -> f64 {
    // The multiplier spreads small seeds (Knuth, multiplicative hashing).
    let any = seed.map_or_else(
        || RandomState::new().hash_one(0_u8),
        |seed| seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    );
    f64::from(u32::try_from(any >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

fn failed(reason: String) -> Finding {
    let remedy = "see that the API server answers from this node";
    Finding::broken(Link::Connection, reason, remedy)
}
