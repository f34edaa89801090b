//! Metrics for Prometheus: what the API server is asked, and how it answers.
//!
//! | metric, after `spot_handler_` | what it says |
//! |---|---|
//! | `evictions_total{reply}` | answers to evictions, dry runs included |
//! | `forced_deletions_total{reply}` | answers to deletions past a budget |
//! | `api_requests_total{method,code}` | requests by the HTTP method, or `WATCH`, and the HTTP status, or why there was no answer |

use spot_core::metrics::prometheus_client::metrics::counter::Counter;
use spot_core::metrics::prometheus_client::metrics::family::Family;
use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::{PREFIX, status_label};

use crate::observer::{ApiCall, CallObserver, DrainObserver, Overview, Removal};
use crate::plan::Call;
use crate::reply::Reply;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counts what is asked of the API server. Clones count together.
///
/// ```no_run
/// use spot_core::metrics::prometheus_client::registry::Registry;
/// use spot_drain::{cluster::Cluster, driver::NodeDrainer, metrics::DrainMetrics};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut registry = Registry::default();
/// let metrics = DrainMetrics::register(&mut registry);
/// let cluster = Cluster::connect(kube::Config::infer().await?)?.with_observer(metrics.clone());
/// let drainer = NodeDrainer::new(cluster.pods("worker-1")).with_observer(metrics);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DrainMetrics {
    evictions: Family<Labels<1>, Counter>,
    deletions: Family<Labels<1>, Counter>,
    requests: Family<Labels<2>, Counter>,
}

impl DrainMetrics {
    /// Metrics that `registry` shows from now on.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let help = "Answers to evictions";
        registry.register("evictions", help, metrics.evictions.clone());
        let help = "Answers to deletions past a budget";
        registry.register("forced_deletions", help, metrics.deletions.clone());
        let help = "Requests to the API server";
        registry.register("api_requests", help, metrics.requests.clone());
        for reply in Reply::KINDS {
            drop(metrics.evictions.get_or_create(&[("reply", reply)]));
            drop(metrics.deletions.get_or_create(&[("reply", reply)]));
        }
        metrics
    }
}

impl DrainObserver for DrainMetrics {
    fn planned(&self, _: &Overview) {}

    fn answered(&self, removal: Removal, _: &Call, reply: &Reply) {
        let answers = match removal {
            Removal::Eviction => &self.evictions,
            Removal::Deletion => &self.deletions,
        };
        answers.get_or_create(&[("reply", reply.kind())]).inc();
    }
}

impl CallObserver for DrainMetrics {
    fn called(&self, call: &ApiCall) {
        let code = call.answer.map_or_else(|why| why, status_label);
        let labels = [("method", call.method), ("code", code)];
        self.requests.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use spot_core::metrics::text;

    use super::*;
    use crate::facts::Uid;

    #[test]
    fn answers_are_counted_by_what_they_mean() {
        let mut registry = Registry::default();
        let metrics = DrainMetrics::register(&mut registry);
        let call = Call {
            pod: Uid("u".to_owned()),
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            grace: None,
            dry_run: false,
        };
        let closed = Reply::BudgetClosed(crate::reply::Refusal::default());
        metrics.answered(Removal::Eviction, &call, &Reply::Accepted);
        metrics.answered(Removal::Eviction, &call, &closed);
        metrics.answered(Removal::Eviction, &call, &closed);
        metrics.answered(Removal::Deletion, &call, &Reply::Accepted);
        for answer in [Ok(429), Err("timed-out")] {
            let method = "POST";
            metrics.called(&ApiCall { method, answer });
        }
        let page = text(&registry);
        for line in [
            "evictions_total{reply=\"accepted\"} 1\n",
            "evictions_total{reply=\"budget-closed\"} 2\n",
            "evictions_total{reply=\"lost\"} 0\n",
            "forced_deletions_total{reply=\"accepted\"} 1\n",
            "api_requests_total{method=\"POST\",code=\"429\"} 1\n",
            "api_requests_total{method=\"POST\",code=\"timed-out\"} 1\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
