//! The observer that writes the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::{Event, Observer, Occurrence};
use crate::armed::{Armed, Link, Verdict};
use crate::lifecycle::CLOCK_TOLERANCE;
use crate::notice::{LifeCycle, SourceHealth};
use crate::recurring::Recurring;

/// Writes every event to the log, by `tracing`.
#[derive(Debug, Default)]
pub struct LogObserver {
    node: String,
    said: Mutex<Said>,
}

/// What the log says already.
#[derive(Debug, Default)]
struct Said {
    /// The sources of which it was said that they can be heard.
    heard: BTreeSet<String>,
    /// The sources' clocks that are off.
    off: BTreeMap<String, Recurring>,
    /// The links that were last found broken; `None` before the first check.
    broken: Option<BTreeSet<Link>>,
}

impl LogObserver {
    /// An observer that names `node` in every line.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            said: Mutex::default(),
        }
    }

    fn is_first_heard(&self, source: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.heard.insert(source.to_owned())
    }

    /// Whether that a source's clock is off is to be said: when it begins, and every few minutes.
    /// One that is off again is the same story.
    fn is_clock_to_be_said(&self, source: &str, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.off.entry(source.to_owned()).or_default().holds(now)
    }

    /// Says what is broken at every check, and that all holds, or holds again, once.
    fn checked(&self, armed: &Armed) {
        let node = self.node.as_str();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let broken: BTreeSet<Link> = armed.broken().map(|finding| finding.link).collect();
        let before = said.broken.replace(broken.clone());
        let mut unproven = Vec::new();
        for finding in &armed.findings {
            let link = finding.link.as_str();
            match &finding.verdict {
                Verdict::Broken { reason, remedy } => {
                    error!(node, link, reason, %remedy, "a notice now would not be acted on");
                }
                Verdict::Unproven { reason } => {
                    debug!(node, link, reason, "not proven");
                    unproven.push(link);
                }
                Verdict::Holds if before.iter().flatten().any(|l| *l == finding.link) => {
                    info!(node, link, "mended");
                }
                Verdict::Holds => {}
            }
        }
        if broken.is_empty() && before.is_none_or(|before| !before.is_empty()) {
            if unproven.is_empty() {
                info!(node, "armed: a notice now would be acted on");
            } else {
                let unproven = unproven.join(", ");
                info!(node, unproven, "armed, as far as it could be tried");
            }
        }
    }

    fn about_sources(&self, event: &Event) {
        let node = self.node.as_str();
        match &event.what {
            Occurrence::Identified(i) => info!(
                node,
                instance_id = i.id,
                life_cycle = i.life_cycle.as_ref().map(LifeCycle::as_str),
                zone = i.zone.as_deref(),
                region = i.region.as_deref(),
                "this is the instance that we run on"
            ),
            // A source writes its own troubles to the log, bounded; here only the beginning.
            Occurrence::SourceHealth { source, health } => {
                if *health == SourceHealth::Good && self.is_first_heard(source) {
                    info!(node, source, "notices can be heard");
                } else {
                    debug!(node, source, ?health, "source");
                }
            }
            Occurrence::Clock { source, ahead } => {
                let off = ahead.unsigned_abs() > CLOCK_TOLERANCE;
                if off && self.is_clock_to_be_said(source, event.at) {
                    warn!(
                        node,
                        source,
                        ahead = ahead.as_secs(),
                        "the wall clock is off"
                    );
                } else {
                    debug!(node, source, ?ahead, "the source's clock");
                }
            }
            Occurrence::ClockJumped(gap) => {
                let gap = seconds(*gap);
                warn!(
                    node,
                    gap, "time has passed unseen: a suspend, or the clock was set"
                );
            }
            _ => {}
        }
    }

    fn about_notices(&self, event: &Event) {
        let node = self.node.as_str();
        match &event.what {
            Occurrence::NoticeRaised { notice, response } => warn!(
                node,
                notice = %notice.id,
                kind = %notice.kind,
                action = %notice.action,
                deadline = notice.deadline.map(|d| tracing::field::display(d.wall())),
                remaining = notice.deadline.map(|d| seconds(d.remaining(event.at))),
                response = %response,
                "notice"
            ),
            Occurrence::NoticeWaits { notice, until } => info!(
                node,
                notice = %notice.id,
                kind = %notice.kind,
                wait = seconds(since(*until, event.at)),
                "the notice waits for its time"
            ),
            Occurrence::NoticeChanged(notice) => info!(
                node,
                notice = %notice.id,
                action = %notice.action,
                deadline = notice.deadline.map(|d| tracing::field::display(d.wall())),
                "the notice has changed"
            ),
            Occurrence::NoticeExpired(id) => {
                info!(node, notice = %id, "the notice's time to live is over");
            }
            Occurrence::NoticeSuperseded { old, new } => {
                warn!(node, notice = %new, old = %old, "another notice leads now");
            }
            Occurrence::DeadlineNearer(order) => warn!(
                node,
                notice = %order.notice,
                deadline = order.deadline.map(|d| tracing::field::display(d.wall())),
                remaining = order.deadline.map(|d| seconds(d.remaining(event.at))),
                "the deadline came nearer"
            ),
            Occurrence::NoticeEnded { notice, how } => {
                info!(node, %notice, %how, "the notice stands no longer");
            }
            Occurrence::Resumed(notice) => warn!(
                node,
                notice = %notice.id,
                kind = %notice.kind,
                remaining = notice.deadline.map(|d| seconds(d.remaining(event.at))),
                "carrying on what an earlier process began"
            ),
            _ => {}
        }
    }
}

impl Observer for LogObserver {
    fn on(&self, event: &Event) {
        let node = self.node.as_str();
        match &event.what {
            Occurrence::Identified(_)
            | Occurrence::SourceHealth { .. }
            | Occurrence::Clock { .. }
            | Occurrence::ClockJumped(_) => self.about_sources(event),
            Occurrence::NoticeRaised { .. }
            | Occurrence::NoticeWaits { .. }
            | Occurrence::NoticeChanged(_)
            | Occurrence::NoticeExpired(_)
            | Occurrence::NoticeSuperseded { .. }
            | Occurrence::DeadlineNearer(_)
            | Occurrence::NoticeEnded { .. }
            | Occurrence::Resumed(_) => self.about_notices(event),
            Occurrence::Checked(armed) => self.checked(armed),
            Occurrence::NodeKnown { verified: true } => info!(node, "node is our instance"),
            Occurrence::NodeKnown { verified: false } => {
                warn!(
                    node,
                    "node and instance cannot be compared: one of them has no identity yet"
                );
            }
            Occurrence::Quarantined { quarantine, after } => info!(
                node,
                notice = %quarantine.notice,
                kind = %quarantine.kind,
                phase = ?quarantine.phase,
                after = seconds(*after),
                "node cordoned and tainted"
            ),
            Occurrence::DrainStarted(order) => info!(
                node,
                notice = %order.notice,
                remaining = order.deadline.map(|d| seconds(d.remaining(event.at))),
                "drain started"
            ),
            Occurrence::DrainFinished(report) => info!(
                node,
                outcome = %report.outcome,
                elapsed = seconds(report.elapsed),
                slack = report.slack.map(seconds),
                report = report.text,
                "drain finished"
            ),
            Occurrence::Released => info!(node, "node released"),
            Occurrence::NodeFailed(e) => {
                error!(node, error = e.describe(), remedy = e.remedy(), "node");
            }
            Occurrence::ShutdownWaits(bound) => {
                warn!(
                    node,
                    bound = seconds(*bound),
                    "asked to end; finishing the drain first"
                );
            }
        }
    }
}

/// From one moment to a later one.
fn since(later: Instant, earlier: Instant) -> Duration {
    later.saturating_duration_since(earlier)
}

/// Seconds with milliseconds, for a log.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
