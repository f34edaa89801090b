//! Waiting with a bound, and with a message that says what was last seen.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::{Error, Result};

/// How often [`wait_until`] looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Calls `probe` until it returns `Ok`, and returns what it returned.
///
/// A probe says `Err(what it saw)` for "not yet". A probe that hangs is cut off too.
///
/// # Errors
/// [`Error::Timeout`] with the last thing seen, when `within` has passed.
pub async fn wait_until<T, F>(
    what: impl Into<String>,
    within: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T>
where
    F: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + within;
    let mut last = String::from("nothing yet");
    loop {
        match timeout_at(end, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_) => last = format!("{last} (the last look did not return)"),
        }
        if Instant::now() + LOOK_EVERY >= end {
            return Err(Error::Timeout {
                what: what.into(),
                within,
                last,
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Sleeps until so long after a moment, for what has to happen at a time and not on a signal.
pub async fn sleep_until_after(moment: Instant, after: Duration) {
    tokio::time::sleep_until(moment + after).await;
}
