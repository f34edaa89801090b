//! The tables that benches print: what was measured, beside what it is held to.

use std::{fmt::Display, time::Duration};

/// Begins a table.
pub(crate) fn begin(title: impl Display) {
    println!("\n{title}\n\n| what | measured | held to | met |\n|---|---|---|---|");
}

/// A figure that is held to nothing.
pub(crate) fn fact(what: impl Display, measured: impl Display) {
    println!("| {what} | {measured} | | |");
}

/// A figure and the words of what it is held to.
pub(crate) fn held(what: impl Display, measured: impl Display, to: impl Display, met: bool) {
    let met = if met { "yes" } else { "NO" };
    println!("| {what} | {measured} | {to} | {met} |");
}

/// A time that is held to a bound. One that could not be measured does not meet it.
pub(crate) fn at_most(what: impl Display, measured: Option<Duration>, bound: Duration) {
    let met = measured.is_some_and(|measured| measured <= bound);
    held(
        what,
        time(measured),
        format!("at most {}", time(Some(bound))),
        met,
    );
}

/// A count that is held to a bound.
pub(crate) fn at_most_count(what: impl Display, measured: usize, bound: usize) {
    held(
        what,
        measured,
        format!("at most {bound}"),
        measured <= bound,
    );
}

/// Seconds: with milliseconds below ten.
pub(crate) fn time(duration: Option<Duration>) -> String {
    match duration.map(|duration| duration.as_secs_f64()) {
        None => "never".into(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.3} s"),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// A size in units of `unit` bytes.
#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
pub(crate) fn size(bytes: u64, unit: f64) -> f64 {
    bytes as f64 / unit
}

/// The unit of memory.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;
