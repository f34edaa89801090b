//! What the drains of one cluster share: the limits on calls, and what is known of the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::daemon_sets::OfDaemonSets;
use super::lane::{Busy, LaneKey, Lanes};
use super::pace::Pace;
use super::rights::Rights;
use super::workloads::Workloads;
use super::{Effect, Learnt, Limits};
use crate::budget::Budgets;
use crate::facts::Uid;
use crate::replacement::Workload;
use crate::reply::Reply;
use crate::report::Hindrance;

/// The pause where an overloaded server names none.
const OVERLOAD: Duration = Duration::from_secs(1);
/// The shortest pause, whatever the server says and however late it is.
const SHORTEST: Duration = Duration::from_millis(200);

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
    /// Patches of pods under way.
    patches: BTreeMap<Uid, Instant>,
    pub(super) workloads: Workloads,
    pub(super) daemon_sets: OfDaemonSets,
    pub(super) rights: Rights,
    /// The server asked to be left alone until then.
    paused: Option<Instant>,
    budgets_asked: bool,
    /// What could not be learnt, and the difference that it makes.
    pub(super) hindrances: Vec<Hindrance>,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            calls: BTreeMap::new(),
            pace: Pace::new(limits),
            lanes: Lanes::default(),
            patches: BTreeMap::new(),
            workloads: Workloads::default(),
            daemon_sets: OfDaemonSets::default(),
            rights: Rights::default(),
            paused: None,
            budgets_asked: false,
            hindrances: Vec::new(),
        }
    }

    /// Takes in what was learnt of the cluster at `now`.
    pub(super) fn learn(&mut self, learnt: Learnt, now: Instant) {
        match learnt {
            Learnt::DaemonSets(known) => {
                if let Some(why) = self.daemon_sets.learn(known, now) {
                    self.hindered(Hindrance::DaemonSets { why });
                }
            }
            Learnt::Budgets(Budgets::Known(budgets)) => self.lanes.know(budgets, now),
            Learnt::Budgets(Budgets::Unavailable(why)) => self.hindered(Hindrance::Budgets { why }),
            Learnt::Budgets(Budgets::Unknown) => {}
            Learnt::Access { namespace, allowed } => self.rights.learnt(namespace, allowed, now),
            Learnt::Budget(budget) => {
                self.pace.heard();
                self.lanes.seen(budget, now);
            }
            Learnt::Workload {
                namespace,
                replica_set,
                workload,
            } => {
                let workload = match workload {
                    Workload::Unanswered(why) => {
                        self.pace.lost(now);
                        Workload::Unavailable(why)
                    }
                    answered => {
                        self.pace.heard();
                        answered
                    }
                };
                if let Workload::Unavailable(why) = &workload {
                    self.hindered(Hindrance::Workload {
                        namespace: namespace.clone(),
                        why: why.clone(),
                    });
                }
                self.workloads.learn(namespace, replica_set, workload);
            }
            Learnt::ReplicaSet(set) => {
                self.pace.heard();
                self.workloads.seen(set);
            }
            Learnt::ReplicaSetGone(set) => self.workloads.gone(set),
            Learnt::ReplicaSetsWatched { namespace } => {
                self.workloads.watched(&namespace, None, now);
            }
            Learnt::ReplicaSetsUnwatched { namespace, why } => {
                self.workloads.watched(&namespace, Some(why.clone()), now);
                self.hindered(Hindrance::ReplicaSetWatch { namespace, why });
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

    /// Asks which budgets exist, once.
    pub(super) fn ask_budgets(&mut self, effects: &mut Vec<Effect>) {
        if !std::mem::replace(&mut self.budgets_asked, true) {
            effects.push(Effect::ListBudgets);
        }
    }

    /// An eviction was forbidden: asks whether all are.
    pub(super) fn forbidden(&mut self, namespace: &str, now: Instant, effects: &mut Vec<Effect>) {
        if self.rights.refused(namespace, now) {
            let namespace = namespace.to_owned();
            effects.push(Effect::CheckAccess { namespace });
        }
    }

    /// Asks again about rights that were denied a while ago.
    pub(super) fn doubt_rights(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        for namespace in self.rights.due(now) {
            self.forbidden(&namespace, now, effects);
        }
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
        let under_way = self.calls.len() + self.patches.len() + self.workloads.open();
        under_way < self.pace.width() && self.opens(now) <= now
    }

    /// Asks about a workload of which nothing was asked since a moment; whether that could be done
    /// where it is needed.
    pub(super) fn look_at(
        &mut self,
        since: Instant,
        workload: (&str, &str),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !self.workloads.wants(since, workload, now) {
            return true;
        }
        if !self.has_slot(now) {
            return false;
        }
        self.pace.take(now);
        self.workloads.ask(workload, now, effects);
        true
    }

    /// A patch of a pod starts.
    pub(super) fn start_patch(&mut self, pod: Uid, now: Instant) {
        self.pace.take(now);
        self.patches.insert(pod, now);
    }

    /// A patch of a pod was answered at `now`, or got lost.
    pub(super) fn end_patch(&mut self, pod: &Uid, reply: &Reply, now: Instant) {
        let since = self.patches.remove(pod);
        if matches!(reply, Reply::Lost { .. }) {
            self.pace.lost(now);
            return;
        }
        self.pace.heard();
        if let (Some(since), Reply::Accepted) = (since, reply) {
            self.pace.answered(since, now);
        }
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
    pub(super) fn end(&mut self, pod: &Uid, reply: &Reply, now: Instant) {
        let call = self.calls.remove(pod);
        if matches!(reply, Reply::Lost { .. }) {
            self.pace.lost(now);
            return;
        }
        self.pace.heard();
        // A refusal for overload comes quickly, and is no reason to call more.
        if let Some(call) = call
            && !matches!(reply, Reply::Overloaded { .. } | Reply::Unclear { .. })
        {
            self.pace.answered(call.since, now);
        }
    }

    /// A pod belongs into another lane than was known; so does its call.
    pub(super) fn moved(&mut self, pod: &Uid, lane: &LaneKey) {
        if let Some(call) = self.calls.get_mut(pod) {
            call.lane = lane.clone();
        }
    }

    /// Whether a call for a pod is under way, perhaps for a drain that was replaced.
    pub(super) fn is_under_way(&self, pod: &Uid) -> bool {
        self.calls.contains_key(pod)
    }

    /// A call for a pod is nobody's any more.
    pub(super) fn forget(&mut self, pod: &Uid) {
        self.calls.remove(pod);
        self.patches.remove(pod);
    }

    /// The evictions under way.
    pub(super) fn busy(&self) -> Busy {
        let mut busy = Busy::default();
        for call in self.calls.values().filter(|call| !call.delete) {
            self.lanes.count(&call.lane, &mut busy);
        }
        busy
    }

    /// The server is overloaded, and asks to be left alone for a while; so much is `left` of a window.
    pub(super) fn overloaded(
        &mut self,
        retry_after: Option<Duration>,
        left: Duration,
        pod: &Uid,
        now: Instant,
    ) {
        let asked = retry_after.filter(|asked| !asked.is_zero());
        let pause = asked.unwrap_or(OVERLOAD).min(left / 4).max(SHORTEST);
        let until = now + pause + self.lanes.jitter(pause, pod);
        self.paused = self.paused.max(Some(until));
    }
}
