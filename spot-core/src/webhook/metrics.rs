//! What became of messages, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::metrics::prometheus_client::registry::Registry;
use crate::metrics::register_results;

use super::WebhookObserver;

impl WebhookObserver {
    /// Has `registry` show `spot_handler_webhook_messages_total{result}` from now on: `delivered`,
    /// `failed` (refused, or given up) and `dropped` (the queue was full).
    pub fn register(&self, registry: &mut Registry) {
        let help = "Messages to the webhook by what became of them";
        let counts = Arc::clone(&self.counts);
        register_results(registry, "webhook_messages", help, move || {
            [
                ("delivered", counts.delivered.load(Ordering::Relaxed)),
                ("failed", counts.failed.load(Ordering::Relaxed)),
                ("dropped", counts.dropped.load(Ordering::Relaxed)),
            ]
        });
    }
}
