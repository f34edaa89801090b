//! A source of notices of every kind: polls the metadata service for ever and says what changes.

mod absence;
mod asg;
mod backoff;
mod builder;
mod episode;
mod health;
mod heard;
mod identity;
mod interruption;
mod maintenance;
mod moment;
mod path;
mod readers;
mod rebalance;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spot_core::clock::WallClock;
use spot_core::notice::{Instance, NoticeKind, Signal, Trouble};
use spot_core::pulse::Pulse;
use spot_core::source::NoticeSource;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::client::{ImdsClient, PAST_EVENTS, Reply, malformed};
use crate::document::Document;
use crate::error::ImdsError;
use crate::hardware::Hardware;
use crate::options;
pub use absence::ABSENT;
pub use backoff::{MAX_BACKOFF, MAX_SLOW_BACKOFF};
pub use builder::ImdsSourceBuilder;
use episode::Episode;
use health::Health;
use identity::{Fact, Identity};
use moment::Moment;
use path::{Failure, Path};
use readers::Readers;

/// The longest that a notice waits for the instance-id, where that is still unknown.
pub const ID_PATIENCE: Duration = Duration::from_secs(1);

/// Everything that is announced to this instance.
///
/// It asks for the instance-id, life cycle, zone, region and the time of the launch, then polls
/// for ever, one request at a time on one connection:
///
/// | kind | path below `/latest/meta-data/` | how often |
/// |---|---|---|
/// | Spot interruption | `spot/instance-action` | every poll interval; twice as often while a rebalance recommendation stands |
/// | Auto Scaling termination | `autoscaling/target-lifecycle-state` | every slow interval |
/// | scheduled maintenance | `events/maintenance/scheduled` | every slow interval |
/// | rebalance recommendation | `events/recommendations/rebalance` | every slow interval |
///
/// The first sweep asks for everything at once; later the slow ones are spread over their
/// interval. What it says, and when:
///
/// | signal | when |
/// |---|---|
/// | [`Signal::Identified`] | once, when the instance-id is known; what else could not be had at that time is `None` |
/// | [`Signal::Clock`] | at the first poll whose reply has a usable `Date`, and when that changes by more than 2 s |
/// | [`Signal::Raised`] | a notice is seen; again when it names an earlier time or another action, or the service's clock shows that it is more than 2 s nearer than was thought: after a suspend, in which the monotonic clock stands still |
/// | [`Signal::Ended`] | a notice stands no longer, see below |
/// | [`Signal::Health`], good | when every polled path has been asked and was answered as it should be, after each recovery, and again before [`HEARTBEAT`](spot_core::notice::HEARTBEAT) is over |
/// | [`Signal::Health`], failing | when a path fails, and when it is another path or another kind of reason than before; the reason names the path |
///
/// A poll that brings several says them in that order: whoever hears for the first time that
/// health is good knows that a notice which has not been raised does not stand. An unknown
/// instance-id delays a notice by [`ID_PATIENCE`] at most.
///
/// | kind | its id | how it ends |
/// |---|---|---|
/// | Spot interruption | `spot-interruption` | passed: its deadline is over, and it has been absent for [`ABSENT`] (the instance was hibernated and came back). EC2 takes none back |
/// | Auto Scaling termination | `asg-termination` | cancelled: another state is named twice in a row. An absent path ends nothing |
/// | scheduled maintenance | `scheduled-maintenance/EVENT-ID` | cancelled or completed, as the event's state or the history says; cancelled, when it has been absent for [`ABSENT`] and the history tells nothing of it. An absent list, or one with an event that cannot be read, ends nothing |
/// | rebalance recommendation | `rebalance-recommendation` | passed: it has been absent for [`ABSENT`], or one made later takes its place. One whose time moves with every request (AWS's own mock) is one |
///
/// A maintenance that is put off by more than 5 s is cancelled and raised anew; one that is
/// brought forward is raised with the nearer deadline. One that may have begun when it is first
/// seen names no deadline: it may come at any moment.
///
/// Nothing ends the source. After failures a path is asked less often: an interruption up to
/// every [`MAX_BACKOFF`], anything else up to every [`MAX_SLOW_BACKOFF`], so that a path that
/// hangs holds up the others by one request's timeout in that time. A notice that cannot be read
/// is reported as failing health and polled on for. Polls that came too late are not made up
/// for. Lasting conditions are logged once, every few minutes, and when they end.
///
/// # Cancel safety
/// [`next`](NoticeSource::next) can be dropped at any await. What a reply said is taken in as
/// soon as it is there and kept until it is returned; the next poll's time is kept too. A
/// request that was under way is made again: whoever always drops the future sooner than the
/// service replies hears nothing.
pub struct ImdsSource {
    client: ImdsClient,
    clock: Arc<dyn WallClock>,
    hardware: Hardware,
    interval: Duration,
    slow_interval: Duration,
    /// What is polled, in the order of the first sweep.
    paths: Vec<Path>,
    /// When that began.
    start: Option<Instant>,
    step: Step,
    /// It has been given its time once more.
    renewed: bool,
    identity: Identity,
    readers: Readers,
    health: Health,
    /// A metadata service has answered.
    heard: bool,
    /// The history of maintenance could not be had: it is done without until then.
    no_history_until: Option<Instant>,
    queue: VecDeque<Signal>,
    /// Polls succeed, but the instance-id is unknown.
    nameless: Episode,
    pulse: Pulse,
}

/// What is asked next. What is not urgent has until then, however often the future of `next` is
/// dropped meanwhile, so that it cannot hold up the rest.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing, until something is due.
    Wait,
    /// The instance-id.
    Id { until: Instant },
    /// What else is known of the instance; best effort.
    Fact {
        fact: Fact,
        instance: Instance,
        until: Instant,
    },
    /// One of the paths; the interruption's has all the time that it takes.
    Poll {
        index: usize,
        until: Option<Instant>,
    },
    /// What has become of maintenance that is scheduled no more.
    History { until: Instant },
    /// The instance-id once more, for no longer than `until`: these signals wait.
    IdFor {
        signals: Vec<Signal>,
        until: Instant,
    },
}

impl Step {
    /// Until when this may take, where it is bounded by nothing else.
    fn until_mut(&mut self) -> Option<&mut Instant> {
        match self {
            Self::Id { until } | Self::Fact { until, .. } | Self::History { until } => Some(until),
            Self::Poll { until, .. } => until.as_mut(),
            Self::Wait | Self::IdFor { .. } => None,
        }
    }
}

impl ImdsSource {
    /// A source with the defaults of [`options`], to be changed.
    pub fn builder(client: ImdsClient) -> ImdsSourceBuilder {
        ImdsSourceBuilder::new(client)
    }

    /// Beats with each wait and each request, whatever comes of them: every [`HEARTBEAT`] at least,
    /// and every poll interval where that is longer, or the source hangs.
    ///
    /// [`HEARTBEAT`]: spot_core::notice::HEARTBEAT
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// One wait or one request, and at once what follows from it. Nothing is changed before the
    /// reply is there, nor awaited after.
    async fn advance(&mut self) {
        self.renew(Instant::now());
        match &self.step {
            Step::Wait => {
                let now = Instant::now();
                let start = *self.start.get_or_insert(now);
                match self.due(start, now) {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
                self.choose(Instant::now());
            }
            &Step::Id { until } => {
                let id = timeout_at(until, self.client.instance_id()).await;
                let id = id.unwrap_or_else(|_| Err(self.client.timed_out()));
                self.heard |= id.is_ok();
                let now = Instant::now();
                self.step = match self.identity.heed(id, now) {
                    Some(instance) => self.begin(Fact::FIRST, instance, now),
                    None => Step::Wait,
                };
            }
            Step::Fact {
                fact,
                instance,
                until,
            } => {
                let told = timeout_at(*until, fact.ask(&self.client, instance.clone())).await;
                // One that cannot be had now is done without, and so are the others: the first
                // poll is not to wait for them.
                self.step = match (told.ok().flatten(), fact.next()) {
                    (Some(instance), Some(next)) => self.begin(next, instance, Instant::now()),
                    (told, _) => {
                        let instance = told.unwrap_or_else(|| instance.clone());
                        self.identify(instance);
                        Step::Wait
                    }
                };
            }
            &Step::Poll { index, until } => {
                let reply = self.ask(index, until).await;
                self.step = Step::Wait;
                self.take_reply(index, reply, Instant::now());
            }
            &Step::History { until } => {
                let reply = timeout_at(until, self.client.get(PAST_EVENTS)).await;
                self.step = Step::Wait;
                let reply = reply.ok().and_then(Result::ok);
                if reply.is_none() {
                    self.no_history_until = Some(Instant::now() + MAX_SLOW_BACKOFF);
                }
                self.settle(reply.flatten().as_ref());
            }
            Step::IdFor { until, .. } => {
                let id = timeout_at(*until, self.client.instance_id()).await;
                let now = Instant::now();
                if let Some(instance) = id.ok().and_then(|id| self.identity.heed(id, now)) {
                    self.identify(instance);
                }
                if let Step::IdFor { signals, .. } = std::mem::replace(&mut self.step, Step::Wait) {
                    self.queue.extend(signals);
                }
            }
        }
    }

    /// The future of `next` was dropped, and it was long before somebody came back: that is not
    /// the service's fault, so what was under way has its time once more.
    fn renew(&mut self, now: Instant) {
        let limit = self.client.request_timeout();
        let soon = now + limit / 2;
        if let Some(until) = self.step.until_mut().filter(|until| **until <= soon)
            && !std::mem::replace(&mut self.renewed, true)
        {
            *until = now + limit;
        }
    }

    /// When there is something to do next, if ever.
    fn due(&self, start: Instant, now: Instant) -> Option<Instant> {
        let is_idle = self.paths.is_empty() && self.health.beat().is_none();
        if is_idle || self.readers.maintenance.is_in_doubt() {
            return Some(now);
        }
        let polls = self.paths.iter().map(|path| path.due().unwrap_or(start));
        let others = [self.identity.due(now), self.health.beat()];
        polls.chain(others.into_iter().flatten()).min()
    }

    /// What is to be done now: at first and after an outage to find out who we are, then what
    /// is most urgent.
    fn choose(&mut self, now: Instant) {
        if self.health.beat().is_some_and(|beat| beat <= now) {
            let good = self.health.say_again(now);
            self.queue.push_back(good);
        }
        self.renewed = false;
        let limit = self.client.request_timeout();
        let until = now + limit;
        // The interruption first, then what has waited longest.
        let due = (0..self.paths.len()).filter(|index| self.paths[*index].is_due(now));
        let urgency = |index: &usize| {
            let path = &self.paths[*index];
            (path.is_slow(), path.due())
        };
        let poll = due.min_by_key(urgency);
        self.step = match poll {
            // A token first, as a rule.
            _ if self.identity.is_due(now) => Step::Id {
                until: until + limit,
            },
            Some(index) if !self.paths[index].is_slow() => Step::Poll { index, until: None },
            _ if self.readers.maintenance.is_in_doubt() => Step::History { until },
            Some(index) => Step::Poll {
                index,
                until: Some(until),
            },
            None => Step::Wait,
        };
        match self.step {
            Step::Id { .. } => return,
            Step::Poll { index, .. } => self.paths[index].begin(now),
            // It has just failed; what hangs is not to hold up the polls each time.
            Step::History { .. } if self.no_history_until.is_some_and(|until| now < until) => {
                self.step = Step::Wait;
                self.settle(None);
            }
            _ => {}
        }
        self.queue.extend(self.health.weigh(&self.paths, now));
    }

    fn settle(&mut self, history: Option<&Document>) {
        let settled = self.readers.maintenance.settle(history.map(Document::body));
        self.queue.extend(settled.signals);
    }

    async fn ask(&self, index: usize, until: Option<Instant>) -> Result<Reply, ImdsError> {
        let reply = self.client.ask(self.paths[index].name);
        let Some(until) = until else {
            return reply.await;
        };
        // A call may make several exchanges; here it has the time of one.
        timeout_at(until, reply)
            .await
            .unwrap_or_else(|_| Err(self.client.timed_out()))
    }

    fn begin(&mut self, fact: Fact, instance: Instance, now: Instant) -> Step {
        self.renewed = false;
        Step::Fact {
            fact,
            instance,
            until: now + self.client.request_timeout(),
        }
    }

    fn identify(&mut self, instance: Instance) {
        if self.nameless.ended(Instant::now()).is_some() {
            info!(instance_id = instance.id, "the instance-id is known");
        }
        self.identity = Identity::Said;
        self.queue.push_back(Signal::Identified(instance));
    }

    fn take_reply(&mut self, index: usize, reply: Result<Reply, ImdsError>, now: Instant) {
        let mut signals = match reply {
            Ok(reply) => self.answered(index, reply, now),
            Err(error) => {
                self.client.tell_poll(self.paths[index].name, false);
                let failure = self.failure(index, &error, false);
                self.paths[index].failed(failure, now);
                Vec::new()
            }
        };
        // Who we are goes before how we are, where that is about to be asked.
        if !self.identity.is_due(now) {
            signals.extend(self.health.weigh(&self.paths, now));
        }
        let raises = signals
            .iter()
            .any(|signal| matches!(signal, Signal::Raised(_)));
        if raises && !self.identity.is_known() {
            let until = now + ID_PATIENCE;
            self.step = Step::IdFor { signals, until };
            return;
        }
        self.queue.extend(signals);
        if self.heard
            && let Some(reason) = self.identity.problem(now)
            && self.nameless.holds(now)
        {
            warn!(reason, "the instance-id is unknown; asked for again");
        }
    }

    /// A path gave a usable reply.
    fn answered(&mut self, index: usize, reply: Reply, now: Instant) -> Vec<Signal> {
        if !std::mem::replace(&mut self.heard, true) {
            self.identity.hasten();
        }
        let at = Moment::of(reply.document(), self.clock.now());
        let kind = self.paths[index].kind;
        let stood = self.readers.rebalance.stands();
        let document = reply.found();
        let body = document.as_ref().map(Document::body);
        let heard = self.readers.heed(kind, body, &at);
        self.client
            .tell_poll(self.paths[index].name, heard.malformed.is_none());
        let failure = heard.malformed.map(|error| {
            let path = format!("/latest/meta-data/{}", self.paths[index].name);
            self.failure(index, &malformed(&path, error), true)
        });
        let pace = self.pace();
        let start = self.start.unwrap_or(now);
        let path = &mut self.paths[index];
        let interval = if path.is_slow() {
            self.slow_interval
        } else {
            pace
        };
        if let Some(since) = path.answered(failure, interval, start, now) {
            // What recovers late asks for the interruption, and that for all that failed with it.
            let is_slow = self.paths[index].is_slow();
            let is_lone = self.paths.iter().all(Path::is_slow);
            let others = self.paths.iter_mut();
            let others = others.filter(|path| !is_slow || is_lone || !path.is_slow());
            others.for_each(|path| path.revive(since));
            self.identity.revive(since);
        }
        if self.readers.rebalance.stands() && !stood {
            let fast = self.paths.iter_mut().filter(|path| !path.is_slow());
            fast.for_each(|path| path.hasten(now + pace));
        }
        heard.signals
    }

    /// The time from one poll for an interruption to the next.
    fn pace(&self) -> Duration {
        if self.readers.rebalance.stands() {
            (self.interval / 2).max(*options::POLL_INTERVALS.start())
        } else {
            self.interval
        }
    }

    fn failure(&self, index: usize, error: &ImdsError, is_malformed: bool) -> Failure {
        let trouble = self.hardware.trouble(error, self.heard);
        let reason = self.paths[index].reason(error);
        let reason = match (&self.hardware, trouble) {
            (Hardware::Other(maker), Trouble::NotHere) => {
                format!("this machine is made by \"{maker}\", not by EC2; {reason}")
            }
            _ => reason,
        };
        Failure {
            kind: error.kind(),
            trouble,
            reason,
            is_malformed,
        }
    }
}

impl fmt::Debug for ImdsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<NoticeKind> = self.paths.iter().map(|path| path.kind).collect();
        f.debug_struct("ImdsSource")
            .field("client", &self.client)
            .field("interval", &self.interval)
            .field("kinds", &kinds)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl NoticeSource for ImdsSource {
    async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.queue.pop_front() {
                return signal;
            }
            self.advance().await;
            self.pulse.beat(Instant::now());
        }
    }
}
