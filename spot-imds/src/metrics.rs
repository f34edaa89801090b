//! Metrics for Prometheus: what the metadata service is asked, and how it answers.
//!
//! | metric, after `spot_handler_` | what it says |
//! |---|---|
//! | `metadata_requests_total{path,code}` | requests by what was asked for and the HTTP status, or why there was no reply |
//! | `metadata_last_good_poll_timestamp_seconds` | when a path that announces notices last gave an answer that could be read; 0 before the first |

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use spot_core::clock::{SystemClock, WallClock};
use spot_core::metrics::prometheus_client::metrics::counter::Counter;
use spot_core::metrics::prometheus_client::metrics::family::Family;
use spot_core::metrics::prometheus_client::metrics::gauge::Gauge;
use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::{PREFIX, status_label};

use crate::observer::{Exchange, ExchangeObserver, Poll};

type Labels = [(&'static str, &'static str); 2];

/// Counts requests to the metadata service. Clones count together.
///
/// ```
/// use spot_core::metrics::prometheus_client::registry::Registry;
/// use spot_imds::{client::ImdsClient, metrics::ImdsMetrics};
///
/// let mut registry = Registry::default();
/// let metrics = ImdsMetrics::register(&mut registry);
/// let client = ImdsClient::builder().observer(metrics).build()?;
/// # Ok::<(), spot_imds::options::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ImdsMetrics {
    requests: Family<Labels, Counter>,
    last_good: Gauge<f64, AtomicU64>,
    clock: Arc<dyn WallClock>,
}

impl ImdsMetrics {
    /// Metrics that `registry` shows from now on.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            last_good: Gauge::default(),
            clock: Arc::new(SystemClock),
        };
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let help = "Requests to the metadata service";
        registry.register("metadata_requests", help, metrics.requests.clone());
        let help = "When a path was last polled with success, in seconds since 1970; 0 before";
        let last_good = metrics.last_good.clone();
        registry.register("metadata_last_good_poll_timestamp_seconds", help, last_good);
        metrics
    }

    /// The same with a wall clock that is not the machine's own.
    #[must_use]
    pub fn with_clock(mut self, clock: impl WallClock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl ExchangeObserver for ImdsMetrics {
    fn exchanged(&self, exchange: &Exchange) {
        let code = exchange.answer.map_or_else(|kind| kind, status_label);
        let labels = [("path", exchange.path), ("code", code)];
        self.requests.get_or_create(&labels).inc();
    }

    fn polled(&self, poll: &Poll) {
        if poll.is_good {
            let now = self.clock.now().as_duration().as_secs_f64();
            self.last_good.set(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use spot_core::metrics::text;

    use super::*;

    struct Noon;

    impl WallClock for Noon {
        fn now(&self) -> Timestamp {
            "2026-01-01T12:00:00Z".parse().unwrap()
        }
    }

    #[test]
    fn requests_are_counted_by_path_and_code_and_only_a_good_poll_is_remembered() {
        let mut registry = Registry::default();
        let metrics = ImdsMetrics::register(&mut registry).with_clock(Noon);
        let path = "spot/instance-action";
        for answer in [Ok(404), Ok(404), Ok(418), Ok(499), Err("timed-out")] {
            metrics.exchanged(&Exchange { path, answer });
        }
        let at = "spot_handler_metadata_last_good_poll_timestamp_seconds";
        metrics.polled(&Poll {
            path,
            is_good: false,
        });
        assert!(text(&registry).contains(&format!("{at} 0.0\n")));
        metrics.polled(&Poll {
            path,
            is_good: true,
        });
        let page = text(&registry);
        for line in [
            "metadata_requests_total{path=\"spot/instance-action\",code=\"404\"} 2\n",
            "metadata_requests_total{path=\"spot/instance-action\",code=\"4xx\"} 2\n",
            "metadata_requests_total{path=\"spot/instance-action\",code=\"timed-out\"} 1\n",
            "metadata_last_good_poll_timestamp_seconds 1767268800.0\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
