//! Whose turn it is: what is started at a moment, and when there is something to do next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::entry::{Entry, State};
use super::lane::LaneKey;
use super::shared::Shared;
use super::{ANSWERS, BudgetPolicy, Effect, LINGER};
use crate::facts::Uid;

/// A pod is deleted so long before the end at least, whatever grace it is left.
const SOONEST: Duration = Duration::from_secs(1);

/// How a call is started; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    Delete,
    /// It would be deleted now, were it held: evicted at once.
    EvictLate,
    Evict,
}

/// From when on pods may go, as far as others decide.
struct Times {
    /// By their waves; those that need not wait are not in the map.
    waves: BTreeMap<u8, Instant>,
    /// Pods that wait for their replacements, and until when: those of one lane go one after the
    /// other, and the last one's grace has to fit too.
    waits: BTreeMap<Uid, Instant>,
}

impl Times {
    /// When the wave starts.
    fn starts(&self, wave: u8) -> Option<Instant> {
        self.waves.get(&wave).copied()
    }
}

impl Drain {
    /// Starts what is due at `now`.
    pub(super) fn schedule(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        self.catch_up(now, shared);
        if now >= self.window.end() {
            return;
        }
        if self.cancelled.is_some() {
            self.put_back(now, shared, effects);
            return;
        }
        if let Some(question) = self.unanswered() {
            shared.daemon_sets.ask(question, now, effects);
        }
        // A single pod need not know who else stands under its budget.
        let ready = |e: &&Entry| matches!(e.state, State::Ready { .. });
        if self.pods.values().filter(ready).count() > 1 {
            shared.ask_budgets(effects);
        }
        shared.doubt_rights(now, effects);
        self.suspect(now, effects);
        self.look_at_volumes(now, effects);
        self.make_first(now, shared, effects);
        let ready = self.replaced(shared);
        let startable = self.startable(now, &ready, shared);
        for (uid, _) in &startable {
            if let Some(entry) = self.pods.get(uid) {
                shared.ask_watch(&entry.lane, effects);
            }
        }
        let mut busy = shared.busy();
        for (uid, start) in startable {
            if !shared.has_slot(now) {
                return;
            }
            if shared.is_under_way(&uid) {
                continue;
            }
            let Some(entry) = self.pods.get_mut(&uid) else {
                continue;
            };
            if start == Start::Evict && !shared.lanes.admits(&entry.lane, &busy, now) {
                continue;
            }
            let delete = start == Start::Delete;
            if !delete {
                shared.lanes.count(&entry.lane, &mut busy);
            }
            shared.start(uid, entry.lane.clone(), delete, now);
            entry
                .making
                .goes(&entry.facts, ready.contains(&entry.facts.uid));
            let call = entry.start(&self.window, delete, self.settings.dry_run, now);
            effects.push(if delete {
                Effect::Delete(call)
            } else {
                Effect::Evict(call)
            });
        }
    }

    /// When there is something to do without anything being heard.
    pub(super) fn next_wake(&self, now: Instant, shared: &Shared) -> Instant {
        let ready = self.replaced(shared);
        let times = self.times(&ready, shared);
        let opens = shared.opens(now);
        let pods = self.pods.values().flat_map(|e| match e.state {
            State::Ready { not_before } => {
                let evict = (!shared.rights.barred(&e.facts.namespace)).then(|| {
                    let lane = shared.lanes.opens(&e.lane).unwrap_or(now);
                    let due = self.due(e, &times, &ready);
                    not_before.max(lane).max(due).max(opens)
                });
                [evict, self.delete_at(e).map(|at| at.max(opens))]
            }
            _ => [None, None],
        });
        // Whatever was due by now has been done, or waits for an answer.
        pods.flatten()
            .chain([self.newest + LINGER])
            .chain(self.suspicion_wake())
            .chain(shared.rights.wake())
            .chain(self.unanswered().and_then(|_| shared.daemon_sets.wake()))
            .chain(self.cancelled.map(|at| at + ANSWERS))
            .chain(self.making_wake(opens, shared))
            .chain(self.volumes_wake())
            .filter(|t| *t > now)
            .fold(self.window.end(), Instant::min)
    }

    /// What may be started at `now`, the most urgent first.
    ///
    /// Those that were tried least come first: a pod that is refused again and again does not
    /// keep others of its lane, which another budget or none may hold, from being tried. Of the
    /// rest those that are not ready: they serve nobody, and their budget may not count them.
    fn startable(&self, now: Instant, ready: &BTreeSet<Uid>, shared: &Shared) -> Vec<(Uid, Start)> {
        let times = self.times(ready, shared);
        let mut startable = Vec::new();
        for entry in self.in_order() {
            let State::Ready { not_before } = entry.state else {
                continue;
            };
            let start = if self.delete_at(entry).is_some_and(|at| now >= at) {
                if is_held(entry, shared) {
                    Start::Delete
                } else {
                    Start::EvictLate
                }
            } else if !shared.rights.barred(&entry.facts.namespace)
                && now >= not_before.max(self.due(entry, &times, ready))
            {
                Start::Evict
            } else {
                continue;
            };
            let turn = entry.turn();
            let urgency = (start, turn.wave, entry.tries, entry.facts.ready, turn.rank);
            startable.push((urgency, entry.facts.uid.clone()));
        }
        startable.sort_by_key(|(urgency, _)| *urgency);
        startable
            .into_iter()
            .map(|((start, ..), uid)| (uid, start))
            .collect()
    }

    /// From when on a pod may be evicted; `ready` are those whose replacements are.
    fn due(&self, entry: &Entry, times: &Times, ready: &BTreeSet<Uid>) -> Instant {
        let turn = entry.turn();
        let latest = self.window.latest_for(entry.facts.grace);
        if turn.last {
            return latest;
        }
        let turn = times.starts(turn.wave).unwrap_or(self.window.start());
        if ready.contains(&entry.facts.uid) {
            return turn;
        }
        let waits = times.waits.get(&entry.facts.uid).copied();
        waits
            .or_else(|| self.waits_until(entry))
            .map_or(turn, |until| turn.max(until))
    }

    fn times(&self, ready: &BTreeSet<Uid>, shared: &Shared) -> Times {
        Times {
            waves: self.waves(),
            waits: self.waits(ready, shared),
        }
    }

    /// Until when detached pods wait: the last of a lane as long as its grace allows, and each one
    /// before it a call's time less, as many at once as the lane is wide.
    fn waits(&self, ready: &BTreeSet<Uid>, shared: &Shared) -> BTreeMap<Uid, Instant> {
        let mut queues: BTreeMap<&LaneKey, Vec<(Instant, &Uid)>> = BTreeMap::new();
        for entry in self.in_order() {
            let uid = &entry.facts.uid;
            let waits = matches!(entry.state, State::Ready { .. }) && !ready.contains(uid);
            let until = self.waits_until(entry).filter(|_| waits);
            if let Some(until) = until.filter(|_| entry.is_as_good_as_detached()) {
                let lane = shared.lanes.current(&entry.lane);
                queues.entry(lane).or_default().push((until, uid));
            }
        }
        let each = shared.pace.call();
        let mut waits = BTreeMap::new();
        for (lane, mut queue) in queues {
            let width = match lane {
                LaneKey::Free => shared.pace.width(),
                lane => shared.lanes.width(lane),
            };
            queue.sort_by_key(|(until, _)| *until); // of equals the first in order is the first
            let mut later: Vec<Instant> = Vec::new();
            for (until, uid) in queue.into_iter().rev() {
                // By the time that the one goes which needs its place.
                let next = later.len().checked_sub(width).and_then(|n| later.get(n));
                let before = next.and_then(|next| next.checked_sub(each));
                let until = before.map_or(until, |before| until.min(before));
                later.push(until);
                waits.insert(uid.clone(), until);
            }
        }
        waits
    }

    /// When the waves start that wait for others.
    fn waves(&self) -> BTreeMap<u8, Instant> {
        // The longest grace of each wave that has something left to do.
        let mut longest: BTreeMap<u8, Duration> = BTreeMap::new();
        for entry in self.pods.values().filter(|e| !e.is_done()) {
            let grace = longest.entry(entry.turn().wave).or_default();
            *grace = entry.facts.grace.max(*grace);
        }
        self.window.waves(&longest)
    }

    /// When a pod is deleted past its budget.
    pub(super) fn delete_at(&self, entry: &Entry) -> Option<Instant> {
        match self.settings.budgets {
            BudgetPolicy::DeleteAt { grace } if !entry.delete_refused => {
                let before = entry.facts.grace.min(grace).max(SOONEST);
                let start = self.window.start();
                let end = self.window.end();
                let at = end.checked_sub(before).map_or(start, |at| at.max(start));
                let later = entry.delete_again.max(entry.left_until);
                Some(later.map_or(at, |later| later.max(at)))
            }
            _ => None,
        }
    }
}

/// Whether something has kept a pod from being evicted.
fn is_held(entry: &Entry, shared: &Shared) -> bool {
    let barred = shared.rights.barred(&entry.facts.namespace);
    entry.tries > 0 || barred || shared.lanes.refusal(&entry.lane).is_some()
}
