//! The wall clock, read in one place and injected everywhere else.

use jiff::Timestamp;
use tokio::time::Instant;

/// Tells what time of day it is.
///
/// Deadlines never follow it once they are made ([`crate::deadline`]); it is asked when a
/// wall-clock time has to be written down or read back.
pub trait WallClock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// One moment on both clocks, as it is handed to pure functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: what every decision counts by.
    pub instant: Instant,
    /// The wall clock: what is written down.
    pub wall: Timestamp,
}

impl Now {
    /// Reads both clocks.
    pub fn read(clock: &dyn WallClock) -> Self {
        Self {
            instant: Instant::now(),
            wall: clock.now(),
        }
    }
}
