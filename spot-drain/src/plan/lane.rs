//! How many pods that stand under one budget are evicted at once.
//!
//! Evictions under one budget conflict inside the API server, which then sleeps half a second:
//! they go one at a time, and pods under no budget all at once. Until it is known which budget
//! a pod stands under (or where that cannot be learnt), pods of one owner are taken to share
//! one that may not be there: they go one at a time at first, twice as many after each quick
//! acceptance and half as many after a slow one. A refusal tells the budget: from then on all pods that it refused share its
//! lane, and one of them at a time asks whether it has opened.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::Budgets;
use crate::facts::{PodFacts, Uid};
use crate::reply::Refusal;

/// The first pause before a closed budget is asked again, and the longest.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// An acceptance that took this long may have waited for a conflict.
const CONFLICT: Duration = Duration::from_millis(400);
/// The most evictions under way in a lane.
const WIDEST: usize = 16;

/// What pods of a lane have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LaneKey {
    /// A budget, by namespace and name.
    Budget(String, String),
    /// An owner, by UID.
    Owner(String),
    /// Nothing: a pod of its own, by UID.
    Alone(String),
    /// No budget stands over it.
    Free,
}

impl LaneKey {
    /// The lane of a pod that no budget has refused.
    pub(super) fn of(pod: &PodFacts) -> Self {
        match &pod.owner {
            Some(owner) => Self::Owner(owner.uid.0.clone()),
            None => Self::Alone(pod.uid.0.clone()),
        }
    }
}

#[derive(Debug)]
struct Lane {
    width: usize,
    closed: Option<Closed>,
}

#[derive(Debug)]
struct Closed {
    /// When it is asked again.
    probe: Instant,
    pause: Duration,
    /// What the budget said last.
    refusal: Refusal,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            width: 1,
            closed: None,
        }
    }
}

/// Evictions under way, by lane.
#[derive(Debug, Default)]
pub(super) struct Busy(BTreeMap<LaneKey, usize>);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_key: BTreeMap<LaneKey, Lane>,
    /// Owners whose budget was told by a refusal.
    budgets: BTreeMap<LaneKey, LaneKey>,
    known: Budgets,
    /// The state of the jitter, which replays.
    noise: u64,
}

impl Lanes {
    /// Takes in which budgets exist.
    pub(super) fn know(&mut self, budgets: Budgets) {
        self.known = budgets;
    }

    /// The lane of a pod that was in `lane` so far.
    pub(super) fn of(&self, pod: &PodFacts, lane: &LaneKey) -> LaneKey {
        let Budgets::Known(budgets) = &self.known else {
            return lane.clone();
        };
        // A refusal knows better than a list that was made before it.
        if matches!(self.current(lane), LaneKey::Budget(..)) {
            return lane.clone();
        }
        let mut covering = budgets.iter().filter(|b| b.covers(pod));
        match (covering.next(), covering.next()) {
            (None, _) => LaneKey::Free,
            (Some(one), None) => LaneKey::Budget(one.namespace.clone(), one.name.clone()),
            // The API server refuses such a pod; its owner's other pods need not suffer.
            (Some(_), Some(_)) => LaneKey::Alone(pod.uid.0.clone()),
        }
    }

    /// Counts an eviction under way.
    pub(super) fn count(&self, key: &LaneKey, busy: &mut Busy) {
        *busy.0.entry(self.current(key)).or_default() += 1;
    }

    /// Whether another pod of the lane may go at `now`.
    pub(super) fn admits(&self, key: &LaneKey, busy: &Busy, now: Instant) -> bool {
        let key = self.current(key);
        let in_flight = busy.0.get(&key).copied().unwrap_or_default();
        match self.by_key.get(&key) {
            _ if key == LaneKey::Free => true,
            None => in_flight == 0,
            Some(Lane {
                width,
                closed: None,
            }) => in_flight < *width,
            Some(Lane {
                closed: Some(closed),
                ..
            }) => in_flight == 0 && now >= closed.probe,
        }
    }

    /// When a closed lane is asked again.
    pub(super) fn opens(&self, key: &LaneKey) -> Option<Instant> {
        let key = self.current(key);
        self.by_key.get(&key)?.closed.as_ref().map(|c| c.probe)
    }

    /// An eviction was accepted after `took`.
    pub(super) fn accepted(&mut self, key: &LaneKey, took: Duration) {
        let key = self.current(key);
        if key == LaneKey::Free {
            return;
        }
        let one_budget = matches!(key, LaneKey::Budget(..));
        let lane = self.by_key.entry(key).or_default();
        lane.closed = None;
        lane.width = match took {
            _ if one_budget => 1,
            // It may have waited for a conflict; or the server is busy, which fewer calls mend.
            _ if took >= CONFLICT => (lane.width / 2).max(1),
            _ => (lane.width * 2).min(WIDEST),
        };
    }

    /// What closed the lane, where it is closed.
    pub(super) fn refusal(&self, key: &LaneKey) -> Option<&Refusal> {
        let key = self.current(key);
        self.by_key.get(&key)?.closed.as_ref().map(|c| &c.refusal)
    }

    /// A budget refused `pod`; `stale`: how long to wait where its numbers are not up to date.
    /// The pod's lane from now on.
    pub(super) fn refused(
        &mut self,
        lane: &LaneKey,
        pod: &PodFacts,
        refusal: &Refusal,
        stale: Option<Duration>,
        now: Instant,
    ) -> LaneKey {
        // A budget that is younger than what is known of them.
        let own = LaneKey::of(pod);
        let lane = if *lane == LaneKey::Free { &own } else { lane };
        let key = match &refusal.budget {
            Some(name) => LaneKey::Budget(pod.namespace.clone(), name.clone()),
            None => self.current(lane),
        };
        // Pods of its owner that were not refused yet are taken to stand under the same.
        if !matches!(lane, LaneKey::Budget(..)) && *lane != key {
            self.budgets.insert(lane.clone(), key.clone());
        }
        let before = self.by_key.get(&key).and_then(|l| l.closed.as_ref());
        // Refusals of calls that were under way together count once.
        if before.is_some_and(|c| c.probe > now) {
            return key;
        }
        let pause = before.map_or(PROBE.0, |c| c.pause.mul_f64(1.5).min(PROBE.1));
        let wait = stale.unwrap_or(pause);
        let probe = now + wait + self.jitter(wait, &pod.uid);
        let lane = self.by_key.entry(key.clone()).or_default();
        lane.width = 1;
        lane.closed = Some(Closed {
            probe,
            pause,
            refusal: refusal.clone(),
        });
        key
    }

    /// Up to a tenth of `span`, so that many nodes do not ask together: no two have a pod in
    /// common.
    pub(super) fn jitter(&mut self, span: Duration, pod: &Uid) -> Duration {
        for byte in pod.0.bytes() {
            self.noise = (self.noise ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        // SplitMix64: enough to spread, and the same in every replay.
        self.noise = self.noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.noise;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((z ^ (z >> 31)) % 1000).unwrap_or_default();
        span * part / 10_000
    }

    /// The lane that a key stands for now: an owner's budget may have become known since.
    fn current(&self, key: &LaneKey) -> LaneKey {
        self.budgets.get(key).unwrap_or(key).clone()
    }
}
