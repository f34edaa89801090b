//! What all paths together come to: what is said of the source's health, and what is logged.

use std::time::Duration;

use spot_core::notice::{HEARTBEAT, Signal, SourceHealth, Trouble};
use tokio::time::Instant;
use tracing::{info, warn};

use super::episode::Episode;
use super::path::{Answer, Path};

/// How long before the end of [`HEARTBEAT`] good health is said again: a request that is under
/// way may hold that up.
const MARGIN: Duration = Duration::from_secs(5);

/// What was last said of health.
#[derive(Debug, Default)]
pub(super) struct Health {
    said: Option<Said>,
    /// No usable reply.
    away: Episode,
    /// A reply that means nothing.
    garbled: Episode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// When.
    Good(Instant),
    /// Of which path, and what.
    Failing(&'static str, &'static str, Trouble),
}

impl Health {
    /// When good health is to be said again; `None` where it is not good.
    pub(super) fn beat(&self) -> Option<Instant> {
        match self.said {
            Some(Said::Good(at)) => Some(at + HEARTBEAT.saturating_sub(MARGIN)),
            _ => None,
        }
    }

    /// Says again that it is good.
    pub(super) fn say_again(&mut self, now: Instant) -> Signal {
        self.said = Some(Said::Good(now));
        Signal::Health(SourceHealth::Good)
    }

    /// Weighs the paths after a reply: what is to be said, if anything. Nothing, while none
    /// fails and one has still to answer.
    pub(super) fn weigh(&mut self, paths: &[Path], now: Instant) -> Option<Signal> {
        let failing = paths.iter().find_map(|path| match &path.answer {
            Answer::Failing(failure) => Some((path, failure)),
            _ => None,
        });
        let awaited = |path: &Path| matches!(path.answer, Answer::Awaited);
        let is_settled = !paths.iter().any(awaited);
        let Some((path, failure)) = failing else {
            if !is_settled {
                return None;
            }
            self.over(true, now);
            let known = matches!(self.said, Some(Said::Good(_)));
            return (!known).then(|| self.say_again(now));
        };
        let reason = &failure.reason;
        if failure.is_malformed {
            self.over(false, now);
            if self.garbled.holds(now) {
                warn!(reason, "what is announced cannot be read; asked again");
            }
        } else if self.away.holds(now) {
            let trouble = failure.trouble.as_str();
            warn!(
                reason,
                trouble, "no usable answer from the metadata service; asked again"
            );
        }
        // Another reason than before is told once it is known that the former has gone.
        if !is_settled && matches!(self.said, Some(Said::Failing(..))) {
            return None;
        }
        let said = Said::Failing(path.name, failure.kind, failure.trouble);
        let health = || {
            Signal::Health(SourceHealth::Failing {
                trouble: failure.trouble,
                reason: reason.clone(),
            })
        };
        (self.said.replace(said) != Some(said)).then(health)
    }

    /// There are usable replies again; they can be read, too, where `legible`.
    fn over(&mut self, legible: bool, now: Instant) {
        let ended = [
            self.away.ended(now),
            legible.then(|| self.garbled.ended(now)).flatten(),
        ];
        for lasted in ended.into_iter().flatten() {
            info!(?lasted, "the metadata service answers again");
        }
    }
}
