//! A pod's replacement, made before the pod is evicted: detach, wait, evict; or put it back.

mod patched;
mod put_back;
mod replaced;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::entry::{Entry, State};
use super::shared::Shared;
use super::workloads::{Sight, is_later};
use super::{Detach, Effect};
use crate::facts::{PodFacts, Uid};
use crate::replacement::{
    Detachment, HASH_LABEL, MakeBeforeBreak, Obstacle, Workload, worth_until,
};
use crate::report::Replacement;

/// How long it is waited for the cordon, and for what must be known of a workload.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause before a patch that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// A workload that was looked at so long before the drain began is looked at anew.
const RECENT: Duration = Duration::from_secs(10);
/// How long it is waited for a ReplicaSet to take a pod back that was put back to be evicted.
const ADOPTION: Duration = Duration::from_secs(2);
/// So often a patch that detaches a pod may fail.
const TRIES: u32 = 3;
/// And one that puts it back may be refused, which costs nobody time: for nobody but us will.
const TRIES_TO_PUT_BACK: u32 = 10;

/// How it goes with a pod's replacement.
#[derive(Debug)]
pub(super) struct Making {
    /// When the pod was first seen.
    since: Instant,
    /// A patch is not tried before.
    not_before: Instant,
    failures: u32,
    /// Nothing stands against it: it is to be detached as soon as a call is free.
    decided: bool,
    /// Why none is made first; it stands.
    obstacle: Option<Obstacle>,
    /// The patch under way.
    patch: Option<Patch>,
    /// A patch that detaches it was accepted, and what it wrote is not seen yet.
    detached: Option<Detachment>,
    /// A patch that puts it back was accepted.
    put_back: Option<Return>,
    /// Why it cannot be put back.
    stuck: Option<String>,
    /// Since when its ReplicaSet was seen not to count it any more.
    released: Option<Released>,
    outcome: Option<Replacement>,
}

/// A pod that was put back.
#[derive(Debug)]
struct Return {
    /// When that was accepted.
    at: Instant,
    /// The ReplicaSet whose it is again.
    to: Uid,
    /// The version at which it was seen with its owner again.
    adopted: Option<String>,
}

#[derive(Debug)]
enum Patch {
    Detach(Detachment),
    PutBack,
}

/// Since when a ReplicaSet does not count a pod.
#[derive(Debug)]
enum Released {
    /// Since before the pod was seen: by what an earlier process did.
    Before,
    /// The version at which the pod was seen without its owner.
    At(String),
}

impl Making {
    pub(super) fn new(pod: &PodFacts, now: Instant) -> Self {
        let released = pod.is_detached() && pod.owner.is_none();
        Self {
            since: now,
            not_before: now,
            failures: 0,
            decided: false,
            obstacle: None,
            patch: None,
            detached: None,
            put_back: None,
            stuck: None,
            released: released.then_some(Released::Before),
            outcome: None,
        }
    }

    /// The pod was seen again.
    pub(super) fn seen(&mut self, pod: &PodFacts) {
        if !pod.is_detached() {
            self.released = None;
            if let Some(back) = self.put_back.as_mut().filter(|_| pod.owner.is_some()) {
                back.adopted.get_or_insert_with(|| pod.version.clone());
            }
            return;
        }
        self.detached = None;
        if pod.owner.is_none() && self.released.is_none() {
            self.released = Some(Released::At(pod.version.clone()));
        }
    }

    /// The pod is evicted, its replacement being `ready` or not. What it is at first counts.
    pub(super) fn goes(&mut self, pod: &PodFacts, ready: bool) {
        if self.outcome.is_none() && self.is_detached(pod) && self.came_to_nothing().is_none() {
            self.outcome = Some(if ready {
                Replacement::First
            } else {
                Replacement::Late
            });
        }
    }

    /// Why the replacement of a pod that was detached is not waited for any more.
    fn came_to_nothing(&self) -> Option<&Obstacle> {
        let given_up = |o: &&Obstacle| matches!(o, Obstacle::Deleted | Obstacle::NotMade(_));
        self.obstacle.as_ref().filter(given_up)
    }

    /// Whether the pod is to be put back because no replacement is made.
    fn is_given_up(&self) -> bool {
        matches!(self.obstacle, Some(Obstacle::NotMade(_)))
    }

    /// Whether the pod is detached, as far as is known.
    fn is_detached(&self, pod: &PodFacts) -> bool {
        self.was(pod).is_some()
    }

    /// What was written on a pod that is detached.
    fn was<'a>(&'a self, pod: &'a PodFacts) -> Option<&'a Detachment> {
        let seen = pod.detached.as_ref().filter(|_| pod.is_detached());
        let was = seen.or(self.detached.as_ref());
        was.filter(|_| self.put_back.is_none())
    }

    /// The patch that puts it back was accepted.
    fn returned(&mut self, pod: &PodFacts, now: Instant) {
        let back = Return {
            at: now,
            to: self.was(pod).map(|was| was.uid.clone()).unwrap_or_default(),
            adopted: None,
        };
        self.put_back = Some(back);
        self.seen(pod); // the watch may have been quicker than the answer
    }

    /// Whether its ReplicaSet, as of `version`, does not count the pod any more; `asked` is when it
    /// was asked for, the last time that an answer came.
    fn is_released(&self, version: &str, asked: Option<Instant>) -> bool {
        match &self.released {
            None => false,
            Some(Released::Before) => asked.is_some_and(|asked| asked >= self.since),
            Some(Released::At(released)) => is_later(version, released),
        }
    }
}

impl Entry {
    /// Whether it is detached and nothing has been done about it yet.
    fn stands_detached(&self) -> bool {
        let stands = self.gone.is_none() && self.facts.terminating.is_none();
        let waits = !matches!(self.state, State::Going { .. } | State::Gone);
        stands && waits && self.making.is_detached(&self.facts)
    }

    /// Whether a patch of it is under way.
    pub(super) fn is_being_patched(&self) -> bool {
        self.making.patch.is_some()
    }

    /// Whether it is detached, or is about to be.
    pub(super) fn is_as_good_as_detached(&self) -> bool {
        self.making.is_detached(&self.facts) || self.making.patch.is_some()
    }

    /// What was written on it when it was detached, unless it was put back.
    pub(super) fn detachment(&self) -> Option<&Detachment> {
        self.making.was(&self.facts)
    }

    /// How it went with its replacement; `barred`: it cannot be evicted.
    pub(super) fn replacement(&self, barred: bool) -> Option<Replacement> {
        let making = &self.making;
        let why = |o: &Obstacle| Replacement::NotFirst { why: o.to_string() };
        let nothing = making.came_to_nothing().map(why);
        if making.put_back.is_some() {
            return Some(nothing.unwrap_or(Replacement::PutBack));
        }
        if let Some(why) = making.stuck.clone() {
            return Some(Replacement::Stuck { why });
        }
        if barred && self.stands_detached() {
            let why = Obstacle::Forbidden.to_string();
            return Some(Replacement::Stuck { why });
        }
        let awaited = || self.stands_detached().then_some(Replacement::Awaited);
        let outcome = making.outcome.clone().or(nothing).or_else(awaited);
        outcome.or_else(|| making.obstacle.as_ref().map(why))
    }
}

impl Drain {
    /// Whether replacements are made first at all.
    fn makes_first(&self) -> bool {
        self.settings.make_before_break != MakeBeforeBreak::Off && !self.settings.dry_run
    }

    /// Until when a pod waits for its replacement; `None`: it does not.
    pub(super) fn waits_until(&self, entry: &Entry) -> Option<Instant> {
        let latest = self.window.latest_for(entry.facts.grace);
        let making = &entry.making;
        if !self.makes_first() {
            return None;
        }
        if making.is_detached(&entry.facts) {
            // One that is not ready serves nobody, and where the workload is gone nobody comes.
            let gone = making.obstacle == Some(Obstacle::Deleted);
            let stays = making.is_given_up() && making.failures >= TRIES;
            return (entry.facts.ready && !gone && !stays).then_some(latest);
        }
        if making.patch.is_some() {
            return Some(latest);
        }
        if let Some(back) = making.put_back.as_ref().filter(|b| b.adopted.is_none()) {
            // Its ReplicaSet hears of its end when it is its own again, and not before.
            return Some(latest.min(back.at + ADOPTION));
        }
        let considered = self.settings.make_before_break.considers(&entry.facts);
        if !considered || making.obstacle.is_some() || entry.tries > 0 {
            return None;
        }
        let worth = self.worth_until(entry);
        if making.decided {
            return Some(worth);
        }
        Some(worth.min(making.since + PATIENCE))
    }

    /// What was asked before is not believed.
    fn recent(&self) -> Instant {
        let began = self.window.start();
        began.checked_sub(RECENT).unwrap_or(began)
    }

    /// Until when it is worth the while to have a replacement made.
    fn worth_until(&self, entry: &Entry) -> Instant {
        worth_until(&self.window, entry.facts.grace)
    }

    /// Finds out whose replacements are made first, and has those pods detached.
    pub(super) fn make_first(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        if !self.makes_first() {
            return;
        }
        self.looks_wait = self.watch_workloads(now, shared, effects);
        self.notice_deleted(shared);
        self.give_up(now, shared, effects);
        let candidates: Vec<Uid> = self
            .in_order()
            .filter(|e| matches!(e.state, State::Ready { .. }) && self.waits_until(e).is_some())
            .filter(|e| !e.making.is_detached(&e.facts) && e.making.patch.is_none())
            .filter(|e| e.making.obstacle.is_none())
            .map(|e| e.facts.uid.clone())
            .collect();
        for uid in candidates {
            let Some(entry) = self.pods.get(&uid) else {
                continue;
            };
            let decided = self.decide(entry, now, shared);
            let Some(entry) = self.pods.get_mut(&uid) else {
                continue;
            };
            match decided {
                Err(Some(obstacle)) => entry.making.obstacle = Some(obstacle),
                Err(None) => {}
                Ok(_) if now < entry.making.not_before || !shared.has_slot(now) => {
                    entry.making.decided = true;
                }
                Ok(detachment) => {
                    shared.start_patch(uid, now);
                    entry.making.patch = Some(Patch::Detach(detachment.clone()));
                    effects.push(Effect::Detach(Detach {
                        pod: entry.facts.uid.clone(),
                        namespace: entry.facts.namespace.clone(),
                        name: entry.facts.name.clone(),
                        detachment,
                        annotated: entry.facts.annotated,
                    }));
                }
            }
        }
    }

    /// Finds the detached pods whose workload is gone meanwhile.
    fn notice_deleted(&mut self, shared: &Shared) {
        for entry in self.pods.values_mut().filter(|e| e.stands_detached()) {
            let Some(was) = entry.making.was(&entry.facts) else {
                continue;
            };
            let namespace = &entry.facts.namespace;
            let gone = match shared.workloads.of(namespace, &was.replica_set) {
                Some(Workload::Known(set, _)) => set.uid != was.uid || set.going,
                Some(Workload::Gone) => true,
                Some(Workload::Unavailable(_) | Workload::Unanswered(_)) | None => false,
            };
            if gone {
                entry.making.obstacle = Some(Obstacle::Deleted);
            }
        }
    }

    /// Whether a pod is detached at `now`: by what it says itself, then by its workload, then by
    /// the node and the time. `Err(None)`: that cannot be told yet.
    fn decide(
        &self,
        entry: &Entry,
        now: Instant,
        shared: &Shared,
    ) -> Result<Detachment, Option<Obstacle>> {
        let pod = &entry.facts;
        let obstacle = |obstacle| Err(Some(obstacle));
        if let Some(found) = self.settings.make_before_break.obstacle(pod) {
            return obstacle(found);
        }
        if shared.rights.barred(&pod.namespace) {
            return obstacle(Obstacle::Forbidden);
        }
        if now >= self.worth_until(entry) {
            return obstacle(Obstacle::NoTime);
        }
        let Some(owner) = &pod.owner else {
            return obstacle(Obstacle::NoReplicaSet);
        };
        let impatient = now >= entry.making.since + PATIENCE;
        let unknown = |why: &str| impatient.then(|| Obstacle::Unknown(why.to_owned()));
        let of = (pod.namespace.as_str(), owner.name.as_str());
        let workload = shared.workloads.believed(self.recent(), of);
        let set = match workload {
            None => return Err(unknown("no answer in time")),
            Some(Workload::Unavailable(why) | Workload::Unanswered(why)) => {
                return Err(unknown(why));
            }
            Some(known) => match (known.obstacle(pod), known) {
                (None, Workload::Known(set, _)) => set,
                (found, _) => return Err(Some(found.unwrap_or(Obstacle::Deleted))),
            },
        };
        match shared.workloads.sight(&pod.namespace) {
            Sight::Live => {}
            Sight::Coming => return Err(unknown("its ReplicaSet is not watched yet")),
            Sight::Blind(why) => return Err(unknown(why)),
        }
        if !self.cordoned {
            return Err(impatient.then_some(Obstacle::NotCordoned));
        }
        Ok(Detachment {
            hash: pod.labels.get(HASH_LABEL).cloned().unwrap_or_default(),
            replica_set: set.name.clone(),
            uid: set.uid.clone(),
            notice: self.settings.notice.clone(),
        })
    }

    /// Asks about the workloads of pods that may be, or are, detached, and for watches of them.
    /// Whether there is a question left for which there was no slot.
    fn watch_workloads(
        &self,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut waits = false;
        let mut hashes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let recent = self.recent();
        for entry in self.pods.values() {
            let pod = &entry.facts;
            let ready = matches!(entry.state, State::Ready { .. });
            if !ready || self.waits_until(entry).is_none() {
                continue;
            }
            let (set, hash) = match (entry.making.was(pod), &pod.owner) {
                (Some(was), _) => (&was.replica_set, &was.hash),
                (_, Some(owner)) if self.settings.make_before_break.obstacle(pod).is_none() => {
                    let Some(hash) = pod.labels.get(HASH_LABEL) else {
                        continue;
                    };
                    (&owner.name, hash)
                }
                _ => continue,
            };
            let of = (pod.namespace.as_str(), set.as_str());
            let since = match entry.making.was(pod) {
                // What an earlier drain knew is older than what it did last; and what has ended
                // between two watches neither told of.
                Some(_) => {
                    let released = matches!(entry.making.released, Some(Released::Before));
                    let seen = released.then_some(entry.making.since);
                    let watched = shared.workloads.watched_anew(&pod.namespace);
                    recent
                        .max(seen.unwrap_or(recent))
                        .max(watched.unwrap_or(recent))
                }
                None => recent,
            };
            waits |= !shared.look_at(since, of, now, effects);
            let known = shared.workloads.of(&pod.namespace, set);
            // Of a Deployment that does not allow it, and of what is gone, nothing more is asked.
            let detached = entry.making.is_detached(pod);
            let watched = match known {
                Some(known @ Workload::Known(..)) => detached || known.obstacle(pod).is_none(),
                _ => false,
            };
            if watched {
                let of_it = hashes.entry(&pod.namespace).or_default();
                of_it.insert(hash.clone());
            }
        }
        for (namespace, hashes) in hashes {
            shared.workloads.watch(namespace, hashes, effects);
        }
        waits
    }

    /// When a patch or a question is due again, where the server takes calls from `opens` on.
    pub(super) fn making_wake(&self, opens: Instant, shared: &Shared) -> Vec<Instant> {
        if !self.makes_first() {
            return Vec::new();
        }
        let waits = |e: &&Entry| matches!(e.state, State::Ready { .. } | State::Aside);
        let patches = self.pods.values().filter(waits);
        let due = |e: &&Entry| {
            let making = &e.making;
            // One that is to be tried again is decided upon.
            let decided = making.decided && making.patch.is_none() && making.obstacle.is_none();
            decided || e.stands_detached()
        };
        let patches = patches.filter(due);
        patches
            .map(|e| e.making.not_before.max(opens))
            .chain(shared.workloads.wake().map(|at| at.max(opens)))
            .chain(self.looks_wait.then_some(opens))
            .chain(self.cancelled.map(|at| at + super::PUTTING_BACK))
            .collect()
    }
}
