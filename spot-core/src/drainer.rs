//! The port that moves work away from the machine, and what it reports.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::deadline::Deadline;
use crate::notice::{Notice, NoticeId, NoticeKind};

/// What a [`Drainer`] is asked to do; it may change while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// The notice that is acted on.
    pub notice: NoticeId,
    /// Its kind.
    pub kind: NoticeKind,
    /// When the machine goes; only ever comes nearer. `None`: no time is known.
    pub deadline: Option<Deadline>,
    /// The machine's place takes nothing new: what is made elsewhere stays elsewhere.
    pub held: bool,
    /// Stop: the notice was taken back.
    pub cancelled: bool,
}

impl Order {
    /// The order that follows from a notice.
    pub fn from_notice(notice: &Notice) -> Self {
        Self {
            notice: notice.id.clone(),
            kind: notice.kind,
            deadline: notice.deadline,
            held: false,
            cancelled: false,
        }
    }

    /// The same order for a place that takes nothing new, or may.
    #[must_use]
    pub fn with_held(self, held: bool) -> Self {
        Self { held, ..self }
    }
}

/// Moves the work of this machine elsewhere, in time.
#[async_trait]
pub trait Drainer: Send + Sync {
    /// Drains by the order's deadline, following its changes, and says what became of it.
    ///
    /// Returns by the deadline under any fault. A closed channel means that the order stands
    /// as it was last sent.
    ///
    /// # Cancel safety
    /// Dropping the future stops the work; nothing goes on in the background.
    async fn drain(&self, order: watch::Receiver<Order>) -> DrainReport;

    /// Undoes what a drain has prepared and not carried out, perhaps one of an earlier process:
    /// asked for before the machine's place takes new work again, and again until it has come to
    /// an end. Returns whether nothing of it is left, or can be undone by trying again.
    ///
    /// A drainer that prepares nothing has nothing to undo.
    ///
    /// # Cancel safety
    /// As of [`Drainer::drain`].
    async fn take_back(&self) -> bool {
        true
    }
}

#[cfg(any(test, feature = "mock"))]
mockall::mock! {
    /// A [`Drainer`] that expects calls. It has nothing to take back.
    pub Drainer {}

    #[async_trait]
    impl Drainer for Drainer {
        async fn drain(&self, order: watch::Receiver<Order>) -> DrainReport;
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// All work has left.
    Complete,
    /// Work was left: the deadline came first, or nothing more could be done.
    Incomplete,
    /// The order was taken back.
    Cancelled,
}

impl DrainOutcome {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for DrainOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a drain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrainReport {
    /// How it ended.
    pub outcome: DrainOutcome,
    /// How long it took.
    pub elapsed: Duration,
    /// The time that was left to the deadline at the end; `None` without a deadline.
    pub slack: Option<Duration>,
    /// Units of work by what became of each; the labels are few and fixed.
    pub tally: BTreeMap<&'static str, u32>,
    /// The report for a person, several lines.
    pub text: String,
    /// The drainer's own report, for those who know its type.
    details: Option<Arc<dyn Any + Send + Sync>>,
}

impl DrainReport {
    /// A report that only says how it ended.
    pub fn new(outcome: DrainOutcome) -> Self {
        Self {
            outcome,
            elapsed: Duration::ZERO,
            slack: None,
            tally: BTreeMap::new(),
            text: String::new(),
            details: None,
        }
    }

    /// The same report carrying the drainer's own.
    #[must_use]
    pub fn with_details<T: Any + Send + Sync>(mut self, details: T) -> Self {
        self.details = Some(Arc::new(details));
        self
    }

    /// The drainer's own report, where it is a `T`.
    pub fn details<T: Any>(&self) -> Option<&T> {
        self.details.as_ref()?.downcast_ref()
    }
}
