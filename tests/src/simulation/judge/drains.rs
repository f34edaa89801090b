//! P5: a drain is over by its end, which is a margin before its order's deadline.

use std::time::Duration;

use spot_core::{deadline::Deadline, observer::Occurrence};

use super::{Case, MARGIN, Verdict};
use crate::simulation::evidence::{Entry, Who};

/// How late a drain may end, for what it takes to say so; and what one is given that begins when
/// its time is over, as a hibernation's.
const LATE: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_secs(2);

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let mut due: Option<(Who, Duration)> = None;
    for entry in case.evidence.told(case.index) {
        match &entry.what {
            Occurrence::DrainStarted(order) => {
                due = left(case, order.deadline, entry).map(|left| (entry.who, entry.at + left));
            }
            // Nearer, and never farther: what is left less a smaller margin may be later.
            Occurrence::DeadlineNearer(order) => {
                let nearer = left(case, order.deadline, entry).map(|left| entry.at + left);
                let nearer = nearer.map(|nearer| (entry.who, nearer));
                due = due.into_iter().chain(nearer).min_by_key(|(_, due)| *due);
            }
            Occurrence::DrainFinished(_) => {
                let due = due.take().filter(|(who, _)| *who == entry.who);
                if let Some((_, due)) = due {
                    verdict.check("P5", entry.at, entry.at <= due + LATE, || {
                        format!("a drain of {} due at {due:?} ended", case.name())
                    });
                }
            }
            _ => {}
        }
    }
    // One that has not ended must still have time.
    if let Some((who, due)) = due {
        let died = case.died(who);
        verdict.check("P5", died, died <= due + LATE, || {
            format!("a drain of {} due at {due:?} never ended", case.name())
        });
    }
}

/// What an order left when it was given.
fn left(case: Case<'_>, deadline: Option<Deadline>, entry: &Entry) -> Option<Duration> {
    deadline.map(|deadline| {
        let left = deadline.remaining(case.evidence.start + entry.at);
        // A fifteenth of what is left.
        let margin = (left / 15).clamp(MARGIN.0, MARGIN.1);
        left.saturating_sub(margin).max(LEAST)
    })
}
