//! What is known of the sources themselves: who can be heard, and whose clock shows what.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::armed::{Finding, Link};
use crate::clock::Now;
use crate::notice::{HEARTBEAT, SourceHealth};

/// How far the wall clock may be off. A deadline that was written down is read back by it, and
/// certificates and tokens are judged by it.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(10);

/// A source that was good and has said nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());

/// How long what is remembered of this very boot is kept though no source says it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The sources, by their number.
#[derive(Debug)]
pub(super) struct Hearing {
    sources: Vec<Source>,
    /// Since when every source has been heard at least once.
    complete: Option<Instant>,
}

#[derive(Debug)]
struct Source {
    name: String,
    /// What it last said of itself.
    health: Option<SourceHealth>,
    /// When it last said that it is good.
    good: Option<Instant>,
    /// How far our wall clock is ahead of its, and when that was.
    ahead: Option<(SignedDuration, Now)>,
}

impl Hearing {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let source = |name| Source {
            name,
            health: None,
            good: None,
            ahead: None,
        };
        Self {
            sources: names.into_iter().map(source).collect(),
            complete: None,
        }
    }

    pub(super) fn name(&self, source: usize) -> &str {
        self.sources.get(source).map_or("", |s| s.name.as_str())
    }

    /// Whether every source has been heard at least once: what does not stand now, does not
    /// stand.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.is_some()
    }

    /// When what has not been said since is believed not to stand, though it was remembered: a
    /// service that has just been restarted may have nothing to say for a while.
    pub(super) fn believed(&self) -> Option<Instant> {
        self.complete.map(|complete| complete + PATIENCE)
    }

    /// A source says how it is; whether that is news.
    pub(super) fn health(&mut self, source: usize, health: &SourceHealth, now: Instant) -> bool {
        let Some(source) = self.sources.get_mut(source) else {
            return false;
        };
        if *health == SourceHealth::Good {
            source.good = Some(now);
        }
        let news = source.health.replace(health.clone()).as_ref() != Some(health);
        if self.sources.iter().all(|source| source.good.is_some()) {
            self.complete.get_or_insert(now);
        }
        news
    }

    /// A source says how far our wall clock is ahead of its.
    pub(super) fn clock(&mut self, source: usize, ahead: SignedDuration, now: Now) {
        if let Some(source) = self.sources.get_mut(source) {
            source.ahead = Some((ahead, now));
        }
    }

    /// The same moment by the first source's clock that is known: by how far our wall clock was
    /// ahead of it, or by the time that has passed since then, whichever is later. The wall clock may
    /// have been set back since, and the monotonic one may have stood still in a suspend.
    pub(super) fn right(&self, now: Now) -> Now {
        let Some((ahead, then)) = self.sources.iter().find_map(|s| s.ahead) else {
            return now;
        };
        let passed = now.instant.saturating_duration_since(then.instant);
        let by_count = (then.wall.saturating_add(passed)).and_then(|t| t.saturating_sub(ahead));
        let by_wall = now.wall.saturating_sub(ahead);
        let wall = match (by_wall, by_count) {
            (Ok(a), Ok(b)) => a.max(b),
            (a, b) => a.or(b).unwrap_or(now.wall),
        };
        Now { wall, ..now }
    }

    /// What keeps notices from being heard at `now`, for an operator.
    pub(super) fn missing(&self, now: Instant) -> Vec<String> {
        if self.sources.is_empty() {
            return vec!["there is no source of notices".to_owned()];
        }
        let silent = |source: &Source| {
            let good = source.good?;
            (now.saturating_duration_since(good) > SILENCE).then_some(())
        };
        let missing = |source: &Source| match &source.health {
            None => Some(format!("{} has not been heard yet", source.name)),
            Some(SourceHealth::Failing { reason, .. }) => {
                Some(format!("{} cannot be heard: {reason}", source.name))
            }
            Some(SourceHealth::Good) => silent(source).map(|()| {
                let name = &source.name;
                format!("{name} has said nothing for minutes: it hangs")
            }),
        };
        self.sources.iter().filter_map(missing).collect()
    }

    /// Whether notices would be heard, and at the right time.
    pub(super) fn findings(&self, now: Instant) -> [Finding; 2] {
        let missing = self.missing(now);
        let notices = if missing.is_empty() {
            Finding::holds(Link::Notices)
        } else {
            Finding::broken(
                Link::Notices,
                missing.join("; "),
                "see that the source can be reached from here; if it hangs, restart the handler",
            )
        };
        let off = self.sources.iter().find_map(|source| {
            let (ahead, _) = source.ahead?;
            (ahead.unsigned_abs() > CLOCK_TOLERANCE).then_some((source, ahead))
        });
        let clock = match off {
            Some((source, ahead)) => Finding::broken(
                Link::Clock,
                format!(
                    "the wall clock is {} s {} that of {}",
                    ahead.unsigned_abs().as_secs(),
                    if ahead.is_negative() {
                        "behind"
                    } else {
                        "ahead of"
                    },
                    source.name
                ),
                "have the node's clock synchronized, on EC2 with the Amazon Time Sync Service",
            ),
            None if self.sources.iter().any(|s| s.ahead.is_some()) => Finding::holds(Link::Clock),
            None => Finding::unproven(Link::Clock, "no source has told the time"),
        };
        [notices, clock]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing() -> Hearing {
        Hearing::new(["imds".to_owned()])
    }

    #[test]
    fn a_source_is_known_by_its_name() {
        assert_eq!((hearing().name(0), hearing().name(1)), ("imds", ""));
    }

    #[test]
    fn one_that_was_good_hangs_after_more_than_three_heartbeats() {
        let (mut hearing, now) = (hearing(), Instant::now());
        hearing.health(0, &SourceHealth::Good, now);
        assert_eq!(hearing.missing(now + SILENCE), [""; 0]);
        let later = now + SILENCE + Duration::from_millis(1);
        assert_eq!(
            hearing.missing(later),
            ["imds has said nothing for minutes: it hangs"]
        );
    }

    #[test]
    fn the_clock_may_be_off_by_ten_seconds_and_no_more() {
        let (mut hearing, now) = (hearing(), Instant::now());
        let at = Now {
            instant: now,
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        let clock = |hearing: &Hearing| hearing.findings(now)[1].clone();
        let unproven = Finding::unproven(Link::Clock, "no source has told the time");
        assert_eq!(clock(&hearing), unproven);
        for ahead in [0, 10, -10] {
            hearing.clock(0, SignedDuration::from_secs(ahead), at);
            assert_eq!(clock(&hearing), Finding::holds(Link::Clock), "{ahead} s");
        }
        for (ahead, said) in [
            (11, "11 s ahead of that of imds"),
            (-11, "11 s behind that of imds"),
        ] {
            hearing.clock(0, SignedDuration::from_secs(ahead), at);
            let finding = format!("{:?}", clock(&hearing));
            assert!(finding.contains(said), "{finding}");
        }
    }
}
