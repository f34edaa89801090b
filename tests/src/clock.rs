//! The wall clock, read in this one place: certificates, notices and tokens carry its times.

use std::time::Duration;

use jiff::Timestamp;

/// Now, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock in the harness")]
pub fn wall_now() -> Timestamp {
    Timestamp::now()
}

/// `ahead` from now, in whole seconds and as RFC 3339 (`2026-01-02T03:04:05Z`), which is how
/// the instance metadata writes times.
pub fn rfc3339_in(ahead: Duration) -> String {
    let seconds = i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX);
    let then = wall_now().as_second().saturating_add(seconds);
    Timestamp::from_second(then).unwrap_or(Timestamp::MAX).to_string()
}
