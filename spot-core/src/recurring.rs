//! A condition that lasts: said when it starts, every few minutes, and when it ends.

use std::time::Duration;

use tokio::time::Instant;

/// How often a lasting condition is said again.
pub const REPEAT: Duration = Duration::from_secs(300);

/// Decides when a condition that holds again and again deserves a line in the log.
///
/// ```
/// # use spot_core::recurring::Recurring;
/// # use std::time::Duration;
/// let mut away = Recurring::default();
/// let start = tokio::time::Instant::now();
/// assert!(away.holds(start)); // say it
/// assert!(!away.holds(start + Duration::from_secs(1))); // it is known
/// assert!(away.holds(start + Duration::from_secs(301))); // remind
/// assert_eq!(away.ended(start + Duration::from_secs(400)), Some(Duration::from_secs(400)));
/// assert_eq!(away.ended(start + Duration::from_secs(401)), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recurring {
    /// When it began and when it was last said.
    since: Option<(Instant, Instant)>,
}

impl Recurring {
    /// The condition holds at `now`: is it to be said?
    pub fn holds(&mut self, now: Instant) -> bool {
        match &mut self.since {
            None => {
                self.since = Some((now, now));
                true
            }
            Some((_, said)) if now.saturating_duration_since(*said) >= REPEAT => {
                *said = now;
                true
            }
            Some(_) => false,
        }
    }

    /// The condition does not hold at `now`: how long it had, where it had.
    pub fn ended(&mut self, now: Instant) -> Option<Duration> {
        self.since
            .take()
            .map(|(began, _)| now.saturating_duration_since(began))
    }
}
