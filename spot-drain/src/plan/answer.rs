//! What an answer to an eviction or a deletion changes.

use std::time::Duration;

use tokio::time::Instant;

use super::Effect;
use super::drain::{Drain, class};
use super::entry::{Entry, Hold, State};
use super::lane::LaneKey;
use super::shared::Shared;
use crate::facts::Uid;
use crate::reply::{Refusal, Reply};
use crate::report::PodOutcome;

/// The pause before a refusal that is not expected to mend itself soon is tried again.
const SLOW: Duration = Duration::from_secs(5);
/// The pauses before a 403 is believed: a server that has just started knows nobody's rights for
/// a second or two.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];
/// The pause before a pod that goes with its namespace is tried again all the same.
const NAMESPACE: Duration = Duration::from_secs(30);
/// The pause after the server found another pod under the name, or another writer.
const CONFLICT: Duration = Duration::from_secs(2);
/// The longest pause before a budget whose numbers are not up to date is asked again.
const STALE: Duration = Duration::from_secs(3);
/// The shortest pause after a refusal, whatever the server says and however late it is.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest pause after a call that got no answer: there may be one any time.
const LOST: Duration = Duration::from_secs(1);
/// So many calls of a pod may get lost before there are pauses.
const QUICK: u32 = 3;
/// The longest pause before a deletion is tried again.
const DELETE: Duration = Duration::from_secs(2);

impl Drain {
    pub(super) fn on_answered(
        &mut self,
        uid: &Uid,
        reply: Reply,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.pods.get_mut(uid) else {
            return;
        };
        let State::InFlight { since, delete } = entry.state else {
            return;
        };
        let left = self.window.end().saturating_duration_since(now);
        let mut pause = Duration::ZERO;
        let hold = match reply {
            Reply::Accepted => {
                let took = now.saturating_duration_since(since);
                if !delete {
                    shared.rights.exercised(&entry.facts.namespace);
                    shared.pace.took(took);
                    shared.lanes.accepted(&entry.lane, took, now);
                }
                entry.accept(delete, took, self.settings.dry_run, now);
                None
            }
            Reply::Gone => {
                entry.gone.get_or_insert(now);
                None
            }
            Reply::Conflict => {
                self.suspicion.raise();
                pause = CONFLICT;
                None
            }
            Reply::BudgetClosed(refusal) => Some(entry.closed(refusal, left, (since, now), shared)),
            Reply::Overloaded { retry_after } => {
                shared.overloaded(retry_after, left, uid, now);
                Some(Hold::Overloaded)
            }
            Reply::Forbidden { words } => {
                let before = match entry.hold {
                    Some(Hold::Forbidden { times, .. }) => times,
                    _ => 0,
                };
                pause = AGAIN.get(before).copied().unwrap_or(SLOW);
                if delete {
                    entry.delete_refused = true;
                } else {
                    shared.forbidden(&entry.facts.namespace, now, effects);
                }
                let times = before + 1;
                Some(Hold::Forbidden { words, times })
            }
            Reply::Misconfigured { words } => {
                pause = SLOW;
                Some(Hold::Misconfigured { words })
            }
            Reply::NamespaceTerminating => {
                pause = NAMESPACE;
                Some(Hold::NamespaceTerminating)
            }
            Reply::Denied { status, words } => {
                pause = SLOW;
                Some(Hold::Denied { status, words })
            }
            Reply::Unauthorized => {
                pause = entry.unclear_pause();
                let what = "401 the token was refused".to_owned();
                Some(Hold::Unclear { what })
            }
            Reply::Unclear { what } => {
                pause = entry.unclear_pause();
                Some(Hold::Unclear { what })
            }
            // The pace sees to it that a server that is away is not asked all the time; but one
            // that loses calls for this pod may well be there.
            Reply::Lost { what } => {
                if entry.tries > QUICK {
                    pause = entry.unclear_pause().min(LOST);
                }
                Some(Hold::Unclear { what })
            }
        };
        if let Some(hold) = hold {
            entry.last_refusal = Some(PodOutcome::from(hold.clone()).to_string());
            entry.hold = Some(hold);
        }
        if delete {
            pause = pause.max((left / 4).min(DELETE));
        }
        if let State::InFlight { .. } = entry.state {
            let not_before = now + pause;
            entry.state = State::Ready { not_before };
            entry.delete_again = delete.then_some(not_before).or(entry.delete_again);
        }
        self.settle(uid, now, shared);
    }

    /// What was seen of a pod during a call counts from the call's end on.
    fn settle(&mut self, uid: &Uid, now: Instant, shared: &Shared) {
        let Some(entry) = self.pods.get_mut(uid) else {
            return;
        };
        let class = class(&entry.facts, &self.settings, shared);
        if entry.gone.is_some() {
            entry.state = State::Gone;
        } else if matches!(entry.state, State::Ready { .. }) && class != entry.class {
            entry.place(class, now);
        }
    }
}

impl Entry {
    /// A budget refused it in a call made at the first of `times` and answered at the second;
    /// so much is `left` of the window.
    fn closed(
        &mut self,
        mut refusal: Refusal,
        left: Duration,
        times: (Instant, Instant),
        shared: &mut Shared,
    ) -> Hold {
        shared.rights.exercised(&self.facts.namespace);
        let lanes = &mut shared.lanes;
        let stale = refusal.stale.then(|| (left / 4).clamp(SHORTEST, STALE));
        let by = lanes.refused(&self.lane, &self.facts, &refusal, stale, times);
        // One that its refusal does not name may be known by its selector.
        if let (None, LaneKey::Budget(_, name)) = (&refusal.budget, &by) {
            refusal.budget = Some(name.clone());
        }
        self.refused_by = Some(by);
        self.lane = lanes.of(&self.facts, self.refused_by.as_ref());
        Hold::Budget(refusal)
    }
}
