//! What became of events, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spot_core::metrics::PREFIX;
use spot_core::metrics::prometheus_client::collector::Collector;
use spot_core::metrics::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use spot_core::metrics::prometheus_client::metrics::MetricType;
use spot_core::metrics::prometheus_client::metrics::counter::ConstCounter;
use spot_core::metrics::prometheus_client::registry::Registry;

use super::{Counts, NodeEvents};

impl NodeEvents {
    /// Has `registry` show `spot_handler_events_total{result}` from now on: `written`, `failed`
    /// (given up, or refused) and `dropped` (the queue was full).
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
        let help = "Kubernetes Events by what became of them";
        let mut metric = encoder.encode_descriptor("events", help, None, MetricType::Counter)?;
        let Counts {
            written,
            dropped,
            failed,
        } = &*self.0;
        for (result, count) in [
            ("written", written),
            ("failed", failed),
            ("dropped", dropped),
        ] {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            count.encode(metric.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
