//! How many pods that stand under one budget are evicted at once.
//!
//! Evictions under one budget conflict inside the API server, which then sleeps half a second:
//! they go one at a time, as many as the budget was seen to allow, and pods under no budget all
//! at once. Until it is known which budget a pod stands under (or where that cannot be learnt),
//! pods of one owner are taken to share one that may not be there: they go one at a time at
//! first, twice as many after each quick acceptance and half as many after a slow one. A
//! refusal tells the budget: from then on all pods that it refused share its lane, and one of
//! them at a time asks whether it has opened.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use crate::budget::BudgetFacts;
use crate::facts::{PodFacts, Uid};
use crate::reply::Refusal;

/// The first pause before a closed budget is asked again, and the longest.
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The pause where a watch tells when it opens.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The shortest pause after a refusal, even where the watch says that the budget has opened.
const SHORTEST: Duration = Duration::from_millis(200);
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
    /// The lane of a pod of whose budgets nothing is known.
    fn own(pod: &PodFacts) -> Self {
        match &pod.owner {
            Some(owner) => Self::Owner(owner.uid.0.clone()),
            None => Self::Alone(pod.uid.0.clone()),
        }
    }
}

/// Evictions under way, by lane.
#[derive(Debug, Default)]
pub(super) struct Busy(BTreeMap<LaneKey, usize>);

impl Busy {
    fn add(&mut self, key: &LaneKey) {
        *self.0.entry(key.clone()).or_default() += 1;
    }

    fn of(&self, key: &LaneKey) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Lane {
    width: usize,
    /// How many more the budget was seen to allow.
    room: Option<Room>,
    closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    left: u32,
    /// When that was seen.
    at: Instant,
}

#[derive(Debug)]
struct Closed {
    /// When it closed or was last asked.
    since: Instant,
    /// When it is asked again.
    probe: Instant,
    pause: Duration,
    /// What the budget said last.
    refusal: Refusal,
}

impl Closed {
    /// What the budget allows is used up, as far as is known without asking.
    fn used_up(budget: &str, watched: bool, now: Instant) -> Self {
        Self {
            since: now,
            probe: now + if watched { HEARTBEAT } else { PROBE.0 },
            pause: PROBE.0,
            refusal: Refusal {
                budget: Some(budget.to_owned()),
                stale: false,
                words: "it allows no disruption at present".to_owned(),
            },
        }
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            width: 1,
            room: None,
            closed: None,
        }
    }
}

/// Whether a namespace's budgets are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Asked,
    Live,
    Dead,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_key: BTreeMap<LaneKey, Lane>,
    /// Owners whose budget was told by a refusal.
    told: BTreeMap<LaneKey, LaneKey>,
    known: Vec<BudgetFacts>,
    /// Whether they are the budgets of all namespaces.
    listed: bool,
    watches: BTreeMap<String, Watch>,
    /// Counts the changes after which a pod may belong into another lane.
    pub(super) changes: u64,
    /// How often jitter was drawn.
    draws: u64,
}

impl Lanes {
    /// Takes in which budgets exist.
    pub(super) fn know(&mut self, budgets: Vec<BudgetFacts>, now: Instant) {
        for budget in &budgets {
            let key = LaneKey::Budget(budget.namespace.clone(), budget.name.clone());
            let lane = self.by_key.entry(key).or_default();
            // One that allows nothing is asked once all the same, for its words: what was
            // listed may be old.
            let room = budget.allowed.filter(|left| *left > 0);
            lane.room = room.map(|left| Room { left, at: now });
        }
        self.known = budgets;
        self.listed = true;
        self.changes += 1;
    }

    /// A watched budget was seen.
    pub(super) fn seen(&mut self, budget: BudgetFacts, now: Instant) {
        let key = LaneKey::Budget(budget.namespace.clone(), budget.name.clone());
        if let Some(left) = budget.allowed {
            let lane = self.by_key.entry(key).or_default();
            lane.room = Some(Room { left, at: now });
            match &mut lane.closed {
                Some(closed) if left > 0 => {
                    closed.probe = now.max(closed.since + SHORTEST);
                    closed.pause = PROBE.0;
                }
                None if left == 0 => lane.closed = Some(Closed::used_up(&budget.name, true, now)),
                _ => {}
            }
        }
        let is_same = |b: &&mut BudgetFacts| b.is(&budget.namespace, &budget.name);
        if let Some(before) = self.known.iter_mut().find(is_same) {
            self.changes += u64::from(!before.rules_as(&budget));
            *before = budget;
        } else {
            self.known.push(budget);
            self.changes += 1;
        }
    }

    /// A watched budget is gone, and holds nothing any more.
    pub(super) fn gone(&mut self, namespace: &str, name: &str) {
        let key = LaneKey::Budget(namespace.to_owned(), name.to_owned());
        self.by_key.remove(&key);
        self.told.retain(|_, told| *told != key);
        self.known.retain(|b| !b.is(namespace, name));
        self.changes += 1;
    }

    /// Whether the budgets of a closed lane are to be watched, and are not yet.
    pub(super) fn unwatched<'a>(&'a self, key: &'a LaneKey) -> Option<&'a str> {
        let LaneKey::Budget(namespace, _) = self.current(key) else {
            return None;
        };
        let closed = self.lane(key)?.closed.is_some();
        (closed && !self.watches.contains_key(namespace)).then_some(namespace)
    }

    /// A namespace's budgets are asked to be watched.
    pub(super) fn watching(&mut self, namespace: String) {
        self.watches.insert(namespace, Watch::Asked);
    }

    /// They are watched from now on, or no longer.
    pub(super) fn watched(&mut self, namespace: String, live: bool, now: Instant) {
        // A watch tells of the budgets that there are, but not of one that went while nobody
        // watched: those that it finds closed are asked once more.
        let anew = self.watches.get(&namespace) == Some(&Watch::Dead);
        for (key, lane) in &mut self.by_key {
            let Some(closed) = &mut lane.closed else {
                continue;
            };
            if matches!(key, LaneKey::Budget(ns, _) if *ns == namespace) {
                closed.probe = match (live, anew) {
                    (true, true) => closed.probe,
                    (true, false) => closed.probe.max(closed.since + HEARTBEAT),
                    (false, _) => closed.probe.min(now + closed.pause),
                };
            }
        }
        let watch = if live { Watch::Live } else { Watch::Dead };
        self.watches.insert(namespace, watch);
    }

    /// The lane of a pod, which `refused` its eviction if it has one already.
    pub(super) fn of(&self, pod: &PodFacts, refused: Option<&LaneKey>) -> LaneKey {
        if !self.knows(&pod.namespace) {
            let own = || LaneKey::own(pod);
            return refused.cloned().unwrap_or_else(own);
        }
        let mut covering = self.known.iter().filter(|b| b.covers(pod));
        match (covering.next(), covering.next(), refused) {
            // A refusal knows better than a list that was made before it.
            (None, _, Some(refused)) => refused.clone(),
            (None, _, None) => LaneKey::Free,
            (Some(one), None, _) if !one.exempts(pod) => {
                LaneKey::Budget(one.namespace.clone(), one.name.clone())
            }
            // One that its budget exempts, or one that the API server refuses for having more
            // than one: others need not suffer.
            _ => LaneKey::Alone(pod.uid.0.clone()),
        }
    }

    /// Counts an eviction under way.
    pub(super) fn count(&self, key: &LaneKey, busy: &mut Busy) {
        busy.add(self.current(key));
    }

    /// Whether another pod of the lane may go at `now`.
    pub(super) fn admits(&self, key: &LaneKey, busy: &Busy, now: Instant) -> bool {
        let key = self.current(key);
        let in_flight = busy.of(key);
        match self.by_key.get(key) {
            _ if *key == LaneKey::Free => true,
            None => in_flight == 0,
            Some(Lane {
                width,
                closed: None,
                ..
            }) => in_flight < *width,
            Some(Lane {
                closed: Some(closed),
                ..
            }) => in_flight == 0 && now >= closed.probe,
        }
    }

    /// How many of the lane's pods go at once.
    pub(super) fn width(&self, key: &LaneKey) -> usize {
        self.lane(key).map_or(1, |lane| lane.width)
    }

    /// When a closed lane is asked again.
    pub(super) fn opens(&self, key: &LaneKey) -> Option<Instant> {
        self.lane(key)?.closed.as_ref().map(|c| c.probe)
    }

    /// What closed the lane, where it is closed.
    pub(super) fn refusal(&self, key: &LaneKey) -> Option<&Refusal> {
        self.lane(key)?.closed.as_ref().map(|c| &c.refusal)
    }

    /// An eviction was accepted after `took`.
    pub(super) fn accepted(&mut self, key: &LaneKey, took: Duration, now: Instant) {
        let key = self.current(key).clone();
        if key == LaneKey::Free {
            return;
        }
        let watched = self.is_watched(&key);
        let lane = self.by_key.entry(key.clone()).or_default();
        let LaneKey::Budget(_, name) = key else {
            lane.closed = None;
            lane.width = if took >= CONFLICT {
                // It may have waited for a conflict; or the server is busy, which fewer calls
                // mend.
                (lane.width / 2).max(1)
            } else {
                (lane.width * 2).min(WIDEST)
            };
            return;
        };
        // What was seen during the call counts this one in; what was seen before it does not.
        let counted = lane.room.is_some_and(|room| room.at + took > now);
        lane.room = match lane.room {
            Some(room) if counted => Some(room),
            Some(Room { left, at }) if left > 0 => Some(Room { left: left - 1, at }),
            _ => None,
        };
        lane.closed = match lane.room {
            Some(Room { left: 0, .. }) => Some(Closed::used_up(&name, watched, now)),
            _ => None,
        };
    }

    /// A budget refused `pod`, which was in `lane`, in a call made at `since`; `stale`: how long
    /// to wait where its numbers are not up to date. The lane that refused it, for [`Lanes::of`].
    pub(super) fn refused(
        &mut self,
        lane: &LaneKey,
        pod: &PodFacts,
        refusal: &Refusal,
        stale: Option<Duration>,
        (since, now): (Instant, Instant),
    ) -> LaneKey {
        // A budget that is younger than what is known of them.
        let own = LaneKey::own(pod);
        let exempt = self.knows(&pod.namespace) && *lane == LaneKey::Alone(pod.uid.0.clone());
        let lane = if *lane == LaneKey::Free { &own } else { lane };
        let key = match &refusal.budget {
            Some(name) if !exempt => LaneKey::Budget(pod.namespace.clone(), name.clone()),
            _ => self.current(lane).clone(),
        };
        // Pods of its owner that were not refused yet are taken to stand under the same.
        if !matches!(lane, LaneKey::Budget(..)) && *lane != key {
            self.told.insert(lane.clone(), key.clone());
        }
        let watched = self.is_watched(&key);
        let before = self.by_key.get(&key).and_then(|l| l.closed.as_ref());
        // Refusals of calls that were under way together count once.
        if before.is_some_and(|c| c.probe > now) {
            return key;
        }
        let pause = before.map_or(PROBE.0, |c| c.pause.mul_f64(1.5).min(PROBE.1));
        // It may have opened after it refused, and the watch was quicker to tell.
        let room = self.by_key.get(&key).and_then(|lane| lane.room);
        let reopened = room.filter(|room| room.at > since && room.left > 0);
        let wait = match (stale, reopened) {
            (Some(stale), _) => stale,
            (None, Some(_)) => SHORTEST,
            (None, None) if watched => HEARTBEAT,
            (None, None) => pause,
        };
        let probe = now + wait + self.jitter(wait, &pod.uid);
        let lane = self.by_key.entry(key.clone()).or_default();
        lane.width = 1;
        lane.room = reopened;
        lane.closed = Some(Closed {
            since: now,
            probe,
            pause,
            refusal: refusal.clone(),
        });
        key
    }

    /// Up to a tenth of `span`, so that many nodes do not ask together: no two have a pod in
    /// common.
    pub(super) fn jitter(&mut self, span: Duration, pod: &Uid) -> Duration {
        self.draws += 1;
        let mut hasher = DefaultHasher::new(); // with fixed keys: the same in every replay
        (self.draws, &pod.0).hash(&mut hasher);
        let part = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        span * part / 10_000
    }

    /// The lane that a key stands for now: an owner's budget may have become known since.
    pub(super) fn current<'a>(&'a self, key: &'a LaneKey) -> &'a LaneKey {
        self.told.get(key).unwrap_or(key)
    }

    fn lane(&self, key: &LaneKey) -> Option<&Lane> {
        self.by_key.get(self.current(key))
    }

    /// Whether all budgets of the namespace are known.
    fn knows(&self, namespace: &str) -> bool {
        self.listed || self.watches.get(namespace) == Some(&Watch::Live)
    }

    fn is_watched(&self, key: &LaneKey) -> bool {
        let watch = match key {
            LaneKey::Budget(namespace, _) => self.watches.get(namespace),
            _ => None,
        };
        watch == Some(&Watch::Live)
    }
}
