//! A path that is polled: when it is due, and how it answered last.

use std::time::Duration;

use spot_core::notice::{NoticeKind, Trouble};
use tokio::time::Instant;

use super::backoff::{Backoff, MAX_BACKOFF, MAX_SLOW_BACKOFF};
use crate::client::{INSTANCE_ACTION, LIFECYCLE_STATE, REBALANCE, SCHEDULED_EVENTS};
use crate::error::ImdsError;

/// Every kind that is told, in the order of the first sweep, with its path below
/// `/latest/meta-data/`. The first that fails is the one that health speaks of.
const ALL: [(NoticeKind, &str); 4] = [
    (NoticeKind::SpotInterruption, INSTANCE_ACTION),
    (NoticeKind::AsgTermination, LIFECYCLE_STATE),
    (NoticeKind::ScheduledMaintenance, SCHEDULED_EVENTS),
    (NoticeKind::RebalanceRecommendation, REBALANCE),
];

/// How a path answered last.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It has not been asked yet, or is about to be asked again at once.
    Awaited,
    /// As it should.
    Good,
    /// Not so.
    Failing(Failure),
}

/// Why a path cannot be heard.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The kind of error.
    pub(super) kind: &'static str,
    pub(super) trouble: Trouble,
    pub(super) reason: String,
    /// It answers, and what it says cannot be read.
    pub(super) is_malformed: bool,
}

/// A path that is polled.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) kind: NoticeKind,
    /// Below `/latest/meta-data/`.
    pub(super) name: &'static str,
    /// The part of the slow interval that it is asked in; `None` for the interruption's, which
    /// is asked at its own pace.
    share: Option<(u32, u32)>,
    /// When it is to be asked; at once where that is not set.
    due: Option<Instant>,
    backoff: Backoff,
    pub(super) answer: Answer,
    /// Since when it has given no usable reply, and when it last gave none.
    away: Option<(Instant, Instant)>,
}

impl Path {
    /// The paths of these kinds.
    pub(super) fn of(
        kinds: &[NoticeKind],
        interval: Duration,
        slow_interval: Duration,
        seed: u64,
    ) -> Vec<Self> {
        let polled = ALL.iter().filter(|(kind, _)| kinds.contains(kind));
        let is_slow = |kind: NoticeKind| kind != NoticeKind::SpotInterruption;
        let slow = polled.clone().filter(|(kind, _)| is_slow(*kind)).count();
        let of = u32::try_from(slow).unwrap_or(1);
        let mut next = 0;
        let path = |&(kind, name): &(NoticeKind, &'static str)| {
            let (share, pace, longest) = if is_slow(kind) {
                next += 1;
                (Some((next, of)), slow_interval, MAX_SLOW_BACKOFF)
            } else {
                (None, interval, MAX_BACKOFF)
            };
            Self {
                kind,
                name,
                share,
                due: None,
                backoff: Backoff::new(pace, longest, seed.rotate_left(8 * next)),
                answer: Answer::Awaited,
                away: None,
            }
        };
        polled.map(path).collect()
    }

    /// Whether it is asked in its share of the slow interval.
    pub(super) fn is_slow(&self) -> bool {
        self.share.is_some()
    }

    /// When it is to be asked; `None`: at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// It is asked now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.due.get_or_insert(now);
    }

    /// It is to be asked at that time at the latest, unless it fails.
    pub(super) fn hasten(&mut self, by: Instant) {
        if !matches!(self.answer, Answer::Failing(_)) {
            self.due = self.due.map(|due| due.min(by));
        }
    }

    /// Some other path answers again that failed from `since` on: so may this one, where it has
    /// failed meanwhile.
    pub(super) fn revive(&mut self, since: Instant) {
        if self.away.is_some_and(|(_, last)| last >= since) {
            self.answer = Answer::Awaited;
            self.due = None;
        }
    }

    /// It answered at `now`, be it something that cannot be read. Since when it had not, where
    /// it had not.
    pub(super) fn answered(
        &mut self,
        malformed: Option<Failure>,
        interval: Duration,
        start: Instant,
        now: Instant,
    ) -> Option<Instant> {
        self.backoff.succeeded();
        self.answer = malformed.map_or(Answer::Good, Answer::Failing);
        self.due = Some(match self.share {
            // From start to start; polls that came too late are not made up for.
            None => {
                let next = self.due.unwrap_or(now) + interval;
                if next <= now { now + interval } else { next }
            }
            Some(share) => next_share(share, interval, start, now),
        });
        self.away.take().map(|(since, _)| since)
    }

    /// It gave no usable reply.
    pub(super) fn failed(&mut self, failure: Failure, now: Instant) {
        self.answer = Answer::Failing(failure);
        self.due = Some(now + self.backoff.failed());
        let since = self.away.map_or(now, |(since, _)| since);
        self.away = Some((since, now));
    }

    /// What an operator is told of an error.
    pub(super) fn reason(&self, error: &ImdsError) -> String {
        let report = error.report();
        if report.contains(self.name) {
            report
        } else {
            format!("{}: {report}", self.name)
        }
    }
}

/// The next time that falls to a path, so that those of one interval are spread over it whatever
/// held them up: the shares count from `start`, and what is nearer than a quarter of the
/// interval is left out.
fn next_share((nth, of): (u32, u32), interval: Duration, start: Instant, now: Instant) -> Instant {
    let first = start + interval * nth / of.max(1);
    let soonest = now + interval / 4;
    if soonest <= first {
        return first;
    }
    let past = soonest.duration_since(first).as_nanos() % interval.as_nanos().max(1);
    let rest = interval.saturating_sub(Duration::from_nanos(u64::try_from(past).unwrap_or(0)));
    soonest + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn paths() -> Vec<Path> {
        Path::of(&NoticeKind::ALL, SECOND / 2, 6 * SECOND, 1)
    }

    fn failure() -> Failure {
        Failure {
            kind: "broken",
            trouble: Trouble::Unreachable,
            reason: String::new(),
            is_malformed: false,
        }
    }

    #[test]
    fn the_interruption_comes_first_and_only_what_is_wanted_is_polled() {
        let kinds = |paths: &[Path]| paths.iter().map(|p| p.kind).collect::<Vec<_>>();
        let mut all = NoticeKind::ALL;
        all.reverse();
        assert_eq!(kinds(&paths()).first(), Some(&NoticeKind::SpotInterruption));
        assert_eq!(paths().len(), 4);
        let some = [NoticeKind::RebalanceRecommendation];
        let some = Path::of(&some, SECOND, SECOND, 1);
        assert_eq!(kinds(&some), [NoticeKind::RebalanceRecommendation]);
        assert!(Path::of(&[], SECOND, SECOND, 1).is_empty());
    }

    #[test]
    fn slow_paths_are_spread_over_the_interval_whatever_held_them_up() {
        let start = Instant::now();
        let mut paths = paths();
        let mut at = |now: u32, from: Instant| {
            let due = paths.iter_mut().filter(|p| p.is_slow()).map(|path| {
                path.answered(None, 6 * SECOND, from, from + SECOND * now);
                path.due().unwrap().duration_since(from).as_secs()
            });
            due.collect::<Vec<_>>()
        };
        assert_eq!(at(0, start), [2, 4, 6]);
        assert_eq!(at(1, start), [8, 4, 6]);
        assert_eq!(at(2, start), [8, 4, 6]);
        assert_eq!(at(60, start), [62, 64, 66]);
        assert_eq!(at(63, start), [68, 70, 66]);
    }

    #[test]
    fn what_failed_together_is_asked_again_together() {
        let start = Instant::now();
        let mut paths = paths();
        paths[1].failed(failure(), start);
        paths[0].failed(failure(), start + SECOND);
        paths[2].failed(failure(), start + 2 * SECOND);
        let since = paths[0].answered(None, SECOND, start, start + 3 * SECOND);
        assert_eq!(since, Some(start + SECOND));
        for path in &mut paths {
            path.revive(start + SECOND);
        }
        assert!(paths[1].due().is_some(), "it fails by itself");
        assert!(paths[2].due().is_none());
        assert!(matches!(paths[2].answer, Answer::Awaited));
    }
}
