//! What became of messages, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::metrics::PREFIX;
use crate::metrics::prometheus_client::collector::Collector;
use crate::metrics::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use crate::metrics::prometheus_client::metrics::MetricType;
use crate::metrics::prometheus_client::metrics::counter::ConstCounter;
use crate::metrics::prometheus_client::registry::Registry;

use super::{Counts, WebhookObserver};

impl WebhookObserver {
    /// Has `registry` show `spot_handler_webhook_messages_total{result}` from now on: `delivered`,
    /// `failed` (refused, or given up) and `dropped` (the queue was full).
    pub fn register(&self, registry: &mut Registry) {
        let shown = Shown(Arc::clone(&self.counts));
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(Box::new(shown));
    }
}

#[derive(Debug)]
struct Shown(Arc<Counts>);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Messages to the webhook by what became of them";
        let mut metric =
            encoder.encode_descriptor("webhook_messages", help, None, MetricType::Counter)?;
        let Counts {
            delivered,
            failed,
            dropped,
        } = &*self.0;
        for (result, count) in [
            ("delivered", delivered),
            ("failed", failed),
            ("dropped", dropped),
        ] {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(metric.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
