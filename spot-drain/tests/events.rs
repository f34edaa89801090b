//! Kubernetes Events of a whole handler against the simulated cluster, in paused time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use spot_core::deadline::Deadline;
use spot_core::handler::Handler;
use spot_core::notice::{Instance, Notice, NoticeEnd, NoticeId, NoticeKind, Signal, SourceHealth};
use spot_core::observer::{Event, Observer, Occurrence};
use spot_core::sim::Fault;
use spot_core::source::NoticeSource;
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_drain::events::{NodeEvents, node_events};
use spot_drain::plan::{BudgetPolicy, Settings};
use spot_drain::sim::{Budget, Injection, Kind, Node, Sim, Workload, World};
use tokio::time::Instant;

const NODE: &str = "spot-1";
const INSTANCE: &str = "i-0123456789abcdef0";
const SECOND: Duration = Duration::from_secs(1);

/// Says what there is to say, at its time.
struct Script(std::vec::IntoIter<(Duration, Signal)>, Instant);

#[async_trait]
impl NoticeSource for Script {
    async fn next(&mut self) -> Signal {
        let Some((after, _)) = self.0.as_slice().first() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(self.1 + *after).await;
        self.0.next().unwrap().1
    }
}

fn interruption(left: Duration) -> Signal {
    let now = Instant::now();
    let wall: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let id = NoticeId::new("spot-interruption");
    let notice = Notice::new(id, NoticeKind::SpotInterruption, now);
    Signal::Raised(notice.with_deadline(Deadline::anchored(wall + left, wall, now)))
}

fn interrupted(left: Duration) -> Vec<(Duration, Signal)> {
    vec![
        (Duration::ZERO, Signal::Identified(Instance::new(INSTANCE))),
        (Duration::ZERO, Signal::Health(SourceHealth::Good)),
        (Duration::ZERO, interruption(left)),
    ]
}

/// A node with a pod of each fate.
fn sim() -> Sim {
    let world = World::builder()
        .node(Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
        .node(Node::new("other-1"))
        .workload(Workload::deployment("free").replicas(3).on(NODE))
        .workload(Workload::deployment("slow").grace(600).on(NODE))
        .workload(
            Workload::deployment("guarded")
                .on(NODE)
                .budget(Budget::max_unavailable("0")),
        );
    Sim::new(world.build(Instant::now()))
}

/// What happened, and when.
#[derive(Clone, Default)]
struct Timeline(std::sync::Arc<std::sync::Mutex<Vec<(Duration, String)>>>);

struct Timed(Timeline, Instant);

impl Observer for Timed {
    fn on(&self, event: &Event) {
        let what = match &event.what {
            Occurrence::Quarantined { quarantine, .. } => format!("{:?}", quarantine.phase),
            Occurrence::DrainStarted(_) => "drain".to_owned(),
            Occurrence::DrainFinished(report) => report.outcome.to_string(),
            Occurrence::Released => "released".to_owned(),
            _ => return,
        };
        self.0.0.lock().unwrap().push((event.at - self.1, what));
    }
}

/// Runs a handler for a while, then its writer to its end; what it dropped.
async fn run(sim: &Sim, settings: Settings, said: Vec<(Duration, Signal)>) -> (Timeline, u64) {
    let cluster = Cluster::from_client(sim.client());
    let (events, writer) = node_events(&cluster, NODE);
    let start = Instant::now();
    let timeline = Timeline::default();
    let drainer = NodeDrainer::new(cluster.pods(NODE))
        .with_settings(settings)
        .with_observer(events.clone());
    let handler = Handler::builder(drainer)
        .source(Script(said.into_iter(), start))
        .node(cluster.node(NODE))
        .self_check_interval(None)
        .observer(Timed(timeline.clone(), start))
        .observer(events.clone())
        .build();
    let dropped = std::cell::Cell::new(0);
    let both = async {
        let counts: NodeEvents = events;
        let ended = handler.run(tokio::time::sleep(180 * SECOND));
        let ending = async {
            ended.await.unwrap();
            dropped.set(counts.dropped());
            drop(counts);
        };
        tokio::join!(ending, writer.run());
    };
    tokio::select! {
        never = sim.run() => match never {},
        () = both => {}
    }
    (timeline, dropped.get())
}

/// Events as the API has them: reason and the object's name without what was made up.
fn events(sim: &Sim) -> BTreeMap<String, Value> {
    sim.with(|world| {
        let events = world.api().objects(Kind::Event);
        let named = events.map(|event| {
            let object = event["involvedObject"]["name"].as_str().unwrap();
            let object = object.split('-').next().unwrap();
            let reason = event["reason"].as_str().unwrap();
            (format!("{reason} {object}"), event.clone())
        });
        named.collect()
    })
}

#[tokio::test(start_paused = true)]
async fn the_outcome_is_there_when_the_node_and_its_pods_are_gone() {
    let sim = sim();
    let settings = Settings::default();
    let (_, dropped) = run(&sim, settings, interrupted(60 * SECOND)).await;
    sim.with(|world| {
        let pods: Vec<String> = world
            .api()
            .objects(Kind::Pod)
            .filter(|pod| pod["spec"]["nodeName"] == NODE)
            .map(|pod| format!("default/{}", pod["metadata"]["name"].as_str().unwrap()))
            .collect();
        for pod in pods {
            world.api_mut().remove(Kind::Pod, &pod);
        }
        world.api_mut().remove(Kind::Node, NODE);
    });
    let events = events(&sim);
    let keys: Vec<&str> = events.keys().map(String::as_str).collect();
    let expected = [
        "Cordon spot",
        "CordonAndDrainError spot",
        "DrainPlanned spot",
        "EvictionBlocked guarded",
        "GraceTrimmed slow",
        "LeftBehind guarded",
        "SpotInterruption spot",
    ];
    assert_eq!(keys, expected);
    let says = |key: &str, words: &str| {
        let message = events[key]["message"].as_str().unwrap();
        assert!(message.contains(words), "{key}: {message}");
    };
    says(
        "DrainPlanned spot",
        "pods: 5 evict; the grace of 1 does not fit",
    );
    says("CordonAndDrainError spot", "drain incomplete");
    says("CordonAndDrainError spot", "guarded");
    says("EvictionBlocked guarded", "PodDisruptionBudget");
    says("LeftBehind guarded", "blocked by PodDisruptionBudget");
    let node = &events["SpotInterruption spot"];
    assert_eq!(node["metadata"]["namespace"], "default");
    assert_eq!(
        (&node["type"], &node["count"]),
        (&"Warning".into(), &1.into())
    );
    assert_eq!(dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_past_its_budget_has_an_event() {
    let sim = sim();
    let grace = 5 * SECOND;
    let settings = Settings::default().with_budgets(BudgetPolicy::DeleteAt { grace });
    run(&sim, settings, interrupted(60 * SECOND)).await;
    let events = events(&sim);
    assert!(
        events.contains_key("DeletedPastBudget guarded"),
        "{events:?}"
    );
    assert!(!events.contains_key("LeftBehind guarded"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_ends_gives_the_node_back_and_says_so() {
    let sim = sim();
    let mut said = interrupted(600 * SECOND);
    let notice = NoticeId::new("spot-interruption");
    let how = NoticeEnd::Cancelled;
    said.push((20 * SECOND, Signal::Ended { notice, how }));
    run(&sim, Settings::default(), said).await;
    let events = events(&sim);
    for key in ["DrainCancelled spot", "NoticeEnded spot", "Uncordon spot"] {
        assert!(events.contains_key(key), "{key} is not in {events:?}");
    }
}

/// Whether a request is about events.
fn is_event(request: &http::Request<Bytes>) -> bool {
    request.uri().path().contains("/events")
}

#[tokio::test(start_paused = true)]
async fn events_that_hang_fail_or_are_forbidden_delay_nothing() {
    let good = sim();
    let (expected, _) = run(&good, Settings::default(), interrupted(60 * SECOND)).await;
    let expected = expected.0.lock().unwrap().clone();
    assert!(
        expected.iter().any(|(_, what)| what == "incomplete"),
        "{expected:?}"
    );
    for fault in [Fault::BlackHole, Fault::status(500), Fault::status(403)] {
        let sim = sim();
        sim.set_faults(move |_, request: &http::Request<Bytes>, _| {
            if is_event(request) {
                Injection::from(fault.clone())
            } else {
                Injection::none()
            }
        });
        let (timeline, _) = run(&sim, Settings::default(), interrupted(60 * SECOND)).await;
        assert_eq!(*timeline.0.lock().unwrap(), expected);
        assert!(events(&sim).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_when_the_server_is_back() {
    let sim = sim();
    let start = Instant::now();
    sim.set_faults(move |_, request: &http::Request<Bytes>, _| {
        if is_event(request) && start.elapsed() < 90 * SECOND {
            Injection::from(Fault::status(503))
        } else {
            Injection::none()
        }
    });
    run(&sim, Settings::default(), interrupted(60 * SECOND)).await;
    let events = events(&sim);
    assert!(events.contains_key("SpotInterruption spot"), "{events:?}");
    assert!(
        events.contains_key("CordonAndDrainError spot"),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_makes_no_second_event() {
    let sim = sim();
    let mut lost = false;
    sim.set_faults(move |_, request: &http::Request<Bytes>, _| {
        let loses = is_event(request) && !std::mem::replace(&mut lost, is_event(request));
        if loses {
            Injection::from(Fault::ResetAfter)
        } else {
            Injection::none()
        }
    });
    run(&sim, Settings::default(), interrupted(60 * SECOND)).await;
    let count = sim.with(|world| {
        let events = world.api().objects(Kind::Event);
        events
            .filter(|event| event["reason"] == "SpotInterruption")
            .count()
    });
    assert_eq!(count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_again_counts_up_and_what_does_not_fit_is_counted() {
    let sim = sim();
    let cluster = Cluster::from_client(sim.client());
    let (events, writer) = node_events(&cluster, NODE);
    let released = Event::new(
        Instant::now(),
        jiff::Timestamp::UNIX_EPOCH,
        Occurrence::Released,
    );
    for _ in 0..100 {
        events.on(&released);
    }
    assert_eq!(events.dropped(), 36, "there is room for 64");
    drop(events);
    tokio::select! {
        never = sim.run() => match never {},
        () = writer.run() => {}
    }
    let counts: Vec<Value> = sim.with(|world| {
        let events = world.api().objects(Kind::Event);
        events.map(|event| event["count"].clone()).collect()
    });
    assert_eq!(counts, [64]);
}
