//! The drains of many nodes, over one reflector and one set of limits. Pure.

use std::collections::BTreeMap;

use spot_core::drainer::DrainOutcome;
use tokio::time::Instant;

use super::drain::Drain;
use super::shared::Shared;
use super::{Effect, Input, Limits, Settings};
use crate::facts::PodFacts;
use crate::report::Report;
use crate::window::Window;

/// The drains of many nodes of one cluster.
///
/// They share the limits on calls, what is known of budgets and `DaemonSets`, one probe for each
/// closed budget, and the discovery that the API server is away. The node with the nearest
/// deadline is served first.
///
/// ```
/// use spot_drain::facts::PodFacts;
/// use spot_drain::plan::{Effect, Fleet, Input, Limits, Settings};
/// use std::time::Duration;
///
/// let now = tokio::time::Instant::now();
/// let mut fleet = Fleet::new(Limits::default());
/// let mut effects = Vec::new();
/// fleet.start("worker-1", Settings::default(), Some(now + Duration::from_secs(120)), now);
/// fleet.start("worker-2", Settings::default(), None, now);
///
/// // One reflector sees the pods of all nodes.
/// let pod: PodFacts = serde_json::from_str(
///     r#"{"metadata": {"uid": "u", "name": "web-1"}, "spec": {"nodeName": "worker-1"}}"#).unwrap();
/// fleet.see(Input::Listed(vec![pod]), now, &mut effects);
/// assert!(matches!(&effects[..], [(node, Effect::Evict(_))] if node == "worker-1"));
/// // Perform them, hand their answers to `fleet.on(&node, …)`, sleep until `fleet.next_wake(now)`.
/// ```
#[derive(Debug)]
pub struct Fleet {
    drains: BTreeMap<String, Drain>,
    shared: Shared,
    limits: Limits,
}

impl Fleet {
    /// No drains yet; `limits` hold for all together, in place of [`Settings::limits`].
    pub fn new(limits: Limits) -> Self {
        Self {
            drains: BTreeMap::new(),
            shared: Shared::new(limits),
            limits,
        }
    }

    /// Begins to drain a node at `now`, whose machine goes at `deadline`. The node's pods are
    /// then to be handed in anew. A drain of it that is under way is replaced; calls that it has
    /// under way are to be answered all the same.
    pub fn start(
        &mut self,
        node: impl Into<String>,
        settings: Settings,
        deadline: Option<Instant>,
        now: Instant,
    ) {
        let drain = Drain::new(settings, deadline, now);
        self.drains.insert(node.into(), drain);
    }

    /// The nodes that are being drained.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.drains.keys().map(String::as_str)
    }

    /// Hands an input to a node's drain, and serves all; effects are appended with their node.
    /// Of a node that is not drained only what it learnt of the cluster is taken.
    pub fn on(
        &mut self,
        node: &str,
        input: Input,
        now: Instant,
        effects: &mut Vec<(String, Effect)>,
    ) {
        self.tell(node, input, now, effects);
        self.serve(now, effects);
    }

    /// Hands in what is seen of the pods of all nodes, or learnt of the cluster: each drain gets
    /// what concerns its node, and what names no node goes to all of them.
    pub fn see(&mut self, input: Input, now: Instant, effects: &mut Vec<(String, Effect)>) {
        match input {
            Input::Listed(pods) => {
                let mut by_node: BTreeMap<String, Vec<PodFacts>> = self
                    .nodes()
                    .map(|node| (node.to_owned(), Vec::new()))
                    .collect();
                for pod in pods {
                    if let Some(pods) = by_node.get_mut(&pod.node) {
                        pods.push(pod);
                    }
                }
                for (node, pods) in by_node {
                    self.tell(&node, Input::Listed(pods), now, effects);
                }
            }
            Input::Seen(pod) => {
                // It is one watch that speaks, of whichever node.
                for drain in self.drains.values_mut() {
                    drain.heard(now, &mut self.shared);
                }
                let node = pod.node.clone();
                self.tell(&node, Input::Seen(pod), now, effects);
            }
            Input::Learnt(learnt) => self.shared.learn(learnt, now),
            other => {
                let nodes: Vec<String> = self.drains.keys().cloned().collect();
                for node in nodes {
                    self.tell(&node, other.clone(), now, effects);
                }
            }
        }
        self.serve(now, effects);
    }

    /// When [`Input::Woken`] is due, for whichever node; `None` where no drain is under way.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let under_way = |d: &&Drain| d.outcome(now, &self.shared).is_none();
        let drains = self.drains.values().filter(under_way);
        drains.map(|d| d.next_wake(now, &self.shared)).min()
    }

    /// The times of a node's drain.
    pub fn window(&self, node: &str) -> Option<Window> {
        Some(self.drains.get(node)?.window)
    }

    /// How a node's drain has ended at `now`, where it has.
    pub fn outcome(&self, node: &str, now: Instant) -> Option<DrainOutcome> {
        self.drains.get(node)?.outcome(now, &self.shared)
    }

    /// What has become of a node's pods at `now`.
    pub fn report(&self, node: &str, now: Instant) -> Option<Report> {
        Some(self.drains.get(node)?.report(now, &self.shared))
    }

    /// Drops a node's drain, whether it has ended or not, and serves the others with what it held.
    /// Its calls are to be dropped; their answers are ignored. With the last drain all that was
    /// learnt of the cluster is forgotten, and watches of budgets are to be ended.
    pub fn forget(&mut self, node: &str, now: Instant, effects: &mut Vec<(String, Effect)>) {
        let Some(drain) = self.drains.remove(node) else {
            return;
        };
        if self.drains.is_empty() {
            self.shared = Shared::new(self.limits);
            return;
        }
        for uid in drain.pods.keys() {
            self.shared.forget(uid);
        }
        self.serve(now, effects);
    }

    fn tell(
        &mut self,
        node: &str,
        input: Input,
        now: Instant,
        effects: &mut Vec<(String, Effect)>,
    ) {
        let mut asked = Vec::new();
        match (self.drains.get_mut(node), input) {
            (Some(drain), input) => drain.on(input, now, &mut self.shared, &mut asked),
            (None, Input::Learnt(learnt)) => self.shared.learn(learnt, now),
            (None, _) => {}
        }
        effects.extend(asked.into_iter().map(|effect| (node.to_owned(), effect)));
    }

    /// Starts what is due, the nearest deadline first.
    fn serve(&mut self, now: Instant, effects: &mut Vec<(String, Effect)>) {
        let mut order: Vec<(&String, &mut Drain)> = self.drains.iter_mut().collect();
        order.sort_by_key(|(_, drain)| drain.window.end());
        let mut asked = Vec::new();
        for (node, drain) in order {
            drain.schedule(now, &mut self.shared, &mut asked);
            effects.extend(asked.drain(..).map(|effect| (node.clone(), effect)));
        }
    }
}
