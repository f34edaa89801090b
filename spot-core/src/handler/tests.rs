//! The driver with fakes of every port and paused time.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::*;
use crate::deadline::Deadline;
use crate::drainer::DrainOutcome;
use crate::node::{Phase, Quarantine, Recall, Release};
use crate::notice::{Instance, Notice, NoticeEnd, NoticeId, NoticeKind, SourceHealth, Trouble};

mod checks;
mod course;
mod ends;
mod node;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// A wall clock that goes with the paused one.
struct Clock(Instant);

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

/// Says what the test sends.
struct Source(mpsc::UnboundedReceiver<Signal>);

#[async_trait]
impl NoticeSource for Source {
    async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            None => pending().await,
        }
    }
}

/// What a node answers.
enum Answer<T> {
    Says(Result<T, NodeError>),
    /// Well, after a while.
    Late(Duration),
    Never,
}

type Answers<T> = VecDeque<Answer<T>>;

/// Answers as told, and well where nothing is told.
#[derive(Default)]
struct Script {
    recalls: Answers<Recall>,
    quarantines: Answers<()>,
    releases: Answers<()>,
    /// What was asked of it, and when.
    asked: Vec<(Instant, String)>,
}

#[derive(Clone, Default)]
struct Node(Arc<Mutex<Script>>);

impl Node {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// Answers so to the first reads.
    fn recalling(self, answers: impl IntoIterator<Item = Answer<Recall>>) -> Self {
        self.script().recalls.extend(answers);
        self
    }

    fn quarantining(self, answers: impl IntoIterator<Item = Answer<()>>) -> Self {
        self.script().quarantines.extend(answers);
        self
    }

    fn asked(&self, what: impl Into<String>) {
        self.script().asked.push((Instant::now(), what.into()));
    }

    /// What was asked that begins so.
    fn count(&self, what: &str) -> usize {
        let script = self.script();
        script
            .asked
            .iter()
            .filter(|(_, a)| a.starts_with(what))
            .count()
    }

    fn times(&self, what: &str) -> Vec<Instant> {
        let script = self.script();
        let asked = script.asked.iter().filter(|(_, a)| a.starts_with(what));
        asked.map(|(at, _)| *at).collect()
    }
}

async fn given<T>(answer: Option<Answer<T>>, well: T) -> Result<T, NodeError> {
    match answer {
        None => Ok(well),
        Some(Answer::Says(answer)) => answer,
        Some(Answer::Late(after)) => {
            tokio::time::sleep(after).await;
            Ok(well)
        }
        Some(Answer::Never) => pending().await,
    }
}

#[async_trait]
impl NodeControl for Node {
    async fn recall(&self, instance: Option<Instance>) -> Result<Recall, NodeError> {
        self.asked("recall");
        let answer = self.script().recalls.pop_front();
        given(answer, Recall::new(None, None, instance.is_some())).await
    }

    async fn quarantine(&self, quarantine: Quarantine) -> Result<(), NodeError> {
        self.asked(format!("quarantine {:?}", quarantine.phase));
        let answer = self.script().quarantines.pop_front();
        given(answer, ()).await
    }

    async fn release(&self, _: Release) -> Result<(), NodeError> {
        self.asked("release");
        let answer = self.script().releases.pop_front();
        given(answer, ()).await
    }
}

/// Drains until told to end, or the order is taken back.
struct Drains {
    began: mpsc::UnboundedSender<oneshot::Sender<DrainOutcome>>,
    /// Says so when it is dropped.
    alive: mpsc::Sender<()>,
}

#[async_trait]
impl Drainer for Drains {
    async fn drain(&self, mut order: watch::Receiver<Order>) -> DrainReport {
        let _alive = self.alive.clone();
        let (end, ended) = oneshot::channel();
        self.began.send(end).unwrap();
        let told = async {
            match ended.await {
                Ok(outcome) => outcome,
                Err(_) => pending().await,
            }
        };
        let taken_back = async {
            if order.wait_for(|o| o.cancelled).await.is_err() {
                pending::<()>().await;
            }
        };
        let outcome = tokio::select! {
            outcome = told => outcome,
            () = taken_back => DrainOutcome::Cancelled,
        };
        DrainReport::new(outcome)
    }
}

struct Events(mpsc::UnboundedSender<Occurrence>);

impl Observer for Events {
    fn on(&self, event: &Event) {
        let _ = self.0.send(event.what.clone());
    }
}

/// A running handler and everything around it.
struct Rig {
    start: Instant,
    node: Node,
    signals: mpsc::UnboundedSender<Signal>,
    events: mpsc::UnboundedReceiver<Occurrence>,
    drains: mpsc::UnboundedReceiver<oneshot::Sender<DrainOutcome>>,
    alive: mpsc::Receiver<()>,
    readiness: watch::Receiver<Readiness>,
    shutdown: Option<oneshot::Sender<()>>,
    run: JoinSet<Result<(), HandlerError>>,
}

impl Rig {
    fn new(node: Node) -> Self {
        Self::with(node, |handler| handler.self_check_interval(None))
    }

    /// The same with a handler that is changed before it is built.
    fn with(node: Node, change: impl FnOnce(HandlerBuilder) -> HandlerBuilder) -> Self {
        let start = Instant::now();
        let (signals, said) = mpsc::unbounded_channel();
        let (began, drains) = mpsc::unbounded_channel();
        let (alive_send, alive) = mpsc::channel(1);
        let (events_send, events) = mpsc::unbounded_channel();
        let (shutdown, asked) = oneshot::channel::<()>();
        let drainer = Drains {
            began,
            alive: alive_send,
        };
        let handler = Handler::builder(drainer)
            .source(Source(said))
            .node(node.clone())
            .observer(Events(events_send))
            .clock(Clock(start))
            .shutdown_grace(secs(20));
        let handler = change(handler).build();
        let readiness = handler.readiness();
        let mut run = JoinSet::new();
        run.spawn(handler.run(async move {
            if asked.await.is_err() {
                pending::<()>().await;
            }
        }));
        Self {
            start,
            node,
            signals,
            events,
            drains,
            alive,
            readiness,
            shutdown: Some(shutdown),
            run,
        }
    }

    fn say(&self, signal: Signal) {
        self.signals.send(signal).unwrap();
    }

    /// An interruption two minutes from now, from a source that knows who we are.
    fn interrupt(&self) {
        self.say(Signal::Identified(Instance::new("i-1")));
        self.say(Signal::Health(SourceHealth::Good));
        self.say(Signal::Raised(interruption()));
    }

    /// Waits for an event that fits; what comes before it is dropped.
    async fn event(&mut self, fits: impl Fn(&Occurrence) -> bool) -> Occurrence {
        loop {
            let event = within(self.events.recv())
                .await
                .expect("the handler has ended");
            if fits(&event) {
                return event;
            }
        }
    }

    /// Waits for a drain to begin; what is returned ends it.
    async fn drain(&mut self) -> oneshot::Sender<DrainOutcome> {
        within(self.drains.recv())
            .await
            .expect("the handler has ended")
    }

    fn shut_down(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    /// How the handler ended.
    async fn ended(&mut self) -> Result<(), HandlerError> {
        within(self.run.join_next()).await.unwrap().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Fails a test that would wait for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(secs(3600), future)
        .await
        .expect("it never came")
}

/// Lets everything that can happen without time passing happen.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn interruption() -> Notice {
    let now = Instant::now();
    let wall = Timestamp::UNIX_EPOCH;
    let deadline = Deadline::anchored(wall + secs(120), wall, now);
    Notice::new(NoticeId::new("spot"), NoticeKind::SpotInterruption, now).with_deadline(deadline)
}

fn cancelled() -> Signal {
    Signal::Ended {
        notice: NoticeId::new("spot"),
        how: NoticeEnd::Cancelled,
    }
}

fn failing() -> Signal {
    Signal::Health(SourceHealth::Failing {
        trouble: Trouble::Unreachable,
        reason: "away".to_owned(),
    })
}

fn unavailable<T>() -> Answer<T> {
    Answer::Says(Err(NodeError::Unavailable("away".into())))
}

fn forbidden<T>() -> Answer<T> {
    Answer::Says(Err(NodeError::Forbidden {
        verb: "get",
        resource: "nodes",
        source: None,
    }))
}

fn not_found<T>() -> Answer<T> {
    Answer::Says(Err(NodeError::NotFound { node: "n".into() }))
}

fn another<T>() -> Answer<T> {
    Answer::Says(Err(NodeError::AnotherInstance {
        node: "n".into(),
        ours: "i-1".into(),
        found: "i-2".into(),
    }))
}

fn well(verified: bool) -> Answer<Recall> {
    Answer::Says(Ok(Recall::new(None, None, verified)))
}

fn is_failure(what: &Occurrence) -> bool {
    matches!(what, Occurrence::NodeFailed(_))
}

fn is_quarantined(what: &Occurrence, phase: Phase) -> bool {
    matches!(what, Occurrence::Quarantined { quarantine, .. } if quarantine.phase == phase)
}
