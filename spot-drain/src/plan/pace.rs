//! How fast calls are made: a rate with a burst, as many at once as the server answers quickly,
//! and one at a time where it does not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// The first pause between calls to a server that does not answer, and the longest.
const AWAY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// How many calls are under way at once at least.
const NARROWEST: usize = 4;
/// An answer within this time lets one more call be under way; one after more than that time
/// halves them: many nodes ask the same server, and what waits there holds up others too.
const ANSWER: (Duration, Duration) = (Duration::from_millis(600), Duration::from_secs(1));

/// How long an eviction takes as long as none was answered: they are slower than other calls.
const CALL: Duration = Duration::from_millis(250);
/// The longest that is reckoned with.
const LONGEST: Duration = Duration::from_secs(2);

/// When the next call may start.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many calls may be under way.
    width: usize,
    widest: usize,
    /// When it was last narrowed.
    narrowed: Option<Instant>,
    /// The time that one call uses up.
    each: Duration,
    burst: u32,
    /// When all that was used up will have come back.
    full: Option<Instant>,
    away: Option<Away>,
    /// How long evictions took of late.
    call: Duration,
}

/// A call got no answer, and nothing has been heard since.
#[derive(Debug)]
struct Away {
    next: Instant,
    pause: Duration,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            width: limits.in_flight.max(1),
            widest: limits.in_flight.max(1),
            narrowed: None,
            each: Duration::from_secs(1) / limits.per_second.max(1),
            burst: limits.burst.max(1),
            full: None,
            away: None,
            call: CALL,
        }
    }

    /// From when on a call may start.
    pub(super) fn opens(&self, now: Instant) -> Instant {
        let spare = self.each * (self.burst - 1);
        let rate = self.full.and_then(|full| full.checked_sub(spare));
        let away = self.away.as_ref().map(|away| away.next);
        rate.max(away).unwrap_or(now).max(now)
    }

    /// A call starts.
    pub(super) fn take(&mut self, now: Instant) {
        self.full = Some(self.full.map_or(now, |full| full.max(now)) + self.each);
        if let Some(away) = &mut self.away {
            away.next = now + away.pause;
            away.pause = (away.pause * 2).min(AWAY.1);
        }
    }

    /// How many calls may be under way.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// How long an eviction may be expected to take.
    pub(super) fn call(&self) -> Duration {
        self.call
    }

    /// An eviction took so long: what is slower is believed at once, what is quicker by and by.
    pub(super) fn took(&mut self, took: Duration) {
        let took = took.min(LONGEST);
        self.call = took.max((self.call * 3 + took) / 4);
    }

    /// A call that started at `since` was answered.
    pub(super) fn answered(&mut self, since: Instant, now: Instant) {
        let took = now.saturating_duration_since(since);
        if took <= ANSWER.0 {
            self.width = (self.width + 1).min(self.widest);
        } else if took > ANSWER.1 && self.narrowed.is_none_or(|last| since >= last) {
            // Those that were under way together tell of one crowd.
            self.narrowed = Some(now);
            self.width = (self.width / 2).max(NARROWEST.min(self.widest));
        }
    }

    /// A call got no answer: until something does, one at a time asks whether the server is
    /// back. It does not wait for the one before it, which may hang.
    pub(super) fn lost(&mut self, now: Instant) {
        self.away.get_or_insert(Away {
            next: now + AWAY.0,
            pause: AWAY.0 * 2,
        });
    }

    /// The server was heard of.
    pub(super) fn heard(&mut self) {
        self.away = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(per_second: u32, burst: u32) -> Limits {
        Limits {
            per_second,
            burst,
            ..Limits::default()
        }
    }

    #[test]
    fn an_eviction_that_took_ever_so_long_is_reckoned_with_two_seconds() {
        let mut pace = Pace::new(Limits::default());
        for _ in 0..10 {
            pace.took(Duration::from_secs(30));
            assert_eq!(pace.call(), LONGEST);
        }
    }

    #[test]
    fn slower_evictions_are_believed_at_once_and_quicker_ones_by_and_by() {
        let mut pace = Pace::new(Limits::default());
        pace.took(Duration::from_millis(1_600));
        assert_eq!(pace.call(), Duration::from_millis(1_600));
        pace.took(Duration::ZERO);
        assert_eq!(pace.call(), Duration::from_millis(1_200));
        pace.took(Duration::from_millis(800));
        assert_eq!(pace.call(), Duration::from_millis(1_100));
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(limits(10, 3));
        let mut at = Vec::new();
        let mut now = start;
        for _ in 0..6 {
            now = pace.opens(now);
            pace.take(now);
            at.push((now - start).as_millis());
        }
        assert_eq!(at, [0, 0, 0, 100, 200, 300]);
        let rested = now + Duration::from_secs(10);
        for _ in 0..3 {
            assert_eq!(pace.opens(rested), rested);
            pace.take(rested);
        }
        assert!(pace.opens(rested) > rested);
    }

    #[test]
    fn a_server_that_does_not_answer_is_asked_once_a_second_and_all_at_once_when_it_is_back() {
        let start = Instant::now();
        let mut pace = Pace::new(Limits::default());
        pace.lost(start);
        let mut at = Vec::new();
        let mut now = start;
        for _ in 0..5 {
            now = pace.opens(now);
            pace.take(now);
            pace.lost(now);
            at.push((now - start).as_millis());
        }
        assert_eq!(at, [200, 600, 1400, 2400, 3400]);
        pace.heard();
        assert_eq!(pace.opens(now), now);
    }

    #[test]
    fn slow_answers_narrow_once_for_all_that_waited_together_and_quick_ones_widen() {
        let start = Instant::now();
        let mut pace = Pace::new(Limits::default());
        assert_eq!(pace.width(), 64);
        for _ in 0..10 {
            pace.answered(start, start + Duration::from_secs(3));
        }
        assert_eq!(pace.width(), 32);
        let mut now = start;
        for _ in 0..10 {
            now += Duration::from_secs(3);
            pace.answered(now, now + Duration::from_secs(3));
        }
        assert_eq!(pace.width(), 4);
        for _ in 0..100 {
            pace.answered(now, now + Duration::from_millis(100));
        }
        assert_eq!(pace.width(), 64);
    }

    #[test]
    fn a_smaller_limit_is_never_passed() {
        let start = Instant::now();
        let mut pace = Pace::new(Limits::default().with_in_flight(2));
        for took in [0, 5, 0, 0, 9] {
            pace.answered(start, start + Duration::from_secs(took));
            assert!(pace.width() <= 2 && pace.width() > 0);
        }
    }

    proptest! {
        #[test]
        fn the_cap_holds_over_every_span(
            per_second in 1u32..100, burst in 1u32..50, waits in prop::collection::vec(0u64..300, 1..200)
        ) {
            let mut pace = Pace::new(limits(per_second, burst));
            let mut now = Instant::now();
            let mut taken: Vec<Instant> = Vec::new();
            for wait in waits {
                now += Duration::from_millis(wait);
                if pace.opens(now) <= now {
                    pace.take(now);
                    taken.push(now);
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (n, to) in taken[i..].iter().enumerate() {
                    let allowed = f64::from(burst) + (*to - *from).as_secs_f64() * f64::from(per_second);
                    prop_assert!(f64::from(u32::try_from(n).unwrap()) < allowed + 1e-6);
                }
            }
        }
    }
}
