//! Every pod, node and budget through time, as the API server had them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use spot_drain::{
    replacement::DETACHED_ANNOTATION,
    sim::{Change, Kind, Recorded, What, World},
};
use tokio::time::Instant;

use crate::simulation::plot::Plot;

/// Follows a world's changes, before any of them is forgotten.
#[derive(Default)]
pub(in crate::simulation) struct Trail(RefCell<Vec<(Instant, Change)>>);

impl Trail {
    /// Takes down what has changed since the last time.
    pub(in crate::simulation) fn follow(&self, world: &World) {
        let mut changes = self.0.borrow_mut();
        let last = changes.last().map_or(0, |(_, change)| change.version);
        let news = world.changes(last);
        let wanted = [
            Kind::Pod,
            Kind::Node,
            Kind::PodDisruptionBudget,
            Kind::DaemonSet,
        ];
        changes.extend(
            news.filter(|(_, change)| wanted.contains(&change.kind))
                .map(|(at, change)| (at, change.clone())),
        );
    }

    pub(in crate::simulation) fn changes(&self) -> Vec<(Instant, Change)> {
        self.0.borrow().clone()
    }
}

/// One object through time.
#[derive(Debug, Default)]
pub(in crate::simulation) struct History {
    states: Vec<(Duration, Arc<Value>)>,
    /// When it was gone.
    pub(in crate::simulation) gone: Option<Duration>,
}

impl History {
    /// As it was at a moment, after all that happened then.
    pub(in crate::simulation) fn at(&self, at: Duration) -> Option<&Arc<Value>> {
        if self.gone.is_some_and(|gone| gone <= at) {
            return None;
        }
        let index = self.states.partition_point(|(when, _)| *when <= at);
        self.states
            .get(index.checked_sub(1)?)
            .map(|(_, state)| state)
    }

    /// Its states, by time.
    pub(in crate::simulation) fn states(&self) -> &[(Duration, Arc<Value>)] {
        &self.states
    }

    /// As it was last.
    pub(in crate::simulation) fn last(&self) -> Option<&Arc<Value>> {
        self.states.last().map(|(_, state)| state)
    }
}

/// One pod through time.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Pod {
    pub(in crate::simulation) uid: String,
    /// `namespace/name`.
    pub(in crate::simulation) key: String,
    pub(in crate::simulation) history: History,
}

impl Pod {
    fn first(&self) -> &Value {
        static NONE: Value = Value::Null;
        let first = self.history.states.first();
        first.map_or(&NONE, |(_, state)| &**state)
    }

    /// When it was there first.
    pub(in crate::simulation) fn came(&self) -> Duration {
        self.history.states.first().map_or(Duration::MAX, |s| s.0)
    }

    /// The node that it is bound to, and since when.
    pub(in crate::simulation) fn bound(&self) -> Option<(Duration, &str)> {
        self.history.states.iter().find_map(|(at, state)| {
            let node = state["spec"]["nodeName"].as_str()?;
            Some((*at, node))
        })
    }

    /// When its end began: its deletion was set, or it was gone.
    pub(in crate::simulation) fn ends(&self) -> Option<Duration> {
        let terminating = self
            .history
            .states
            .iter()
            .find(|(_, state)| !state["metadata"]["deletionTimestamp"].is_null());
        terminating.map(|(at, _)| *at).or(self.history.gone)
    }

    /// Its workload's name.
    pub(in crate::simulation) fn app(&self) -> &str {
        let app = self.first()["metadata"]["labels"]["app"].as_str();
        app.unwrap_or_default()
    }

    /// Whether its replacement may be made first.
    pub(in crate::simulation) fn surges(&self, plot: &Plot) -> bool {
        plot.load(self.app()).is_some_and(|load| load.surges)
    }

    /// When it was detached, where it was.
    pub(in crate::simulation) fn detached(&self) -> Option<Duration> {
        let mut states = self.history.states.iter();
        let first = states.find(|(_, state)| is_detached(state));
        first.map(|(at, _)| *at)
    }

    /// Whether it serves at a moment.
    pub(in crate::simulation) fn serves(&self, at: Duration) -> bool {
        let state = self.history.at(at);
        state.is_some_and(|state| stays(state) && is_ready(state))
    }

    /// Whether it served as long as it stayed, up to a moment at which its end may have begun.
    pub(in crate::simulation) fn served_until(&self, at: Duration) -> bool {
        let states = self.history.states.iter().rev();
        let mut staying = states.filter(|(when, state)| *when <= at && stays(state));
        staying.next().is_some_and(|(_, state)| is_ready(state))
    }

    /// Its own grace.
    pub(in crate::simulation) fn grace(&self) -> Duration {
        let grace = self.first()["spec"]["terminationGracePeriodSeconds"].as_u64();
        Duration::from_secs(grace.unwrap_or(30))
    }

    pub(in crate::simulation) fn namespace(&self) -> &str {
        self.key.split('/').next().unwrap_or_default()
    }

    pub(in crate::simulation) fn is_mirror(&self) -> bool {
        !self.first()["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
    }

    /// What its annotation wishes.
    pub(in crate::simulation) fn wish(&self) -> Option<&str> {
        self.first()["metadata"]["annotations"]["spot-interrupt-handler/drain"].as_str()
    }

    pub(in crate::simulation) fn is_critical(&self) -> bool {
        let class = &self.first()["spec"]["priorityClassName"];
        class
            .as_str()
            .is_some_and(|class| class.starts_with("system-"))
    }

    /// Whether the DaemonSet that owns it was there at a moment.
    pub(in crate::simulation) fn is_of_daemon_set(&self, sets: &Ledger, at: Duration) -> bool {
        let set = self.daemon_set().and_then(|uid| sets.daemon_sets.get(uid));
        set.is_some_and(|set| set.at(at).is_some())
    }

    /// The UID of the DaemonSet that owns it.
    pub(in crate::simulation) fn daemon_set(&self) -> Option<&str> {
        let owners = self.first()["metadata"]["ownerReferences"].as_array()?;
        let owner = owners.iter().find(|owner| owner["kind"] == "DaemonSet")?;
        owner["uid"].as_str()
    }

    /// Whether its containers had ended at a moment.
    pub(in crate::simulation) fn is_completed(&self, at: Duration) -> bool {
        self.history.at(at).is_some_and(|state| {
            matches!(
                state["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            )
        })
    }
}

fn stays(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Whether a pod says that it is detached.
pub(in crate::simulation) fn is_detached(pod: &Value) -> bool {
    !pod["metadata"]["annotations"][DETACHED_ANNOTATION].is_null()
}

/// A change of a node, and which request made it, if one did.
#[derive(Debug)]
pub(in crate::simulation) struct NodeChange {
    pub(in crate::simulation) at: Duration,
    pub(in crate::simulation) before: Arc<Value>,
    pub(in crate::simulation) after: Arc<Value>,
    /// The number of the request.
    pub(in crate::simulation) by: Option<usize>,
}

/// Everything through time.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Ledger {
    /// By UID.
    pub(in crate::simulation) pods: BTreeMap<String, Pod>,
    /// By name, the changes of each node.
    pub(in crate::simulation) nodes: BTreeMap<String, Vec<NodeChange>>,
    /// By `namespace/name`.
    pub(in crate::simulation) budgets: BTreeMap<String, History>,
    /// By UID.
    pub(in crate::simulation) daemon_sets: BTreeMap<String, History>,
    /// By name and UID, which pods had which name.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Ledger {
    pub(in crate::simulation) fn new(
        start: Instant,
        changes: &[(Instant, Change)],
        requests: &[Recorded],
    ) -> Self {
        let mut by = BTreeMap::new();
        for (number, request) in requests.iter().enumerate() {
            if let Some(effect) = &request.effect {
                by.extend(effect.versions.clone().map(|version| (version, number)));
            }
        }
        let mut ledger = Self::default();
        for (at, change) in changes {
            let at = at.saturating_duration_since(start);
            ledger.take(at, change, by.get(&change.version).copied());
        }
        ledger
    }

    fn take(&mut self, at: Duration, change: &Change, by: Option<usize>) {
        let uid = change.object["metadata"]["uid"].as_str();
        let uid = uid.unwrap_or_default().to_owned();
        let history = match change.kind {
            Kind::Pod => {
                let names = self.names.entry(change.key.clone()).or_default();
                names.insert(uid.clone());
                let pod = self.pods.entry(uid.clone()).or_insert_with(|| Pod {
                    uid,
                    key: change.key.clone(),
                    history: History::default(),
                });
                &mut pod.history
            }
            Kind::PodDisruptionBudget => self.budgets.entry(change.key.clone()).or_default(),
            Kind::DaemonSet => self.daemon_sets.entry(uid).or_default(),
            Kind::Node => {
                if let Some(before) = &change.previous {
                    let changes = self.nodes.entry(change.key.clone()).or_default();
                    changes.push(NodeChange {
                        at,
                        before: Arc::clone(before),
                        after: Arc::clone(&change.object),
                        by,
                    });
                }
                return;
            }
            _ => return,
        };
        if change.what == What::Deleted {
            history.gone = Some(at);
        } else {
            history.gone = None;
            history.states.push((at, Arc::clone(&change.object)));
        }
    }

    /// The pods that had this name, `namespace/name`.
    pub(in crate::simulation) fn named(&self, key: &str) -> impl Iterator<Item = &Pod> {
        let uids = self.names.get(key).into_iter().flatten();
        uids.filter_map(|uid| self.pods.get(uid))
    }

    /// The pods that were bound to a node.
    pub(in crate::simulation) fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .values()
            .filter(move |pod| pod.bound().is_some_and(|(_, bound)| bound == node))
    }

    /// A node as it was last.
    pub(in crate::simulation) fn node(&self, name: &str) -> Option<&Arc<Value>> {
        self.nodes.get(name)?.last().map(|change| &change.after)
    }
}
