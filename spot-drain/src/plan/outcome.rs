//! How a drain ends, and what has become of its pods.

use spot_core::drainer::DrainOutcome;
use tokio::time::Instant;

use super::drain::Drain;
use super::entry::{Entry, Hold, State};
use super::shared::Shared;
use super::{ANSWERS, LINGER, PUTTING_BACK};
use crate::classify::{Class, warnings};
use crate::observer::Overview;
use crate::report::{Hindrance, PodOutcome, PodReport, Report};

impl Drain {
    /// How the drain has ended at `now`, where it has.
    pub(super) fn outcome(&self, now: Instant, shared: &Shared) -> Option<DrainOutcome> {
        if let Some(at) = self.cancelled {
            let waits = |e: &Entry| matches!(e.state, State::InFlight { .. });
            let busy = self.has_to_put_back();
            let limit = if busy { PUTTING_BACK } else { ANSWERS };
            let over = now >= (at + limit).min(self.window.end());
            let answered = over || !busy && !self.pods.values().any(waits);
            return answered.then_some(DrainOutcome::Cancelled);
        }
        if now < self.window.end() {
            let lingered = now >= self.newest + LINGER && self.listed;
            let settled = || self.pods.values().all(|e| self.is_settled(e, shared));
            if !lingered || !settled() || !self.volumes_settled(now) {
                return None;
            }
        }
        Some(if self.listed && self.pods_gone() {
            DrainOutcome::Complete
        } else {
            DrainOutcome::Incomplete
        })
    }

    /// Whether all pods that were to leave have left.
    pub(super) fn pods_gone(&self) -> bool {
        let would = |e: &Entry| {
            self.settings.dry_run && matches!(e.state, State::Going { .. } | State::Would)
        };
        self.pods.values().all(|e| e.is_done() || would(e))
    }

    /// Whether nothing more will come of a pod.
    fn is_settled(&self, entry: &Entry, shared: &Shared) -> bool {
        let ready = matches!(entry.state, State::Ready { .. });
        let going = self.settings.dry_run && matches!(entry.state, State::Going { .. });
        let barred = shared.rights.barred(&entry.facts.namespace);
        let idle = entry.is_done() || going || (ready && barred && self.delete_at(entry).is_none());
        // A pod that is being detached when that is known is told of as what it is then.
        idle && !(ready && entry.is_being_patched())
    }

    /// What is to be done with the pods, once it is known which there are.
    pub(super) fn overview(&self, now: Instant) -> Option<Overview> {
        let is_undecided = |e: &Entry| matches!(e.class, Class::Undecided);
        if !self.listed || self.pods.values().any(is_undecided) {
            return None;
        }
        let mut overview = Overview {
            dry_run: self.settings.dry_run,
            ..Overview::default()
        };
        for entry in self.pods.values() {
            *overview.pods.entry(entry.class.as_str()).or_default() += 1;
            let trimmed = || self.window.trimmed(entry.facts.grace, now);
            if matches!(entry.class, Class::Evict(_)) && trimmed().is_some() {
                overview.trimmed += 1;
            }
        }
        Some(overview)
    }

    /// What has become of the pods at `now`.
    pub(super) fn report(&self, now: Instant, shared: &Shared) -> Report {
        let pods = self.in_order().map(|e| PodReport {
            namespace: e.facts.namespace.clone(),
            name: e.facts.name.clone(),
            uid: e.facts.uid.clone(),
            class: e.class.as_str(),
            outcome: pod_outcome(e, shared),
            last_refusal: e.last_refusal.clone(),
            warnings: match e.class {
                Class::Evict(_) => warnings(&e.facts).iter().map(ToString::to_string).collect(),
                _ => Vec::new(),
            },
            replacement: e.replacement(shared.rights.barred(&e.facts.namespace)),
            detachment: e.detachment().cloned(),
            finalizers: e.facts.finalizers.clone(),
            tries: e.tries,
            grace: e.grace.filter(|_| e.accepted.is_some()),
            own_grace: e.facts.grace,
            deleted: e.deleted,
            accepted_after: e.accepted.map(|t| t - self.window.start()),
            gone_after: e.gone.map(|t| t - self.window.start()),
        });
        let unseen = self
            .unseen
            .iter()
            .map(|why| Hindrance::Pods { why: why.clone() });
        let (attached, unknown) = match self.volumes.answer.clone() {
            Some(Ok(attached)) => (attached, None),
            Some(Err(why)) => (Vec::new(), Some(Hindrance::Volumes { why })),
            None => (Vec::new(), None),
        };
        Report {
            outcome: self
                .outcome(now, shared)
                .unwrap_or(DrainOutcome::Incomplete),
            elapsed: now.saturating_duration_since(self.window.start()),
            slack: self.deadline.map(|d| d.saturating_duration_since(now)),
            dry_run: self.settings.dry_run,
            listed: self.listed,
            requests: 0,
            pods: pods.collect(),
            attached,
            hindrances: unseen
                .chain(shared.hindrances.clone())
                .chain(unknown)
                .collect(),
        }
    }
}

/// What has become of a pod.
fn pod_outcome(entry: &Entry, shared: &Shared) -> PodOutcome {
    if entry.gone.is_some() {
        return PodOutcome::Gone;
    }
    match (&entry.state, entry.class) {
        (_, Class::Skip(reason)) => PodOutcome::Skipped {
            reason: reason.to_string(),
        },
        (_, Class::Completed) => PodOutcome::Completed,
        (_, Class::Awaited) => PodOutcome::Awaited,
        (State::Would, _) => PodOutcome::WouldEvict,
        (State::Going { .. }, _) => PodOutcome::Terminating,
        _ if shared.rights.barred(&entry.facts.namespace) => PodOutcome::Forbidden {
            words: format!(
                "not allowed to create pods/eviction in {}",
                entry.facts.namespace
            ),
        },
        (State::InFlight { .. }, _) if entry.hold.is_none() => PodOutcome::Unreachable {
            what: "the call had not been answered".to_owned(),
        },
        _ => {
            // Without a refusal of its own it waits behind a pod of its owner or budget.
            let behind = || shared.lanes.refusal(&entry.lane).cloned().map(Hold::Budget);
            let hold = entry.hold.clone().or_else(behind);
            hold.map_or(PodOutcome::NotReached, PodOutcome::from)
        }
    }
}
