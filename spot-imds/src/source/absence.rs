//! When something that was announced is believed to be announced no more.

use std::time::Duration;

use tokio::time::Instant;

/// For how long an announcement must be absent, without any evidence of its end, before it is
/// over. A service that is restarted, or that something stands in for, answers that there is
/// nothing for a while; EC2's own announcements are there until they are over.
pub const ABSENT: Duration = Duration::from_secs(180);

/// The most that counts between two readings: what lies between is not known where the service did
/// not answer.
const GAP: Duration = Duration::from_secs(60);

/// For how long it has been seen to be absent, and when last, if it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absence(Option<(Instant, Duration)>);

impl Absence {
    /// It is there.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }

    /// It is not there at `now`: has that been so for long enough?
    pub(super) fn lasts(&mut self, now: Instant) -> bool {
        let (last, seen) = self.0.unwrap_or((now, Duration::ZERO));
        let seen = seen + now.saturating_duration_since(last).min(GAP);
        self.0 = Some((now, seen));
        seen >= ABSENT
    }

    /// Whether it was absent when last looked.
    pub(super) fn is_so(self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_believed_when_it_was_seen_for_three_minutes_without_a_break() {
        let start = Instant::now();
        let mut absence = Absence::default();
        for seconds in (0..180).step_by(5) {
            assert!(!absence.lasts(start + SECOND * seconds), "{seconds}");
        }
        assert!(absence.is_so() && absence.lasts(start + 180 * SECOND));
        absence.ended();
        assert!(!absence.is_so() && !absence.lasts(start + 181 * SECOND));
    }

    #[test]
    fn time_in_which_nothing_was_heard_counts_for_little() {
        let start = Instant::now();
        let mut absence = Absence::default();
        for minutes in [0, 5, 10] {
            assert!(!absence.lasts(start + 60 * minutes * SECOND), "{minutes}");
        }
        assert!(absence.lasts(start + 900 * SECOND));
    }
}
