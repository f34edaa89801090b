//! What is told apart: phases of a drain, faults, and replies to evictions.

use std::time::Duration;

use spot_core::sim::Fault;
use spot_drain::sim::{Injection, Recorded, WatchFault};

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulation) enum Phase {
    /// Its first two seconds.
    Opening,
    /// From there on.
    Evicting,
    /// The same while pods wait for their replacements.
    Making,
    /// Its last ten seconds.
    Closing,
}

pub(in crate::simulation) const PHASES: [Phase; 4] = [
    Phase::Opening,
    Phase::Evicting,
    Phase::Making,
    Phase::Closing,
];

pub(in crate::simulation) const FAULTS: [&str; 16] = [
    "slow request",
    "slow answer",
    "status",
    "reset before",
    "reset after",
    "black hole before",
    "black hole after",
    "half a body",
    "padded",
    "refused",
    "stale read",
    "watch closed",
    "watch reset",
    "watch silent",
    "watch expired",
    "events late or twice",
];

pub(in crate::simulation) const REPLIES: [&str; 16] = [
    "accepted",
    "429 budget",
    "429 stale budget",
    "429 overload",
    "429 with Retry-After",
    "500 several budgets",
    "404",
    "409",
    "403 namespace ends",
    "403 rights",
    "4xx of a webhook",
    "401",
    "5xx",
    "no answer, took effect",
    "no answer, took none",
    "200 of something else",
];

/// The phase of a drain that runs from one moment to another, at a moment in between; `making`
/// where pods wait then.
pub(super) fn phase((from, until): (Duration, Duration), at: Duration, making: bool) -> Phase {
    const FIRST: Duration = Duration::from_secs(2);
    const LAST: Duration = Duration::from_secs(10);
    if at <= from + FIRST {
        Phase::Opening
    } else if at + LAST >= until {
        Phase::Closing
    } else if making {
        Phase::Making
    } else {
        Phase::Evicting
    }
}

/// What went wrong with a request.
pub(super) fn fault(request: &Recorded) -> Option<&'static str> {
    let injected: &Injection = &request.injected;
    let none = WatchFault::default();
    Some(match &injected.fault {
        Some(Fault::Status { .. }) => "status",
        Some(Fault::ResetBefore) => "reset before",
        Some(Fault::ResetAfter) => "reset after",
        Some(Fault::BlackHole) => "black hole before",
        Some(Fault::BlackHoleAfter) => "black hole after",
        Some(Fault::Truncate(_)) => "half a body",
        Some(Fault::Oversize(_)) => "padded",
        Some(Fault::Refused) => "refused",
        Some(_) => "slow answer",
        None if !injected.before.is_zero() => "slow request",
        None if !injected.after.is_zero() => "slow answer",
        None if injected.lag > 0 => (request.method == "GET").then_some("stale read")?,
        None if injected.watch == none => return None,
        // Of anything but a watch it means nothing.
        None if !request.is_watch() => return None,
        None if injected.watch.closed_after.is_some() => "watch closed",
        None if injected.watch.reset_after.is_some() => "watch reset",
        None if injected.watch.silent_after.is_some() => "watch silent",
        None if injected.watch.expired_after.is_some() => "watch expired",
        None => "events late or twice",
    })
}

/// The row of the table of replies that the handler's side of an eviction is in.
pub(super) fn reply(request: &Recorded) -> Option<&'static str> {
    let effect = request.effect.as_ref();
    let fault = &request.injected.fault;
    let none = match effect {
        Some(_) => "no answer, took effect",
        None => "no answer, took none",
    };
    let Some(status) = request.status else {
        // What its own death cut off is nothing that it was told.
        return fault.is_some().then_some(none);
    };
    let (body, asked) = match (fault, effect) {
        // Half an answer is none.
        (Some(Fault::Truncate(at)), Some(effect)) if *at < effect.body.len() => return Some(none),
        (
            Some(Fault::Status {
                body, retry_after, ..
            }),
            _,
        ) => (body.clone(), retry_after.is_some()),
        (_, Some(effect)) => (String::from_utf8_lossy(&effect.body).into_owned(), false),
        _ => (String::new(), false),
    };
    Some(match status {
        200..=299 if body.contains("\"kind\"") => "accepted",
        200..=399 => "200 of something else",
        429 if body.contains("DisruptionBudget") && body.contains("retryAfterSeconds") => {
            "429 stale budget"
        }
        429 if body.contains("DisruptionBudget") => "429 budget",
        429 if asked => "429 with Retry-After",
        429 => "429 overload",
        500 if body.contains("PodDisruptionBudget") => "500 several budgets",
        404 => "404",
        409 => "409",
        403 if body.contains("NamespaceTerminating") => "403 namespace ends",
        403 if body.contains("webhook") => "4xx of a webhook",
        403 => "403 rights",
        401 => "401",
        500.. => "5xx",
        _ => "4xx of a webhook",
    })
}
