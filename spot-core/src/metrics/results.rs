//! Results of what is sent elsewhere, counted where it is sent.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use super::PREFIX;

/// Has `registry` show `spot_handler_{name}_total{result}`: `count` is asked at each look at it.
///
/// For an observer that counts by itself, with or without a registry.
pub fn register_results<const N: usize>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    count: impl Fn() -> [(&'static str, u64); N] + Send + Sync + 'static,
) {
    let registry = registry.sub_registry_with_prefix(PREFIX);
    registry.register_collector(Box::new(Results { name, help, count }));
}

struct Results<F> {
    name: &'static str,
    help: &'static str,
    count: F,
}

impl<F> fmt::Debug for Results<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Results").field(&self.name).finish()
    }
}

impl<const N: usize, F> Collector for Results<F>
where
    F: Fn() -> [(&'static str, u64); N] + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
        for (result, count) in (self.count)() {
            ConstCounter::new(count).encode(metric.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
