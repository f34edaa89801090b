//! What became of events, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::register_results;

use super::NodeEvents;

impl NodeEvents {
    /// Has `registry` show `spot_handler_events_total{result}` from now on: `written`, `failed`
    /// (given up, or refused) and `dropped` (the queue was full).
    pub fn register(&self, registry: &mut Registry) {
        let help = "Kubernetes Events by what became of them";
        let counts = Arc::clone(&self.counts);
        register_results(registry, "events", help, move || {
            [
                ("written", counts.written.load(Ordering::Relaxed)),
                ("failed", counts.failed.load(Ordering::Relaxed)),
                ("dropped", counts.dropped.load(Ordering::Relaxed)),
            ]
        });
    }
}
