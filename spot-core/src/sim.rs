//! What the simulators share: seeded randomness, a clock, faults, and a story of what happened.
//!
//! Data only: nothing here opens a socket or starts a task. `spot-imds` and `spot-drain` build
//! their simulators on it, and a test that runs both gets one vocabulary and one story.
//!
//! Everything is deterministic: the same seed and the same calls give the same values on every
//! machine and in every build.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::clock::WallClock;

/// What a simulator's wall clock shows at its start, unless it is told otherwise:
/// 2026-01-01T12:00:00Z.
pub const START: Timestamp = Timestamp::constant(1_767_268_800, 0);

/// A generator of random numbers that replays: Sebastiano Vigna's `SplitMix64`.
///
/// Good enough to choose faults and spread times, and no secret is safe with it.
///
/// ```
/// use spot_core::sim::Random;
///
/// let mut a = Random::new(7);
/// let mut b = Random::new(7);
/// assert_eq!(a.below(1_000), b.below(1_000));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    /// A generator that gives the same values for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for the part named `label`, so that what one part draws moves
    /// nothing in another. Draws one value from this one.
    #[must_use]
    pub fn fork(&mut self, label: &str) -> Self {
        // FNV-1a of the label.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(self.next_u64() ^ hash)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The upper half of the product is below `bound`.
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// Yes, in `times` of `of` cases.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// A duration within the range, in whole milliseconds; its start where it is empty.
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start).as_millis();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        range.start + Duration::from_millis(self.below(span))
    }

    /// One of the items; `None` where there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(index).ok()?)
    }
}

/// A wall clock that moves with the runtime's own clock, so that paused time moves it too.
///
/// ```
/// use spot_core::{clock::WallClock, sim::VirtualClock};
///
/// let noon = "2026-01-01T12:00:00Z".parse().unwrap();
/// let clock = VirtualClock::new(noon, tokio::time::Instant::now());
/// assert!(clock.now() >= noon);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualClock {
    wall: Timestamp,
    start: Instant,
    skew: SignedDuration,
}

impl VirtualClock {
    /// A clock that shows `wall` at the moment `start`.
    pub fn new(wall: Timestamp, start: Instant) -> Self {
        Self {
            wall,
            start,
            skew: SignedDuration::ZERO,
        }
    }

    /// The moment that virtual offsets count from.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The virtual offset of a moment; zero for one before the start.
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    /// What it shows at a moment.
    pub fn at(&self, now: Instant) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.elapsed(now)).unwrap_or(SignedDuration::MAX);
        self.wall
            .saturating_add(elapsed)
            .and_then(|wall| wall.saturating_add(self.skew))
            .unwrap_or(self.wall)
    }

    /// The same clock, wrong by `skew`: what another machine believes. Replaces any earlier
    /// skew.
    #[must_use]
    pub fn skewed(mut self, skew: SignedDuration) -> Self {
        self.skew = skew;
        self
    }
}

impl WallClock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }
}

/// What goes wrong with one exchange over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is performed; the reply comes that much later.
    Delay(Duration),
    /// The request is not performed; this is the reply. With status 200 it is a reply that means
    /// something else.
    Status {
        /// The HTTP status.
        code: u16,
        /// The header `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
        /// The body.
        body: String,
    },
    /// The request is not performed, and the connection is reset.
    ResetBefore,
    /// The request is performed, and the connection is reset in place of the reply.
    ResetAfter,
    /// The request is not performed, and nothing ever answers it.
    BlackHole,
    /// The request is performed, and nothing ever answers it.
    BlackHoleAfter,
    /// The request is performed; the connection ends after so many bytes of the reply's body.
    Truncate(usize),
    /// The request is performed; the reply's body is padded with spaces to so many bytes.
    Oversize(usize),
    /// No connection is made.
    Refused,
    /// The request is performed; the reply's body comes at so many bytes a second.
    Slow(u32),
}

impl Fault {
    /// A bare status.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
            body: String::new(),
        }
    }

    /// A reply of status 200 with another body.
    pub fn body(body: impl Into<String>) -> Self {
        Self::Status {
            code: 200,
            retry_after: None,
            body: body.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(by) => write!(f, "delayed by {by:?}"),
            Self::Status {
                code,
                retry_after: Some(after),
                ..
            } => write!(f, "status {code}, retry after {after:?}"),
            Self::Status { code, .. } => write!(f, "status {code}"),
            Self::ResetBefore => f.write_str("reset before the effect"),
            Self::ResetAfter => f.write_str("reset after the effect"),
            Self::BlackHole => f.write_str("black hole"),
            Self::BlackHoleAfter => f.write_str("black hole after the effect"),
            Self::Truncate(bytes) => write!(f, "cut off after {bytes} bytes"),
            Self::Oversize(bytes) => write!(f, "padded to {bytes} bytes"),
            Self::Refused => f.write_str("refused"),
            Self::Slow(rate) => write!(f, "at {rate} bytes/s"),
        }
    }
}

/// When a [`Fault`] holds: a window of virtual time, a number of times, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From this virtual offset on.
    pub from: Duration,
    /// Before this virtual offset; `None`: for ever.
    pub until: Option<Duration>,
    /// So often, and then no more; `None`: as often as it is met.
    pub times: Option<u32>,
}

impl Window {
    /// Whether it holds at this virtual offset, for at least once more.
    pub fn is_open(&self, at: Duration) -> bool {
        at >= self.from && self.until.is_none_or(|until| at < until) && self.times != Some(0)
    }

    /// Whether it can never hold again from this virtual offset on.
    pub fn is_over(&self, at: Duration) -> bool {
        self.times == Some(0) || self.until.is_some_and(|until| at >= until)
    }

    /// Holds at this virtual offset? Then that was one of its times.
    pub fn take(&mut self, at: Duration) -> bool {
        let open = self.is_open(at);
        if let (true, Some(times)) = (open, &mut self.times) {
            *times -= 1;
        }
        open
    }
}

/// Something that happened, at a virtual offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Duration,
    /// Who did it, or to whom: one short word.
    pub who: Cow<'static, str>,
    /// What, on one line.
    pub what: String,
}

/// A story: what happened, and when. Printed, it is a table that is byte for byte the same for
/// the same run.
///
/// ```
/// use std::time::Duration;
/// use spot_core::sim::Timeline;
///
/// let mut story = Timeline::default();
/// story.record(Duration::from_millis(90_500), "imds", "a notice shows");
/// story.record(Duration::ZERO, "handler", "starts");
/// assert_eq!(
///     story.to_string(),
///     " 00:00:00.000  handler  starts\n 00:01:30.500  imds     a notice shows\n"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    entries: Vec<Entry>,
}

impl Timeline {
    /// Adds an entry, after those of the same time.
    pub fn record(
        &mut self,
        at: Duration,
        who: impl Into<Cow<'static, str>>,
        what: impl Into<String>,
    ) {
        let index = self.entries.partition_point(|entry| entry.at <= at);
        let (who, what) = (who.into(), what.into());
        self.entries.insert(index, Entry { at, who, what });
    }

    /// Adds another story; at the same time, what was here comes first.
    pub fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        // Stable.
        self.entries.sort_by_key(|entry| entry.at);
    }

    /// Every entry, by time.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |entry: &Entry| entry.who.chars().count();
        let width = self.entries.iter().map(who).max().unwrap_or_default();
        for Entry { at, who, what } in &self.entries {
            let (s, ms) = (at.as_secs(), at.subsec_millis());
            let (h, m, s) = (s / 3_600, s / 60 % 60, s % 60);
            writeln!(f, " {h:02}:{m:02}:{s:02}.{ms:03}  {who:<width$}  {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_generator_is_vigna_s() {
        // The reference implementation's first values for this seed.
        let mut random = Random::new(1_234_567);
        let first = [random.next_u64(), random.next_u64(), random.next_u64()];
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn parts_draw_apart() {
        let fork = |label| Random::new(1).fork(label).next_u64();
        assert_eq!(fork("imds"), fork("imds"));
        assert_ne!(fork("imds"), fork("api"));
    }

    #[test]
    fn a_window_is_a_time_a_count_or_both() {
        let mut both = Window {
            from: SECOND,
            until: Some(3 * SECOND),
            times: Some(2),
        };
        assert!(!both.take(Duration::ZERO) && !both.is_over(Duration::ZERO));
        assert!(both.take(SECOND) && both.take(2 * SECOND));
        assert!(!both.take(2 * SECOND) && both.is_over(2 * SECOND));
        let mut endless = Window::default();
        assert!((0..100).all(|s| endless.take(s * SECOND)));
        let timed = Window {
            until: Some(SECOND),
            ..Window::default()
        };
        assert!(timed.is_open(Duration::ZERO) && timed.is_over(SECOND));
    }

    #[test]
    fn a_story_is_told_by_time_and_ties_keep_their_order() {
        let mut story = Timeline::default();
        story.record(SECOND, "a", "1");
        let mut other = Timeline::default();
        for (at, what) in [(SECOND, "2"), (Duration::ZERO, "0"), (SECOND, "3")] {
            other.record(at, "b", what);
        }
        story.merge(other);
        let told = story.entries().iter().map(|e| e.what.as_str());
        assert_eq!(told.collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_moves_with_paused_time_and_may_be_wrong() {
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let clock = VirtualClock::new(noon, Instant::now());
        let wrong = clock.skewed(SignedDuration::from_secs(-90));
        tokio::time::advance(60 * SECOND).await;
        assert_eq!(clock.now().to_string(), "2026-01-01T12:01:00Z");
        assert_eq!(wrong.now().to_string(), "2026-01-01T11:59:30Z");
        assert_eq!(clock.elapsed(Instant::now()), 60 * SECOND);
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_within_its_bounds(seed: u64, bound: u64, from in 0..5_000u64, span in 1..5_000u64) {
            let mut random = Random::new(seed);
            let drawn = random.below(bound);
            prop_assert!(drawn < bound || (bound, drawn) == (0, 0));
            let range = Duration::from_millis(from)..Duration::from_millis(from + span);
            prop_assert!(range.contains(&random.duration(range.clone())));
            prop_assert!(!random.chance(0, 10) && random.chance(10, 10));
            prop_assert_eq!(random.pick::<u8>(&[]), None);
        }
    }
}
