//! A rebalance recommendation, reading by reading.

use std::time::Duration;

use jiff::Timestamp;
use spot_core::notice::{InstanceAction, Notice, NoticeEnd, NoticeId, NoticeKind};
use tokio::time::Instant;

use super::absence::Absence;
use super::heard::Heard;
use super::moment::Moment;
use crate::decode;

const KIND: NoticeKind = NoticeKind::RebalanceRecommendation;

/// For how long a time of whole seconds that moves with every request may seem to stand.
const SECOND: Duration = Duration::from_secs(1);

/// The recommendation that stands, if one does.
#[derive(Clone, Debug, Default)]
pub(super) struct Rebalance(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    id: NoticeId,
    /// When it says that it was made, and when that was first read.
    time: Timestamp,
    since: Instant,
    /// The time has been read again unchanged: it is no time that moves with every request, as
    /// AWS's own mock names it.
    stood: bool,
    absence: Absence,
}

impl Rebalance {
    /// Whether one stands.
    pub(super) fn stands(&self) -> bool {
        self.0.is_some()
    }

    /// A reply. One that was made later is a new recommendation, unless its time has always
    /// moved; one that has been absent for [`ABSENT`](super::absence::ABSENT) has passed.
    pub(super) fn heed(&mut self, body: Option<&[u8]>, at: &Moment) -> Heard {
        let mut heard = Heard::default();
        let Some(body) = body else {
            self.vanished(at.received, &mut heard);
            return heard;
        };
        let time = match decode::rebalance(body) {
            Ok(time) => time,
            Err(error) => return Heard::malformed(error),
        };
        if let Some(known) = &mut self.0 {
            known.absence.ended();
            if time == known.time {
                known.stood |= at.received.duration_since(known.since) > SECOND;
                return heard;
            }
            if !(known.stood && time > known.time) {
                (known.time, known.since, known.stood) = (time, at.received, false);
                return heard;
            }
            heard.end(&known.id, NoticeEnd::Passed);
        }
        let known = self.0.insert(Known {
            id: NoticeId::new(KIND.as_str()),
            time,
            since: at.received,
            stood: false,
            absence: Absence::default(),
        });
        let age = Duration::try_from(at.reference().duration_since(time)).unwrap_or_default();
        let notice = Notice::new(known.id.clone(), KIND, at.received)
            .with_action(InstanceAction::None)
            .with_age(age);
        heard.raise(&notice);
        heard
    }

    fn vanished(&mut self, now: Instant, heard: &mut Heard) {
        let Some(known) = &mut self.0 else { return };
        if known.absence.lasts(now) {
            heard.end(&known.id, NoticeEnd::Passed);
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::heard::tests::short;
    use super::super::moment::tests::dated;
    use super::*;
    use spot_core::notice::Signal;

    struct Reader(Rebalance, Instant);

    impl Reader {
        fn new() -> Self {
            Self(Rebalance::default(), Instant::now())
        }

        /// Reads at 12:10 and so many seconds that it was made at 12:00 and so many.
        fn reads(&mut self, seconds: u32, made: u32) -> Heard {
            let date = format!("2026-01-01T12:10:{seconds:02}Z");
            let body = format!(r#"{{"noticeTime":"2026-01-01T12:00:{made:02}Z"}}"#);
            let at = dated(self.1, seconds, &date);
            self.0.heed(Some(body.as_bytes()), &at)
        }

        /// There is none, so many seconds after 12:10.
        fn misses(&mut self, seconds: u32) -> Heard {
            let at = dated(self.1, seconds, "2026-01-01T12:10:59Z");
            self.0.heed(None, &at)
        }
    }

    const RAISED: [&str; 1] = ["+rebalance-recommendation"];

    #[test]
    fn it_names_its_age_and_no_deadline() {
        let mut reader = Reader::new();
        let heard = reader.reads(5, 0);
        let [Signal::Raised(notice)] = &heard.signals[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(notice.age, Duration::from_secs(605));
        assert_eq!(
            (notice.action, notice.deadline),
            (InstanceAction::None, None)
        );
        // Made in the future, as two clocks see it.
        let ahead = dated(reader.1, 0, "2026-01-01T11:00:00Z");
        let body = br#"{"noticeTime":"2026-01-01T12:00:00Z"}"#;
        let heard = Rebalance::default().heed(Some(body), &ahead);
        let [Signal::Raised(notice)] = &heard.signals[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(notice.age, Duration::ZERO);
    }

    #[test]
    fn a_time_that_moves_with_every_request_is_one_recommendation() {
        let mut reader = Reader::new();
        assert_eq!(short(&reader.reads(0, 0)), RAISED);
        // Twice within a second it seems to stand.
        assert_eq!(reader.reads(1, 0), Heard::default());
        for n in 1..50 {
            assert_eq!(reader.reads(1 + n, n), Heard::default(), "{n}");
        }
    }

    #[test]
    fn a_time_that_stood_and_becomes_later_is_a_new_recommendation() {
        let mut reader = Reader::new();
        reader.reads(0, 0);
        assert_eq!(reader.reads(5, 0), Heard::default());
        assert_eq!(
            short(&reader.reads(10, 30)),
            ["passed rebalance-recommendation", RAISED[0]]
        );
        assert_eq!(reader.reads(15, 30), Heard::default());
        assert_eq!(reader.reads(20, 10), Heard::default(), "an earlier one");
    }

    #[test]
    fn one_that_has_been_absent_for_minutes_has_passed() {
        let mut reader = Reader::new();
        assert_eq!(reader.misses(0), Heard::default());
        reader.reads(0, 0);
        assert_eq!(reader.misses(10), Heard::default());
        assert_eq!(reader.reads(15, 0), Heard::default());
        assert_eq!(reader.misses(20), Heard::default());
        let at = dated(reader.1, 30, "2026-01-01T12:10:30Z");
        assert!(reader.0.heed(Some(b"<html>"), &at).malformed.is_some());
        for seconds in [70, 120, 170, 199] {
            assert_eq!(reader.misses(seconds), Heard::default(), "{seconds}");
        }
        assert!(reader.0.stands());
        let passed = ["passed rebalance-recommendation"];
        assert_eq!(short(&reader.misses(200)), passed);
        assert_eq!(reader.misses(205), Heard::default());
        assert!(!reader.0.stands());
        assert_eq!(short(&reader.reads(20, 0)), RAISED);
    }
}
