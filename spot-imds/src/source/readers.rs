//! Everything that stands, each kind with its own rules.

use spot_core::notice::NoticeKind;
use tokio::time::Instant;
use tracing::warn;

use super::asg::AsgTermination;
use super::episode::Episode;
use super::heard::Heard;
use super::interruption::Interruption;
use super::maintenance::Maintenance;
use super::moment::{Ahead, Moment};
use super::rebalance::Rebalance;

/// What stands.
#[derive(Debug, Default)]
pub(super) struct Readers {
    interruption: Interruption,
    asg: AsgTermination,
    pub(super) maintenance: Maintenance,
    pub(super) rebalance: Rebalance,
    ahead: Ahead,
    /// A word that nobody knows.
    unknown: [Episode; NoticeKind::ALL.len()],
}

impl Readers {
    /// A reply of the path of this kind; without a body where nothing is there. A reply without a
    /// date is read by the wall clock, put right by the dates before.
    pub(super) fn heed(&mut self, kind: NoticeKind, body: Option<&[u8]>, at: &Moment) -> Heard {
        let now = &self.ahead.right(at);
        let mut heard = match kind {
            NoticeKind::SpotInterruption => self.interruption.heed(body, now),
            NoticeKind::AsgTermination => self.asg.heed(body, now),
            NoticeKind::ScheduledMaintenance => self.maintenance.heed(body, now),
            NoticeKind::RebalanceRecommendation => self.rebalance.heed(body, now),
            // A kind that came into the vocabulary after this was written.
            _ => Heard::default(),
        };
        self.log_unknown(kind, heard.unknown.as_deref(), at.received);
        if let Some(clock) = self.ahead.heed(at) {
            heard.signals.insert(0, clock);
        }
        heard
    }

    fn log_unknown(&mut self, kind: NoticeKind, word: Option<&str>, now: Instant) {
        let index = NoticeKind::ALL.iter().position(|known| *known == kind);
        let Some(episode) = index.and_then(|index| self.unknown.get_mut(index)) else {
            return;
        };
        let Some(word) = word else {
            episode.ended(now);
            return;
        };
        if episode.holds(now) {
            let taken_for = match kind {
                NoticeKind::AsgTermination => "none that ends the instance",
                _ => "a termination",
            };
            warn!(%kind, word, taken_for, "the metadata service uses an unknown word");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment::tests::{SECOND, at, dated};
    use super::*;
    use spot_core::notice::Signal;

    #[test]
    fn a_reply_without_a_date_is_read_by_the_clock_that_earlier_ones_showed() {
        let start = Instant::now();
        let mut readers = Readers::default();
        let clocks = |date, wall: &str| Moment {
            date,
            wall: at(wall),
            ..dated(start, 0, "2026-01-01T00:00:00Z")
        };
        // Ours is three minutes ahead.
        let first = clocks(Some(at("2026-01-01T00:00:00Z")), "2026-01-01T00:03:00Z");
        readers.heed(NoticeKind::SpotInterruption, None, &first);
        let body = br#"{"action":"stop","time":"2026-01-01T00:02:00Z"}"#;
        let undated = clocks(None, "2026-01-01T00:03:00Z");
        let heard = readers.heed(NoticeKind::SpotInterruption, Some(body), &undated);
        let [Signal::Raised(notice)] = &heard.signals[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(notice.deadline.unwrap().remaining(start), 120 * SECOND);
    }
}
