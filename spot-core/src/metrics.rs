//! Metrics for Prometheus: an observer that counts what a handler does.
//!
//! Every name begins with [`PREFIX`], every unit is a base unit, and every label has few values
//! that are known beforehand: the number of series does not grow with what happens. What the
//! metadata service and the API server are asked is counted where they are asked, by the features
//! of the same name of `spot-imds` and `spot-drain`.
//!
//! | metric | what it says |
//! |---|---|
//! | `notices_total{kind}` | notices that were seen for the first time |
//! | `detection_to_cordon_seconds` | how long after its detection a notice's node was quarantined |
//! | `drain_running` | 1 while a drain runs |
//! | `drain_duration_seconds{outcome}` | how long drains took |
//! | `drain_slack_seconds` | what was left to the deadline when drains ended |
//! | `pods_total{outcome}` | units of work by what became of them |
//! | `node_errors_total{reason}` | the node could not be read or changed; one that lasts counts every few minutes |
//! | `armed` | 1 where the last self-check found nothing broken; 0 before the first |
//! | `link_broken{link}` | 1 where the last self-check found that link broken |
//! | `last_self_check_timestamp_seconds` | when that was; 0 before the first |
//! | `source_healthy{source}` | 1 while a source of notices can be heard |
//! | `source_clock_ahead_seconds{source}` | how far the wall clock is ahead of a source's |
//! | `build_info{version}` | 1 |

mod results;
mod status;
mod text;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

pub use prometheus_client;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::armed::{Armed, Link};
use crate::drainer::{DrainOutcome, DrainReport};
use crate::node::{NodeError, Phase, Quarantine};
use crate::notice::{NoticeId, NoticeKind, SourceHealth};
use crate::observer::{Event, Observer, Occurrence};
pub use results::register_results;
pub use status::status_label;
pub use text::{CONTENT_TYPE, text};

/// What every metric's name begins with, before an underscore.
pub const PREFIX: &str = "spot_handler";

/// From the first try on a quiet API server to one that is away for a minute.
const TO_CORDON: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];
/// The two minutes of an interruption, and what may take longer.
const DRAIN: [f64; 11] = [
    2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 115.0, 300.0, 900.0,
];
/// A drain that ends with less than a second has been lucky.
const SLACK: [f64; 9] = [0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 90.0, 120.0];

type Label = [(&'static str, &'static str); 1];
type OfSource = [(&'static str, String); 1];
type Seconds = Gauge<f64, AtomicU64>;

/// Counts what happens. Clones count together.
///
/// ```
/// use spot_core::metrics::{self, HandlerMetrics, prometheus_client::registry::Registry};
///
/// let mut registry = Registry::default(); // or the one that your program has already
/// let metrics = HandlerMetrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
/// // Handler::builder(drainer).observer(metrics) …
/// # drop(metrics);
/// let page = metrics::text(&registry);
/// assert!(page.contains("spot_handler_notices_total{kind=\"spot-interruption\"} 0"));
/// ```
#[derive(Clone, Debug)]
pub struct HandlerMetrics {
    notices: Family<Label, Counter>,
    to_cordon: Histogram,
    running: Gauge,
    duration: Family<Label, Histogram, Buckets>,
    slack: Histogram,
    pods: Family<Label, Counter>,
    node_errors: Family<Label, Counter>,
    armed: Gauge,
    broken: Family<Label, Gauge>,
    checked: Seconds,
    healthy: Family<OfSource, Gauge>,
    ahead: Family<OfSource, Seconds>,
    /// The notice whose quarantine has been timed, or is not to be.
    timed: Arc<Mutex<Option<NoticeId>>>,
}

/// Makes the histograms of a family.
#[derive(Clone, Copy, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(DRAIN)
    }
}

impl HandlerMetrics {
    /// Metrics that `registry` shows from now on, under [`PREFIX`]. `version` is the program's.
    pub fn register(registry: &mut Registry, version: &'static str) -> Self {
        let metrics = Self {
            notices: Family::default(),
            to_cordon: Histogram::new(TO_CORDON),
            running: Gauge::default(),
            duration: Family::new_with_constructor(Buckets),
            slack: Histogram::new(SLACK),
            pods: Family::default(),
            node_errors: Family::default(),
            armed: Gauge::default(),
            broken: Family::default(),
            checked: Seconds::default(),
            healthy: Family::default(),
            ahead: Family::default(),
            timed: Arc::default(),
        };
        metrics.show_in(registry.sub_registry_with_prefix(PREFIX), version);
        // What may come is there from the beginning: a rate needs something to start from.
        for kind in NoticeKind::ALL {
            drop(metrics.notices.get_or_create(&[("kind", kind.as_str())]));
        }
        for reason in NodeError::KINDS {
            drop(metrics.node_errors.get_or_create(&[("reason", reason)]));
        }
        for link in Link::ALL {
            drop(metrics.broken.get_or_create(&[("link", link.as_str())]));
        }
        let outcomes = [
            DrainOutcome::Complete,
            DrainOutcome::Incomplete,
            DrainOutcome::Cancelled,
        ];
        for outcome in outcomes {
            let label = [("outcome", outcome.as_str())];
            drop(metrics.duration.get_or_create(&label));
        }
        metrics
    }

    /// The same, which shows what may become of pods from the beginning, by a drainer's own labels
    /// ([`DrainReport::tally`]).
    #[must_use]
    pub fn with_outcomes(self, outcomes: impl IntoIterator<Item = &'static str>) -> Self {
        for outcome in outcomes {
            drop(self.pods.get_or_create(&[("outcome", outcome)]));
        }
        self
    }

    fn show_in(&self, registry: &mut Registry, version: &'static str) {
        let build: Family<Label, Gauge> = Family::default();
        build.get_or_create(&[("version", version)]).set(1);
        registry.register("build_info", "The version that runs", build);
        let help = "Notices that were seen for the first time";
        registry.register("notices", help, self.notices.clone());
        let help = "From the detection of a notice to the quarantine of its node";
        let to_cordon = self.to_cordon.clone();
        registry.register("detection_to_cordon_seconds", help, to_cordon);
        let help = "Whether a drain runs";
        registry.register("drain_running", help, self.running.clone());
        let help = "How long drains took";
        registry.register("drain_duration_seconds", help, self.duration.clone());
        let help = "What was left to the deadline when drains ended";
        registry.register("drain_slack_seconds", help, self.slack.clone());
        let help = "Pods by what became of them";
        registry.register("pods", help, self.pods.clone());
        let help = "The node could not be read or changed";
        registry.register("node_errors", help, self.node_errors.clone());
        let help = "Whether the last self-check found nothing broken";
        registry.register("armed", help, self.armed.clone());
        let help = "Whether the last self-check found this link broken";
        registry.register("link_broken", help, self.broken.clone());
        let help = "When the last self-check ended, in seconds since 1970; 0 before the first";
        let checked = self.checked.clone();
        registry.register("last_self_check_timestamp_seconds", help, checked);
        let help = "Whether a source of notices can be heard";
        registry.register("source_healthy", help, self.healthy.clone());
        let help = "How far the wall clock is ahead of a source's";
        registry.register("source_clock_ahead_seconds", help, self.ahead.clone());
    }

    /// Times a notice's first quarantine: later ones only write down how far it has come.
    fn quarantined(&self, quarantine: &Quarantine, after: std::time::Duration) {
        let is_first = matches!(quarantine.phase, Phase::Cordoned | Phase::Draining)
            && self.is_untimed(&quarantine.notice);
        if is_first {
            self.to_cordon.observe(after.as_secs_f64());
        }
    }

    /// Whether it has not been timed; from now on it has.
    fn is_untimed(&self, notice: &NoticeId) -> bool {
        let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        timed.replace(notice.clone()).as_ref() != Some(notice)
    }

    fn drained(&self, report: &DrainReport) {
        self.running.set(0);
        let outcome = [("outcome", report.outcome.as_str())];
        let duration = self.duration.get_or_create(&outcome);
        duration.observe(report.elapsed.as_secs_f64());
        if let Some(slack) = report.slack {
            self.slack.observe(slack.as_secs_f64());
        }
        for (outcome, count) in &report.tally {
            let pods = self.pods.get_or_create(&[("outcome", *outcome)]);
            pods.inc_by(u64::from(*count));
        }
    }

    fn checked(&self, armed: &Armed) {
        self.armed.set(armed.is_armed().into());
        for link in Link::ALL {
            let is_broken = armed.broken().any(|finding| finding.link == link);
            let broken = self.broken.get_or_create(&[("link", link.as_str())]);
            broken.set(is_broken.into());
        }
        self.checked.set(armed.at.as_duration().as_secs_f64());
    }
}

impl Observer for HandlerMetrics {
    fn on(&self, event: &Event) {
        match &event.what {
            Occurrence::NoticeRaised { notice, .. } => {
                let kind = [("kind", notice.kind.as_str())];
                self.notices.get_or_create(&kind).inc();
            }
            // How long that took, the process before has counted.
            Occurrence::Resumed(notice) => {
                self.is_untimed(&notice.id);
            }
            Occurrence::Quarantined { quarantine, after } => self.quarantined(quarantine, *after),
            Occurrence::Released => {
                let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
                *timed = None;
            }
            Occurrence::DrainStarted(_) => {
                self.running.set(1);
            }
            Occurrence::DrainFinished(report) => self.drained(report),
            Occurrence::NodeFailed(error) => {
                let reason = [("reason", error.kind())];
                self.node_errors.get_or_create(&reason).inc();
            }
            Occurrence::Checked(armed) => self.checked(armed),
            Occurrence::SourceHealth { source, health } => {
                let healthy = self.healthy.get_or_create(&[("source", source.clone())]);
                healthy.set((*health == SourceHealth::Good).into());
            }
            Occurrence::Clock { source, ahead } => {
                let clock = self.ahead.get_or_create(&[("source", source.clone())]);
                clock.set(ahead.as_secs_f64());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
