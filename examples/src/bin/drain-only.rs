//! The drain only: a controller of somebody else's that retires several nodes at once.
//!
//! ```text
//! cargo run -p spot-examples --features drain-only --bin drain-only
//! ```
//!
//! It needs neither a notice nor the driver of `spot-drain`: every node has a
//! [`spot_drain::plan::Plan`], which says what is to be done, and the controller does it in its
//! own way. One list-and-watch of pods feeds all plans, and one limit paces their calls. The
//! cluster is simulated and no time passes, so that it ends at once, and always prints the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::core::WatchEvent;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use spot_drain::classify::DaemonSets;
use spot_drain::cluster::Cluster;
use spot_drain::facts::PodFacts;
use spot_drain::plan::{Effect, Input, Plan, Settings};
use spot_drain::pods::Pods as _;
use spot_drain::reply::Reply;
use spot_drain::sim::{Budget, Node, Sim, Workload, World};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The nodes that are retired, and how long they may take.
const RETIRED: [&str; 3] = ["old-1", "old-2", "old-3"];
const TIME: Duration = Duration::from_secs(120);

/// The shortest time between two calls, whatever node they are for.
const PACE: Duration = Duration::from_millis(500);

/// The pause before the pods are listed again after a failure.
const RETRY: Duration = Duration::from_secs(1);

type Failure = Box<dyn Error + Send + Sync>;

/// A pod, and the node that it is on: `PodFacts` are those of a node's pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
struct Placed {
    node: String,
    facts: PodFacts,
}

impl TryFrom<Value> for Placed {
    type Error = serde_json::Error;

    fn try_from(pod: Value) -> Result<Self, Self::Error> {
        Ok(Self {
            node: pod["spec"]["nodeName"].as_str().unwrap_or("").to_owned(),
            facts: PodFacts::deserialize(pod)?,
        })
    }
}

/// A list of pods.
#[derive(Deserialize)]
struct List {
    metadata: Version,
    items: Vec<Placed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

/// What the one list-and-watch says.
enum Seen {
    All(Vec<Placed>),
    Changed(Placed),
    Deleted(Placed),
}

/// Lists and watches the pods of all nodes, for ever. It lists again when `again` says so.
async fn look(
    client: Client,
    seen: mpsc::Sender<Seen>,
    mut again: watch::Receiver<()>,
) -> Infallible {
    loop {
        again.mark_unchanged();
        tokio::select! {
            biased;
            _ = again.changed() => {}
            ended = list_and_watch(&client, &seen) => {
                if ended.is_err() {
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// One list, and one watch to its end.
async fn list_and_watch(client: &Client, seen: &mpsc::Sender<Seen>) -> Result<(), Failure> {
    let list = http::Request::get("/api/v1/pods").body(Vec::new())?;
    let list: List = client.request(list).await?;
    seen.send(Seen::All(list.items)).await?;
    let from = list.metadata.resource_version;
    let path = format!("/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion={from}");
    let watch = http::Request::get(path).body(Vec::new())?;
    let mut changes = std::pin::pin!(client.request_events::<Placed>(watch).await?);
    while let Some(change) = changes.try_next().await? {
        match change {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                seen.send(Seen::Changed(pod)).await?;
            }
            WatchEvent::Deleted(pod) => seen.send(Seen::Deleted(pod)).await?,
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(status.message.into()),
        }
    }
    Ok(())
}

/// A node that is being retired.
struct Drain {
    plan: Plan,
    over: bool,
}

/// Retires nodes.
struct Controller {
    cluster: Cluster,
    drains: BTreeMap<&'static str, Drain>,
    /// The answers to calls, each with the node whose plan asked.
    calls: JoinSet<(&'static str, Input)>,
    /// When the next call may go out.
    next_call: Instant,
    again: watch::Sender<()>,
    start: Instant,
}

impl Controller {
    fn new(client: Client) -> Self {
        let now = Instant::now();
        let plan = || Plan::new(Settings::default(), Some(now + TIME), now);
        let drain = |name| {
            (
                name,
                Drain {
                    plan: plan(),
                    over: false,
                },
            )
        };
        Self {
            cluster: Cluster::from_client(client),
            drains: RETIRED.into_iter().map(drain).collect(),
            calls: JoinSet::new(),
            next_call: now,
            again: watch::Sender::new(()),
            start: now,
        }
    }

    /// Works until every node's drain has ended.
    async fn run(mut self, client: Client) -> Result<(), Failure> {
        let nodes = Api::<KubeNode>::all(client.clone());
        for name in RETIRED {
            nodes.cordon(name).await?;
            self.say(name, "cordoned");
        }
        let (tell, mut seen) = mpsc::channel(16);
        // It ends when it is dropped, as the calls do.
        let mut looking = std::pin::pin!(look(client, tell, self.again.subscribe()));
        while let Some(wake) = self.next_wake() {
            tokio::select! {
                biased;
                Some(answered) = self.calls.join_next() => {
                    let (node, input) = answered?;
                    self.feed(node, input);
                }
                Some(seen) = seen.recv() => self.see(seen),
                () = sleep_until(wake) => {
                    for node in RETIRED {
                        self.feed(node, Input::Woken);
                    }
                }
                never = &mut looking => match never {},
            }
        }
        Ok(())
    }

    /// When a plan has to be looked at again; `None` when all have ended.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let going = self.drains.values().filter(|d| !d.over);
        going.map(|d| d.plan.next_wake(now)).min()
    }

    /// Sorts what is seen by node.
    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::All(pods) => {
                for node in RETIRED {
                    let here = pods.iter().filter(|p| p.node == node);
                    self.feed(node, Input::Listed(here.map(|p| p.facts.clone()).collect()));
                }
            }
            Seen::Changed(pod) => self.hand_on(&pod.node, Input::Seen(pod.facts)),
            Seen::Deleted(pod) => self.hand_on(&pod.node, Input::Deleted(pod.facts.uid)),
        }
    }

    /// Most pods are on nodes that are none of ours.
    fn hand_on(&mut self, node: &str, input: Input) {
        if let Some(node) = RETIRED.into_iter().find(|n| *n == node) {
            self.feed(node, input);
        }
    }

    /// Hands an input to a node's plan, and does what follows.
    fn feed(&mut self, node: &'static str, input: Input) {
        let now = Instant::now();
        if let Input::Answered {
            reply: Reply::BudgetClosed(refusal),
            ..
        } = &input
        {
            let budget = refusal.budget.as_deref().unwrap_or("a budget");
            self.say(node, &format!("{budget} lets nothing go now"));
        }
        let Some(drain) = self.drains.get_mut(node).filter(|d| !d.over) else {
            return;
        };
        let mut effects = Vec::new();
        drain.plan.on(input, now, &mut effects);
        let end = drain.plan.window().end();
        if drain.plan.outcome(now).is_some() {
            drain.over = true;
            let report = drain.plan.report(now);
            let tally: Vec<_> = report
                .tally()
                .iter()
                .map(|(k, n)| format!("{n} {k}"))
                .collect();
            self.say(node, &format!("{}: {}", report.outcome, tally.join(", ")));
            return;
        }
        for effect in effects {
            self.perform(node, effect, end);
        }
    }

    /// Performs an effect, with an answer by `end`.
    fn perform(&mut self, node: &'static str, effect: Effect, end: Instant) {
        // One connection, and its ways to ask; what is watched is our own affair.
        let pods = self.cluster.pods(node);
        match effect {
            Effect::Evict(call) => {
                let at = self.next_call.max(Instant::now());
                self.next_call = at + PACE;
                let start = self.start;
                self.calls.spawn(async move {
                    let pod = call.pod.clone();
                    let evict = async {
                        sleep_until(at).await;
                        say(start, node, &format!("evicts {}", call.name));
                        pods.evict(call).await
                    };
                    let reply = timeout_at(end, evict).await.unwrap_or(Reply::Unclear {
                        what: "no answer in time".to_owned(),
                    });
                    (node, Input::Answered { pod, reply })
                });
            }
            // `BudgetPolicy::Respect`, the default, never asks for one.
            Effect::Delete(call) => {
                self.calls.spawn(async move {
                    let reply = Reply::Denied {
                        status: 403,
                        words: "we delete nothing".to_owned(),
                    };
                    (
                        node,
                        Input::Answered {
                            pod: call.pod,
                            reply,
                        },
                    )
                });
            }
            Effect::ListDaemonSets => {
                self.calls.spawn(async move {
                    let known = timeout_at(end, pods.daemon_sets()).await;
                    let known = known.unwrap_or(DaemonSets::Unavailable);
                    (node, Input::DaemonSets(known))
                });
            }
            Effect::ListBudgets => {
                self.calls.spawn(async move {
                    let known = timeout_at(end, pods.budgets()).await;
                    (node, Input::Budgets(known.unwrap_or_default()))
                });
            }
            Effect::CheckAccess => {
                self.calls.spawn(async move {
                    let allowed = timeout_at(end, pods.may_evict()).await;
                    (node, Input::Access(allowed.ok().flatten()))
                });
            }
            Effect::Relist => {
                self.again.send_replace(());
            }
        }
    }

    fn say(&self, node: &str, what: &str) {
        say(self.start, node, what);
    }
}

fn say(start: Instant, node: &str, what: &str) {
    println!("{:>5.1} s  {node}  {what}", start.elapsed().as_secs_f64());
}

/// Three nodes that go, and one that stays: a service whose budget spans all three, a database
/// that has none, and an agent on every node.
fn simulated() -> Sim {
    let mut world = World::builder().node(Node::new("new-1"));
    let mut web = Workload::deployment("web").replicas(6);
    let mut db = Workload::stateful_set("db").replicas(3);
    for name in RETIRED {
        world = world.node(Node::new(name));
        web = web.on(name);
        db = db.on(name);
    }
    let web = web
        .budget(Budget::max_unavailable("2"))
        .exit_after("2")
        .ready_after("3");
    let world = world
        .workload(web)
        .workload(db.exit_after("5"))
        .workload(Workload::daemon_set("agent"));
    Sim::new(world.build(Instant::now()))
}

/// What the API server was asked for by the controller, by kind.
fn count(sim: &Sim) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for request in sim.requests() {
        let kind = match request.path.as_str() {
            _ if request.query.contains("watch=true") => "watches of pods",
            "/api/v1/pods" => "lists of pods",
            path if path.ends_with("/eviction") => "evictions",
            path if path.starts_with("/api/v1/nodes/") => "cordons",
            _ => "look-ups",
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let sim = simulated();
        let controller = Controller::new(sim.client());
        let never: Infallible = tokio::select! {
            ended = controller.run(sim.client()) => {
                ended?;
                let counts = count(&sim);
                let counts: Vec<_> = counts.iter().map(|(k, n)| format!("{k} {n}")).collect();
                println!("asked for: {}", counts.join(", "));
                return Ok(());
            }
            never = sim.run() => never,
        };
        match never {}
    })
}
