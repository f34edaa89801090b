//! A handler with a webhook, in paused time: what is sent when, and that nothing waits for it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use spot_core::deadline::Deadline;
use spot_core::drainer::{DrainOutcome, DrainReport, Drainer, Order};
use spot_core::handler::Handler;
use spot_core::notice::{Instance, Notice, NoticeId, NoticeKind, Signal};
use spot_core::observer::{Event, Observer, Occurrence};
use spot_core::source::NoticeSource;
use spot_core::webhook::target::Target;
use spot_core::webhook::template::Template;
use spot_core::webhook::transport::{Transport, TransportError};
use spot_core::webhook::{Settings, WebhookObserver, webhook};
use tokio::sync::watch;
use tokio::time::Instant;

const DRAINED: &str = "drain complete after 20.0 s: 3 gone";
const SECOND: Duration = Duration::from_secs(1);

/// One interruption in two minutes, a second after the start.
struct Source(u8);

#[async_trait]
impl NoticeSource for Source {
    async fn next(&mut self) -> Signal {
        self.0 += 1;
        match self.0 {
            1 => Signal::Identified(Instance::new("i-1")),
            2 => {
                tokio::time::sleep(SECOND).await;
                let (now, wall) = (Instant::now(), jiff::Timestamp::UNIX_EPOCH);
                let deadline = Deadline::anchored(wall + 120 * SECOND, wall, now);
                let id = NoticeId::new("spot-interruption");
                let notice = Notice::new(id, NoticeKind::SpotInterruption, now);
                Signal::Raised(notice.with_deadline(deadline))
            }
            _ => std::future::pending().await,
        }
    }
}

/// A drain of 20 s.
struct Drains;

#[async_trait]
impl Drainer for Drains {
    async fn drain(&self, _: watch::Receiver<Order>) -> DrainReport {
        let start = Instant::now();
        tokio::time::sleep(20 * SECOND).await;
        let mut report = DrainReport::new(DrainOutcome::Complete);
        report.elapsed = start.elapsed();
        report.slack = Some(100 * SECOND);
        report.tally = [("gone", 3)].into();
        report.text.push_str(DRAINED);
        report
    }
}

/// What a receiver does until it recovers.
#[derive(Clone, Copy)]
enum Trouble {
    Status(u16),
    Silent,
    Late(Duration),
    Refuses,
}

/// A receiver that is in trouble until a time.
#[derive(Clone)]
struct Receiver {
    start: Instant,
    trouble: Option<(Trouble, Duration)>,
    got: Arc<Mutex<Vec<(Duration, Value)>>>,
    asked: Arc<Mutex<u32>>,
}

impl Receiver {
    fn new(trouble: Option<(Trouble, Duration)>) -> Self {
        Self {
            start: Instant::now(),
            trouble,
            got: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// When which events came.
    fn events(&self) -> Vec<(u64, String)> {
        let got = self.got.lock().unwrap();
        let event = |(at, body): &(Duration, Value)| {
            (at.as_secs(), body["event"].as_str().unwrap().to_owned())
        };
        got.iter().map(event).collect()
    }
}

#[async_trait]
impl Transport for Receiver {
    async fn send(&self, request: Request<Bytes>) -> Result<u16, TransportError> {
        *self.asked.lock().unwrap() += 1;
        let elapsed = self.start.elapsed();
        if let Some((trouble, _)) = self.trouble.filter(|(_, until)| elapsed < *until) {
            match trouble {
                Trouble::Status(status) => return Ok(status),
                Trouble::Silent => std::future::pending().await,
                Trouble::Late(by) => tokio::time::sleep(by).await,
                Trouble::Refuses => return Err(TransportError::Connect),
            }
        }
        assert_eq!(request.headers()["authorization"], "Bearer s3cret");
        let body = serde_json::from_slice(request.body()).unwrap();
        self.got.lock().unwrap().push((elapsed, body));
        Ok(204)
    }
}

/// When the drain began and ended.
#[derive(Clone, Default)]
struct Timeline(Arc<Mutex<Vec<(Duration, &'static str)>>>);

struct Timed(Timeline, Instant);

impl Observer for Timed {
    fn on(&self, event: &Event) {
        let what = match &event.what {
            Occurrence::DrainStarted(_) => "started",
            Occurrence::DrainFinished(_) => "finished",
            _ => return,
        };
        let at = event.at - self.1;
        self.0.0.lock().unwrap().push((at, what));
    }
}

/// Runs a handler for a while, and its delivery to its end.
async fn run(receiver: &Receiver) -> Vec<(Duration, &'static str)> {
    let target = Target::new("https://hooks.example/s3cret").unwrap();
    let target = target.with_headers("Authorization: Bearer s3cret").unwrap();
    let settings = Settings::new(target).with_transport(receiver.clone());
    let (observer, delivery) = webhook("worker-1", settings);
    let timeline = Timeline::default();
    // The webhook is told first: if it could hold anything up, it would.
    let handler = Handler::builder(Drains)
        .source(Source(0))
        .observer(observer)
        .observer(Timed(timeline.clone(), receiver.start))
        .build();
    let stop = tokio::time::sleep(60 * SECOND);
    let (ended, ()) = tokio::join!(handler.run(stop), delivery.run());
    ended.unwrap();
    timeline.0.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn it_is_told_at_detection_and_at_the_end() {
    let receiver = Receiver::new(None);
    run(&receiver).await;
    let expected = [(1, "notice".to_owned()), (21, "drain-finished".to_owned())];
    assert_eq!(receiver.events(), expected);
    let got = receiver.got.lock().unwrap();
    let (notice, outcome) = (&got[0].1, &got[1].1);
    assert_eq!(
        notice["text"],
        "worker-1: spot-interruption, terminate in 120 s; response: drain"
    );
    assert_eq!(notice["notice"]["deadline"], "1970-01-01T00:02:00Z");
    assert_eq!(notice["instance"]["id"], "i-1");
    assert!(notice["drain"]["outcome"].is_null());
    assert_eq!(
        outcome["text"],
        "worker-1: drain complete after 20.0 s: 3 gone"
    );
    assert_eq!(outcome["notice"]["kind"], "spot-interruption");
    assert_eq!(outcome["drain"]["pods"]["gone"], 3);
    assert_eq!(outcome["drain"]["slack_seconds"], 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_in_trouble_delays_nothing_and_is_told_when_it_recovers_in_time() {
    let expected = run(&Receiver::new(None)).await;
    let drain = [(SECOND, "started"), (21 * SECOND, "finished")];
    assert_eq!(expected, drain);
    for trouble in [
        Trouble::Status(500),
        Trouble::Status(429),
        Trouble::Silent,
        Trouble::Late(60 * SECOND),
        Trouble::Refuses,
    ] {
        let receiver = Receiver::new(Some((trouble, 45 * SECOND)));
        assert_eq!(run(&receiver).await, drain);
        let events = receiver.events();
        let names: Vec<&str> = events.iter().map(|(_, event)| event.as_str()).collect();
        assert_eq!(names, ["notice", "drain-finished"]);
        assert!(events[1].0 <= 45 + 15, "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_never_recovers_is_given_up_when_the_machine_is_gone() {
    for trouble in [Trouble::Status(503), Trouble::Silent] {
        let receiver = Receiver::new(Some((trouble, Duration::MAX)));
        run(&receiver).await;
        assert_eq!(receiver.events(), []);
        let took = receiver.start.elapsed();
        assert!(took <= 122 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_is_not_asked_again() {
    let receiver = Receiver::new(Some((Trouble::Status(404), Duration::MAX)));
    run(&receiver).await;
    assert_eq!(*receiver.asked.lock().unwrap(), 2, "once for each message");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_queue_is_counted() {
    let settings = Settings::new(Target::new("https://h/").unwrap());
    let (observer, delivery): (WebhookObserver, _) =
        webhook("n", settings.with_transport(Receiver::new(None)));
    let report = Arc::new(DrainReport::new(DrainOutcome::Complete));
    let what = Occurrence::DrainFinished(report);
    let event = Event::new(Instant::now(), jiff::Timestamp::UNIX_EPOCH, what);
    for _ in 0..100 {
        observer.on(&event);
    }
    assert_eq!(observer.dropped(), 68, "there is room for 32");
    drop(delivery);
}

#[tokio::test(start_paused = true)]
async fn a_template_is_what_is_told() {
    let receiver = Receiver::new(None);
    let target = Target::new("https://h/").unwrap();
    let template: Template = r#"{"summary": "{{ text }}"}"#.parse().unwrap();
    let settings = Settings::new(target).with_template(template);
    let (observer, delivery) = webhook("n", settings.with_transport(Templated(receiver.clone())));
    let mut report = DrainReport::new(DrainOutcome::Complete);
    report.text.push_str("say \"done\"\nand more");
    let what = Occurrence::DrainFinished(Arc::new(report));
    let at = jiff::Timestamp::UNIX_EPOCH;
    observer.on(&Event::new(Instant::now(), at, what));
    drop(observer);
    delivery.run().await;
    let got = receiver.got.lock().unwrap();
    let summary = got[0].1["summary"].as_str().unwrap();
    assert!(summary.starts_with("n: say \"done\""), "{summary}");
}

/// A receiver whose bodies are of any form.
struct Templated(Receiver);

#[async_trait]
impl Transport for Templated {
    async fn send(&self, request: Request<Bytes>) -> Result<u16, TransportError> {
        let body = serde_json::from_slice(request.body()).unwrap();
        self.0.got.lock().unwrap().push((Duration::ZERO, body));
        Ok(200)
    }
}
