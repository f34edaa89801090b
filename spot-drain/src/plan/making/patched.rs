//! What an answer to a patch of a pod means.

use tokio::time::Instant;

use super::{AGAIN, Patch, TRIES, TRIES_TO_PUT_BACK};
use crate::facts::Uid;
use crate::plan::drain::Drain;
use crate::plan::entry::State;
use crate::plan::shared::Shared;
use crate::replacement::Obstacle;
use crate::reply::Reply;

impl Drain {
    /// The answer to a patch.
    pub(in crate::plan) fn on_patched(
        &mut self,
        uid: &Uid,
        reply: Reply,
        now: Instant,
        shared: &mut Shared,
    ) {
        let left = self.window.end().saturating_duration_since(now);
        let cancelled = self.cancelled.is_some();
        let Some(entry) = self.pods.get_mut(uid) else {
            return;
        };
        let making = &mut entry.making;
        let patch = making.patch.take();
        // What may be answered otherwise in a moment is asked again as long as it is worth the while.
        let counts = match &reply {
            Reply::Lost { .. } | Reply::Overloaded { .. } | Reply::Unauthorized => false,
            // The API server itself knows such a pod, or says that it does not.
            Reply::Denied { status, .. } => *status != 404,
            Reply::Forbidden { .. } => true,
            _ => !cancelled,
        };
        let words = match reply {
            Reply::Accepted => {
                making.failures = 0;
                match patch {
                    Some(Patch::Detach(_)) if entry.facts.is_detached() => {}
                    Some(Patch::Detach(was)) => making.detached = Some(was),
                    Some(Patch::PutBack) => making.returned(&entry.facts, now),
                    None => {}
                }
                return;
            }
            Reply::Gone => {
                entry.gone.get_or_insert(now);
                if matches!(entry.state, State::Ready { .. }) {
                    entry.state = State::Gone;
                }
                return;
            }
            Reply::Forbidden { words } | Reply::Denied { words, .. } => words,
            Reply::Unclear { what } | Reply::Lost { what } => what,
            Reply::Unauthorized => "401 the token was refused".to_owned(),
            Reply::Overloaded { retry_after } => {
                shared.overloaded(retry_after, left, uid, now);
                "the API server was overloaded".to_owned()
            }
            // It was changed meanwhile; what it is now is seen by the watch.
            Reply::Conflict => "somebody else changed it".to_owned(),
            Reply::BudgetClosed(_) | Reply::Misconfigured { .. } | Reply::NamespaceTerminating => {
                "no answer to a patch".to_owned()
            }
        };
        making.not_before = now + AGAIN;
        if !counts {
            return;
        }
        making.failures += 1;
        if cancelled {
            if making.failures >= TRIES_TO_PUT_BACK {
                making.stuck = Some(words);
            }
        } else if making.failures >= TRIES {
            making.obstacle.get_or_insert(Obstacle::Refused(words));
        }
    }
}
