//! The spot interruption that stands, and what a further reading of it changes.

use jiff::Timestamp;
use spot_core::deadline::Deadline;
use spot_core::notice::{InstanceAction, Notice, NoticeId, NoticeKind};
use tokio::time::Instant;

use crate::decode::SpotAction;

/// What is known of the notice that stands, if one does.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    action: InstanceAction,
    /// The earliest time that was named.
    time: Option<Timestamp>,
    deadline: Deadline,
    detected: Instant,
}

impl Standing {
    /// A reading at `received`, while the service's clock showed `reference`: the notice to
    /// raise, where it says something new.
    ///
    /// New are the first, another action, and an earlier time. The same time is not anchored
    /// again, so that the jitter of replies moves nothing; a later one is not believed (AWS's
    /// own mock names one that moves away with every request).
    pub(super) fn heed(
        &mut self,
        read: &SpotAction,
        reference: Timestamp,
        received: Instant,
    ) -> Option<Notice> {
        let deadline = read.deadline(reference, received);
        let Some(known) = &mut self.0 else {
            let known = Known {
                action: read.action,
                time: read.time,
                deadline,
                detected: received,
            };
            return Some(self.0.insert(known).notice());
        };
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
        let nearer = anchored && deadline.instant() < known.deadline.instant();
        if nearer {
            known.deadline = deadline;
        }
        known.action = read.action;
        (nearer || other).then(|| known.notice())
    }

    /// Nothing was announced any more at `now`. That takes no interruption back; but one whose
    /// deadline has passed is over (the instance was hibernated and has come back), and the
    /// next is a new one.
    pub(super) fn vanished(&mut self, now: Instant) {
        self.0.take_if(|known| known.deadline.instant() <= now);
    }
}

impl Known {
    fn notice(&self) -> Notice {
        let id = NoticeId::new(NoticeKind::SpotInterruption.as_str());
        Notice::new(id, NoticeKind::SpotInterruption, self.detected)
            .with_action(self.action)
            .with_deadline(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::instance_action;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn read(action: &str, time: &str) -> SpotAction {
        let body = format!(r#"{{"action":"{action}","time":"{time}"}}"#);
        instance_action(body.as_bytes()).unwrap()
    }

    fn left(notice: Option<Notice>, now: Instant) -> Duration {
        notice.unwrap().deadline.unwrap().remaining(now)
    }

    #[test]
    fn the_same_time_is_raised_and_anchored_once() {
        let now = Instant::now();
        let mut standing = Standing::default();
        let notice = read("terminate", "2026-01-01T00:02:00Z");
        let raised = standing.heed(&notice, at("2026-01-01T00:00:00Z"), now);
        assert_eq!(left(raised, now), 120 * SECOND);
        // The service's clock seems to run ahead: no nearer deadline comes of it.
        let again = standing.heed(&notice, at("2026-01-01T00:00:05Z"), now + SECOND);
        assert_eq!(again, None);
    }

    #[test]
    fn an_earlier_time_is_raised_and_a_later_one_is_not() {
        let now = Instant::now();
        let reference = at("2026-01-01T00:00:00Z");
        let mut standing = Standing::default();
        let mut heed = |time| standing.heed(&read("stop", time), reference, now);
        assert_eq!(left(heed("2026-01-01T00:02:00Z"), now), 120 * SECOND);
        assert_eq!(heed("2026-01-01T00:02:30Z"), None);
        assert_eq!(left(heed("2026-01-01T00:01:30Z"), now), 90 * SECOND);
        assert_eq!(heed("2026-01-01T00:02:00Z"), None);
    }

    #[test]
    fn another_action_is_raised_under_the_nearer_deadline() {
        let now = Instant::now();
        let reference = at("2026-01-01T00:00:00Z");
        let mut standing = Standing::default();
        standing.heed(&read("stop", "2026-01-01T00:02:00Z"), reference, now);
        let later = now + 10 * SECOND;
        let raised = standing
            .heed(&read("terminate", "2026-01-01T00:02:00Z"), reference, later)
            .unwrap();
        assert_eq!(raised.action, InstanceAction::Terminate);
        assert_eq!(raised.detected, now);
        assert_eq!(left(Some(raised), later), 110 * SECOND);
        let raised = standing.heed(&read("hibernate", "2026-01-01T00:02:00Z"), reference, later);
        assert_eq!(left(raised, later), Duration::ZERO);
        assert_eq!(
            standing.heed(
                &read("hibernate", "2026-01-01T00:02:00Z"),
                reference,
                later + SECOND
            ),
            None
        );
    }

    #[test]
    fn what_vanishes_stands_until_its_deadline() {
        let now = Instant::now();
        let reference = at("2026-01-01T00:00:00Z");
        let notice = read("terminate", "2026-01-01T00:02:00Z");
        let mut standing = Standing::default();
        assert!(standing.heed(&notice, reference, now).is_some());
        standing.vanished(now + 119 * SECOND);
        assert_eq!(standing.heed(&notice, reference, now + 119 * SECOND), None);
        standing.vanished(now + 120 * SECOND);
        let next = read("terminate", "2026-01-02T00:02:00Z");
        assert!(
            standing
                .heed(&next, at("2026-01-02T00:00:00Z"), now + 130 * SECOND)
                .is_some()
        );
    }
}
