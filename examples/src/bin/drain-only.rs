//! The drain only: a controller of somebody else's that retires several nodes at once.
//!
//! ```text
//! cargo run -p spot-examples --features drain-only --bin drain-only
//! ```
//!
//! It needs neither a notice nor the driver of `spot-drain`: a [`spot_drain::plan::Fleet`] says
//! what is to be done for each node, and the controller does it in its own way. One
//! list-and-watch of pods feeds it, and one limit paces all calls. The cluster is simulated and
//! no time passes, so that it ends at once, and always prints the same.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::{Api, Client};
use spot_drain::cluster::Cluster;
use spot_drain::driver::perform;
use spot_drain::feed::{feed, feed_budgets};
use spot_drain::plan::{Effect, Fleet, Input, Limits, Settings};
use spot_drain::reply::Reply;
use spot_drain::sim::{Budget, Node, Sim, Workload, World};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The nodes that are retired, and how long they may take.
const RETIRED: [&str; 3] = ["old-1", "old-2", "old-3"];
const TIME: Duration = Duration::from_secs(120);

type Failure = Box<dyn Error + Send + Sync>;

/// Retires nodes.
struct Controller {
    cluster: Cluster,
    fleet: Fleet,
    /// The answers to calls, each with the node that it was made for; and the watches.
    calls: JoinSet<Option<(String, Input)>>,
    tell: mpsc::Sender<Input>,
    seen: mpsc::Receiver<Input>,
    relist: watch::Sender<()>,
    start: Instant,
}

impl Controller {
    fn new(client: Client) -> Self {
        let (tell, seen) = mpsc::channel(16);
        Self {
            cluster: Cluster::from_client(client),
            fleet: Fleet::new(Limits::default().with_rate(2, 1)),
            calls: JoinSet::new(),
            tell,
            seen,
            relist: watch::Sender::new(()),
            start: Instant::now(),
        }
    }

    /// Works until every node's drain has ended.
    async fn run(mut self, client: Client) -> Result<(), Failure> {
        let nodes = Api::<KubeNode>::all(client);
        let now = Instant::now();
        for name in RETIRED {
            nodes.cordon(name).await?;
            self.say(name, "cordoned");
            self.fleet
                .start(name, Settings::default(), Some(now + TIME), now);
        }
        let all = Arc::new(self.cluster.all_pods());
        let look = feed(all, self.tell.clone(), self.relist.subscribe());
        self.calls.spawn(async {
            look.await;
            None
        });
        while let Some(wake) = self.fleet.next_wake(Instant::now()) {
            let mut effects = Vec::new();
            tokio::select! {
                biased;
                Some(answered) = self.calls.join_next() => {
                    if let Some((node, input)) = answered? {
                        self.mention(&node, &input);
                        self.fleet.on(&node, input, Instant::now(), &mut effects);
                    }
                }
                Some(input) = self.seen.recv() => {
                    self.fleet.see(input, Instant::now(), &mut effects);
                }
                () = sleep_until(wake) => {
                    self.fleet.see(Input::Woken, Instant::now(), &mut effects);
                }
            }
            for (node, effect) in effects {
                self.perform(node, effect);
            }
            self.finish();
        }
        Ok(())
    }

    /// Performs an effect; its answer comes by the end of the node's drain.
    fn perform(&mut self, node: String, effect: Effect) {
        let pods = self.cluster.pods(&node);
        match effect {
            Effect::Relist => {
                self.relist.send_replace(());
            }
            Effect::WatchBudgets { namespace } => {
                let (pods, tell) = (Arc::new(pods), self.tell.clone());
                self.calls.spawn(async {
                    feed_budgets(pods, namespace, tell).await;
                    None
                });
            }
            call => {
                if let Effect::Evict(call) = &call {
                    self.say(&node, &format!("evicts {}", call.name));
                }
                let end = self.fleet.window(&node).map_or(self.start, |w| w.end());
                self.calls.spawn(async move {
                    let answer = perform(call, &pods, end).await?;
                    Some((node, answer))
                });
            }
        }
    }

    /// Drops the drains that have ended, and says how.
    fn finish(&mut self) {
        let now = Instant::now();
        let mut effects = Vec::new();
        for node in RETIRED {
            let Some(outcome) = self.fleet.outcome(node, now) else {
                continue;
            };
            let report = self.fleet.report(node, now);
            let tally = report.map(|report| report.tally()).unwrap_or_default();
            let tally: Vec<_> = tally.iter().map(|(k, n)| format!("{n} {k}")).collect();
            self.say(node, &format!("{outcome}: {}", tally.join(", ")));
            self.fleet.forget(node, now, &mut effects);
        }
        for (node, effect) in effects {
            self.perform(node, effect);
        }
    }

    /// Says what a reader may wonder about.
    fn mention(&self, node: &str, input: &Input) {
        if let Input::Answered {
            reply: Reply::BudgetClosed(refusal),
            ..
        } = input
        {
            let budget = refusal.budget.as_deref().unwrap_or("a budget");
            self.say(node, &format!("{budget} lets nothing go now"));
        }
    }

    fn say(&self, node: &str, what: &str) {
        println!(
            "{:>5.1} s  {node}  {what}",
            self.start.elapsed().as_secs_f64()
        );
    }
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
            "/api/v1/pods" if request.query.contains("watch=true") => "watches of pods",
            _ if request.query.contains("watch=true") => "watches of budgets",
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
