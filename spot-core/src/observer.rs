//! The port that tells others what happens, and the observer that writes the log.

mod log;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::armed::Armed;
use crate::drainer::{DrainReport, Order};
use crate::node::{NodeError, Quarantine};
use crate::notice::{Instance, Notice, NoticeEnd, NoticeId, SourceHealth};
use crate::policy::Response;
pub use log::LogObserver;

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
    SourceHealth {
        /// Its name.
        source: String,
        /// Its state.
        health: SourceHealth,
    },
    /// A source's clock was seen, or has changed.
    Clock {
        /// Its name.
        source: String,
        /// How far our wall clock is ahead of it.
        ahead: SignedDuration,
    },
    /// The wall clock went on so long while the monotonic one stood still: a suspend, or somebody
    /// set it.
    ClockJumped(Duration),
    /// Whether a notice now would be acted on was checked.
    Checked(Arc<Armed>),
    /// A notice was seen for the first time and is acted on, or not, as the policy says.
    NoticeRaised {
        /// The notice.
        notice: Notice,
        /// What will be done about it.
        response: Response,
    },
    /// A notice that stands took the place of another that was acted on: it is weightier, or the
    /// other stands no longer.
    NoticeSuperseded {
        /// The one that no longer leads.
        old: NoticeId,
        /// The one that does.
        new: NoticeId,
    },
    /// The deadline came nearer.
    DeadlineNearer(Order),
    /// A notice that stands names a nearer deadline or another action.
    NoticeChanged(Notice),
    /// A notice waits for its time before it is acted on.
    NoticeWaits {
        /// The notice.
        notice: Notice,
        /// Until when.
        until: Instant,
    },
    /// The time to live of a notice that stands still is over: it is acted on no more.
    NoticeExpired(NoticeId),
    /// A notice stands no longer.
    NoticeEnded {
        /// Which.
        notice: NoticeId,
        /// How.
        how: NoticeEnd,
    },
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
