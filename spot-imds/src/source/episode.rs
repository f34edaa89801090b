//! A condition that comes and goes, without a line in the log for each time.

use std::time::Duration;

use spot_core::recurring::{REPEAT, Recurring};
use tokio::time::Instant;

/// A [`Recurring`] condition that may also flap: its beginning is said at most once in
/// [`REPEAT`], and its end only where its beginning was, so that a day of flapping every second
/// makes a few hundred lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Episode {
    recurring: Recurring,
    said: Option<Instant>,
    open: bool,
}

impl Episode {
    /// The condition holds at `now`: is it to be said?
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        let rested = self
            .said
            .is_none_or(|said| now.saturating_duration_since(said) >= REPEAT);
        // A beginning that was kept quiet is said as soon as it may be.
        let due = self.recurring.holds(now) || !self.open;
        let say = due && rested;
        if say {
            self.said = Some(now);
            self.open = true;
        }
        say
    }

    /// The condition does not hold at `now`: how long it had, where that is to be said.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Duration> {
        let lasted = self.recurring.ended(now)?;
        std::mem::take(&mut self.open).then_some(lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_said_once_then_every_few_minutes_then_its_end() {
        let start = Instant::now();
        let mut episode = Episode::default();
        let said = (0..=700)
            .filter(|&s| episode.holds(start + SECOND * s))
            .collect::<Vec<_>>();
        assert_eq!(said, [0, 300, 600]);
        assert_eq!(episode.ended(start + 701 * SECOND), Some(701 * SECOND));
        assert_eq!(episode.ended(start + 702 * SECOND), None);
    }

    #[test]
    fn flapping_makes_two_lines_in_five_minutes() {
        let start = Instant::now();
        let mut episode = Episode::default();
        let mut lines = 0;
        for s in 0..3_000 {
            let now = start + SECOND * s;
            lines += if s % 2 == 0 {
                usize::from(episode.holds(now))
            } else {
                usize::from(episode.ended(now).is_some())
            };
        }
        assert_eq!(lines, 20);
    }

    #[test]
    fn a_second_episode_that_lasts_is_said_when_it_may_be() {
        let start = Instant::now();
        let mut episode = Episode::default();
        assert!(episode.holds(start));
        assert!(episode.ended(start + SECOND).is_some());
        assert!(!episode.holds(start + 10 * SECOND));
        assert!(!episode.holds(start + 299 * SECOND));
        assert!(episode.holds(start + 300 * SECOND));
        assert_eq!(episode.ended(start + 310 * SECOND), Some(300 * SECOND));
    }
}
