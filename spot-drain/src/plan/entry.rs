//! One pod's part in a plan.

use std::cmp::Reverse;
use std::time::Duration;

use spot_core::deadline::HORIZON;
use tokio::time::Instant;

use super::lane::LaneKey;
use super::making::Making;
use super::{Call, after};
use crate::classify::{Class, Skip};
use crate::facts::PodFacts;
use crate::reply::Refusal;
use crate::report::PodOutcome;
use crate::rules::Turn;
use crate::window::Window;

/// How long after its grace a pod's end should have been seen.
const SUSPECT: Duration = Duration::from_secs(2);
/// How long after an accepted eviction its beginning should have been, and as long again as the
/// answer took: a busy server is late with both.
const BEGINNING: Duration = Duration::from_secs(4);
/// The first pause after an unclear outcome, and the longest.
const UNCLEAR: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// The order of pods within a wave, as far as nothing else decides: those with volumes early
/// (detaching takes time), the longest grace first, ties by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    no_claims: bool,
    grace: Reverse<Duration>,
    namespace: String,
    name: String,
    uid: String,
}

impl Rank {
    pub(super) fn of(pod: &PodFacts) -> Self {
        Self {
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
    Misconfigured {
        words: String,
    },
    Overloaded,
    NamespaceTerminating,
    /// `times` in a row.
    Forbidden {
        words: String,
        times: usize,
    },
    Denied {
        status: u16,
        words: String,
    },
    Unclear {
        what: String,
    },
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) facts: PodFacts,
    pub(super) class: Class,
    pub(super) lane: LaneKey,
    /// The lane of the budget that refused it last.
    pub(super) refused_by: Option<LaneKey>,
    pub(super) state: State,
    pub(super) hold: Option<Hold>,
    pub(super) last_refusal: Option<String>,
    /// The question about the DaemonSets whose answer decides about it.
    pub(super) question: u64,
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
    /// It came back, and is left until then.
    pub(super) left_until: Option<Instant>,
    /// How it goes with its replacement.
    pub(super) making: Making,
}

impl Entry {
    pub(super) fn new(facts: PodFacts, lane: LaneKey, question: u64, now: Instant) -> Self {
        Self {
            making: Making::new(&facts, now),
            facts,
            class: Class::Undecided,
            lane,
            refused_by: None,
            state: State::Aside,
            hold: None,
            last_refusal: None,
            question,
            tries: 0,
            grace: None,
            deleted: false,
            delete_again: None,
            delete_refused: false,
            accepted: None,
            gone: None,
            left_until: None,
        }
    }

    /// The pod was seen again, and is of this class now.
    pub(super) fn seen(&mut self, facts: PodFacts, class: Class, now: Instant) {
        let began = facts
            .terminating
            .filter(|_| self.facts.terminating.is_none());
        self.facts = facts;
        self.making.seen(&self.facts);
        match self.state {
            State::InFlight { .. } | State::Gone | State::Would => {}
            State::Going { .. } if self.class != Class::Awaited => {
                if let Some(grace) = began {
                    self.state = State::Going {
                        suspect: after(now, grace) + SUSPECT,
                    };
                }
            }
            State::Going { .. } | State::Ready { .. } | State::Aside => {
                // Undecided until the DaemonSets are known.
                if class != self.class && self.class != Class::Undecided {
                    self.place(class, now);
                }
            }
        }
    }

    /// Whether it is still to be learnt if a live `DaemonSet` owns it.
    pub(super) fn is_unanswered(&self) -> bool {
        let open = matches!(
            self.class,
            Class::Undecided | Class::Skip(Skip::DaemonSetUnchecked)
        );
        open && self.gone.is_none()
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
            // Nobody knows how long it takes.
            Class::Awaited => State::Going {
                suspect: after(now, HORIZON),
            },
            Class::Evict(_) => State::Ready {
                not_before: self.left_until.map_or(now, |until| until.max(now)),
            },
        };
    }

    /// A call for the pod, its grace made to fit at `now`.
    pub(super) fn start(
        &mut self,
        window: &Window,
        delete: bool,
        dry_run: bool,
        now: Instant,
    ) -> Call {
        self.state = State::InFlight { since: now, delete };
        self.tries += 1;
        self.grace = window.trimmed(self.facts.grace, now);
        Call {
            pod: self.facts.uid.clone(),
            namespace: self.facts.namespace.clone(),
            name: self.facts.name.clone(),
            grace: self.grace,
            dry_run,
        }
    }

    /// Its eviction or deletion was accepted.
    pub(super) fn accept(&mut self, delete: bool, took: Duration, dry_run: bool, now: Instant) {
        self.deleted = delete;
        self.accepted.get_or_insert(now);
        self.hold = None;
        self.state = if dry_run {
            State::Would
        } else {
            // The watch tells of the deletion at once, and of its end after the grace.
            State::Going {
                suspect: match self.facts.terminating {
                    Some(grace) => after(now, grace) + SUSPECT,
                    None => now + BEGINNING + took,
                },
            }
        };
    }

    /// The pause after an answer that does not tell what came of a call; it grows.
    pub(super) fn unclear_pause(&self) -> Duration {
        UNCLEAR
            .0
            .saturating_mul(1 << self.tries.min(8))
            .min(UNCLEAR.1)
    }

    /// Its turn, where it is to be evicted.
    pub(super) fn turn(&self) -> Turn {
        match self.class {
            Class::Evict(turn) => turn,
            _ => Turn::of(&self.facts),
        }
    }

    /// Whether it no longer needs anything.
    pub(super) fn is_done(&self) -> bool {
        match self.state {
            _ if self.gone.is_some() => true,
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
            Hold::Forbidden { words, .. } => Self::Forbidden { words },
            Hold::Denied { status, words } => Self::Denied { status, words },
            Hold::Unclear { what } => Self::Unreachable { what },
        }
    }
}
