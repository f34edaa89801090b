//! What was detached is put back where the drain is called off.

use std::time::Duration;

use tokio::time::Instant;

use super::{AGAIN, Patch, TRIES_TO_PUT_BACK};
use crate::classify::Class;
use crate::facts::Uid;
use crate::plan::drain::Drain;
use crate::plan::entry::{Entry, State};
use crate::plan::shared::Shared;
use crate::plan::{Effect, Reattach};
use crate::replacement::Workload;

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
            shared.workloads.ask_since(since, set, now, effects);
            let stranded = match shared.workloads.of(set.0, set.1) {
                Some(Workload::Known(set, _)) => set.uid != was.uid || set.going,
                Some(Workload::Gone) => true,
                Some(Workload::Unavailable(_)) if now >= since + BLINDLY => false,
                Some(Workload::Unavailable(_)) | None => continue,
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
            effects.push(Effect::Reattach(Reattach {
                pod: uid.clone(),
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                hash: was.hash.clone(),
            }));
            shared.start_patch(uid, now);
            entry.making.patch = Some(Patch::PutBack);
        }
    }
}
