//! The cluster around the machines: other nodes, and workloads.

use serde_json::json;
use spot_core::sim::Random;
use spot_drain::sim::{Budget, Builder, Kind, Node, Workload};

use super::one;

/// Where pods can go.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Refuge {
    pub(in crate::simulation) name: String,
    /// Room for so many pods.
    pub(in crate::simulation) room: u32,
}

/// What makes a workload's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Make {
    Deployment,
    StatefulSet,
    ReplicaSet,
    DaemonSet,
    /// Nobody.
    Bare,
    /// The kubelet, from a file.
    Mirror,
    /// A DaemonSet that is no more.
    Orphan,
}

/// A workload.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Load {
    pub(in crate::simulation) name: String,
    pub(in crate::simulation) namespace: &'static str,
    pub(in crate::simulation) make: Make,
    pub(in crate::simulation) replicas: u32,
    /// Its replacements may be made first.
    pub(in crate::simulation) surges: bool,
    workload: Workload,
    /// A second budget over the same pods.
    second: bool,
    /// The nodes of pods that no builder makes.
    nodes: Vec<String>,
}

/// The name of the handlers' own workload.
const HANDLERS: &str = "handler";

/// The namespaces; the last one may be deleted.
const NAMESPACES: [&str; 3] = ["default", "shop", "brief"];

pub(super) fn refuges(random: &mut Random) -> Vec<Refuge> {
    let room = |random: &mut Random| match random.below(6) {
        0 => 3,
        _ => 110,
    };
    (0..=random.below(2))
        .map(|index| Refuge {
            name: format!("refuge-{index}"),
            room: room(random),
        })
        .collect()
}

pub(super) fn loads(random: &mut Random, spots: &[String], few: bool) -> Vec<Load> {
    let count = if few { 1 } else { 2 + random.below(5) };
    let mut loads: Vec<Load> = (0..count)
        .map(|index| load(&mut random.fork("load"), index, spots))
        .collect();
    loads.push(handlers(random, spots));
    loads
}

/// The handlers' own pods. Most often a DaemonSet's, which is spared for that alone; now and then
/// nobody's, spared only for being our own.
fn handlers(random: &mut Random, spots: &[String]) -> Load {
    let is_bare = random.chance(1, 8);
    let workload = if is_bare {
        let pods = u32::try_from(spots.len()).unwrap_or(1);
        let bare = Workload::bare(HANDLERS).replicas(pods);
        spots.iter().fold(bare, |bare, node| bare.on(node))
    } else {
        Workload::daemon_set(HANDLERS)
    };
    Load {
        name: HANDLERS.to_owned(),
        namespace: "kube-system",
        make: if is_bare { Make::Bare } else { Make::DaemonSet },
        replicas: 0,
        surges: false,
        workload: workload.namespace("kube-system"),
        second: false,
        nodes: Vec::new(),
    }
}

fn load(random: &mut Random, index: u64, spots: &[String]) -> Load {
    let name = format!("w{index}");
    let make = match random.below(20) {
        0..10 => Make::Deployment,
        10..13 => Make::StatefulSet,
        13 => Make::ReplicaSet,
        14 => Make::DaemonSet,
        15..17 => Make::Bare,
        17 | 18 => Make::Mirror,
        _ => Make::Orphan,
    };
    let namespace = one(random, &NAMESPACES, "default");
    let mut workload = match make {
        Make::Deployment => Workload::deployment(&name),
        Make::StatefulSet => Workload::stateful_set(&name),
        Make::ReplicaSet => Workload::replica_set(&name),
        Make::DaemonSet => Workload::daemon_set(&name),
        Make::Bare | Make::Mirror | Make::Orphan => Workload::bare(&name),
    };
    let replicas = 1 + random.below(6);
    let replicas = u32::try_from(replicas).unwrap_or(1);
    workload = workload.namespace(namespace).replicas(replicas);
    // On some of the spot nodes, in turn.
    let mut nodes: Vec<String> = spots.to_vec();
    if nodes.len() > 1 && random.chance(1, 3) {
        nodes.truncate(1);
    }
    if random.chance(1, 3) {
        nodes.push("refuge-0".to_owned());
    }
    for node in &nodes {
        workload = workload.on(node);
    }
    workload = timed(random, workload);
    if make == Make::Mirror {
        workload = workload.annotation("kubernetes.io/config.mirror", "0123");
    }
    let guarded = !matches!(make, Make::DaemonSet | Make::Mirror) && random.chance(1, 2);
    if guarded {
        let some = replicas.saturating_sub(1).to_string();
        let least = ["1", "50%", "100%", some.as_str()];
        let most = ["0", "1", "30%"];
        let budget = if random.chance(1, 2) {
            Budget::min_available(random.pick(&least).copied().unwrap_or("1"))
        } else {
            Budget::max_unavailable(one(random, &most, "1"))
        };
        workload = workload.budget(if random.chance(1, 6) {
            budget.always_allow_unhealthy()
        } else {
            budget
        });
    }
    let (marked, claims) = marked(random, workload);
    let second = guarded && random.chance(1, 12);
    let (workload, surges) = rolled(random, make, marked);
    Load {
        name,
        namespace,
        make,
        replicas,
        surges: surges && !claims,
        workload,
        second,
        nodes,
    }
}

/// How long its pods take for what.
fn timed(random: &mut Random, workload: Workload) -> Workload {
    let grace = one(random, &[0, 1, 5, 10, 30, 30, 30, 60, 600], 30);
    let exits = one(random, &["0", "0.5", "2", "2", "10", "40", "never"], "2");
    let ready = one(random, &["0", "0", "2", "5", "20", "never"], "0");
    workload.grace(grace).exit_after(exits).ready_after(ready)
}

/// How a Deployment replaces its pods, and whether two may run at once.
fn rolled(random: &mut Random, make: Make, workload: Workload) -> (Workload, bool) {
    if make != Make::Deployment {
        return (workload, false);
    }
    match random.below(8) {
        0 => (workload.strategy(json!({ "type": "Recreate" })), false),
        1 => {
            let one_by_one = json!({ "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
            (workload.strategy(one_by_one), false)
        }
        _ => (workload, true),
    }
}

/// What its pods say about themselves, and whether they have claimed volumes.
fn marked(random: &mut Random, mut workload: Workload) -> (Workload, bool) {
    let mut claims = false;
    if random.chance(1, 12) {
        let wish = one(random, &["skip", "last", "whenever"], "skip");
        workload = workload.annotation("spot-interrupt-handler/drain", wish);
    }
    if random.chance(1, 10) {
        workload = workload.priority_class("system-cluster-critical");
    }
    if random.chance(1, 16) {
        workload = workload.finalizer("example.com/later");
    }
    if random.chance(1, 8) {
        let volume = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
        workload = workload.spec("volumes", volume);
        claims = true;
    }
    if random.chance(1, 6) {
        let volume = json!([{ "name": "scratch", "emptyDir": {} }]);
        workload = workload.spec("volumes", volume);
        claims = false;
    }
    if random.chance(1, 3) {
        workload = workload.service();
    }
    (workload, claims)
}

impl Refuge {
    pub(in crate::simulation) fn node(&self) -> Node {
        Node::new(&self.name).pods(self.room)
    }
}

impl Load {
    /// One that a plot is about.
    pub(super) fn aimed(
        name: &str,
        make: Make,
        replicas: u32,
        surges: bool,
        workload: Workload,
    ) -> Self {
        Self {
            name: name.to_owned(),
            namespace: "default",
            make,
            replicas,
            surges,
            workload,
            second: false,
            nodes: Vec::new(),
        }
    }

    /// Adds it to a cluster.
    pub(in crate::simulation) fn add_to(&self, builder: Builder) -> Builder {
        let mut builder = builder;
        if self.make == Make::Orphan {
            for (index, node) in self.nodes.iter().enumerate() {
                builder = builder.object(Kind::Pod, self.orphan(index, node));
            }
        } else {
            builder = builder.workload(self.workload.clone());
        }
        if self.second {
            let labels = json!({ "app": self.name });
            let budget = json!({
                "metadata": { "name": format!("{}-too", self.name), "namespace": self.namespace },
                "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } },
            });
            builder = builder.object(Kind::PodDisruptionBudget, budget);
        }
        builder
    }

    fn orphan(&self, index: usize, node: &str) -> serde_json::Value {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": self.name,
            "uid": format!("gone-{}", self.name), "controller": true });
        json!({
            "metadata": { "name": format!("{}-{index}", self.name), "namespace": self.namespace,
                "labels": { "app": self.name }, "ownerReferences": [owner] },
            "spec": { "nodeName": node, "terminationGracePeriodSeconds": 5,
                "containers": [{ "name": "main", "image": "sim" }] },
            "status": { "phase": "Pending" },
        })
    }
}
