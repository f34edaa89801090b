//! The whole handler, with an observer of one's own: what the daemon is made of, in a program
//! that wants to hear of everything itself.
//!
//! ```text
//! cargo run -p spot-examples --features whole-handler --bin whole-handler
//! ```
//!
//! The metadata service and the cluster are simulated and no time passes, so that it ends at
//! once, and always prints the same. For a node of your own, replace `sim.client()` by a client
//! of your cluster, leave the builder's `clock` out, and make the source's client by
//! `ImdsClient::builder()`.

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use spot_core::handler::Handler;
use spot_core::notice::{InstanceAction, SourceHealth};
use spot_core::observer::{Event, Observer, Occurrence};
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_drain::report::Report;
use spot_drain::sim::{Budget, Node, Sim, Workload, World};
use spot_imds::sim::{Imds, SharedImds};
use spot_imds::source::ImdsSource;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The node that we look after, and the instance that it is.
const NODE: &str = "spot-1";
const INSTANCE: &str = "i-0123456789abcdef0";

/// Prints a line per event, and says when the drain is over.
struct Printer {
    start: Instant,
    drained: Arc<Notify>,
}

impl Observer for Printer {
    fn on(&self, event: &Event) {
        let line = match &event.what {
            Occurrence::Identified(instance) => format!("we run on {}", instance.id),
            Occurrence::NodeKnown { verified: true } => format!("{NODE} is that instance"),
            Occurrence::NodeKnown { verified: false } => format!("{NODE} may be another instance"),
            Occurrence::SourceHealth { health, .. } => match health {
                SourceHealth::Failing { reason, .. } => {
                    format!("notices cannot be heard: {reason}")
                }
                _ => "notices can be heard".to_owned(),
            },
            Occurrence::Checked(armed) if armed.is_armed() => {
                "a notice now would be acted on".to_owned()
            }
            // Both clocks show the same here.
            Occurrence::Clock { .. } => return,
            Occurrence::NoticeRaised { notice, response } => {
                let left = notice.deadline.map(|d| d.remaining(event.at).as_secs());
                let left = left.map_or("at some time".to_owned(), |s| format!("in {s} s"));
                format!("{}: {} {left}; {response}", notice.kind, notice.action)
            }
            Occurrence::Quarantined { quarantine, .. } => {
                format!("node cordoned and tainted ({:?})", quarantine.phase)
            }
            Occurrence::DrainStarted(order) => format!("drain for {}", order.notice),
            Occurrence::DrainFinished(report) => {
                self.drained.notify_one();
                // What the drainer itself knows is behind the report of the port.
                let pods = report.details::<Report>().map_or(0, |r| r.pods.len());
                format!(
                    "drain {}, of {pods} pods {:?}",
                    report.outcome, report.tally
                )
            }
            Occurrence::NodeFailed(error) => format!("node: {}", error.describe()),
            // A resumed, nearer or withdrawn notice, and what is yet to come.
            other => format!("{other:?}"),
        };
        let at = event.at.saturating_duration_since(self.start);
        println!("{:>5.1} s  {line}", at.as_secs_f64());
    }
}

/// A cluster of two nodes, and the metadata of the one that gets a notice after 10 s.
fn simulated(start: Instant) -> (Sim, SharedImds) {
    let imds = Imds::builder()
        .instance(INSTANCE)
        .zone("eu-west-1a")
        .spot_notice(
            Duration::from_secs(10),
            InstanceAction::Terminate,
            Duration::from_secs(120),
        )
        .build_at(start)
        .shared();
    let web = Workload::deployment("web")
        .replicas(4)
        .on(NODE)
        .budget(Budget::max_unavailable("1"))
        .exit_after("2")
        .ready_after("3");
    let world = World::builder()
        .wall(imds.clock().at(start))
        .node(Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
        .node(Node::new("other-1"))
        .workload(web)
        .workload(Workload::stateful_set("db").on(NODE).exit_after("8"))
        .workload(Workload::daemon_set("agent"));
    (Sim::new(world.build(start)), imds)
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

fn run() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let (sim, imds) = simulated(start);
        let source = ImdsSource::builder(imds.client().build()?)
            .clock(Arc::new(imds.clock()))
            // The same waits after failures in every run.
            .jitter_seed(1)
            .build()?;
        let cluster = Cluster::from_client(sim.client());
        let drained = Arc::new(Notify::new());
        let handler = Handler::builder(NodeDrainer::new(cluster.pods(NODE)))
            .source(source)
            .node(cluster.node(NODE))
            // Proves from time to time that a notice would be acted on.
            .self_check(cluster.self_check(NODE))
            .jitter_seed(13)
            .observer(Printer {
                start,
                drained: Arc::clone(&drained),
            })
            // The simulators' time of day; a program on a machine has its own.
            .clock(imds.clock())
            .build();
        let never: Infallible = tokio::select! {
            // Ends when what is left to write down is written.
            ended = handler.run(drained.notified()) => return Ok(ended?),
            never = sim.run() => never,
        };
        match never {}
    })
}
