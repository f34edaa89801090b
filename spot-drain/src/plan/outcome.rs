//! How a drain ends, and what has become of its pods.

use spot_core::drainer::DrainOutcome;
use tokio::time::Instant;

use super::entry::{Entry, Hold, State};
use super::{LINGER, Plan};
use crate::classify::{Class, warnings};
use crate::report::{PodOutcome, PodReport, Report};

impl Plan {
    /// How the drain has ended at `now`, where it has.
    pub fn outcome(&self, now: Instant) -> Option<DrainOutcome> {
        if self.cancelled {
            return Some(DrainOutcome::Cancelled);
        }
        let settled = now >= self.window.start() + LINGER
            && self.listed
            && self.pods.values().all(|e| self.is_settled(e));
        if settled
            && !self
                .pods
                .values()
                .any(|e| matches!(e.state, State::Ready { .. }))
        {
            return Some(DrainOutcome::Complete);
        }
        (settled || now >= self.window.end()).then_some(DrainOutcome::Incomplete)
    }

    /// What has become of the pods at `now`.
    pub fn report(&self, now: Instant) -> Report {
        let pods = self
            .ranks
            .values()
            .filter_map(|uid| self.pods.get(uid))
            .map(|e| PodReport {
                namespace: e.facts.namespace.clone(),
                name: e.facts.name.clone(),
                uid: e.facts.uid.clone(),
                outcome: self.pod_outcome(e),
                warnings: match e.class {
                    Class::Evict(_) => warnings(&e.facts).iter().map(ToString::to_string).collect(),
                    _ => Vec::new(),
                },
                finalizers: e.facts.finalizers.clone(),
                tries: e.tries,
                grace: e.grace.filter(|_| e.accepted.is_some()),
                own_grace: e.facts.grace,
                deleted: e.deleted,
                accepted_after: e.accepted.map(|t| t - self.window.start()),
                gone_after: e.gone.map(|t| t - self.window.start()),
            });
        Report {
            outcome: self.outcome(now).unwrap_or(DrainOutcome::Incomplete),
            elapsed: now.saturating_duration_since(self.window.start()),
            slack: self.deadline.map(|d| d.saturating_duration_since(now)),
            dry_run: self.settings.dry_run,
            listed: self.listed,
            requests: 0,
            pods: pods.collect(),
        }
    }

    /// Whether nothing more will come of a pod.
    fn is_settled(&self, entry: &Entry) -> bool {
        let ready = matches!(entry.state, State::Ready { .. });
        let going = self.settings.dry_run && matches!(entry.state, State::Going { .. });
        entry.is_done() || going || (ready && self.barred && self.delete_at(entry).is_none())
    }

    fn pod_outcome(&self, entry: &Entry) -> PodOutcome {
        if entry.gone.is_some() {
            return PodOutcome::Gone;
        }
        match (&entry.state, entry.class) {
            (_, Class::Skip(reason)) => PodOutcome::Skipped {
                reason: reason.to_string(),
            },
            (_, Class::Completed) => PodOutcome::Completed,
            (State::Would, _) => PodOutcome::WouldEvict,
            (State::Going { .. }, _) => PodOutcome::Terminating,
            _ if self.barred => PodOutcome::Forbidden {
                words: "not allowed to create pods/eviction".to_owned(),
            },
            (State::InFlight { .. }, _) if entry.hold.is_none() => PodOutcome::Unreachable {
                what: "the call had not been answered".to_owned(),
            },
            _ => {
                // Without a refusal of its own it waits behind a pod of its owner or budget.
                let behind = || self.lanes.refusal(&entry.lane).cloned().map(Hold::Budget);
                let hold = entry.hold.clone().or_else(behind);
                hold.map_or(PodOutcome::NotReached, PodOutcome::from)
            }
        }
    }
}
