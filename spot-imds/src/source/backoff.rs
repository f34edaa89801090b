//! How long to wait after failures: longer each time up to a bound, never the same on all
//! machines, the same again from the same seed.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The longest wait after a failure to ask for an interruption; the poll interval where that is
/// longer.
pub const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The longest wait after a failure to ask for anything else, so that what hangs holds up the
/// question for an interruption once a minute and no more often.
pub const MAX_SLOW_BACKOFF: Duration = Duration::from_secs(60);

/// Counts failures in a row and says how long to wait after each.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    interval: Duration,
    longest: Duration,
    failures: u32,
    random: SplitMix64,
}

impl Backoff {
    /// Waits of at least `interval` and at most `longest`, or `interval` where that is longer.
    pub(super) fn new(interval: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            interval,
            longest: longest.max(interval),
            failures: 0,
            random: SplitMix64(seed),
        }
    }

    /// Another failure. The wait lies between half of a bound and the bound, which is twice the
    /// interval at first and doubles up to the longest; it is never less than the interval.
    pub(super) fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let bound = self
            .interval
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        let least = (bound / 2).max(self.interval);
        least + bound.saturating_sub(least).mul_f64(self.random.fraction())
    }

    /// A success: the next failure is the first again.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A seed that differs from process to process.
pub(super) fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Sebastiano Vigna's `SplitMix64`: enough to spread retries.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// From 0 to just under 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let high = u32::try_from(z >> 32).unwrap_or_default();
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_from_the_interval_to_the_bound(
            millis in 100u64..=60_000, seed: u64, tries in 1usize..40,
        ) {
            let interval = Duration::from_millis(millis);
            let longest = MAX_BACKOFF.max(interval);
            let mut backoff = Backoff::new(interval, MAX_BACKOFF, seed);
            for n in 1..=tries {
                let wait = backoff.failed();
                prop_assert!(wait >= interval && wait <= longest);
                if n > 10 {
                    prop_assert!(wait >= longest / 2);
                }
            }
            backoff.succeeded();
            prop_assert!(backoff.failed() <= (interval * 2).min(longest));
        }
    }

    #[test]
    fn the_same_seed_waits_the_same_and_another_does_not() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Duration::from_millis(500), MAX_BACKOFF, seed);
            (0..10).map(|_| backoff.failed()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
