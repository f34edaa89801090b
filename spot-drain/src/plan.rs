//! The drain as a state machine: what is observed goes in, what is to be done comes out. Pure.
//!
//! It reads no clock and performs nothing, so that a controller can run many plans over one
//! reflector and one rate limit:
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
//! What it promises:
//! - no mirror pod, no pod of a live DaemonSet, not our own pod: never an effect;
//! - [`BudgetPolicy::Respect`] never yields a [`Effect::Delete`];
//! - every call names the UID that was observed, and there is one call per pod at a time;
//! - a grace that is sent is at least 1 s and ends within the window;
//! - a pod is gone only when it was seen to be: a delete event, a list without it, another
//!   pod in its place, or the API server's 404;
//! - pods that stand under no budget go at once, those under one budget one at a time;
//! - a closed budget is probed by one pod at a time, and holds no slot meanwhile.

mod entry;
mod exchange;
mod lane;
mod outcome;
mod settings;

pub use exchange::{Call, Effect, Input};
pub use settings::{BudgetPolicy, Settings};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use spot_core::deadline::HORIZON;
use tokio::time::Instant;

use crate::classify::{Class, DaemonSets, Order, classify};
use crate::facts::{PodFacts, Uid};
use crate::reply::Reply;
use crate::window::Window;
use entry::{Entry, Hold, Rank, State};
use lane::{Busy, LaneKey, Lanes};

/// How long a drain stays after the last pod it knew: one may be bound before the cordon holds.
const LINGER: Duration = Duration::from_secs(1);
/// How long after its grace a pod's end should have been seen, and how long after an accepted
/// eviction its beginning.
const SUSPECT: Duration = Duration::from_secs(2);
/// The pause between two lists out of suspicion.
const RELIST_PAUSE: Duration = Duration::from_secs(5);
/// The pause before a refusal that is not expected to mend itself soon is tried again.
const SLOW: Duration = Duration::from_secs(5);
/// The longest pause before a budget whose numbers are not up to date is asked again.
const STALE: Duration = Duration::from_secs(3);
/// The pause where an overloaded server names none.
const OVERLOAD: Duration = Duration::from_secs(1);
/// The shortest pause after any refusal, whatever the server says and however late it is.
const SHORTEST: Duration = Duration::from_millis(200);
/// The first pause after an unclear outcome, and the longest.
const UNCLEAR: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How a call is started; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    Delete,
    /// It would be deleted now, were it held: evicted at once.
    EvictLate,
    Evict,
}

/// A drain. See the [module](self).
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    window: Window,
    deadline: Option<Instant>,
    pods: BTreeMap<Uid, Entry>,
    /// The order in which pods are taken; among them those that are done.
    ranks: BTreeMap<Rank, Uid>,
    lanes: Lanes,
    daemon_sets: DaemonSets,
    asked_daemon_sets: bool,
    asked_budgets: bool,
    asked_access: bool,
    /// Evictions are forbidden for good.
    barred: bool,
    listed: bool,
    cancelled: bool,
    /// The server asked to be left alone until then.
    paused: Option<Instant>,
    relisted: Option<Instant>,
}

impl Plan {
    /// A drain that starts at `now` on a machine that goes at `deadline`.
    pub fn new(settings: Settings, deadline: Option<Instant>, now: Instant) -> Self {
        let window = Window::new(
            now,
            deadline.unwrap_or_else(|| after(now, settings.longest)),
        );
        Self {
            settings,
            window,
            deadline,
            pods: BTreeMap::new(),
            ranks: BTreeMap::new(),
            lanes: Lanes::default(),
            daemon_sets: DaemonSets::Unknown,
            asked_daemon_sets: false,
            asked_budgets: false,
            asked_access: false,
            barred: false,
            listed: false,
            cancelled: false,
            paused: None,
            relisted: None,
        }
    }

    /// The drain's times.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Takes an input at `now`; what is to be done is appended to `effects`.
    pub fn on(&mut self, input: Input, now: Instant, effects: &mut Vec<Effect>) {
        match input {
            Input::Listed(pods) => self.on_listed(pods, now),
            Input::Seen(pod) => self.on_seen(pod, now),
            Input::Deleted(uid) => self.on_gone(&uid, now),
            Input::DaemonSets(known) => self.on_daemon_sets(known, now),
            Input::Budgets(known) => {
                self.lanes.know(known);
                for entry in self.pods.values_mut() {
                    entry.lane = self.lanes.of(&entry.facts, &entry.lane);
                }
            }
            Input::Answered { pod, reply } => self.on_answered(&pod, reply, now, effects),
            Input::Access(Some(allowed)) => self.barred = !allowed,
            Input::Access(None) => self.asked_access = false,
            Input::Nearer(deadline) => {
                if self.deadline.is_none_or(|d| deadline < d) {
                    self.deadline = Some(deadline);
                    self.window = self.window.brought_nearer(deadline, now);
                }
            }
            Input::Cancelled => self.cancelled = true,
            Input::Woken => {}
        }
        self.schedule(now, effects);
    }

    /// When [`Input::Woken`] is due.
    pub fn next_wake(&self, now: Instant) -> Instant {
        let linger = self.window.start() + LINGER;
        let pods = self.pods.values().flat_map(|e| match e.state {
            State::Ready { not_before } => {
                let paused = self.paused.unwrap_or(now);
                let evict = (!self.barred).then(|| {
                    let lane = self.lanes.opens(&e.lane).unwrap_or(now);
                    not_before.max(lane).max(self.due(e)).max(paused)
                });
                [evict, self.delete_at(e).map(|at| at.max(paused))]
            }
            State::Going { suspect } => {
                let relist = self.relisted.map(|last| last + RELIST_PAUSE);
                [Some(relist.map_or(suspect, |r| r.max(suspect))), None]
            }
            _ => [None, None],
        });
        // Whatever was due by now has been done, or waits for an answer.
        pods.flatten()
            .chain([linger])
            .filter(|t| *t > now)
            .fold(self.window.end(), Instant::min)
    }

    fn on_listed(&mut self, pods: Vec<PodFacts>, now: Instant) {
        self.listed = true;
        let present: BTreeSet<Uid> = pods.iter().map(|p| p.uid.clone()).collect();
        let absent: Vec<Uid> = self
            .pods
            .keys()
            .filter(|uid| !present.contains(*uid))
            .cloned()
            .collect();
        for uid in absent {
            self.on_gone(&uid, now);
        }
        for pod in pods {
            self.on_seen(pod, now);
        }
    }

    fn on_seen(&mut self, pod: PodFacts, now: Instant) {
        let class = classify(&pod, self.settings.ourselves.as_ref(), &self.daemon_sets);
        if let Some(entry) = self.pods.get_mut(&pod.uid) {
            let began = pod
                .terminating
                .filter(|_| entry.facts.terminating.is_none());
            entry.facts = pod;
            match entry.state {
                State::InFlight { .. } | State::Gone | State::Would => return,
                State::Going { .. } => {
                    if let Some(grace) = began {
                        entry.state = State::Going {
                            suspect: after(now, grace) + SUSPECT,
                        };
                    }
                }
                State::Ready { .. } | State::Aside => {
                    // Undecided until the DaemonSets are known.
                    if class != entry.class && entry.class != Class::Undecided {
                        entry.place(class, now);
                    }
                }
            }
            return;
        }
        // Another pod in the same place: the former is gone.
        let path = (pod.namespace.clone(), pod.name.clone());
        let former: Vec<Uid> = self
            .pods
            .values()
            .filter(|e| e.facts.namespace == path.0 && e.facts.name == path.1)
            .map(|e| e.facts.uid.clone())
            .collect();
        for uid in former {
            self.on_gone(&uid, now);
        }
        let class = match class {
            // Its DaemonSet may be younger than what is known of them.
            Class::Evict(_) if pod.is_of_daemon_set() => {
                self.asked_daemon_sets = false;
                Class::Undecided
            }
            class => class,
        };
        let rank = Rank::of(&pod);
        let uid = pod.uid.clone();
        let lane = self.lanes.of(&pod, &LaneKey::of(&pod));
        let mut entry = Entry::new(pod, lane);
        entry.place(class, now);
        self.ranks.insert(rank, uid.clone());
        self.pods.insert(uid, entry);
    }

    fn on_gone(&mut self, uid: &Uid, now: Instant) {
        if let Some(entry) = self.pods.get_mut(uid)
            && entry.gone.is_none()
        {
            entry.gone = Some(now);
            // A call under way still has to be answered.
            if !matches!(entry.state, State::InFlight { .. }) {
                entry.state = State::Gone;
            }
        }
    }

    fn on_daemon_sets(&mut self, known: DaemonSets, now: Instant) {
        self.daemon_sets = known;
        for entry in self
            .pods
            .values_mut()
            .filter(|e| e.class == Class::Undecided)
        {
            let class = classify(
                &entry.facts,
                self.settings.ourselves.as_ref(),
                &self.daemon_sets,
            );
            if entry.gone.is_none() {
                entry.place(class, now);
            }
        }
    }

    fn on_answered(&mut self, uid: &Uid, reply: Reply, now: Instant, effects: &mut Vec<Effect>) {
        let Some(entry) = self.pods.get_mut(uid) else {
            return;
        };
        let State::InFlight { since, delete } = entry.state else {
            return;
        };
        let left = self.window.end().saturating_duration_since(now);
        let pause = if delete {
            (left / 4).min(UNCLEAR.1)
        } else {
            Duration::ZERO
        };
        entry.state = State::Ready {
            not_before: now + pause,
        };
        let hold = match reply {
            Reply::Accepted => {
                if !delete {
                    self.lanes
                        .accepted(&entry.lane, now.saturating_duration_since(since));
                }
                entry.accept(delete, self.settings.dry_run, now);
                None
            }
            Reply::Gone => {
                entry.gone.get_or_insert(now);
                None
            }
            Reply::Conflict => {
                effects.push(Effect::Relist);
                entry.state = State::Ready {
                    not_before: now + UNCLEAR.1,
                };
                None
            }
            Reply::BudgetClosed(refusal) => {
                let stale = refusal.stale.then(|| (left / 4).clamp(SHORTEST, STALE));
                entry.lane = self
                    .lanes
                    .refused(&entry.lane, &entry.facts, &refusal, stale, now);
                Some(Hold::Budget(refusal))
            }
            Reply::Overloaded { retry_after } => {
                let pause = retry_after.unwrap_or(OVERLOAD).min(left / 4).max(SHORTEST);
                self.paused = Some(now + pause + self.lanes.jitter(pause, uid));
                Some(Hold::Overloaded)
            }
            Reply::Forbidden { words } if delete => {
                entry.delete_refused = true;
                Some(Hold::Forbidden { words })
            }
            Reply::Forbidden { words } => {
                if !std::mem::replace(&mut self.asked_access, true) {
                    effects.push(Effect::CheckAccess);
                }
                entry.state = State::Ready {
                    not_before: now + SLOW,
                };
                Some(Hold::Forbidden { words })
            }
            Reply::Misconfigured { words } => {
                entry.state = State::Ready {
                    not_before: now + SLOW,
                };
                Some(Hold::Misconfigured { words })
            }
            Reply::NamespaceTerminating => {
                entry.state = State::Ready {
                    not_before: now + SLOW,
                };
                Some(Hold::NamespaceTerminating)
            }
            Reply::Denied { status, words } => {
                entry.state = State::Ready {
                    not_before: now + SLOW,
                };
                Some(Hold::Denied { status, words })
            }
            Reply::Unauthorized => Some(entry.unclear("401 the token was refused".into(), now)),
            Reply::Unclear { what } => Some(entry.unclear(what, now)),
        };
        entry.hold = hold.or(entry.hold.take());
        match entry.state {
            State::Ready { not_before } => {
                entry.delete_again = delete.then_some(not_before).or(entry.delete_again);
                // What was seen of it meanwhile counts from here on.
                let class = classify(
                    &entry.facts,
                    self.settings.ourselves.as_ref(),
                    &self.daemon_sets,
                );
                if entry.gone.is_some() {
                    entry.state = State::Gone;
                } else if class != entry.class {
                    entry.place(class, now);
                }
            }
            _ if entry.gone.is_some() => entry.state = State::Gone,
            _ => {}
        }
    }

    /// Starts what is due at `now`.
    fn schedule(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.cancelled || now >= self.window.end() {
            return;
        }
        if !self.asked_daemon_sets && self.pods.values().any(|e| e.class == Class::Undecided) {
            self.asked_daemon_sets = true;
            effects.push(Effect::ListDaemonSets);
        }
        let ready = self
            .pods
            .values()
            .filter(|e| matches!(e.state, State::Ready { .. }));
        if !self.asked_budgets && ready.count() > 1 {
            self.asked_budgets = true;
            effects.push(Effect::ListBudgets);
        }
        self.suspect(now, effects);
        if self.paused.is_some_and(|until| now < until) {
            return;
        }
        let mut free = self.settings.in_flight;
        let mut busy = Busy::default();
        for entry in self.pods.values() {
            if let State::InFlight { delete, .. } = entry.state {
                free = free.saturating_sub(1);
                if !delete {
                    self.lanes.count(&entry.lane, &mut busy);
                }
            }
        }
        for (uid, start) in self.startable(now) {
            if free == 0 {
                return;
            }
            let Some(entry) = self.pods.get_mut(&uid) else {
                continue;
            };
            if start == Start::Evict && !self.lanes.admits(&entry.lane, &busy, now) {
                continue;
            }
            let delete = start == Start::Delete;
            if !delete {
                self.lanes.count(&entry.lane, &mut busy);
            }
            free -= 1;
            let call = entry.start(&self.window, delete, now);
            effects.push(if delete {
                Effect::Delete(call)
            } else {
                Effect::Evict(call)
            });
        }
    }

    /// What may be started at `now`, the most urgent first.
    ///
    /// Those that were tried least come first: a pod that is refused again and again does not
    /// keep others of its lane, which another budget or none may hold, from being tried.
    fn startable(&self, now: Instant) -> Vec<(Uid, Start)> {
        let mut startable = Vec::new();
        for entry in self.ranks.values().filter_map(|uid| self.pods.get(uid)) {
            let State::Ready { not_before } = entry.state else {
                continue;
            };
            let start = if self.delete_at(entry).is_some_and(|at| now >= at) {
                if self.is_held(entry) {
                    Start::Delete
                } else {
                    Start::EvictLate
                }
            } else if !self.barred && now >= not_before.max(self.due(entry)) {
                Start::Evict
            } else {
                continue;
            };
            startable.push((start, entry.tries, entry.facts.uid.clone()));
        }
        startable.sort_by_key(|(start, tries, _)| (*start, *tries));
        startable
            .into_iter()
            .map(|(start, _, uid)| (uid, start))
            .collect()
    }

    /// Whether something has kept a pod from being evicted.
    fn is_held(&self, entry: &Entry) -> bool {
        entry.tries > 0 || self.barred || self.lanes.refusal(&entry.lane).is_some()
    }

    /// Asks for a list where the watch should have spoken of a pod and has not.
    fn suspect(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.relisted.is_some_and(|last| now < last + RELIST_PAUSE) {
            return;
        }
        let mut found = false;
        for entry in self.pods.values_mut() {
            if let State::Going { suspect } = &mut entry.state
                && now >= *suspect
            {
                *suspect = now + RELIST_PAUSE;
                found = true;
            }
        }
        if found {
            self.relisted = Some(now);
            effects.push(Effect::Relist);
        }
    }

    /// From when on a pod may be evicted.
    fn due(&self, entry: &Entry) -> Instant {
        match entry.class {
            Class::Evict(Order::Last) => self.window.latest_for(entry.facts.grace),
            _ if entry.facts.critical && self.window.has_waves() && self.ordinary_remain() => {
                let critical = self.pods.values().filter(|e| e.facts.critical);
                let longest = critical.map(|e| e.facts.grace).max().unwrap_or_default();
                self.window.latest_for(longest)
            }
            _ => self.window.start(),
        }
    }

    /// Whether pods other than `system-*-critical` ones are still to go.
    fn ordinary_remain(&self) -> bool {
        self.pods
            .values()
            .any(|e| !e.facts.critical && !e.is_done())
    }

    /// When a pod is deleted past its budget.
    fn delete_at(&self, entry: &Entry) -> Option<Instant> {
        match self.settings.budgets {
            BudgetPolicy::DeleteAt { grace } if !entry.delete_refused => {
                let before = entry.facts.grace.min(grace);
                let start = self.window.start();
                let end = self.window.end();
                let at = end.checked_sub(before).map_or(start, |at| at.max(start));
                Some(entry.delete_again.map_or(at, |again| again.max(at)))
            }
            _ => None,
        }
    }
}

/// `span` after `now`; an absurd span ends at the horizon.
fn after(now: Instant, span: Duration) -> Instant {
    now + span.min(HORIZON)
}

#[cfg(test)]
mod tests;
