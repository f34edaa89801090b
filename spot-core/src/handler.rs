//! The driver: performs what the [`lifecycle`](crate::lifecycle) asks for.
//!
//! One task per source, one that writes the node, one that drains, one that checks; all are owned
//! here and end with [`Handler::run`].

mod node_writer;
mod self_checks;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::armed::{Armed, Finding, Link, SelfCheck};
use crate::clock::{Now, SystemClock, WallClock};
use crate::deadline::HORIZON;
use crate::drainer::{DrainReport, Drainer, Order};
use crate::lifecycle::{Effect, Input, Lifecycle, Outbox, Readiness};
use crate::node::{NoNode, NodeControl, NodeError};
use crate::notice::Signal;
use crate::observer::{Event, Observer, Occurrence};
use crate::policy::Policy;
use crate::pulse::Pulse;
use crate::source::NoticeSource;
use node_writer::{NodeWriter, Written};
pub use self_checks::SELF_CHECK_INTERVAL;
use self_checks::SelfChecks;

/// How long a running drain may go on after the program was asked to end, unless set.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(130);

/// How long a write to the node may go on after the program was asked to end.
const WRITE_GRACE: Duration = Duration::from_secs(2);

/// How often the loop turns at least, so that one that stands still is told from an idle one.
const BEAT: Duration = Duration::from_secs(10);

/// Why a handler ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The cluster answers and does not know our node: a configuration error.
    #[error("unusable node")]
    UnknownNode(#[source] Arc<NodeError>),
    /// A task that must never end has ended: a bug.
    #[error("a critical task ended: {task}")]
    CriticalTask {
        /// Which one.
        task: &'static str,
        /// How, where it panicked.
        #[source]
        source: Option<JoinError>,
    },
}

/// Puts a handler together.
pub struct HandlerBuilder {
    sources: Vec<(String, Box<dyn NoticeSource>)>,
    node: Arc<dyn NodeControl>,
    check: Arc<dyn SelfCheck>,
    check_interval: Option<Duration>,
    seed: Option<u64>,
    drainer: Arc<dyn Drainer>,
    observers: Vec<Arc<dyn Observer>>,
    policy: Policy,
    clock: Arc<dyn WallClock>,
    shutdown_grace: Duration,
}

impl HandlerBuilder {
    /// Adds a source of notices, named `source`, then `source-2` and so on.
    #[must_use]
    pub fn source(self, source: impl NoticeSource + 'static) -> Self {
        let name = match self.sources.len() {
            0 => "source".to_owned(),
            others => format!("source-{}", others + 1),
        };
        self.named_source(name, source)
    }

    /// Adds a source of notices with a name for logs and health.
    ///
    /// Notices with the same identity are one notice, which stands until no source says it any
    /// more. Where several sources say which machine this is, the one that was added first is
    /// believed. What was remembered of an earlier process is called stale only when every source
    /// has been heard.
    #[must_use]
    pub fn named_source(
        mut self,
        name: impl Into<String>,
        source: impl NoticeSource + 'static,
    ) -> Self {
        self.sources.push((name.into(), Box::new(source)));
        self
    }

    /// What proves that a notice now would be acted on; asked soon after the start and every
    /// [`SELF_CHECK_INTERVAL`], not while a drain runs.
    #[must_use]
    pub fn self_check(mut self, check: impl SelfCheck + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }

    /// The least time from one self-check to the next; `None`: never.
    #[must_use]
    pub fn self_check_interval(mut self, interval: Option<Duration>) -> Self {
        self.check_interval = interval;
        self
    }

    /// The machine's place in its cluster; without one there is nothing to cordon.
    #[must_use]
    pub fn node(mut self, node: impl NodeControl + 'static) -> Self {
        self.node = Arc::new(node);
        self
    }

    /// Makes the times of the self-checks the same in every run. Unless set they differ from
    /// process to process, so that a group of nodes does not ask together.
    #[must_use]
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds an observer.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// What is done about which kind of notice.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The wall clock; the machine's own unless set.
    #[must_use]
    pub fn clock(mut self, clock: impl WallClock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a running drain may go on after shutdown was asked for
    /// ([`SHUTDOWN_GRACE`] unless set).
    #[must_use]
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.shutdown_grace = grace.min(HORIZON);
        self
    }

    /// The handler.
    pub fn build(self) -> Handler {
        let (readiness, _) = watch::channel(Readiness::default());
        let (armed, _) = watch::channel(None);
        Handler {
            parts: self,
            readiness,
            armed,
            pulse: Pulse::new(Instant::now()),
        }
    }
}

/// Sees notices and has them acted on. See the [crate] for an example.
pub struct Handler {
    parts: HandlerBuilder,
    readiness: watch::Sender<Readiness>,
    armed: watch::Sender<Option<Arc<Armed>>>,
    pulse: Pulse,
}

impl Handler {
    /// A handler that moves work away by `drainer`.
    pub fn builder(drainer: impl Drainer + 'static) -> HandlerBuilder {
        HandlerBuilder {
            sources: Vec::new(),
            node: Arc::new(NoNode),
            check: Arc::new(NoNode),
            check_interval: Some(SELF_CHECK_INTERVAL),
            seed: None,
            drainer: Arc::new(drainer),
            observers: Vec::new(),
            policy: Policy::default(),
            clock: Arc::new(SystemClock),
            shutdown_grace: SHUTDOWN_GRACE,
        }
    }

    /// Whether a notice now would be acted on, as it changes.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// What the last self-check found; `None` before the first.
    pub fn armed(&self) -> watch::Receiver<Option<Arc<Armed>>> {
        self.armed.subscribe()
    }

    /// Beats every 10 s at least while [`run`](Self::run) goes on.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Runs until `shutdown` completes, and, where a drain runs then, until that has ended,
    /// but no longer than the shutdown grace.
    ///
    /// # Errors
    /// [`HandlerError`]; no fault of a source, the cluster or a drain is one.
    ///
    /// # Cancel safety
    /// Dropping the future ends every task; what was written down on the node lets the next
    /// process carry on.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), HandlerError> {
        Driver::new(self).run(shutdown).await
    }
}

/// A running handler.
struct Driver {
    lifecycle: Lifecycle,
    node: NodeWriter,
    drainer: Arc<dyn Drainer>,
    observers: Vec<Arc<dyn Observer>>,
    clock: Arc<dyn WallClock>,
    readiness: watch::Sender<Readiness>,
    armed: watch::Sender<Option<Arc<Armed>>>,
    checks: SelfChecks,
    pulse: Pulse,
    shutdown_grace: Duration,
    signals: mpsc::Receiver<(usize, Signal)>,
    sources: JoinSet<()>,
    drains: JoinSet<DrainReport>,
    order: Option<watch::Sender<Order>>,
}

impl Driver {
    fn new(handler: Handler) -> Self {
        let Handler {
            parts,
            readiness,
            armed,
            pulse,
        } = handler;
        let (send, signals) = mpsc::channel(16);
        let mut sources = JoinSet::new();
        let mut names = Vec::new();
        for (number, (name, mut source)) in parts.sources.into_iter().enumerate() {
            names.push(name);
            let send = send.clone();
            sources.spawn(async move {
                while send.send((number, source.next().await)).await.is_ok() {}
            });
        }
        Self {
            lifecycle: Lifecycle::new(parts.policy, names),
            node: NodeWriter::start(parts.node),
            checks: SelfChecks::new(parts.check, parts.check_interval, parts.seed),
            drainer: parts.drainer,
            observers: parts.observers,
            clock: parts.clock,
            readiness,
            armed,
            pulse,
            shutdown_grace: parts.shutdown_grace,
            signals,
            sources,
            drains: JoinSet::new(),
            order: None,
        }
    }

    async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), HandlerError> {
        let mut shutdown = pin!(shutdown);
        let mut ends_at: Option<Instant> = None;
        self.feed(Input::Started);
        loop {
            if ends_at.is_some() && self.drains.is_empty() && !self.node.is_writing() {
                return Ok(());
            }
            self.pulse.beat(Instant::now());
            let wake = self.lifecycle.next_wake();
            tokio::select! {
                biased;
                () = &mut shutdown, if ends_at.is_none() => {
                    let draining = !self.drains.is_empty();
                    let grace = if draining { self.shutdown_grace } else { WRITE_GRACE };
                    ends_at = Some(Instant::now() + grace);
                    if draining {
                        self.tell(Occurrence::ShutdownWaits(grace));
                    }
                }
                () = sleep_until(ends_at.unwrap_or_else(Instant::now)), if ends_at.is_some() => {
                    return Ok(());
                }
                Some((source, signal)) = self.signals.recv() => {
                    self.feed(Input::Signal { source, signal });
                }
                written = self.node.next() => self.on_written(written?)?,
                Some(report) = self.drains.join_next() => {
                    let report = report.map_err(|e| critical("drain", Some(e)))?;
                    self.order = None;
                    self.tell(Occurrence::DrainFinished(Arc::new(report)));
                    self.feed(Input::DrainFinished);
                    // What is left to do is to write it down.
                    ends_at = ends_at.map(|end| end.min(Instant::now() + WRITE_GRACE));
                }
                Some(ended) = self.sources.join_next() => {
                    return Err(critical("source", ended.err()));
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.feed(Input::Woken);
                }
                found = self.checks.next(self.lifecycle.instance()), if self.drains.is_empty() => {
                    self.on_checked(found);
                }
                () = sleep(BEAT) => {}
            }
        }
    }

    fn on_written(&mut self, written: Written) -> Result<(), HandlerError> {
        match written {
            Written::Recalled(recall) => self.feed(Input::Recalled(recall)),
            Written::Quarantined(quarantine) => {
                let after = self.clock.now().duration_since(quarantine.since);
                let after = Duration::try_from(after).unwrap_or_default();
                self.tell(Occurrence::Quarantined { quarantine, after });
                self.feed(Input::Quarantined);
            }
            Written::Released => self.tell(Occurrence::Released),
            Written::Unknown(error) => {
                return Err(HandlerError::UnknownNode(error));
            }
            Written::Failed(error) => {
                let not_ours = matches!(*error, NodeError::AnotherInstance { .. });
                self.tell(Occurrence::NodeFailed(error));
                if not_ours {
                    self.feed(Input::NotOurs);
                }
            }
        }
        Ok(())
    }

    /// Hands an input to the lifecycle and performs what follows.
    fn feed(&mut self, input: Input) {
        let mut out = Outbox::default();
        self.lifecycle.on(input, Now::read(&*self.clock), &mut out);
        for what in out.tell {
            self.tell(what);
        }
        for effect in out.effects {
            self.perform(effect);
        }
        self.tell_readiness();
    }

    /// What a check found, with what is known of the sources.
    fn on_checked(&mut self, findings: Vec<Finding>) {
        let now = Now::read(&*self.clock);
        let known = self.lifecycle.findings(now.instant);
        let armed = Armed::new(now.wall, known.into_iter().chain(findings));
        let armed = armed.after(self.armed.borrow().as_deref());
        let armed = Arc::new(armed);
        self.armed.send_replace(Some(Arc::clone(&armed)));
        self.tell(Occurrence::Checked(armed));
        self.tell_readiness();
    }

    fn tell_readiness(&self) {
        let Readiness { mut missing, .. } = self.lifecycle.readiness(Instant::now());
        if let Some(armed) = &*self.armed.borrow() {
            // How the sources are is known at any time.
            let others = armed.broken().filter(|found| found.link != Link::Notices);
            missing.extend(others.map(ToString::to_string));
        }
        let readiness = Readiness::lacking(missing);
        self.readiness.send_if_modified(|r| {
            let changed = *r != readiness;
            *r = readiness;
            changed
        });
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Recall(instance) => self.node.recall(instance),
            Effect::Quarantine(quarantine) => self.node.quarantine(quarantine),
            Effect::Release(release) => self.node.release(release, &self.drainer),
            Effect::Abandon => self.node.abandon(),
            Effect::StartDrain(order) => {
                self.tell(Occurrence::DrainStarted(order.clone()));
                let (send, receive) = watch::channel(order);
                self.order = Some(send);
                let drainer = Arc::clone(&self.drainer);
                self.drains
                    .spawn(async move { drainer.drain(receive).await });
            }
            Effect::AmendDrain(order) => {
                if let Some(current) = &self.order {
                    current.send_replace(order);
                }
            }
        }
    }

    fn tell(&self, what: Occurrence) {
        let Now { instant, wall } = Now::read(&*self.clock);
        let event = Event::new(instant, wall, what);
        for observer in &self.observers {
            observer.on(&event);
        }
    }
}

/// A critical task has ended.
fn critical(task: &'static str, source: Option<JoinError>) -> HandlerError {
    HandlerError::CriticalTask { task, source }
}

#[cfg(test)]
mod tests;
