//! Which detached pods have others in their place.

use std::collections::{BTreeMap, BTreeSet};

use crate::classify::Class;
use crate::facts::Uid;
use crate::plan::drain::Drain;
use crate::plan::entry::{Entry, State};
use crate::plan::shared::Shared;
use crate::replacement::{Detachment, Workload};

impl Drain {
    /// The detached pods that may go now, because others serve in their place: so many that with
    /// those that stay there are as many as their ReplicaSet wants.
    pub(in crate::plan) fn replaced(&self, shared: &Shared) -> BTreeSet<Uid> {
        let mut replaced = BTreeSet::new();
        if !self.makes_first() {
            return replaced;
        }
        // By ReplicaSet: how many more there are than are needed.
        let mut spare: BTreeMap<&Uid, i64> = BTreeMap::new();
        let stands = |e: &&Entry| e.stands_detached() && matches!(e.state, State::Ready { .. });
        let serves = |e: &&Entry| e.facts.ready && matches!(e.class, Class::Evict(_));
        // One that is being put back may be counted already.
        let standing: Vec<(&Entry, &Detachment)> = self
            .in_order()
            .filter(|e| stands(e) && serves(e) && e.making.patch.is_none())
            .filter_map(|e| Some((e, e.facts.detached.as_ref()?)))
            .collect();
        for (entry, was) in &standing {
            let known = shared
                .workloads
                .of(&entry.facts.namespace, &was.replica_set);
            let asked = shared
                .workloads
                .asked(&entry.facts.namespace, &was.replica_set);
            if let Some(Workload::Known(set, _)) = known
                && set.uid == was.uid
                && entry.making.is_released(&set.version, asked)
            {
                let surplus = i64::from(set.available) - i64::from(set.wanted);
                *spare.entry(&was.uid).or_insert(surplus) += 1;
            }
        }
        for (entry, was) in standing {
            if let Some(spare) = spare.get_mut(&was.uid).filter(|spare| **spare > 0) {
                *spare -= 1;
                replaced.insert(entry.facts.uid.clone());
            }
        }
        replaced
    }
}
