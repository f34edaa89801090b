//! What the state machine is told, what it asks for, and where it stands.

use std::fmt;

use crate::drainer::Order;
use crate::node::{Quarantine, Recall, Release};
use crate::notice::{Instance, Signal};
use crate::observer::Occurrence;

/// What the state machine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started.
    Started,
    /// A source said something.
    Signal {
        /// Which, by its number.
        source: usize,
        /// What.
        signal: Signal,
    },
    /// The node was read.
    Recalled(Recall),
    /// The node is another machine's.
    NotOurs,
    /// The quarantine that was asked for holds.
    Quarantined,
    /// The drain returned.
    DrainFinished,
    /// The time asked for by [`Lifecycle::next_wake`](super::Lifecycle::next_wake) has come.
    Woken,
}

/// What the state machine asks for. No arm may be left out by the one who performs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the node, comparing it with the instance; until it succeeds.
    Recall(Option<Instance>),
    /// Bring the node to this state; replaces an earlier wish that is not yet fulfilled.
    Quarantine(Quarantine),
    /// Take back what is ours; replaces an earlier wish that is not yet fulfilled.
    Release(Release),
    /// Give up what was asked for and is not yet fulfilled: the node is not ours.
    Abandon,
    /// Start the drain.
    StartDrain(Order),
    /// Change the running drain's order.
    AmendDrain(Order),
}

/// Asked-for effects and things to tell, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// What observers are told.
    pub tell: Vec<Occurrence>,
}

/// Where the handling stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// The node has not been read, or must be read again.
    Blind,
    /// The node is another machine's.
    Foreign,
    /// Nothing stands.
    Idle,
    /// A notice stands that is not acted on: it waits for its time, is only told, or has been
    /// dealt with.
    Standing,
    /// The node takes nothing new.
    Cordoned,
    /// The work is moved away.
    Draining,
    /// The drain was told to stop and has not returned yet.
    Stopping,
    /// The drain has ended.
    Drained,
}

impl State {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blind => "blind",
            Self::Foreign => "foreign",
            Self::Idle => "idle",
            Self::Standing => "standing",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Drained => "drained",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a notice now would be acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// Nothing is missing.
    pub ready: bool,
    /// What is missing, for an operator.
    pub missing: Vec<String>,
}

impl Readiness {
    /// Ready where nothing is missing.
    pub(crate) fn lacking(missing: Vec<String>) -> Self {
        Self {
            ready: missing.is_empty(),
            missing,
        }
    }
}
