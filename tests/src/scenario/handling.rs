//! A whole handler within the test: it is told of a notice, quarantines the node and drains it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::SignedDuration;
use spot_core::{
    clock::WallClock,
    deadline::Deadline,
    handler::{Handler, HandlerError},
    notice::{Instance, Notice, NoticeEnd, NoticeId, NoticeKind, Signal},
    observer::{Event, Observer, Occurrence},
    source::NoticeSource,
};
use spot_drain::{driver::NodeDrainer, plan::Settings, report::Report};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::stage::{Rights, Stage};
use crate::{Error, Result, cluster::Node};

/// The notice that it is told of.
const NOTICE: &str = "spot-interruption";

/// A handler under way. Dropping it ends it as a kill would: nothing is tidied up.
pub struct Handling {
    told: mpsc::Sender<Signal>,
    events: watch::Receiver<Vec<Event>>,
    clock: Arc<dyn WallClock>,
    _task: JoinSet<Result<(), HandlerError>>,
}

/// Says what it is told to.
struct Told(mpsc::Receiver<Signal>);

#[async_trait]
impl NoticeSource for Told {
    async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Keeps what it hears.
struct Diary(watch::Sender<Vec<Event>>);

impl Observer for Diary {
    fn on(&self, event: &Event) {
        self.0.send_modify(|events| events.push(event.clone()));
    }
}

/// The clock that was handed in.
struct Shared(Arc<dyn WallClock>);

impl WallClock for Shared {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

impl Handling {
    /// Starts a handler on `node` for a user with such rights, by a clock of its own.
    ///
    /// # Errors
    /// When the user cannot be made.
    pub async fn start(
        stage: &Stage,
        node: &Node,
        rights: &Rights,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self> {
        Self::start_with(stage, node, rights, clock, Settings::default()).await
    }

    /// The same with other settings of the drain.
    ///
    /// # Errors
    /// When the user cannot be made.
    pub async fn start_with(
        stage: &Stage,
        node: &Node,
        rights: &Rights,
        clock: Arc<dyn WallClock>,
        settings: Settings,
    ) -> Result<Self> {
        let connection = stage.connect(rights).await?;
        let (told, tells) = mpsc::channel(4);
        let (diary, events) = watch::channel(Vec::new());
        let drainer = NodeDrainer::new(connection.pods(&node.name)).with_settings(settings);
        let handler = Handler::builder(drainer)
            .source(Told(tells))
            .node(connection.node(&node.name))
            .observer(Diary(diary))
            .clock(Shared(Arc::clone(&clock)))
            .build();
        let mut task = JoinSet::new();
        task.spawn(handler.run(std::future::pending()));
        let handling = Self {
            told,
            events,
            clock,
            _task: task,
        };
        let instance = Instance::new(&node.instance_id);
        handling.tell(Signal::Identified(instance)).await?;
        Ok(handling)
    }

    async fn tell(&self, signal: Signal) -> Result<()> {
        let told = self.told.send(signal).await;
        told.map_err(|_| Error::Usage("the handler has ended".to_owned()))
    }

    /// Tells it when the machine goes, as a source does that knows how wrong the clock is.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn interrupt(&self, deadline: Instant) -> Result<()> {
        let (now, wall) = (Instant::now(), self.clock.now());
        let left = SignedDuration::try_from(deadline.saturating_duration_since(now));
        let deadline = Deadline::anchored(wall + left.unwrap_or_default(), wall, now);
        let id = NoticeId::new(NOTICE);
        let notice = Notice::new(id, NoticeKind::SpotInterruption, now).with_deadline(deadline);
        self.tell(Signal::Raised(notice)).await
    }

    /// Tells it that the notice was taken back.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn call_off(&self) -> Result<()> {
        let notice = NoticeId::new(NOTICE);
        let how = NoticeEnd::Cancelled;
        self.tell(Signal::Ended { notice, how }).await
    }

    /// What has happened so far.
    pub fn events(&self) -> Vec<Occurrence> {
        let events = self.events.borrow();
        events.iter().map(|event| event.what.clone()).collect()
    }

    /// Waits for something to happen.
    ///
    /// # Errors
    /// When it does not within the time, or the handler ends.
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Occurrence) -> bool,
    ) -> Result<Event> {
        let mut events = self.events.clone();
        let found = |event: &&Event| wanted(&event.what);
        let seen = timeout(
            within,
            events.wait_for(|all| all.iter().any(|e| wanted(&e.what))),
        );
        let all = match seen.await {
            Ok(Ok(all)) => all,
            Ok(Err(_)) => return Err(Error::Usage(format!("{what}: the handler has ended"))),
            Err(_) => {
                let seen = self.events();
                let problem = format!("{what}: not within {within:?}; seen: {seen:?}");
                return Err(Error::Usage(problem));
            }
        };
        let event = all.iter().find(found).cloned();
        event.ok_or_else(|| Error::Usage(format!("{what}: seen and not there")))
    }

    /// Waits for the node's quarantine.
    ///
    /// # Errors
    /// As [`Handling::wait`].
    pub async fn quarantined(&self) -> Result<Event> {
        let is = |what: &Occurrence| matches!(what, Occurrence::Quarantined { .. });
        self.wait("the quarantine", Duration::from_secs(15), is)
            .await
    }

    /// Waits for the end of the drain: its report, and when it came.
    ///
    /// # Errors
    /// As [`Handling::wait`].
    pub async fn drained(&self, within: Duration) -> Result<(Report, Instant)> {
        let is = |what: &Occurrence| matches!(what, Occurrence::DrainFinished(_));
        let event = self.wait("the end of the drain", within, is).await?;
        match event.what {
            Occurrence::DrainFinished(report) => {
                let details = report.details::<Report>().cloned();
                let details = details.map(|report| (report, event.at));
                details.ok_or_else(|| Error::Usage("a report of another kind".to_owned()))
            }
            _ => Err(Error::Usage("no end of a drain".to_owned())),
        }
    }
}
