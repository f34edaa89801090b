//! What the demo plays on: a small cluster with the workshop's services, and the metadata of
//! one of its nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spot_core::notice::InstanceAction;
use spot_drain::sim::{Budget, Kind, Node, Sim, Workload, World};
use spot_imds::options::ConfigError;
use spot_imds::sim::{Imds, SharedImds};
use spot_imds::source::ImdsSource;
use tokio::time::Instant;

/// The node that is interrupted.
pub(super) const DOOMED: &str = "spot-1";
const NODES: [(&str, &str); 3] = [
    (DOOMED, "Ec2Spot"),
    ("spot-2", "Ec2Spot"),
    ("on-demand-1", "OnDemand"),
];
/// The workshop's services: name, replicas, how many may be missing, seconds to end.
const SERVICES: [(&str, u32, &str, &str); 3] = [
    ("frontend", 5, "40%", "2"),
    ("crystal", 3, "1", "1.5"),
    ("nodejs", 3, "1", "1"),
];
const INSTANCE: &str = "i-0d3m0d3m0d3m0d3m0";
/// When the notice shows, and how long it leaves.
const NOTICE: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_secs(120));

/// The simulators.
pub(super) struct Scene {
    pub(super) sim: Sim,
    imds: SharedImds,
}

/// What is to be seen of the cluster at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) nodes: Vec<NodeState>,
    pub(super) services: Vec<ServiceState>,
}

/// A node and its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeState {
    pub(super) name: String,
    pub(super) cordoned: bool,
    pub(super) ready: usize,
    pub(super) starting: usize,
    pub(super) terminating: usize,
}

/// A service, its pods and its budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServiceState {
    pub(super) name: String,
    pub(super) ready: usize,
    pub(super) wanted: usize,
    /// How many more its budget lets go now.
    pub(super) allowed: i64,
}

impl State {
    /// Whether every service is at full strength, and none of it on the doomed node.
    pub(super) fn is_whole(&self) -> bool {
        let left = self.nodes.iter().filter(|n| n.name == DOOMED);
        self.services.iter().all(|s| s.ready == s.wanted)
            && left
                .map(|n| n.ready + n.starting + n.terminating)
                .sum::<usize>()
                == 0
    }
}

impl Scene {
    /// Begins at `start`.
    pub(super) fn new(start: Instant) -> Self {
        let mut world = World::builder();
        for (name, life_cycle) in NODES {
            let mut node = Node::new(name).label("lifecycle", life_cycle);
            if life_cycle == "Ec2Spot" {
                node = node.taint("spotInstance", "true", "PreferNoSchedule");
            }
            if name == DOOMED {
                node = node.provider_id(&format!("aws:///us-east-1a/{INSTANCE}"));
            }
            world = world.node(node);
        }
        world = world.workload(Workload::daemon_set("node-agent").namespace("kube-system"));
        // As in the workshop: the frontend may run on spot nodes, the others rather not.
        let tolerates = json!([{"key": "spotInstance", "operator": "Equal", "value": "true",
            "effect": "PreferNoSchedule"}]);
        for (name, replicas, missing, exit) in SERVICES {
            let mut service = Workload::deployment(name);
            if name == "frontend" {
                service = service.spec("tolerations", tolerates.clone());
            }
            world = world.workload(
                service
                    .replicas(replicas)
                    .on(DOOMED)
                    .service()
                    .budget(Budget::max_unavailable(missing))
                    .exit_after(exit)
                    .ready_after("1"),
            );
        }
        let imds = Imds::builder()
            .instance(INSTANCE)
            .zone("us-east-1a")
            .spot_notice(NOTICE.0, InstanceAction::Terminate, NOTICE.1)
            .build_at(start)
            .shared();
        Self {
            sim: Sim::new(world.build(start)),
            imds,
        }
    }

    /// The metadata service, polled as the daemon polls it.
    pub(super) fn source(&self) -> Result<ImdsSource, ConfigError> {
        ImdsSource::builder(self.imds.client().build()?)
            .clock(Arc::new(self.imds.clock()))
            .build()
    }

    /// Looks at the cluster as it is now.
    pub(super) fn look(&self) -> State {
        self.sim.with(|world| {
            let api = world.api();
            let mut nodes: BTreeMap<String, NodeState> = BTreeMap::new();
            for node in api.objects(Kind::Node) {
                let name = text(&node["metadata"]["name"]);
                let cordoned = node["spec"]["unschedulable"] == true;
                nodes.insert(
                    name.clone(),
                    NodeState {
                        name,
                        cordoned,
                        ..NodeState::default()
                    },
                );
            }
            let mut ready: BTreeMap<String, usize> = BTreeMap::new();
            for pod in api.objects(Kind::Pod) {
                if pod["metadata"]["namespace"] == "kube-system" {
                    continue;
                }
                let node = nodes.get_mut(&text(&pod["spec"]["nodeName"]));
                let is_ready = is_ready(pod);
                let terminating = !pod["metadata"]["deletionTimestamp"].is_null();
                if is_ready && !terminating {
                    *ready
                        .entry(text(&pod["metadata"]["labels"]["app"]))
                        .or_default() += 1;
                }
                match node {
                    Some(node) if terminating => node.terminating += 1,
                    Some(node) if is_ready => node.ready += 1,
                    Some(node) => node.starting += 1,
                    None => {}
                }
            }
            let allowed = |name: &str| {
                let mut budgets = api.objects(Kind::PodDisruptionBudget);
                let budget = budgets.find(|b| b["metadata"]["name"] == name);
                budget
                    .and_then(|b| b["status"]["disruptionsAllowed"].as_i64())
                    .unwrap_or_default()
            };
            let services = SERVICES.iter().map(|(name, replicas, ..)| ServiceState {
                name: (*name).to_owned(),
                ready: ready.get(*name).copied().unwrap_or_default(),
                wanted: usize::try_from(*replicas).unwrap_or(usize::MAX),
                allowed: allowed(name),
            });
            State {
                services: services.collect(),
                nodes: NODES
                    .iter()
                    .filter_map(|(name, _)| nodes.remove(*name))
                    .collect(),
            }
        })
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
