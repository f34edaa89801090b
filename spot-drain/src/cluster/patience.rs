//! How long a call is waited for. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A call that is not an eviction or a deletion is taken for lost when nothing at all has been
/// answered for the first (a dead address is left soon), and after the second in any case.
/// Watches are bounded so while they open.
pub const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));
/// How long evictions and deletions are waited for. A client that goes before the answer may
/// leave the pod running and its budget spent for two minutes: the API server counts the
/// disruption first (the budget's `disruptedPods`).
pub(super) const LONGEST: Duration = Duration::from_secs(30);
/// How long a server is taken to be slow after it was; no call is given up early meanwhile.
const SLOW: Duration = Duration::from_secs(30);

/// How well the server has answered of late.
#[derive(Debug, Default)]
pub(super) struct Patience {
    heard: Option<Instant>,
    slow: Option<Instant>,
}

impl Patience {
    /// A call that began at `start` was answered.
    pub(super) fn answered(&mut self, start: Instant, now: Instant) {
        self.heard = Some(now);
        self.waited(start, now);
    }

    /// A call that began at `start` is over.
    pub(super) fn waited(&mut self, start: Instant, now: Instant) {
        if now.saturating_duration_since(start) >= PATIENCE.0 {
            self.slow = Some(now + SLOW);
        }
    }

    /// Until when a call that began at `start` is waited for, as far as is known at `now`. One
    /// among many may wait long in the server's queues while others are answered.
    pub(super) fn until(&self, start: Instant, now: Instant) -> Instant {
        if self.slow.is_some_and(|until| now < until) {
            return start + PATIENCE.1;
        }
        let since = self.heard.map_or(start, |heard| heard.max(start));
        (since + PATIENCE.0).min(start + PATIENCE.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_call_is_given_up_when_nothing_is_answered() {
        let now = Instant::now();
        assert_eq!(Patience::default().until(now, now), now + PATIENCE.0);
        let mut patience = Patience::default();
        patience.answered(now, now + secs(1));
        let start = now + secs(20);
        assert_eq!(patience.until(start, start), start + PATIENCE.0);
    }

    #[test]
    fn a_call_is_waited_for_while_others_are_answered_but_not_for_ever() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.answered(now + secs(2), now + secs(3));
        assert_eq!(
            patience.until(now, now + secs(3)),
            now + secs(3) + PATIENCE.0
        );
        patience.answered(now + secs(8), now + secs(9));
        assert_eq!(patience.until(now, now + secs(9)), now + PATIENCE.1);
    }

    #[test]
    fn a_server_that_was_slow_is_given_its_time_for_half_a_minute() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.waited(now, now + PATIENCE.0);
        let then = now + secs(20);
        assert_eq!(patience.until(then, then), then + PATIENCE.1);
        let later = now + secs(40);
        assert_eq!(patience.until(later, later), later + PATIENCE.0);
    }
}
