//! A source of interruption notices: polls the metadata service for ever and says what changes.

mod backoff;
mod episode;
mod standing;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spot_core::clock::{SystemClock, WallClock};
use spot_core::notice::{Instance, Notice, Signal, SourceHealth};
use spot_core::source::NoticeSource;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::client::{INSTANCE_ACTION, ImdsClient, malformed};
use crate::decode;
use crate::document::Document;
use crate::error::ImdsError;
use crate::options::{self, ConfigError, within};
pub use backoff::MAX_BACKOFF;
use backoff::{Backoff, any_seed};
use episode::Episode;
use standing::Standing;

/// The longest that a notice waits for the instance-id, where that is still unknown.
pub const ID_PATIENCE: Duration = Duration::from_secs(1);

/// Puts an [`ImdsSource`] together.
#[derive(Clone)]
pub struct ImdsSourceBuilder {
    client: ImdsClient,
    interval: Duration,
    clock: Arc<dyn WallClock>,
    seed: Option<u64>,
}

impl ImdsSourceBuilder {
    /// The time from one poll to the next ([`options::DEFAULT_POLL_INTERVAL`] unless set,
    /// within [`options::POLL_INTERVALS`]).
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The wall clock that deadlines are anchored by where a reply has no usable `Date`; the
    /// machine's own unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the waits after failures the same in every run. Unless set they differ from
    /// process to process, so that a fleet does not ask in step.
    #[must_use]
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The source. Nothing is asked before the first call of
    /// [`next`](NoticeSource::next).
    ///
    /// # Errors
    /// [`ConfigError::PollInterval`].
    pub fn build(self) -> Result<ImdsSource, ConfigError> {
        let interval = within(
            self.interval,
            &options::POLL_INTERVALS,
            ConfigError::PollInterval,
        )?;
        let seed = self.seed.unwrap_or_else(any_seed);
        Ok(ImdsSource {
            client: self.client,
            clock: self.clock,
            interval,
            step: Step::Wait,
            due: None,
            backoff: Backoff::new(interval, seed),
            identity: Identity::Unknown {
                due: None,
                problem: None,
            },
            id_backoff: Backoff::new(interval, seed.rotate_left(32)),
            standing: Standing::default(),
            heard: None,
            queue: VecDeque::new(),
            away: Episode::default(),
            garbled: Episode::default(),
            nameless: Episode::default(),
        })
    }
}

/// Spot interruption notices of this instance.
///
/// It asks for the instance-id, life cycle, zone and region, then polls
/// `spot/instance-action`. What it says, and when:
///
/// | signal | when |
/// |---|---|
/// | [`Signal::Identified`] | once, when the instance-id is known; what else could not be had at that time is `None` |
/// | [`Signal::Raised`] | a notice is seen; again when it names an earlier time or another action |
/// | [`Signal::Health`], good | after the first poll that was answered as it should be, and after each recovery |
/// | [`Signal::Health`], failing | when a poll fails for the first time, or for another kind of reason than before |
///
/// A poll that brings several says them in that order: whoever hears for the first time that
/// health is good knows that a notice which has not been raised does not stand. An unknown
/// instance-id delays a notice by [`ID_PATIENCE`] at most.
///
/// Nothing ends it and nothing is ever cancelled: EC2 takes no interruption back. A notice that
/// is no longer served stands until its deadline. One that cannot be read is reported as
/// failing health and polled on for.
///
/// Between polls lies the poll interval, measured from one's start to the next's; polls that
/// came too late are not made up for. After failures it waits longer, up to [`MAX_BACKOFF`].
/// Lasting conditions are logged once, every few minutes, and when they end.
///
/// # Cancel safety
/// [`next`](NoticeSource::next) can be dropped at any await. What a reply said is taken in as
/// soon as it is there and kept until it is returned; the next poll's time is kept too. A
/// request that was under way is made again: whoever always drops the future sooner than the
/// service replies hears nothing.
pub struct ImdsSource {
    client: ImdsClient,
    clock: Arc<dyn WallClock>,
    interval: Duration,
    step: Step,
    /// When the next poll is due; `None` before the first.
    due: Option<Instant>,
    backoff: Backoff,
    identity: Identity,
    id_backoff: Backoff,
    standing: Standing,
    /// What was last said of health: the kind of failure, or none.
    heard: Option<Result<(), &'static str>>,
    queue: VecDeque<Signal>,
    /// No usable reply.
    away: Episode,
    /// A reply that means nothing.
    garbled: Episode,
    /// Polls succeed, but the instance-id is unknown.
    nameless: Episode,
}

/// What is asked next.
#[derive(Clone, Debug)]
enum Step {
    /// Nothing, until the next poll is due.
    Wait,
    /// The instance-id.
    Id,
    /// What else is known of the instance; best effort.
    Fact(Fact, Instance),
    /// Whether there is a notice.
    Action,
    /// The instance-id once more, for no longer than `until`: this notice waits.
    IdFor { notice: Notice, until: Instant },
}

#[derive(Clone, Copy, Debug)]
enum Fact {
    LifeCycle,
    Zone,
    Region,
}

#[derive(Clone, Debug)]
enum Identity {
    /// Not known; asked for again when due.
    Unknown {
        due: Option<Instant>,
        problem: Option<String>,
    },
    /// Said.
    Said,
}

impl ImdsSource {
    /// A source with the defaults of [`options`], to be changed.
    pub fn builder(client: ImdsClient) -> ImdsSourceBuilder {
        ImdsSourceBuilder {
            client,
            interval: options::DEFAULT_POLL_INTERVAL,
            clock: Arc::new(SystemClock),
            seed: None,
        }
    }

    /// One wait or one request, and at once what follows from it. Nothing is changed before the
    /// reply is there, nor awaited after.
    async fn advance(&mut self) {
        match &mut self.step {
            Step::Wait => {
                let due = *self.due.get_or_insert_with(Instant::now);
                sleep_until(due).await;
                self.step = if self.is_id_due() {
                    Step::Id
                } else {
                    Step::Action
                };
            }
            Step::Id => {
                let id = self.client.instance_id().await;
                self.step = match self.take_id(id) {
                    Some(instance) => Step::Fact(Fact::LifeCycle, instance),
                    None => Step::Action,
                };
            }
            Step::Fact(fact, instance) => {
                let value = match fact {
                    Fact::LifeCycle => self.client.instance_life_cycle().await,
                    Fact::Zone => self.client.availability_zone().await,
                    Fact::Region => self.client.region().await,
                };
                // One that cannot be had now is done without, and so are the others: the first
                // poll is not to wait for them.
                let next = value.ok().and_then(|value| fact.put(instance, value));
                if let Some(next) = next {
                    *fact = next;
                } else {
                    let instance = std::mem::take(instance);
                    self.identify(instance);
                    self.step = Step::Action;
                }
            }
            Step::Action => {
                let reply = self.client.get(INSTANCE_ACTION).await;
                self.step = Step::Wait;
                self.take_reply(reply, Instant::now());
            }
            Step::IdFor { notice, until } => {
                let id = timeout_at(*until, self.client.instance_id()).await;
                let notice = notice.clone();
                self.step = Step::Wait;
                if let Some(instance) = id.ok().and_then(|id| self.take_id(id)) {
                    self.identify(instance);
                }
                self.queue.push_back(Signal::Raised(notice));
                self.good(Instant::now());
            }
        }
    }

    fn is_id_due(&self) -> bool {
        match self.identity {
            Identity::Unknown { due, .. } => due.is_none_or(|due| due <= Instant::now()),
            Identity::Said => false,
        }
    }

    fn take_id(&mut self, id: Result<Option<String>, ImdsError>) -> Option<Instance> {
        let problem = match id {
            Ok(Some(id)) => return Some(Instance::new(id)),
            Ok(None) => "the metadata service knows no instance-id".to_owned(),
            Err(error) => error.report(),
        };
        let due = Instant::now() + self.id_backoff.failed();
        self.identity = Identity::Unknown {
            due: Some(due),
            problem: Some(problem),
        };
        None
    }

    fn identify(&mut self, instance: Instance) {
        if self.nameless.ended(Instant::now()).is_some() {
            info!(instance_id = instance.id, "the instance-id is known");
        }
        self.identity = Identity::Said;
        self.queue.push_back(Signal::Identified(instance));
    }

    fn take_reply(&mut self, reply: Result<Option<Document>, ImdsError>, now: Instant) {
        let document = match reply {
            Err(error) => return self.failed(&error, now),
            Ok(None) => {
                self.standing.vanished(now);
                return self.good(now);
            }
            Ok(Some(document)) => document,
        };
        let read = match decode::instance_action(document.body()) {
            Err(error) => return self.malformed(&malformed(INSTANCE_ACTION, error), now),
            Ok(read) => read,
        };
        let reference = document.date().unwrap_or_else(|| self.clock.now());
        let raised = self.standing.heed(&read, reference, document.received());
        if let (Some(_), Some(action)) = (&raised, read.unknown) {
            warn!(
                action,
                "unknown action in an interruption notice: taken for terminate"
            );
        }
        match (raised, &self.identity) {
            (Some(notice), Identity::Unknown { .. }) => {
                self.schedule(now);
                self.step = Step::IdFor {
                    notice,
                    until: now + ID_PATIENCE,
                };
            }
            (raised, _) => {
                self.queue.extend(raised.map(Signal::Raised));
                self.good(now);
            }
        }
    }

    /// A poll was answered as it should be.
    fn good(&mut self, now: Instant) {
        self.backoff.succeeded();
        self.schedule(now);
        for episode in [&mut self.away, &mut self.garbled] {
            if let Some(lasted) = episode.ended(now) {
                info!(?lasted, "the metadata service answers again");
            }
        }
        if let Identity::Unknown {
            problem: Some(reason),
            ..
        } = &self.identity
            && self.nameless.holds(now)
        {
            warn!(reason, "the instance-id is unknown; asked for again");
        }
        self.say(Ok(()), || SourceHealth::Good);
    }

    /// No usable reply.
    fn failed(&mut self, error: &ImdsError, now: Instant) {
        self.due = Some(now + self.backoff.failed());
        // Whoever answers again is asked for its name first.
        if let Identity::Unknown { due, .. } = &mut self.identity {
            *due = None;
            self.id_backoff.succeeded();
        }
        if self.away.holds(now) {
            warn!(
                reason = error.report(),
                "no usable answer from the metadata service; asked again"
            );
        }
        self.say_failing(error);
    }

    /// A reply that means nothing. It may well be a notice: polled on for without a longer wait.
    fn malformed(&mut self, error: &ImdsError, now: Instant) {
        self.backoff.succeeded();
        self.schedule(now);
        if let Some(lasted) = self.away.ended(now) {
            info!(?lasted, "the metadata service answers again");
        }
        if self.garbled.holds(now) {
            warn!(
                reason = error.report(),
                "an interruption notice cannot be read; asked again"
            );
        }
        self.say_failing(error);
    }

    fn say_failing(&mut self, error: &ImdsError) {
        self.say(Err(error.kind()), || SourceHealth::Failing {
            reason: error.report(),
        });
    }

    fn say(&mut self, state: Result<(), &'static str>, health: impl Fn() -> SourceHealth) {
        if self.heard.replace(state) != Some(state) {
            self.queue.push_back(Signal::Health(health()));
        }
    }

    /// The next poll is due an interval after this one was, or, where that is past, from now.
    fn schedule(&mut self, now: Instant) {
        let next = self.due.unwrap_or(now) + self.interval;
        self.due = Some(if next <= now {
            now + self.interval
        } else {
            next
        });
    }
}

impl Fact {
    /// Notes the fact down; which one is next.
    fn put(self, instance: &mut Instance, value: Option<String>) -> Option<Self> {
        match self {
            Self::LifeCycle => {
                instance.life_cycle = value;
                Some(Self::Zone)
            }
            Self::Zone => {
                instance.zone = value;
                Some(Self::Region)
            }
            Self::Region => {
                instance.region = value;
                None
            }
        }
    }
}

impl fmt::Debug for ImdsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImdsSource")
            .field("client", &self.client)
            .field("interval", &self.interval)
            .field("heard", &self.heard)
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
        }
    }
}
