//! The times of a drain, made from its deadline. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Bounds of the margin kept before the machine goes.
const MARGIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// What a drain gets even where its deadline has passed: one honest round.
const AT_LEAST: Duration = Duration::from_secs(2);
/// With this much time, `system-*-critical` pods wait for the ordinary ones.
const WAVES_FROM: Duration = Duration::from_secs(60);
/// How late a timer may be without a grace having to be cut.
const LATE: Duration = Duration::from_secs(1);

/// When a drain begins, ends, and how much grace it can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: Instant,
    end: Instant,
    margin: Duration,
    waves: bool,
}

impl Window {
    /// The window of a drain that starts at `start` for a machine that goes at `deadline`.
    ///
    /// The margin is a fifteenth of the time left, from one to five seconds; the drain ends
    /// that much before the deadline, but never less than two seconds after its start.
    pub fn new(start: Instant, deadline: Instant) -> Self {
        let left = deadline.saturating_duration_since(start);
        let margin = (left / 15).clamp(MARGIN.0, MARGIN.1);
        let end = deadline
            .checked_sub(margin)
            .unwrap_or(start)
            .max(start + AT_LEAST);
        Self {
            start,
            end,
            margin,
            waves: left >= WAVES_FROM,
        }
    }

    /// The same drain with a deadline that came nearer, learnt at `now`.
    #[must_use]
    pub fn brought_nearer(self, deadline: Instant, now: Instant) -> Self {
        let anew = Self::new(now, deadline);
        let end = deadline
            .checked_sub(anew.margin)
            .unwrap_or(now)
            .max(self.start + AT_LEAST);
        Self {
            end: end.min(self.end),
            ..anew
        }
        .started(self.start)
    }

    fn started(self, start: Instant) -> Self {
        Self { start, ..self }
    }

    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// When the drain returns at the latest.
    pub fn end(&self) -> Instant {
        self.end
    }

    /// Whether `system-*-critical` pods wait for the ordinary ones.
    pub fn has_waves(&self) -> bool {
        self.waves
    }

    /// When waves start at the latest, by the longest grace of each that has something to do: so
    /// that its own and the later ones' graces fit. Those that need not wait are not in the map:
    /// the first one, and all where there are no waves.
    pub fn waves(&self, longest: &BTreeMap<u8, Duration>) -> BTreeMap<u8, Instant> {
        let mut starts = BTreeMap::new();
        if !self.waves {
            return starts;
        }
        let first = longest.keys().next().copied();
        let mut needed = Duration::ZERO;
        for (&wave, &grace) in longest.iter().rev() {
            needed = needed.saturating_add(grace);
            if Some(wave) != first {
                starts.insert(wave, self.latest_for(needed));
            }
        }
        starts
    }

    /// The grace to ask for at `now`, in whole seconds, where the pod's own does not fit.
    ///
    /// At least one second: a grace of zero removes a running pod from the API at once, its
    /// process still running. Never more than the pod's own.
    pub fn trimmed(&self, own: Duration, now: Instant) -> Option<u32> {
        let room = self
            .end
            .saturating_duration_since(now)
            .saturating_sub(self.margin)
            .as_secs();
        if own.as_secs() <= room.max(1) {
            return None;
        }
        Some(u32::try_from(room.max(1)).unwrap_or(u32::MAX))
    }

    /// The latest moment at which `own` is to be asked for: a second before it would not fit any
    /// more, since a timer fires late.
    pub fn latest_for(&self, own: Duration) -> Instant {
        self.end
            .checked_sub(own.saturating_add(self.margin + LATE))
            .map_or(self.start, |t| t.max(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn two_minutes_leave_110_seconds_of_grace() {
        let start = Instant::now();
        let w = Window::new(start, start + secs(120));
        assert_eq!(w.end(), start + secs(115));
        assert_eq!(w.trimmed(secs(600), start), Some(110));
        assert_eq!(w.trimmed(secs(110), start), None);
        assert_eq!(w.trimmed(secs(5), start), None);
        assert!(w.has_waves());
    }

    #[test]
    fn a_deadline_that_has_passed_leaves_one_round() {
        let start = Instant::now();
        let w = Window::new(start, start);
        assert_eq!(w.end(), start + secs(2));
        assert_eq!(w.trimmed(secs(30), start), Some(1));
        assert_eq!(w.trimmed(secs(30), start + secs(60)), Some(1));
        assert_eq!(w.trimmed(secs(0), start), None);
        assert!(!w.has_waves());
    }

    #[test]
    fn later_waves_start_where_their_graces_still_fit() {
        let start = Instant::now();
        let longest = [(0, secs(600)), (1, secs(30)), (2, secs(10))].into();
        let waves = Window::new(start, start + secs(120)).waves(&longest);
        // The end at 115 s, less 5 s and a second, less 10 s, and less 40 s.
        let expected = [(1, start + secs(69)), (2, start + secs(99))];
        assert_eq!(waves, expected.into());
        let short = Window::new(start, start + secs(59));
        assert_eq!(short.waves(&longest), BTreeMap::new());
    }

    #[test]
    fn a_nearer_deadline_never_lengthens_the_window() {
        let start = Instant::now();
        let w = Window::new(start, start + secs(120));
        let near = w.brought_nearer(start + secs(30), start + secs(10));
        assert_eq!(near.end(), start + secs(30) - secs(20) / 15);
        assert_eq!(near.start(), start);
        assert_eq!(
            w.brought_nearer(start + secs(300), start + secs(1)).end(),
            w.end()
        );
    }

    proptest! {
        #[test]
        fn graces_are_positive_and_fit(left in 0u64..4000, own in 0u64..100_000, at in 0u64..5000) {
            let start = Instant::now();
            let w = Window::new(start, start + secs(left));
            let now = start + secs(at);
            if let Some(g) = w.trimmed(secs(own), now) {
                prop_assert!(g >= 1);
                prop_assert!(u64::from(g) <= own);
                prop_assert!(g == 1 || now + secs(u64::from(g)) <= w.end());
            } else {
                prop_assert!(own <= 1 || now + secs(own) <= w.end());
            }
            prop_assert!(w.end() >= start + AT_LEAST);
            prop_assert!(w.end() <= start + secs(left).max(AT_LEAST));
        }
    }
}
