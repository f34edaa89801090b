//! What is to be done when, each thing once, in an order that never varies.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Deployment(String),
    ReplicaSet(String),
    StatefulSet(String),
    DaemonSet(String),
    Budget(String),
    Endpoints(String),
    Node(String),
    Namespace(String),
    Schedule,
    /// A pod, by the kubelet of its node.
    Pod(String),
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeMap<Work, Instant>,
    queue: BTreeSet<(Instant, Work)>,
}

impl Agenda {
    /// Adds work; where it is there already, the earlier time counts.
    pub(super) fn add(&mut self, at: Instant, work: Work) {
        if let Some(old) = self.due.get(&work) {
            if *old <= at {
                return;
            }
            self.queue.remove(&(*old, work.clone()));
        }
        self.due.insert(work.clone(), at);
        self.queue.insert((at, work));
    }

    /// The next work that is due by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, Work)> {
        if self.next()? > now {
            return None;
        }
        let (at, work) = self.queue.pop_first()?;
        self.due.remove(&work);
        Some((at, work))
    }

    /// Work on what is derived from other objects, due or not.
    pub(super) fn take_derived(&mut self) -> Option<Work> {
        let derived = |work: &Work| !matches!(work, Work::Pod(_));
        let work = self.due.keys().find(|work| derived(work))?.clone();
        let at = self.due.remove(&work)?;
        self.queue.remove(&(at, work.clone()));
        Some(work)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }
}
