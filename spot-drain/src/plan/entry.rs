//! One pod's part in a plan.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::LaneKey;
use super::{Call, SUSPECT, UNCLEAR, after};
use crate::classify::Class;
use crate::facts::PodFacts;
use crate::reply::Refusal;
use crate::report::PodOutcome;
use crate::window::Window;

/// The order in which pods are taken: ordinary before critical, those with volumes early
/// (detaching takes time), the longest grace first, ties by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    critical: bool,
    no_claims: bool,
    grace: Reverse<Duration>,
    namespace: String,
    name: String,
    uid: String,
}

impl Rank {
    pub(super) fn of(pod: &PodFacts) -> Self {
        Self {
            critical: pod.critical,
            no_claims: !pod.claims,
            grace: Reverse(pod.grace),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.0.clone(),
        }
    }
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is done with it, by its class.
    Aside,
    /// To be evicted, not before this.
    Ready { not_before: Instant },
    /// A call is under way.
    InFlight { since: Instant, delete: bool },
    /// It goes; if nothing is heard of it by then, the watch is suspect.
    Going { suspect: Instant },
    /// A dry run found that it would go.
    Would,
    /// It is gone.
    Gone,
}

/// What last kept a pod from going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Budget(Refusal),
    Misconfigured { words: String },
    Overloaded,
    NamespaceTerminating,
    Forbidden { words: String },
    Denied { status: u16, words: String },
    Unclear { what: String },
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) facts: PodFacts,
    pub(super) class: Class,
    pub(super) lane: LaneKey,
    pub(super) state: State,
    pub(super) hold: Option<Hold>,
    pub(super) tries: u32,
    /// The grace that was last asked for.
    pub(super) grace: Option<u32>,
    /// It was deleted, past its budget.
    pub(super) deleted: bool,
    /// When a deletion whose outcome is not known is tried again.
    pub(super) delete_again: Option<Instant>,
    /// Deleting it is forbidden.
    pub(super) delete_refused: bool,
    pub(super) accepted: Option<Instant>,
    pub(super) gone: Option<Instant>,
}

impl Entry {
    pub(super) fn new(facts: PodFacts, lane: LaneKey) -> Self {
        Self {
            facts,
            class: Class::Undecided,
            lane,
            state: State::Aside,
            hold: None,
            tries: 0,
            grace: None,
            deleted: false,
            delete_again: None,
            delete_refused: false,
            accepted: None,
            gone: None,
        }
    }

    /// Gives the pod its place by its class.
    pub(super) fn place(&mut self, class: Class, now: Instant) {
        self.class = class;
        self.state = match class {
            Class::Skip(_) | Class::Completed | Class::Undecided => State::Aside,
            Class::Terminating => {
                let grace = self.facts.terminating.unwrap_or(self.facts.grace);
                State::Going {
                    suspect: after(now, grace) + SUSPECT,
                }
            }
            Class::Evict(_) => State::Ready { not_before: now },
        };
    }

    /// A call for the pod, its grace made to fit at `now`.
    pub(super) fn start(&mut self, window: &Window, delete: bool, now: Instant) -> Call {
        self.state = State::InFlight { since: now, delete };
        self.tries += 1;
        self.grace = window.trimmed(self.facts.grace, now);
        Call {
            pod: self.facts.uid.clone(),
            namespace: self.facts.namespace.clone(),
            name: self.facts.name.clone(),
            grace: self.grace,
        }
    }

    /// Its eviction or deletion was accepted.
    pub(super) fn accept(&mut self, delete: bool, dry_run: bool, now: Instant) {
        self.deleted = delete;
        self.accepted.get_or_insert(now);
        self.hold = None;
        self.state = if dry_run {
            State::Would
        } else {
            // The watch tells of the deletion at once, and of its end after the grace.
            let grace = self.facts.terminating.unwrap_or_default();
            State::Going {
                suspect: after(now, grace) + SUSPECT,
            }
        };
    }

    /// It is not known what came of a call: tried again after a pause that grows.
    pub(super) fn unclear(&mut self, what: String, now: Instant) -> Hold {
        let pause = UNCLEAR
            .0
            .saturating_mul(1 << self.tries.min(8))
            .min(UNCLEAR.1);
        self.state = State::Ready {
            not_before: now + pause,
        };
        Hold::Unclear { what }
    }

    /// Whether it no longer needs anything.
    pub(super) fn is_done(&self) -> bool {
        match self.state {
            State::Gone | State::Would => true,
            State::Aside => self.class != Class::Undecided,
            _ => false,
        }
    }
}

impl From<Hold> for PodOutcome {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Budget(refusal) => Self::Blocked {
                budget: refusal.budget,
                words: refusal.words,
            },
            Hold::Misconfigured { words } => Self::Misconfigured { words },
            Hold::Overloaded => Self::Unreachable {
                what: "the API server was overloaded".to_owned(),
            },
            Hold::NamespaceTerminating => Self::Terminating,
            Hold::Forbidden { words } => Self::Forbidden { words },
            Hold::Denied { status, words } => Self::Denied { status, words },
            Hold::Unclear { what } => Self::Unreachable { what },
        }
    }
}
