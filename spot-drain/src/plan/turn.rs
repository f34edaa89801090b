//! Whose turn it is: what is started at a moment, and when there is something to do next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::entry::{Entry, State};
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

/// From when on the pods of each wave may go, as far as their wave decides.
struct Waves(BTreeMap<u8, Instant>);

impl Waves {
    /// When the wave starts; those that need not wait are not in the map.
    fn starts(&self, wave: u8) -> Option<Instant> {
        self.0.get(&wave).copied()
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
        let waves = self.waves();
        let ready = self.replaced(shared);
        let opens = shared.opens(now);
        let pods = self.pods.values().flat_map(|e| match e.state {
            State::Ready { not_before } => {
                let evict = (!shared.rights.barred(&e.facts.namespace)).then(|| {
                    let lane = shared.lanes.opens(&e.lane).unwrap_or(now);
                    let due = self.due(e, &waves, &ready);
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
        let waves = self.waves();
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
                && now >= not_before.max(self.due(entry, &waves, ready))
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
    fn due(&self, entry: &Entry, waves: &Waves, ready: &BTreeSet<Uid>) -> Instant {
        let turn = entry.turn();
        let latest = self.window.latest_for(entry.facts.grace);
        if turn.last {
            return latest;
        }
        let turn = waves.starts(turn.wave).unwrap_or(self.window.start());
        if ready.contains(&entry.facts.uid) {
            return turn;
        }
        self.waits_until(entry)
            .map_or(turn, |until| turn.max(until))
    }

    /// When the waves start that wait for others.
    fn waves(&self) -> Waves {
        // The longest grace of each wave that has something left to do.
        let mut longest: BTreeMap<u8, Duration> = BTreeMap::new();
        for entry in self.pods.values().filter(|e| !e.is_done()) {
            let grace = longest.entry(entry.turn().wave).or_default();
            *grace = entry.facts.grace.max(*grace);
        }
        Waves(self.window.waves(&longest))
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
