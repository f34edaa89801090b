//! That something goes on: beaten by what must not stop, looked at by who would restart it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When something was last seen to go on. Clones are one pulse.
///
/// ```
/// # use spot_core::pulse::Pulse;
/// # use std::time::Duration;
/// let start = tokio::time::Instant::now();
/// let pulse = Pulse::new(start);
/// let loop_s_own = pulse.clone();
/// loop_s_own.beat(start + Duration::from_secs(3));
/// assert_eq!(pulse.age(start + Duration::from_secs(5)), Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// A pulse that beats now for the first time.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// It goes on.
    pub fn beat(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// How long before `now` it beat last.
    pub fn age(&self, now: Instant) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last)
    }
}
