//! When a reply came, by every clock there is, and what that makes of the times in it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use spot_core::deadline::Deadline;
use spot_core::notice::Signal;
use tokio::time::Instant;

use crate::document::Document;

/// What two readings of the service's clock may differ by and say the same: it shows whole
/// seconds, and replies take a while.
pub(super) const TOLERANCE: Duration = Duration::from_secs(2);

/// The moment of a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// On the monotonic clock.
    pub(super) received: Instant,
    /// On the service's clock, where the reply tells.
    pub(super) date: Option<Timestamp>,
    /// On the local wall clock.
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn of(reply: &Document, wall: Timestamp) -> Self {
        Self {
            received: reply.received(),
            date: reply.date(),
            wall,
        }
    }

    /// The service's clock, or what comes nearest to it.
    pub(super) fn reference(&self) -> Timestamp {
        self.date.unwrap_or(self.wall)
    }

    /// A time that the service names, as a deadline.
    pub(super) fn deadline(&self, wall: Timestamp) -> Deadline {
        Deadline::anchored(wall, self.reference(), self.received)
    }

    /// `anew`, where the service's clock shows that it is nearer than what is known: the machine
    /// was suspended meanwhile, and the monotonic clock with it. A local wall clock shows no
    /// such thing, it may have been set.
    pub(super) fn nearer(&self, known: Deadline, anew: Deadline) -> Option<Deadline> {
        let known = known.instant();
        (self.date.is_some() && anew.instant() + TOLERANCE < known).then_some(anew)
    }
}

/// How far the local wall clock is ahead of the service's, as it was last said.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead(Option<SignedDuration>);

impl Ahead {
    /// The same moment, its wall clock put right by what is known.
    pub(super) fn right(&self, at: &Moment) -> Moment {
        let ahead = self.0.unwrap_or_default();
        Moment {
            wall: at.wall.saturating_sub(ahead).unwrap_or(at.wall),
            ..*at
        }
    }

    /// What is to be said of it.
    pub(super) fn heed(&mut self, at: &Moment) -> Option<Signal> {
        let ahead = at.wall.duration_since(at.date?);
        let is_news = self
            .0
            .is_none_or(|said| (ahead - said).unsigned_abs() > TOLERANCE);
        is_news.then(|| Signal::Clock(*self.0.insert(ahead)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const SECOND: Duration = Duration::from_secs(1);

    pub(in super::super) fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A moment so many seconds after `start`, at which the service shows `date`.
    pub(in super::super) fn dated(start: Instant, seconds: u32, date: &str) -> Moment {
        Moment {
            received: start + SECOND * seconds,
            date: Some(at(date)),
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_clock_is_said_when_it_is_known_and_when_it_changes() {
        let start = Instant::now();
        let mut ahead = Ahead::default();
        let mut heed = |wall: &str, date: Option<&str>| {
            ahead.heed(&Moment {
                received: start,
                date: date.map(at),
                wall: at(wall),
            })
        };
        assert_eq!(heed("2026-01-01T00:01:00Z", None), None);
        let date = Some("2026-01-01T00:00:30Z");
        let clock = |seconds| Some(Signal::Clock(SignedDuration::from_secs(seconds)));
        assert_eq!(heed("2026-01-01T00:00:20Z", date), clock(-10));
        assert_eq!(heed("2026-01-01T00:00:22Z", date), None);
        assert_eq!(heed("2026-01-01T00:00:18Z", date), None);
        assert_eq!(heed("2026-01-01T00:00:17Z", date), clock(-13));
        assert_eq!(heed("2026-01-01T00:01:30Z", date), clock(60));
    }
}
