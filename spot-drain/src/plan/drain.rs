//! One node's drain: what it is told and what it remembers.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::entry::{Entry, Rank, State};
use super::returns::Returns;
use super::shared::Shared;
use super::suspicion::Suspicion;
use super::volumes::Volumes;
use super::{Effect, Input, Settings, after};
use crate::classify::{Class, classify};
use crate::facts::{PodFacts, Uid};
use crate::window::Window;

/// A node's drain. What it shares with those of other nodes is handed in.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) settings: Settings,
    pub(super) window: Window,
    pub(super) deadline: Option<Instant>,
    pub(super) pods: BTreeMap<Uid, Entry>,
    /// The order in which pods of a wave are taken; among them those that are done.
    pub(super) ranks: BTreeMap<Rank, Uid>,
    pub(super) listed: bool,
    /// When a pod was last seen for the first time.
    pub(super) newest: Instant,
    /// The node is known to take no new pods.
    pub(super) cordoned: bool,
    /// When it was cancelled.
    pub(super) cancelled: Option<Instant>,
    pub(super) suspicion: Suspicion,
    pub(super) volumes: Volumes,
    returns: Returns,
    /// There was no slot for a question about a workload.
    pub(super) looks_wait: bool,
    /// Why the node's pods cannot be seen at present.
    pub(super) unseen: Option<String>,
    /// What the pods' classes and lanes were made from.
    daemon_sets_learnt: u64,
    lane_changes: u64,
}

impl Drain {
    pub(super) fn new(settings: Settings, deadline: Option<Instant>, now: Instant) -> Self {
        let longest = || after(now, settings.longest);
        Self {
            window: Window::new(now, deadline.unwrap_or_else(longest)),
            settings,
            deadline,
            pods: BTreeMap::new(),
            ranks: BTreeMap::new(),
            listed: false,
            newest: now,
            cordoned: false,
            cancelled: None,
            suspicion: Suspicion::new(now),
            volumes: Volumes::default(),
            returns: Returns::default(),
            looks_wait: false,
            unseen: None,
            daemon_sets_learnt: 0,
            lane_changes: 0,
        }
    }

    /// Takes an input at `now`; [`Drain::schedule`] starts what follows.
    pub(super) fn on(
        &mut self,
        input: Input,
        now: Instant,
        shared: &mut Shared,
        effects: &mut Vec<Effect>,
    ) {
        match input {
            Input::Listed(pods) => {
                self.on_sight(shared);
                let news = self.on_listed(pods, now, shared);
                self.suspicion.listed(news, now);
            }
            Input::Seen(pod) => {
                self.heard(now, shared);
                self.on_seen(pod, now, shared);
            }
            Input::Deleted(uid) => {
                self.heard(now, shared);
                self.on_gone(&uid, now);
            }
            Input::Unseen(why) => self.unseen = Some(why),
            Input::Answered { pod, reply } => {
                shared.end(&pod, &reply, now);
                self.on_answered(&pod, reply, now, shared, effects);
            }
            Input::Patched { pod, reply } => {
                shared.end_patch(&pod, &reply, now);
                self.on_patched(&pod, reply, now, shared);
            }
            Input::Cordoned => self.cordoned = true,
            Input::Attached(answer) => self.volumes.looked(answer, now),
            Input::Nearer(deadline) => {
                if self.deadline.is_none_or(|d| deadline < d) {
                    self.deadline = Some(deadline);
                    self.window = self.window.brought_nearer(deadline, now);
                }
            }
            Input::Cancelled => {
                self.cancelled.get_or_insert(now);
            }
            Input::Learnt(learnt) => shared.learn(learnt, now),
            Input::Woken => {}
        }
    }

    /// The watch has spoken, of whatever.
    pub(super) fn heard(&mut self, now: Instant, shared: &mut Shared) {
        self.suspicion.heard(now);
        self.on_sight(shared);
    }

    /// The node's pods are seen, and with them the API server.
    fn on_sight(&mut self, shared: &mut Shared) {
        self.unseen = None;
        shared.pace.heard();
    }

    /// Whether pods are gone, or there, of which that was not known.
    fn on_listed(&mut self, pods: Vec<PodFacts>, now: Instant, shared: &mut Shared) -> bool {
        self.listed = true;
        let before = self.present();
        let present: BTreeSet<Uid> = pods.iter().map(|p| p.uid.clone()).collect();
        let absent: Vec<Uid> = self
            .pods
            .keys()
            .filter(|uid| !present.contains(*uid))
            .cloned()
            .collect();
        for uid in absent {
            self.on_gone(&uid, now);
        }
        let (gone, known) = (self.present() < before, self.pods.len());
        for pod in pods {
            self.on_seen(pod, now, shared);
        }
        gone || self.pods.len() > known
    }

    /// How many pods are not known to be gone.
    fn present(&self) -> usize {
        self.pods.values().filter(|e| e.gone.is_none()).count()
    }

    fn on_seen(&mut self, pod: PodFacts, now: Instant, shared: &mut Shared) {
        let class = class(&pod, &self.settings, shared);
        if let Some(entry) = self.pods.get_mut(&pod.uid) {
            entry.seen(pod, class, now);
            entry.lane = shared.lanes.of(&entry.facts, entry.refused_by.as_ref());
            return;
        }
        // Another pod in the same place: the former is gone.
        let in_its_place =
            |e: &&Entry| e.facts.namespace == pod.namespace && e.facts.name == pod.name;
        let former: Vec<Uid> = self
            .pods
            .values()
            .filter(in_its_place)
            .map(|e| e.facts.uid.clone())
            .collect();
        for uid in former {
            self.on_gone(&uid, now);
        }
        // Its DaemonSet may be younger than what is known of them.
        let class = match class {
            Class::Evict(_) if pod.is_of_daemon_set() => Class::Undecided,
            class => class,
        };
        let rank = Rank::of(&pod);
        let uid = pod.uid.clone();
        let lane = shared.lanes.of(&pod, None);
        self.newest = now;
        let left = self.leaves(&pod, now);
        let mut entry = Entry::new(pod, lane, shared.daemon_sets.next_question(), now);
        entry.left_until = left;
        entry.place(class, now);
        self.ranks.insert(rank, uid.clone());
        self.pods.insert(uid, entry);
    }

    /// Until when a pod that came back is left: not past the time that its grace needs.
    fn leaves(&mut self, pod: &PodFacts, now: Instant) -> Option<Instant> {
        let owner = &pod.owner.as_ref()?.uid;
        // Those that go already, and may be kept by their finalizers, are not among them.
        let theirs = |e: &&Entry| {
            let goes = e.gone.is_some() || e.accepted.is_some() || e.facts.terminating.is_some();
            !goes && e.facts.owner.as_ref().is_some_and(|o| o.uid == *owner)
        };
        let present = self.pods.values().filter(theirs).count();
        let pause = self.returns.came(pod, present + 1);
        let latest = Some(self.window.latest_for(pod.grace)).filter(|latest| *latest > now);
        let until = (!pause.is_zero()).then(|| now + pause)?;
        Some(latest.map_or(until, |latest| latest.min(until)))
    }

    fn on_gone(&mut self, uid: &Uid, now: Instant) {
        if let Some(entry) = self.pods.get_mut(uid)
            && entry.gone.is_none()
        {
            entry.gone = Some(now);
            // A call under way still has to be answered.
            if !matches!(entry.state, State::InFlight { .. }) {
                entry.state = State::Gone;
            }
        }
    }

    /// Gives pods the class and the lane that what was learnt of the cluster gives them.
    pub(super) fn catch_up(&mut self, now: Instant, shared: &mut Shared) {
        let learnt = shared.daemon_sets.learnt;
        if std::mem::replace(&mut self.daemon_sets_learnt, learnt) != learnt {
            let Self { settings, pods, .. } = self;
            for entry in pods.values_mut().filter(|e| e.is_unanswered()) {
                match class(&entry.facts, settings, shared) {
                    Class::Evict(_) if !shared.daemon_sets.answered(entry.question) => {}
                    class => entry.place(class, now),
                }
            }
        }
        if std::mem::replace(&mut self.lane_changes, shared.lanes.changes) != shared.lanes.changes {
            for (uid, entry) in &mut self.pods {
                entry.lane = shared.lanes.of(&entry.facts, entry.refused_by.as_ref());
                shared.moved(uid, &entry.lane);
            }
        }
    }

    /// The last question about the `DaemonSets` that a pod waits for.
    pub(super) fn unanswered(&self) -> Option<u64> {
        let unanswered = self.pods.values().filter(|e| e.is_unanswered());
        unanswered.map(|e| e.question).max()
    }

    /// Pods in the order in which they are taken, those that are done among them.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.ranks.values().filter_map(|uid| self.pods.get(uid))
    }
}

/// What is done with a pod, by what is known now.
pub(super) fn class(pod: &PodFacts, settings: &Settings, shared: &Shared) -> Class {
    let ourselves = settings.ourselves.as_ref();
    classify(pod, ourselves, shared.daemon_sets.known(), &*settings.rules)
}
