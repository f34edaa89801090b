//! What is free on the nodes.

use std::collections::BTreeMap;
use std::fmt;

use super::{Demand, Host, HostTaint, Resources, UNSCHEDULABLE};

/// Why a pod cannot go to a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The node is not ready.
    NotReady,
    /// It is cordoned.
    Cordoned,
    /// The pod's node selector asks for other labels.
    Selector,
    /// It has a taint that the pod does not tolerate; its key.
    Taint(String),
    /// It has too little of a resource left; its name.
    Resource(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("not ready"),
            Self::Cordoned => f.write_str("cordoned"),
            Self::Selector => f.write_str("not matched by the pod's node selector"),
            Self::Taint(key) => write!(f, "with the taint {key}"),
            Self::Resource(name) => write!(f, "without enough {name}"),
        }
    }
}

/// The nodes and what is free on each.
#[derive(Clone, Debug, Default)]
pub struct Room<'a>(BTreeMap<&'a str, (&'a Host, Resources)>);

impl<'a> Room<'a> {
    /// The nodes, less what the pods that are bound to them request. Pods that have ended are
    /// to be left out.
    pub fn new(
        hosts: impl IntoIterator<Item = &'a Host>,
        pods: impl IntoIterator<Item = (&'a str, &'a Demand)>,
    ) -> Self {
        let hosts = hosts.into_iter();
        let free = |host: &'a Host| (host.name.as_str(), (host, host.allocatable.clone()));
        let mut room: BTreeMap<_, _> = hosts.map(free).collect();
        for (node, demand) in pods {
            if let Some((_, free)) = room.get_mut(node) {
                free.take(&demand.requests);
            }
        }
        Self(room)
    }

    /// Without this node.
    #[must_use]
    pub fn without(&self, node: &str) -> Self {
        let mut others = self.clone();
        others.0.remove(node);
        others
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.0.len()
    }

    /// Whether one of the nodes has room for the pod.
    pub fn fits(&self, pod: &Demand) -> bool {
        self.0
            .values()
            .any(|(host, free)| obstacle(pod, host, free).is_none())
    }

    /// Gives the pod its place on the first node that has room for it.
    pub fn place(&mut self, pod: &Demand) -> bool {
        let mut nodes = self.0.values_mut();
        let found = nodes.find(|(host, free)| obstacle(pod, host, free).is_none());
        if let Some((_, free)) = found {
            free.take(&pod.requests);
            return true;
        }
        false
    }

    /// What keeps the pod from the nodes, and how many of them.
    pub fn obstacles(&self, pod: &Demand) -> BTreeMap<Obstacle, usize> {
        let mut counted = BTreeMap::new();
        for (host, free) in self.0.values() {
            if let Some(obstacle) = obstacle(pod, host, free) {
                *counted.entry(obstacle).or_default() += 1;
            }
        }
        counted
    }
}

fn obstacle(pod: &Demand, host: &Host, free: &Resources) -> Option<Obstacle> {
    if !host.ready {
        return Some(Obstacle::NotReady);
    }
    let cordon = || HostTaint {
        key: UNSCHEDULABLE.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    if host.cordoned && !pod.tolerates(&cordon()) {
        return Some(Obstacle::Cordoned);
    }
    let mut wanted = pod.node_selector.iter();
    if !wanted.all(|(key, value)| host.labels.get(key) == Some(value)) {
        return Some(Obstacle::Selector);
    }
    // A soft taint keeps nobody away where there is no better node.
    let mut hard = host
        .taints
        .iter()
        .filter(|t| t.effect != "PreferNoSchedule");
    if let Some(taint) = hard.find(|taint| !pod.tolerates(taint)) {
        return Some(Obstacle::Taint(taint.key.clone()));
    }
    let lacking = free.lacks(&pod.requests);
    lacking.map(|name| Obstacle::Resource(name.to_owned()))
}
