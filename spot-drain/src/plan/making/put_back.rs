//! What was detached is put back where the drain is called off, and where no replacement is made.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{AGAIN, Patch, TRIES, TRIES_TO_PUT_BACK};
use crate::classify::Class;
use crate::facts::Uid;
use crate::plan::drain::Drain;
use crate::plan::entry::{Entry, State};
use crate::plan::shared::Shared;
use crate::plan::workloads::is_later;
use crate::plan::{Effect, Reattach};
use crate::replacement::{Obstacle, ReplicaSetFacts, Workload};

/// After this time a pod is put back though its workload cannot be looked at: what is known is that
/// it was that workload's.
const BLINDLY: Duration = Duration::from_secs(5);

impl Drain {
    /// Whether something that was detached may have to be put back.
    pub(in crate::plan) fn has_to_put_back(&self) -> bool {
        let unseen = !self.listed;
        let stands = |e: &Entry| e.stands_detached() && e.making.stuck.is_none();
        let open = |e: &Entry| stands(e) || e.making.patch.is_some();
        self.makes_first() && (unseen || self.pods.values().any(open))
    }

    /// Puts back what was detached: its ReplicaSet then adopts it, and ends the one that is too
    /// many. One whose ReplicaSet is gone is evicted: nobody else would.
    pub(in crate::plan) fn put_back(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let Some(since) = self.cancelled.filter(|_| self.makes_first()) else {
            return;
        };
        self.looks_wait = false;
        let standing: Vec<Uid> = self
            .in_order()
            .filter(|e| e.stands_detached() && e.making.stuck.is_none())
            .filter(|e| now >= e.making.not_before)
            .filter(|e| e.making.patch.is_none() && !matches!(e.state, State::InFlight { .. }))
            .map(|e| e.facts.uid.clone())
            .collect();
        for uid in standing {
            let busy = shared.is_under_way(&uid);
            let Some(entry) = self.pods.get_mut(&uid).filter(|_| !busy) else {
                continue;
            };
            let pod = &entry.facts;
            let Some(was) = entry.making.was(pod) else {
                continue;
            };
            let set = (pod.namespace.as_str(), was.replica_set.as_str());
            // What was known before may be over: a pod that is put back is nobody's any more.
            if !shared.look_at(since, set, now, effects) {
                self.looks_wait = true;
            }
            let asked = shared.workloads.asked(set.0, set.1);
            let stranded = match shared.workloads.of(set.0, set.1) {
                _ if asked.is_none_or(|asked| asked < since) => {
                    if now < since + BLINDLY || shared.workloads.is_asked(set) {
                        continue;
                    }
                    false
                }
                Some(Workload::Known(set, _)) => set.uid != was.uid || set.going,
                Some(Workload::Gone) => true,
                Some(Workload::Unavailable(_) | Workload::Unanswered(_)) | None => continue,
            };
            if !shared.has_slot(now) {
                return;
            }
            let tried = entry.making.failures >= TRIES_TO_PUT_BACK;
            if stranded && (tried || !matches!(entry.class, Class::Evict(_))) {
                entry.making.stuck = Some("its ReplicaSet is gone".to_owned());
                continue;
            }
            if stranded {
                entry.making.failures += 1;
                shared.start(uid, entry.lane.clone(), false, now);
                entry.making.not_before = now + AGAIN;
                let call = entry.start(&self.window, false, false, now);
                effects.push(Effect::Evict(call));
                continue;
            }
            effects.extend(entry.reattach());
            shared.start_patch(uid, now);
        }
    }

    /// Puts back pods in whose place their ReplicaSet cannot make others, such as for a quota, to be
    /// evicted as ever. Without an owner it would not hear of their end, and its tries are ever
    /// further apart; and a budget that counts what owners want may find nobody to count.
    pub(super) fn give_up(&mut self, now: Instant, shared: &mut Shared, effects: &mut Vec<Effect>) {
        self.notice_failures(shared);
        let given_up = |e: &&Entry| {
            let making = &e.making;
            let tried = now < making.not_before || making.failures >= TRIES;
            making.is_given_up() && making.patch.is_none() && !tried && e.stands_detached()
        };
        let in_time = |e: &&Entry| now < self.window.latest_for(e.facts.grace);
        let ready = |e: &&Entry| matches!(e.state, State::Ready { .. });
        let standing: Vec<Uid> = self
            .in_order()
            .filter(|e| ready(e) && given_up(e) && in_time(e))
            .map(|e| e.facts.uid.clone())
            .collect();
        for uid in standing {
            if !shared.has_slot(now) {
                return;
            }
            let Some(entry) = self.pods.get_mut(&uid) else {
                continue;
            };
            effects.extend(entry.reattach());
            shared.start_patch(uid, now);
        }
    }

    /// Finds as many detached pods as their ReplicaSet has tried to make others for in vain. For the
    /// rest there are others, which are waited for.
    fn notice_failures(&mut self, shared: &Shared) {
        let mut lacking: BTreeMap<Uid, i64> = BTreeMap::new();
        let mut failed: Vec<(Uid, String)> = Vec::new();
        for entry in self.in_order().filter(|e| e.stands_detached()) {
            let Some(was) = entry
                .detachment()
                .filter(|_| entry.making.obstacle.is_none())
            else {
                continue;
            };
            let known = shared
                .workloads
                .of(&entry.facts.namespace, &was.replica_set);
            let Some(Workload::Known(set, _)) = known.filter(|_| entry.making.patch.is_none())
            else {
                continue;
            };
            let Some(why) = set.failure.as_ref().filter(|_| set.uid == was.uid) else {
                continue;
            };
            let asked = shared
                .workloads
                .asked(&entry.facts.namespace, &was.replica_set);
            if !entry.making.is_released(&set.version, asked) {
                continue;
            }
            let lacking = lacking.entry(set.uid.clone()).or_insert_with(|| {
                let ours = self.pods.values().filter(|e| e.lacks(set)).count();
                let lacks = i64::from(set.wanted) - i64::from(set.made);
                lacks - i64::try_from(ours).unwrap_or(i64::MAX)
            });
            if *lacking > 0 {
                *lacking -= 1;
                failed.push((entry.facts.uid.clone(), why.clone()));
            }
        }
        for (uid, why) in failed {
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.making.obstacle = Some(Obstacle::NotMade(why));
                entry.making.failures = 0;
            }
        }
    }
}

impl Entry {
    /// The call that puts it back.
    fn reattach(&mut self) -> Option<Effect> {
        let was = self.making.was(&self.facts)?;
        let back = Reattach {
            pod: self.facts.uid.clone(),
            namespace: self.facts.namespace.clone(),
            name: self.facts.name.clone(),
            hash: was.hash.clone(),
        };
        self.making.patch = Some(Patch::PutBack);
        Some(Effect::Reattach(back))
    }

    /// Whether its ReplicaSet, as it was seen, lacks it: because it goes, which needs another and
    /// not its return, or because it is about to have it back.
    fn lacks(&self, set: &ReplicaSetFacts) -> bool {
        let making = &self.making;
        let goes = self.gone.is_some() || self.accepted.is_some();
        let goes = goes || self.facts.terminating.is_some();
        if let Some(back) = making.put_back.as_ref().filter(|back| back.to == set.uid) {
            let adopted = back.adopted.as_ref();
            return goes || adopted.is_none_or(|at| !is_later(&set.version, at));
        }
        if let Some(was) = self.detachment() {
            return was.uid == set.uid && making.is_given_up();
        }
        goes && self.facts.owner.as_ref().is_some_and(|o| o.uid == set.uid)
    }
}
