//! When the watch of the node's pods is not believed any more.
//!
//! A watch that has died looks like one that has nothing to say. It is suspect where it should
//! have spoken of a pod, and where it says nothing at all for long while pods are going. A list
//! tells; a second one follows where it told what the watch had not, and the feed opens another
//! watch with that one.

use std::time::Duration;

use tokio::time::Instant;

use super::Effect;
use super::drain::Drain;
use super::entry::{Entry, State};
use crate::classify::Class;

/// The pause between two lists; twice as long after each that told nothing new, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(40));
/// How long a watch may say nothing while pods are going; twice as long after each list that
/// it was suspected without reason for.
const SILENCE: Duration = Duration::from_secs(12);
/// So many times as long while pods only wait to be evicted: there may be nothing to tell of.
const IDLE: u32 = 3;

/// How far the watch is believed.
#[derive(Debug)]
pub(super) struct Suspicion {
    /// A list is wanted as soon as the pause between two has passed.
    wanted: bool,
    /// A list was asked for and has not been made yet.
    open: bool,
    /// A list told what the watch had not, and the watch has said nothing since.
    missed: bool,
    /// When a list was last asked for.
    asked: Option<Instant>,
    /// When something was last heard.
    heard: Instant,
    silence: Duration,
    pause: Duration,
}

impl Suspicion {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            wanted: false,
            open: false,
            missed: false,
            asked: None,
            heard: now,
            silence: SILENCE,
            pause: PAUSE.0,
        }
    }

    /// The watch has spoken.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.silence = SILENCE;
        self.missed = false;
    }

    /// A list was made; whether it told `news`.
    pub(super) fn listed(&mut self, news: bool, now: Instant) {
        self.heard = now;
        let asked = std::mem::take(&mut self.open);
        self.missed = asked && news;
        if news {
            self.pause = PAUSE.0;
        } else if asked {
            self.pause = (self.pause * 2).min(PAUSE.1);
        }
    }

    /// What was seen cannot be true any more.
    pub(super) fn raise(&mut self) {
        self.wanted = true;
    }

    /// When another list may be asked for; `None`: at any time.
    fn pause(&self) -> Option<Instant> {
        self.asked.map(|asked| asked + self.pause)
    }
}

impl Drain {
    /// Asks for a list where the watch is suspect.
    pub(super) fn suspect(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.suspicion.pause().is_some_and(|until| now < until) {
            return;
        }
        let mut found = std::mem::take(&mut self.suspicion.wanted);
        found |= self.expects_news() && std::mem::take(&mut self.suspicion.missed);
        if self.silent_at().is_some_and(|at| now >= at) {
            self.suspicion.silence *= 2;
            found = true;
        }
        for entry in self.pods.values_mut() {
            if let State::Going { suspect } = &mut entry.state
                && now >= *suspect
            {
                *suspect = now + PAUSE.0;
                found = true;
            }
        }
        if found {
            self.suspicion.asked = Some(now);
            self.suspicion.open = true;
            effects.push(Effect::Relist);
        }
    }

    /// When the watch becomes suspect if it says nothing.
    pub(super) fn suspicion_wake(&self) -> Option<Instant> {
        let going = self.pods.values().filter_map(|e| match e.state {
            State::Going { suspect } => Some(suspect),
            _ => None,
        });
        let missed = self.suspicion.missed && self.expects_news();
        let wanted = (self.suspicion.wanted || missed).then_some(self.suspicion.heard);
        let first = going.chain(wanted).chain(self.silent_at()).min()?;
        Some(
            self.suspicion
                .pause()
                .map_or(first, |until| first.max(until)),
        )
    }

    /// When the watch will have said nothing for too long.
    fn silent_at(&self) -> Option<Instant> {
        let ready = |e: &Entry| matches!(e.state, State::Ready { .. });
        let silence = self.suspicion.silence;
        let silence = if self.expects_news() {
            silence
        } else if self.listed && self.pods.values().any(ready) {
            silence * IDLE
        } else {
            return None;
        };
        Some(self.suspicion.heard + silence)
    }

    /// Whether pods are going, of whose end the watch will tell.
    fn expects_news(&self) -> bool {
        let going = |state| matches!(state, State::Going { .. });
        self.pods
            .values()
            .any(|e| going(e.state) && e.class != Class::Awaited)
    }
}
