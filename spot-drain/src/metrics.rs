//! Metrics for Prometheus: what the API server is asked, and how it answers.
//!
//! | metric, after `spot_handler_` | what it says |
//! |---|---|
//! | `evictions_total{reply}` | answers to evictions, dry runs included |
//! | `forced_deletions_total{reply}` | answers to deletions past a budget |
//! | `detachments_total{reply}` | answers to patches that have a pod's replacement made first |
//! | `reattachments_total{reply}` | answers to patches that put such a pod back |
//! | `replacements_total{outcome}` | pods of ended drains by what became of their replacements: `first`, `late`, `awaited`, `put-back`, `stuck`, `not-first` |
//! | `api_requests_total{method,code}` | requests by the HTTP method, or `WATCH`, and the HTTP status, or why there was no answer |

use spot_core::metrics::prometheus_client::metrics::counter::Counter;
use spot_core::metrics::prometheus_client::metrics::family::Family;
use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::{PREFIX, status_label};

use crate::observer::{ApiCall, CallObserver, Change, DrainObserver, Overview, Removal};
use crate::plan::Call;
use crate::reply::Reply;
use crate::report::{Replacement, Report};

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
    detachments: Family<Labels<1>, Counter>,
    reattachments: Family<Labels<1>, Counter>,
    replacements: Family<Labels<1>, Counter>,
    requests: Family<Labels<2>, Counter>,
}

impl DrainMetrics {
    /// Metrics that `registry` shows from now on.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix(PREFIX);
        for (name, help, answers) in [
            ("evictions", "Answers to evictions", &metrics.evictions),
            (
                "forced_deletions",
                "Answers to deletions past a budget",
                &metrics.deletions,
            ),
            (
                "detachments",
                "Answers to patches that have a replacement made first",
                &metrics.detachments,
            ),
            (
                "reattachments",
                "Answers to patches that put a pod back",
                &metrics.reattachments,
            ),
        ] {
            registry.register(name, help, answers.clone());
            for reply in Reply::KINDS {
                drop(answers.get_or_create(&[("reply", reply)]));
            }
        }
        let help = "Pods of ended drains by what became of their replacements";
        registry.register("replacements", help, metrics.replacements.clone());
        for outcome in Replacement::KINDS {
            drop(metrics.replacements.get_or_create(&[("outcome", outcome)]));
        }
        let help = "Requests to the API server";
        registry.register("api_requests", help, metrics.requests.clone());
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

    fn patched(&self, change: Change, reply: &Reply) {
        let answers = match change {
            Change::Detach => &self.detachments,
            Change::PutBack => &self.reattachments,
        };
        answers.get_or_create(&[("reply", reply.kind())]).inc();
    }

    fn finished(&self, report: &Report) {
        for made in report.pods.iter().filter_map(|p| p.replacement.as_ref()) {
            let labels = [("outcome", made.as_str())];
            self.replacements.get_or_create(&labels).inc();
        }
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
        metrics.patched(Change::Detach, &Reply::Accepted);
        metrics.patched(Change::PutBack, &Reply::Gone);
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
            "detachments_total{reply=\"accepted\"} 1\n",
            "reattachments_total{reply=\"gone\"} 1\n",
            "replacements_total{outcome=\"first\"} 0\n",
            "api_requests_total{method=\"POST\",code=\"429\"} 1\n",
            "api_requests_total{method=\"POST\",code=\"timed-out\"} 1\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
