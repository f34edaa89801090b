//! What can be set about a source.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use spot_core::clock::{SystemClock, WallClock};
use spot_core::notice::NoticeKind;
use spot_core::pulse::Pulse;
use tokio::time::Instant;

use super::backoff::{Backoff, MAX_SLOW_BACKOFF, any_seed};
use super::identity::Identity;
use super::path::Path;
use super::readers::Readers;
use super::{ImdsSource, Step};
use crate::client::ImdsClient;
use crate::hardware::Hardware;
use crate::options::{self, ConfigError, within};

/// Puts an [`ImdsSource`] together.
#[derive(Clone)]
pub struct ImdsSourceBuilder {
    client: ImdsClient,
    interval: Duration,
    slow_interval: Duration,
    kinds: Vec<NoticeKind>,
    clock: Arc<dyn WallClock>,
    hardware: Option<Hardware>,
    seed: Option<u64>,
}

impl ImdsSourceBuilder {
    pub(super) fn new(client: ImdsClient) -> Self {
        Self {
            client,
            interval: options::DEFAULT_POLL_INTERVAL,
            slow_interval: options::DEFAULT_SLOW_INTERVAL,
            kinds: NoticeKind::ALL.to_vec(),
            clock: Arc::new(SystemClock),
            hardware: None,
            seed: None,
        }
    }

    /// The time from one poll for an interruption to the next
    /// ([`options::DEFAULT_POLL_INTERVAL`] unless set, within [`options::POLL_INTERVALS`]).
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The time from one poll for each of the other kinds to the next
    /// ([`options::DEFAULT_SLOW_INTERVAL`] unless set, within [`options::SLOW_INTERVALS`]).
    #[must_use]
    pub fn slow_interval(mut self, interval: Duration) -> Self {
        self.slow_interval = interval;
        self
    }

    /// The kinds that are told; every one unless set. The others are not asked for.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = NoticeKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// The wall clock that deadlines are anchored by where a reply has no usable `Date`, and
    /// that [`Signal::Clock`](spot_core::notice::Signal::Clock) speaks of; the machine's own
    /// unless set.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Who made this machine; read once, when the source is built, unless set.
    #[must_use]
    pub fn hardware(mut self, hardware: Hardware) -> Self {
        self.hardware = Some(hardware);
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
    /// [`next`](spot_core::source::NoticeSource::next).
    ///
    /// # Errors
    /// [`ConfigError::PollInterval`] and [`ConfigError::SlowInterval`].
    pub fn build(self) -> Result<ImdsSource, ConfigError> {
        let interval = within(
            self.interval,
            &options::POLL_INTERVALS,
            ConfigError::PollInterval,
        )?;
        let slow_interval = within(
            self.slow_interval,
            &options::SLOW_INTERVALS,
            ConfigError::SlowInterval,
        )?;
        let seed = self.seed.unwrap_or_else(any_seed);
        let id_backoff = Backoff::new(interval, MAX_SLOW_BACKOFF, seed.rotate_left(32));
        Ok(ImdsSource {
            client: self.client,
            clock: self.clock,
            hardware: self.hardware.unwrap_or_else(Hardware::read),
            interval,
            slow_interval,
            paths: Path::of(&self.kinds, interval, slow_interval, seed),
            start: None,
            step: Step::Wait,
            renewed: false,
            identity: Identity::new(id_backoff),
            readers: Readers::default(),
            health: super::Health::default(),
            heard: false,
            no_history_until: None,
            queue: VecDeque::new(),
            nameless: super::Episode::default(),
            pulse: Pulse::new(Instant::now()),
        })
    }
}
