//! The spot interruption, reading by reading.

use jiff::Timestamp;
use spot_core::deadline::Deadline;
use spot_core::notice::{InstanceAction, Notice, NoticeEnd, NoticeId, NoticeKind};
use tokio::time::Instant;

use super::absence::Absence;
use super::heard::Heard;
use super::moment::Moment;
use crate::decode::{SpotAction, instance_action};

const KIND: NoticeKind = NoticeKind::SpotInterruption;

/// What is known of the interruption that stands, if one does.
#[derive(Clone, Debug, Default)]
pub(super) struct Interruption(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    action: InstanceAction,
    /// The earliest time that was named.
    time: Option<Timestamp>,
    deadline: Deadline,
    detected: Instant,
    absence: Absence,
}

impl Interruption {
    /// A reply.
    pub(super) fn heed(&mut self, body: Option<&[u8]>, at: &Moment) -> Heard {
        let mut heard = Heard::default();
        match body.map(instance_action) {
            None => {
                if let Some(known) = self.vanished(at.received) {
                    heard.end(&known.notice().id, NoticeEnd::Passed);
                }
            }
            Some(Err(error)) => return Heard::malformed(error),
            Some(Ok(read)) => {
                if let Some(notice) = self.read(&read, at) {
                    heard.raise(&notice);
                }
                heard.unknown = read.unknown;
            }
        }
        heard
    }

    /// A reading: the notice to raise, where it says something new.
    ///
    /// New are the first, another action, an earlier time, and a deadline that the service's
    /// clock shows to be nearer than was thought. Otherwise the same time is not anchored again,
    /// so that the jitter of replies moves nothing; a later one is not believed (AWS's own mock
    /// names one that moves away with every request).
    fn read(&mut self, read: &SpotAction, at: &Moment) -> Option<Notice> {
        let deadline = read.deadline(at.reference(), at.received);
        let Some(known) = &mut self.0 else {
            let known = Known {
                action: read.action,
                time: read.time,
                deadline,
                detected: at.received,
                absence: Absence::default(),
            };
            return Some(self.0.insert(known).notice());
        };
        known.absence.ended();
        let earlier = match (read.time, known.time) {
            (Some(read), Some(known)) => read < known,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let other = read.action != known.action;
        if earlier {
            known.time = read.time;
        }
        let anchored = earlier || (other && read.action == InstanceAction::Hibernate);
        let nearer = (anchored && deadline.instant() < known.deadline.instant())
            || at.nearer(known.deadline, deadline).is_some();
        if nearer {
            known.deadline = deadline;
        }
        known.action = read.action;
        (nearer || other).then(|| known.notice())
    }

    /// Nothing was announced any more at `now`. That takes no interruption back; but one whose
    /// deadline has passed, and that has been absent for long, is over (the instance was hibernated
    /// and has come back), and the next is a new one.
    fn vanished(&mut self, now: Instant) -> Option<Known> {
        self.0
            .take_if(|known| known.absence.lasts(now) && known.deadline.instant() <= now)
    }
}

impl Known {
    fn notice(&self) -> Notice {
        Notice::new(NoticeId::new(KIND.as_str()), KIND, self.detected)
            .with_action(self.action)
            .with_deadline(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::super::heard::tests::short;
    use super::super::moment::tests::{SECOND, at, dated};
    use super::*;
    use std::time::Duration;

    fn read(action: &str, time: &str) -> SpotAction {
        let body = format!(r#"{{"action":"{action}","time":"{time}"}}"#);
        instance_action(body.as_bytes()).unwrap()
    }

    fn left(notice: Option<Notice>, now: Instant) -> Duration {
        notice.unwrap().deadline.unwrap().remaining(now)
    }

    const MIDNIGHT: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn the_same_time_is_raised_and_anchored_once() {
        let now = Instant::now();
        let mut known = Interruption::default();
        let notice = read("terminate", "2026-01-01T00:02:00Z");
        let raised = known.read(&notice, &dated(now, 0, MIDNIGHT));
        assert_eq!(left(raised, now), 120 * SECOND);
        // Two seconds nearer, by a clock of whole seconds and a slow reply.
        let again = known.read(&notice, &dated(now, 1, "2026-01-01T00:00:03Z"));
        assert_eq!(again, None);
    }

    #[test]
    fn a_suspend_brings_the_deadline_nearer() {
        let now = Instant::now();
        let mut known = Interruption::default();
        let notice = read("stop", "2026-01-01T00:02:00Z");
        known.read(&notice, &dated(now, 0, MIDNIGHT));
        // A second by the monotonic clock, a minute by the service's.
        let later = dated(now, 1, "2026-01-01T00:01:00Z");
        assert_eq!(
            left(known.read(&notice, &later), later.received),
            60 * SECOND
        );
        assert_eq!(
            known.read(&notice, &dated(now, 2, "2026-01-01T00:01:01Z")),
            None
        );
        // Never later.
        assert_eq!(known.read(&notice, &dated(now, 3, MIDNIGHT)), None);
        // Not by the local wall clock, which may have been set.
        let undated = Moment {
            date: None,
            wall: at("2026-01-01T00:01:50Z"),
            ..dated(now, 4, MIDNIGHT)
        };
        assert_eq!(known.read(&notice, &undated), None);
    }

    #[test]
    fn an_earlier_time_is_raised_and_a_later_one_is_not() {
        let now = Instant::now();
        let mut known = Interruption::default();
        let mut heed = |time| known.read(&read("stop", time), &dated(now, 0, MIDNIGHT));
        assert_eq!(left(heed("2026-01-01T00:02:00Z"), now), 120 * SECOND);
        assert_eq!(heed("2026-01-01T00:02:30Z"), None);
        assert_eq!(left(heed("2026-01-01T00:01:30Z"), now), 90 * SECOND);
        assert_eq!(heed("2026-01-01T00:02:00Z"), None);
    }

    #[test]
    fn another_action_is_raised_under_the_nearer_deadline() {
        let now = Instant::now();
        let mut known = Interruption::default();
        let time = "2026-01-01T00:02:00Z";
        known.read(&read("stop", time), &dated(now, 0, MIDNIGHT));
        let later = dated(now, 10, "2026-01-01T00:00:10Z");
        let raised = known.read(&read("terminate", time), &later).unwrap();
        assert_eq!(raised.action, InstanceAction::Terminate);
        assert_eq!(raised.detected, now);
        assert_eq!(left(Some(raised), later.received), 110 * SECOND);
        let raised = known.read(&read("hibernate", time), &later);
        assert_eq!(left(raised, later.received), Duration::ZERO);
        let later = dated(now, 11, "2026-01-01T00:00:11Z");
        assert_eq!(known.read(&read("hibernate", time), &later), None);
    }

    #[test]
    fn what_vanishes_stands_until_its_deadline_and_has_passed_minutes_later() {
        let now = Instant::now();
        let notice = read("terminate", "2026-01-01T00:02:00Z");
        let mut known = Interruption::default();
        assert!(known.read(&notice, &dated(now, 0, MIDNIGHT)).is_some());
        let late = dated(now, 119, "2026-01-01T00:01:59Z");
        assert_eq!(known.heed(None, &late), Heard::default());
        assert_eq!(known.read(&notice, &late), None);
        for seconds in [120, 170, 220, 270, 298] {
            let over = dated(now, seconds, "2026-01-01T00:02:00Z");
            assert_eq!(known.heed(None, &over), Heard::default(), "{seconds}");
        }
        let over = dated(now, 300, "2026-01-01T00:05:00Z");
        assert_eq!(
            short(&known.heed(None, &over)),
            ["passed spot-interruption"]
        );
        assert_eq!(known.heed(None, &over), Heard::default());
        let next = read("terminate", "2026-01-02T00:02:00Z");
        let day = dated(now, 330, "2026-01-02T00:00:00Z");
        assert!(known.read(&next, &day).is_some());
    }
}
