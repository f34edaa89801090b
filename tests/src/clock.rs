//! The wall clock, read in this one place: certificates, notices and tokens carry its times.

use std::time::Duration;

use jiff::Timestamp;

/// Now, by the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the wall clock in the harness"
)]
pub fn wall_now() -> Timestamp {
    Timestamp::now()
}

/// The first whole second that is `ahead` from now or later: the instance metadata writes its
/// times in whole seconds (`2026-01-02T03:04:05Z`).
pub fn whole_second_in(ahead: Duration) -> Timestamp {
    let then = wall_now().saturating_add(ahead).unwrap_or(Timestamp::MAX);
    let up = i64::from(then.subsec_nanosecond() > 0);
    Timestamp::from_second(then.as_second().saturating_add(up)).unwrap_or(Timestamp::MAX)
}

/// Sleeps until the wall clock says `then`; not at all if it is past.
pub async fn sleep_until_wall(then: Timestamp) {
    let left = then.duration_since(wall_now()).try_into();
    tokio::time::sleep(left.unwrap_or(Duration::ZERO)).await;
}

/// `span` after `from`.
pub fn after(from: Timestamp, span: Duration) -> Timestamp {
    from.saturating_add(span).unwrap_or(Timestamp::MAX)
}
