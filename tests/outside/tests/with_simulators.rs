//! The controller on both simulators: real clients, no socket, no time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outside::{PUTTING_BACK, controller};
use spot_core::drainer::DrainOutcome;
use spot_core::notice::InstanceAction;
use spot_core::observer::{Event, Observer, Occurrence};
use spot_core::sim::Fault;
use spot_drain::cluster::Cluster;
use spot_drain::sim::{Budget, Kind, Node, Sim, Workload, World};
use spot_imds::sim::{FaultRule, Imds, ImdsBuilder};
use spot_imds::source::ImdsSource;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

const NODE: &str = "worker-1";
const INSTANCE: &str = "i-0123456789abcdef0";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Keeps what happens, and says when the drain is over.
#[derive(Clone, Default)]
struct Diary {
    events: Arc<Mutex<Vec<Event>>>,
    drained: Arc<Notify>,
}

impl Observer for Diary {
    fn on(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
        if matches!(event.what, Occurrence::DrainFinished(_)) {
            self.drained.notify_one();
        }
    }
}

impl Diary {
    fn at(&self, wanted: impl Fn(&Occurrence) -> bool) -> Instant {
        let events = self.events.lock().unwrap();
        events.iter().find(|e| wanted(&e.what)).unwrap().at
    }

    fn outcome(&self) -> DrainOutcome {
        let events = self.events.lock().unwrap();
        let finished = events.iter().find_map(|e| match &e.what {
            Occurrence::DrainFinished(report) => Some(report.outcome),
            _ => None,
        });
        finished.unwrap()
    }
}

fn cluster(jobs: Workload) -> Sim {
    let world = World::builder()
        .node(Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
        .node(Node::new("worker-2"))
        .workload(jobs.replicas(3).on(NODE).exit_after("1"));
    Sim::new(world.build(Instant::now()))
}

fn notice_in(after: Duration) -> ImdsBuilder {
    let two_minutes = secs(120);
    Imds::builder()
        .instance(INSTANCE)
        .spot_notice(after, InstanceAction::Terminate, two_minutes)
}

/// Runs the controller until it has drained the node.
async fn drain(imds: ImdsBuilder, sim: &Sim) -> Diary {
    let imds = imds.build().shared();
    let source = ImdsSource::builder(imds.client().build().unwrap());
    let source = source.jitter_seed(1).build().unwrap();
    let diary = Diary::default();
    let handler = controller(source, &Cluster::from_client(sim.client()), NODE)
        .observer(diary.clone())
        .clock(imds.clock())
        .build();
    let running = async {
        tokio::select! {
            ended = handler.run(diary.drained.notified()) => ended.unwrap(),
            never = sim.run() => match never {},
        }
    };
    timeout(secs(900), running).await.unwrap();
    diary
}

fn pods_on(sim: &Sim, node: &str) -> usize {
    sim.with(|world| {
        let pods = world.api().objects(Kind::Pod);
        pods.filter(|pod| pod["spec"]["nodeName"] == node).count()
    })
}

#[tokio::test(start_paused = true)]
async fn it_puts_its_jobs_back_before_the_node_is_emptied() {
    let sim = cluster(Workload::deployment("jobs"));
    let diary = drain(notice_in(secs(30)), &sim).await;
    assert_eq!(diary.outcome(), DrainOutcome::Complete);
    assert_eq!((pods_on(&sim, NODE), pods_on(&sim, "worker-2")), (0, 3));
    let started = diary.at(|o| matches!(o, Occurrence::DrainStarted(_)));
    let requests = sim.requests();
    let first = requests.iter().find(|r| r.path.ends_with("/eviction"));
    assert!(first.unwrap().at >= started + PUTTING_BACK);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stumbles_costs_it_a_moment_and_no_more() {
    let sim = cluster(Workload::deployment("jobs"));
    let stumbles = FaultRule::new(Fault::status(503))
        .from(secs(25))
        .until(secs(40));
    let diary = drain(notice_in(secs(30)).fault(stumbles), &sim).await;
    assert_eq!(diary.outcome(), DrainOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_lets_nothing_go_is_respected_to_the_end() {
    let jobs = Workload::deployment("jobs").budget(Budget::min_available("3"));
    let sim = cluster(jobs);
    let diary = drain(notice_in(secs(30)), &sim).await;
    assert_eq!(diary.outcome(), DrainOutcome::Incomplete);
    assert_eq!(pods_on(&sim, NODE), 3);
    assert!(sim.requests().iter().all(|r| r.method != "DELETE"));
}
