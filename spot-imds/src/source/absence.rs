//! When something that was announced is believed to be announced no more.

use std::time::Duration;

use tokio::time::Instant;

/// For how long an announcement must be absent, without any evidence of its end, before it is
/// over. A service that is restarted, or that something stands in for, answers that there is
/// nothing for a while; EC2's own announcements are there until they are over.
pub const ABSENT: Duration = Duration::from_secs(180);

/// Since when it has been absent, if it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Absence(Option<Instant>);

impl Absence {
    /// It is there, or could not be looked for.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }

    /// It is not there at `now`: has that been so for long enough?
    pub(super) fn lasts(&mut self, now: Instant) -> bool {
        let since = *self.0.get_or_insert(now);
        now.saturating_duration_since(since) >= ABSENT
    }

    /// Whether it was absent when last looked.
    pub(super) fn is_so(self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_believed_after_three_minutes_without_a_break() {
        let start = Instant::now();
        let mut absence = Absence::default();
        assert!(!absence.lasts(start) && absence.is_so());
        assert!(!absence.lasts(start + ABSENT / 2));
        absence.ended();
        assert!(!absence.is_so() && !absence.lasts(start + ABSENT));
        assert!(absence.lasts(start + 2 * ABSENT));
    }
}
