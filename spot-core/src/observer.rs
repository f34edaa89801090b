//! The port that tells others what happens, and the observer that writes the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::drainer::{DrainReport, Order};
use crate::node::{NodeError, Quarantine};
use crate::notice::{Instance, Notice, NoticeId, SourceHealth};
use crate::policy::Response;

/// Something happened, and when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// On the monotonic clock.
    pub at: Instant,
    /// On the wall clock.
    pub wall: Timestamp,
    /// What happened.
    pub what: Occurrence,
}

impl Event {
    /// An event.
    pub fn new(at: Instant, wall: Timestamp, what: Occurrence) -> Self {
        Self { at, wall, what }
    }
}

/// What can happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Occurrence {
    /// It is known which machine this is.
    Identified(Instance),
    /// The node was read; `verified`: it was seen to be our instance.
    NodeKnown {
        /// Whether node and instance could be compared.
        verified: bool,
    },
    /// A source's state changed.
    SourceHealth(SourceHealth),
    /// A notice was seen for the first time and is acted on, or not, as the policy says.
    NoticeRaised {
        /// The notice.
        notice: Notice,
        /// What will be done about it.
        response: Response,
    },
    /// A notice that stands took the place of another that was acted on.
    NoticeSuperseded {
        /// The one that no longer leads.
        old: NoticeId,
        /// The one that does.
        new: NoticeId,
    },
    /// The deadline came nearer.
    DeadlineNearer(Order),
    /// A notice was taken back.
    NoticeCancelled(NoticeId),
    /// What an earlier process began is carried on.
    Resumed(Notice),
    /// The node is quarantined.
    Quarantined {
        /// What was asked for.
        quarantine: Quarantine,
        /// How long after the notice was detected.
        after: Duration,
    },
    /// A drain began.
    DrainStarted(Order),
    /// A drain ended.
    DrainFinished(Arc<DrainReport>),
    /// What was ours was taken back from the node.
    Released,
    /// The node could not be read or changed; it is tried again.
    NodeFailed(Arc<NodeError>),
    /// The program was asked to end while a drain runs, and waits for it no longer than this.
    ShutdownWaits(Duration),
}

/// Is told what happens.
///
/// Called on the handler's own path: never block, never wait.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Observer: Send + Sync {
    /// Something happened.
    fn on(&self, event: &Event);
}

/// Writes every event to the log, by `tracing`.
#[derive(Debug, Default)]
pub struct LogObserver {
    node: String,
    /// Whether it was said that notices can be heard.
    heard: AtomicBool,
}

impl LogObserver {
    /// An observer that names `node` in every line.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            heard: AtomicBool::new(false),
        }
    }
}

impl Observer for LogObserver {
    fn on(&self, event: &Event) {
        use tracing::{debug, error, info, warn};
        let node = self.node.as_str();
        match &event.what {
            Occurrence::Identified(i) => info!(
                node,
                instance_id = i.id,
                life_cycle = i.life_cycle.as_deref(),
                zone = i.zone.as_deref(),
                region = i.region.as_deref(),
                "this is the instance that we run on"
            ),
            Occurrence::NodeKnown { verified: true } => info!(node, "node is our instance"),
            Occurrence::NodeKnown { verified: false } => {
                warn!(
                    node,
                    "node and instance cannot be compared: one of them has no identity yet"
                );
            }
            // A source writes its own troubles to the log, bounded; here only the beginning.
            Occurrence::SourceHealth(SourceHealth::Good)
                if !self.heard.swap(true, Ordering::Relaxed) =>
            {
                info!(node, "notices can be heard");
            }
            Occurrence::SourceHealth(health) => debug!(node, ?health, "source"),
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
            Occurrence::NoticeSuperseded { old, new } => {
                warn!(node, notice = %new, old = %old, "a weightier notice leads now");
            }
            Occurrence::DeadlineNearer(order) => warn!(
                node,
                notice = %order.notice,
                deadline = order.deadline.map(|d| tracing::field::display(d.wall())),
                remaining = order.deadline.map(|d| seconds(d.remaining(event.at))),
                "the deadline came nearer"
            ),
            Occurrence::NoticeCancelled(id) => info!(node, notice = %id, "notice taken back"),
            Occurrence::Resumed(notice) => warn!(
                node,
                notice = %notice.id,
                kind = %notice.kind,
                remaining = notice.deadline.map(|d| seconds(d.remaining(event.at))),
                "carrying on what an earlier process began"
            ),
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

/// Seconds with milliseconds, for a log.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
