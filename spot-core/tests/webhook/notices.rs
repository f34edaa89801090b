//! Which notice a message names, where several stand.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use spot_core::deadline::Deadline;
use spot_core::drainer::{DrainOutcome, DrainReport, Order};
use spot_core::notice::{InstanceAction, Notice, NoticeEnd, NoticeId, NoticeKind};
use spot_core::observer::{Event, Observer, Occurrence};
use spot_core::policy::Response;
use spot_core::webhook::target::Target;
use spot_core::webhook::transport::{Transport, TransportError};
use spot_core::webhook::{Settings, webhook};
use tokio::time::Instant;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Value>>>);

#[async_trait]
impl Transport for Kept {
    async fn send(&self, request: Request<Bytes>) -> Result<u16, TransportError> {
        let body = serde_json::from_slice(request.body()).unwrap();
        self.0.lock().unwrap().push(body);
        Ok(200)
    }
}

/// What is told when this happens, in this order and at once.
async fn told_with(
    settings: impl Fn(Settings) -> Settings,
    happens: Vec<Occurrence>,
) -> Vec<Value> {
    let kept = Kept::default();
    let target = Target::new("https://hooks.example/").unwrap();
    let plain = Settings::new(target).with_transport(kept.clone());
    let (observer, delivery) = webhook("worker-1", settings(plain));
    for what in happens {
        let wall = jiff::Timestamp::UNIX_EPOCH;
        observer.on(&Event::new(Instant::now(), wall, what));
    }
    drop(observer);
    delivery.run().await;
    kept.0.lock().unwrap().clone()
}

async fn told(happens: Vec<Occurrence>) -> Vec<Value> {
    told_with(|settings| settings, happens).await
}

fn in_seconds(seconds: u64) -> Deadline {
    let wall = jiff::Timestamp::UNIX_EPOCH;
    Deadline::anchored(wall + Duration::from_secs(seconds), wall, Instant::now())
}

fn spot() -> Notice {
    let id = NoticeId::new("spot-interruption");
    Notice::new(id, NoticeKind::SpotInterruption, Instant::now()).with_deadline(in_seconds(120))
}

fn rebalance() -> Notice {
    let id = NoticeId::new("rebalance-recommendation");
    Notice::new(id, NoticeKind::RebalanceRecommendation, Instant::now())
}

fn raised(notice: Notice, response: Response) -> Occurrence {
    Occurrence::NoticeRaised { notice, response }
}

fn ended(notice: &Notice) -> Occurrence {
    Occurrence::NoticeEnded {
        notice: notice.id.clone(),
        how: NoticeEnd::Cancelled,
    }
}

fn finished(outcome: DrainOutcome) -> Occurrence {
    Occurrence::DrainFinished(Arc::new(DrainReport::new(outcome)))
}

fn started(notice: &Notice) -> Occurrence {
    Occurrence::DrainStarted(Order::from_notice(notice))
}

/// Of each message the event, and the notice's id and kind.
fn named(told: &[Value]) -> Vec<[Option<&str>; 3]> {
    let named = told.iter().map(|told| {
        let notice = &told["notice"];
        [&told["event"], &notice["id"], &notice["kind"]].map(Value::as_str)
    });
    named.collect()
}

const SPOT: Option<&str> = Some("spot-interruption");
const REBALANCE: Option<&str> = Some("rebalance-recommendation");

#[tokio::test(start_paused = true)]
async fn an_outcome_names_the_notice_that_was_drained_for_and_an_end_the_one_that_ended() {
    let told = told(vec![
        raised(spot(), Response::Drain),
        started(&spot()),
        raised(rebalance(), Response::Notify),
        finished(DrainOutcome::Complete),
        ended(&spot()),
        ended(&rebalance()),
    ])
    .await;
    let expected = [
        [Some("notice"), SPOT, SPOT],
        [Some("notice"), REBALANCE, REBALANCE],
        [Some("drain-finished"), SPOT, SPOT],
        [Some("notice-ended"), SPOT, SPOT],
        [Some("notice-ended"), REBALANCE, REBALANCE],
    ];
    assert_eq!(named(&told), expected);
    assert_eq!(told[2]["notice"]["deadline"], "1970-01-01T00:02:00Z");
    assert!(told[4]["notice"]["deadline"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_called_off_names_the_notice_that_ended_before_it() {
    let told = told(vec![
        raised(rebalance(), Response::Drain),
        started(&rebalance()),
        ended(&rebalance()),
        finished(DrainOutcome::Cancelled),
    ])
    .await;
    assert_eq!(
        named(&told)[2],
        [Some("drain-finished"), REBALANCE, REBALANCE]
    );
}

#[tokio::test(start_paused = true)]
async fn an_outcome_names_the_notice_that_took_over_a_drain_that_ran() {
    let told = told(vec![
        raised(rebalance(), Response::Drain),
        started(&rebalance()),
        raised(spot(), Response::Drain),
        Occurrence::NoticeSuperseded {
            old: rebalance().id,
            new: spot().id,
        },
        Occurrence::DeadlineNearer(Order::from_notice(&spot())),
        finished(DrainOutcome::Complete),
    ])
    .await;
    assert_eq!(named(&told)[2], [Some("drain-finished"), SPOT, SPOT]);
    assert_eq!(told[2]["notice"]["remaining_seconds"], 120);
}

#[tokio::test(start_paused = true)]
async fn what_a_notice_has_come_to_say_is_told() {
    let nearer = spot().with_deadline(in_seconds(60));
    let changed = nearer.clone().with_action(InstanceAction::Stop);
    let told = told(vec![
        raised(spot(), Response::Drain),
        started(&spot()),
        Occurrence::NoticeChanged(changed),
        Occurrence::DeadlineNearer(Order::from_notice(&nearer)),
        finished(DrainOutcome::Complete),
        ended(&spot()),
    ])
    .await;
    for told in &told[1..] {
        assert_eq!(told["notice"]["action"], "stop", "{told}");
        assert_eq!(told["notice"]["remaining_seconds"], 60, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_has_lived_its_time_is_told_as_ended() {
    let told = told(vec![
        raised(rebalance(), Response::Cordon),
        Occurrence::NoticeExpired(rebalance().id),
        ended(&rebalance()),
    ])
    .await;
    let end = [Some("notice-ended"), REBALANCE, REBALANCE];
    assert_eq!(named(&told)[1..], [end, end]);
    assert_eq!(told[1]["ended"], "expired");
    let text = "worker-1: rebalance-recommendation expired";
    assert_eq!(told[1]["text"], text);
    assert_eq!(told[2]["ended"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn of_a_notice_that_was_never_seen_its_id_is_told() {
    let told = told(vec![
        ended(&spot()),
        started(&rebalance()),
        finished(DrainOutcome::Complete),
    ])
    .await;
    assert_eq!(named(&told)[0], [Some("notice-ended"), SPOT, None]);
    assert_eq!(
        named(&told)[1],
        [Some("drain-finished"), REBALANCE, REBALANCE]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_that_it_is_one() {
    let happens = || vec![raised(spot(), Response::Drain)];
    let real = told(happens()).await;
    assert_eq!(real[0]["dry_run"], false);
    let dry = told_with(|settings| settings.with_dry_run(true), happens()).await;
    assert_eq!(dry[0]["dry_run"], true);
    let text = dry[0]["text"].as_str().unwrap();
    assert!(text.starts_with("worker-1 (dry run): "), "{text}");
}
