//! How long a call is waited for. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A call that is not an eviction or a deletion is taken for lost when nothing at all has been
/// answered for so long: a dead address is left soon. A watch is bounded so while it opens.
pub const QUIET: Duration = Duration::from_secs(5);
/// And after so long in any case.
pub const SLOWEST: Duration = Duration::from_secs(10);
/// How long evictions and deletions are waited for. A client that goes before the answer may
/// leave the pod running and its budget spent for two minutes: the API server counts the
/// disruption first (the budget's `disruptedPods`).
const LONGEST: Duration = Duration::from_secs(30);
/// How often it is looked whether a call is still to be waited for.
pub(super) const RECHECK: Duration = Duration::from_secs(1);
/// How long a server is taken to be slow after it was; no call is given up early meanwhile.
const SLOW: Duration = Duration::from_secs(30);

/// How well the server has answered of late.
#[derive(Debug, Default)]
pub(super) struct Patience {
    heard: Option<Instant>,
    slow: Option<Instant>,
    /// When the youngest client was made that has had an answer.
    client: Option<Instant>,
}

impl Patience {
    /// A call that began at `start`, over a client made at `client`, was answered.
    pub(super) fn answered(&mut self, start: Instant, client: Instant, now: Instant) {
        self.heard = Some(now);
        self.client = self.client.max(Some(client));
        self.waited(start, now);
    }

    /// A call that began at `start` is over.
    pub(super) fn waited(&mut self, start: Instant, now: Instant) {
        if now.saturating_duration_since(start) >= QUIET {
            self.slow = Some(now + SLOW);
        }
    }

    /// Until when a call that began at `start` is waited for, as far as is known at `now`. One
    /// among many may wait long in the server's queues while others are answered.
    pub(super) fn until(&self, start: Instant, now: Instant) -> Instant {
        if self.slow.is_some_and(|until| now < until) {
            return start + SLOWEST;
        }
        let since = self.heard.map_or(start, |heard| heard.max(start));
        (since + QUIET).min(start + SLOWEST)
    }

    /// Until when an eviction is waited for that began at `start`: where a younger client has
    /// answers, the connections of the older one are dead.
    pub(super) fn longest(&self, start: Instant, client: Instant) -> Instant {
        let dead = self.client.is_some_and(|answered| answered > client);
        start + if dead { SLOWEST } else { LONGEST }
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
        assert_eq!(Patience::default().until(now, now), now + QUIET);
        let mut patience = Patience::default();
        patience.answered(now, now, now + secs(1));
        let start = now + secs(20);
        assert_eq!(patience.until(start, start), start + QUIET);
    }

    #[test]
    fn a_call_is_waited_for_while_others_are_answered_but_not_for_ever() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.answered(now + secs(2), now, now + secs(3));
        assert_eq!(patience.until(now, now + secs(3)), now + secs(3) + QUIET);
        patience.answered(now + secs(8), now, now + secs(9));
        assert_eq!(patience.until(now, now + secs(9)), now + SLOWEST);
    }

    #[test]
    fn a_server_that_was_slow_is_given_its_time_for_half_a_minute() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.waited(now, now + QUIET);
        let then = now + secs(20);
        assert_eq!(patience.until(then, then), then + SLOWEST);
        let later = now + secs(40);
        assert_eq!(patience.until(later, later), later + QUIET);
    }

    #[test]
    fn an_eviction_is_waited_for_unless_its_connection_is_dead() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.answered(now, now, now + secs(1));
        assert_eq!(patience.longest(now, now), now + LONGEST);
        patience.answered(now + secs(6), now + secs(5), now + secs(7));
        assert_eq!(patience.longest(now, now), now + SLOWEST);
        assert_eq!(patience.longest(now, now + secs(5)), now + LONGEST);
    }
}
