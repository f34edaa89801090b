//! How a pod says how long it takes: annotations, in seconds.

use std::time::Duration;

use serde_json::Value;

use crate::sim::json::annotation;

/// From binding to running; `never` for an image that cannot be pulled.
pub const START_AFTER: &str = "sim.spot-interrupt-handler/start-after";
/// From running to ready; `never` for a pod that never is.
pub const READY_AFTER: &str = "sim.spot-interrupt-handler/ready-after";
/// From SIGTERM to the end of the process; `never` for one that ignores it.
pub const EXIT_AFTER: &str = "sim.spot-interrupt-handler/exit-after";

/// What stands for never.
pub(super) const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The time that a pod gives, such as `2.5` or `never`, or the usual one.
pub(super) fn timing(pod: &Value, name: &str, usual: Duration) -> Duration {
    match annotation(pod, name) {
        None => usual,
        Some("never") => NEVER,
        Some(text) => text
            .parse()
            .ok()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map_or(usual, |time| time.min(NEVER)),
    }
}
