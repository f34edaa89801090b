//! A wall-clock instant turned into a monotonic one, once.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The farthest a deadline may lie in the future; a later one is kept at this distance, so
/// that no arithmetic on it can overflow.
pub const HORIZON: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// When the machine goes.
///
/// Anchored once, when it is learnt; from then on only the monotonic clock counts, so that a
/// wall clock that jumps moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    instant: Instant,
    wall: Timestamp,
}

impl Deadline {
    /// Anchors `wall`, given that the wall clock that it was written by shows `reference` at
    /// the moment `now`.
    ///
    /// The reference is best taken from the same reply as `wall` (an HTTP `Date` header): the
    /// local clock may be off. A time that has passed becomes `now`.
    ///
    /// ```
    /// # use spot_core::deadline::Deadline;
    /// # use std::time::Duration;
    /// let now = tokio::time::Instant::now();
    /// let deadline = Deadline::anchored(
    ///     "2026-01-01T00:02:00Z".parse().unwrap(), // what the notice says
    ///     "2026-01-01T00:00:00Z".parse().unwrap(), // when it was said
    ///     now,
    /// );
    /// assert_eq!(deadline.remaining(now), Duration::from_secs(120));
    /// ```
    pub fn anchored(wall: Timestamp, reference: Timestamp, now: Instant) -> Self {
        let left = Duration::try_from(wall.duration_since(reference)).unwrap_or_default();
        Self {
            instant: now + left.min(HORIZON),
            wall,
        }
    }

    /// The monotonic instant.
    pub fn instant(&self) -> Instant {
        self.instant
    }

    /// The wall-clock time as it was announced.
    pub fn wall(&self) -> Timestamp {
        self.wall
    }

    /// The time left at `now`; zero when it has passed.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.instant.saturating_duration_since(now)
    }

    /// The earlier of the two.
    #[must_use]
    pub fn nearer(self, other: Self) -> Self {
        if other.instant < self.instant {
            other
        } else {
            self
        }
    }
}

/// The earlier of two deadlines that may be missing.
pub(crate) fn nearer(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.nearer(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn past_times_leave_nothing() {
        let now = Instant::now();
        let d = Deadline::anchored(at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"), now);
        assert_eq!(d.remaining(now), Duration::ZERO);
        assert_eq!(d.wall(), at("2020-01-01T00:00:00Z"));
    }

    #[test]
    fn absurd_times_are_kept_at_the_horizon() {
        let now = Instant::now();
        let d = Deadline::anchored(Timestamp::MAX, Timestamp::MIN, now);
        assert_eq!(d.remaining(now), HORIZON);
    }

    proptest! {
        #[test]
        fn nearer_is_never_later(a in 0i64..1_000_000, b in 0i64..1_000_000) {
            let now = Instant::now();
            let zero = Timestamp::UNIX_EPOCH;
            let make = |s| Deadline::anchored(Timestamp::from_second(s).unwrap(), zero, now);
            let near = make(a).nearer(make(b));
            prop_assert!(near.instant() <= make(a).instant());
            prop_assert!(near.instant() <= make(b).instant());
        }
    }
}
