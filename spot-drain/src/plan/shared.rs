//! What the drains of one cluster share: the limits on calls, and what is known of the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Busy, LaneKey, Lanes};
use super::pace::Pace;
use super::{Effect, Learnt, Limits};
use crate::budget::Budgets;
use crate::classify::DaemonSets;
use crate::facts::Uid;
use crate::report::Hindrance;

/// The pause before it is asked again whether evictions are forbidden for good.
const DOUBT: Duration = Duration::from_secs(1);

/// A call under way.
#[derive(Debug)]
struct UnderWay {
    lane: LaneKey,
    delete: bool,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Shared {
    calls: BTreeMap<Uid, UnderWay>,
    pub(super) pace: Pace,
    pub(super) lanes: Lanes,
    pub(super) daemon_sets: DaemonSets,
    /// How often they were learnt.
    pub(super) daemon_sets_learnt: u64,
    /// When evictions were first said to be forbidden.
    denied: Option<Instant>,
    /// Evictions are forbidden for good: it was said twice.
    pub(super) barred: bool,
    /// The server asked to be left alone until then.
    paused: Option<Instant>,
    asked: Asked,
    /// What could not be learnt, and the difference that it makes.
    pub(super) hindrances: Vec<Hindrance>,
}

/// Questions that were put already.
#[derive(Debug, Default)]
struct Asked {
    daemon_sets: bool,
    budgets: bool,
    access: bool,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            calls: BTreeMap::new(),
            pace: Pace::new(limits),
            lanes: Lanes::default(),
            daemon_sets: DaemonSets::Unknown,
            daemon_sets_learnt: 0,
            denied: None,
            barred: false,
            paused: None,
            asked: Asked::default(),
            hindrances: Vec::new(),
        }
    }

    /// Takes in what was learnt of the cluster at `now`.
    pub(super) fn learn(&mut self, learnt: Learnt, now: Instant) {
        match learnt {
            Learnt::DaemonSets(known) => {
                if let DaemonSets::Unavailable(why) = &known {
                    self.hindered(Hindrance::DaemonSets { why: why.clone() });
                }
                self.daemon_sets = known;
                self.daemon_sets_learnt += 1;
            }
            Learnt::Budgets(Budgets::Known(budgets)) => self.lanes.know(budgets, now),
            Learnt::Budgets(Budgets::Unavailable(why)) => self.hindered(Hindrance::Budgets { why }),
            Learnt::Budgets(Budgets::Unknown) => {}
            Learnt::Access(Some(true)) => self.denied = None,
            // A server that has just started knows nobody's rights for a moment.
            Learnt::Access(Some(false)) if self.denied.is_none() => {
                self.denied = Some(now);
                self.asked.access = false;
            }
            Learnt::Access(Some(false)) => self.barred = true,
            Learnt::Access(None) => self.asked.access = false,
            Learnt::Budget(budget) => {
                self.pace.heard();
                self.lanes.seen(budget, now);
            }
            Learnt::BudgetGone { namespace, name } => self.lanes.gone(&namespace, &name),
            Learnt::BudgetsWatched { namespace } => self.lanes.watched(namespace, true, now),
            Learnt::BudgetsUnwatched { namespace, why } => {
                self.hindered(Hindrance::BudgetWatch {
                    namespace: namespace.clone(),
                    why,
                });
                self.lanes.watched(namespace, false, now);
            }
        }
    }

    /// Keeps a hindrance, once.
    fn hindered(&mut self, hindrance: Hindrance) {
        if !self.hindrances.iter().any(|h| h.is_like(&hindrance)) {
            self.hindrances.push(hindrance);
        }
    }

    /// Asks which DaemonSets exist, once.
    pub(super) fn ask_daemon_sets(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.asked.daemon_sets, true) {
            effects.push(Effect::ListDaemonSets);
        }
    }

    /// What is known of the DaemonSets may be too old: they are asked for anew.
    pub(super) fn doubt_daemon_sets(&mut self) {
        self.asked.daemon_sets = false;
    }

    /// Asks which budgets exist, once.
    pub(super) fn ask_budgets(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.asked.budgets, true) {
            effects.push(Effect::ListBudgets);
        }
    }

    /// Asks whether evictions are allowed at all, once; or twice, a while apart, where the
    /// answer is no.
    pub(super) fn ask_access(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let early = self.doubt().is_some_and(|at| now < at);
        if !early && !std::mem::replace(&mut self.asked.access, true) {
            effects.push(Effect::CheckAccess);
        }
    }

    /// When evictions that are said to be forbidden are asked about again.
    pub(super) fn doubt(&self) -> Option<Instant> {
        let pending = !self.barred && !self.asked.access;
        self.denied.filter(|_| pending).map(|at| at + DOUBT)
    }

    /// Asks for a watch of the budgets of a closed lane, once.
    pub(super) fn ask_watch(&mut self, lane: &LaneKey, effects: &mut Vec<Effect>) {
        if let Some(namespace) = self.lanes.unwatched(lane).map(str::to_owned) {
            self.lanes.watching(namespace.clone());
            effects.push(Effect::WatchBudgets { namespace });
        }
    }

    /// From when on the server takes calls at all.
    pub(super) fn opens(&self, now: Instant) -> Instant {
        self.pace.opens(now).max(self.paused.unwrap_or(now))
    }

    /// Whether a call may start at `now`, whatever its lane.
    pub(super) fn has_slot(&self, now: Instant) -> bool {
        self.calls.len() < self.pace.width() && self.opens(now) <= now
    }

    /// A call for a pod starts.
    pub(super) fn start(&mut self, pod: Uid, lane: LaneKey, delete: bool, now: Instant) {
        self.pace.take(now);
        self.calls.insert(
            pod,
            UnderWay {
                lane,
                delete,
                since: now,
            },
        );
    }

    /// A call for a pod was answered at `now`, or got lost.
    pub(super) fn end(&mut self, pod: &Uid, lost: bool, now: Instant) {
        let call = self.calls.remove(pod);
        if lost {
            self.pace.lost(now);
        } else {
            self.pace.heard();
            if let Some(call) = call {
                self.pace.answered(call.since, now);
            }
        }
    }

    /// A call for a pod is nobody's any more.
    pub(super) fn forget(&mut self, pod: &Uid) {
        self.calls.remove(pod);
    }

    /// The evictions under way.
    pub(super) fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        for call in self.calls.values().filter(|call| !call.delete) {
            self.lanes.count(&call.lane, &mut busy);
        }
        busy
    }

    /// The server asks to be left alone for `pause`.
    pub(super) fn pause(&mut self, pause: Duration, pod: &Uid, now: Instant) {
        self.paused = Some(now + pause + self.lanes.jitter(pause, pod));
    }
}
