//! Which `DaemonSets` exist: asked for when a pod says that one owns it, and again where there was no
//! answer.

use std::time::Duration;

use tokio::time::Instant;

use super::Effect;
use crate::classify::DaemonSets;

/// So many questions in a row without an answer are believed: until then their pods are undecided,
/// from then on they are left alone.
const BELIEVED: u32 = 3;
/// The pause after the first of them, which doubles, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

#[derive(Debug, Default)]
pub(super) struct OfDaemonSets {
    known: DaemonSets,
    /// How often that has changed.
    pub(super) learnt: u64,
    /// How often it was asked, and which of the questions was answered last.
    asked: u64,
    answered: u64,
    /// A question is under way.
    open: bool,
    /// Questions in a row without an answer, and when the next one is due.
    failures: u32,
    not_before: Option<Instant>,
}

impl OfDaemonSets {
    pub(super) fn known(&self) -> &DaemonSets {
        &self.known
    }

    /// Takes in an answer; why there is none, where that is believed.
    pub(super) fn learn(&mut self, known: DaemonSets, now: Instant) -> Option<String> {
        self.open = false;
        if let DaemonSets::Unavailable(why) = &known {
            let doubled = PAUSE.0 * (1 << self.failures.min(5));
            self.failures = self.failures.saturating_add(1);
            self.not_before = Some(now + doubled.min(PAUSE.1));
            if self.failures < BELIEVED {
                return None;
            }
            let why = why.clone();
            self.known = known;
            self.learnt += 1;
            return Some(why);
        }
        (self.failures, self.not_before) = (0, None);
        self.known = known;
        self.learnt += 1;
        self.answered = self.asked;
        None
    }

    /// The question whose answer is as young as a pod that is first seen now: a pod may be younger
    /// than what is known, or than what is being asked.
    pub(super) fn next_question(&self) -> u64 {
        self.asked + 1
    }

    /// Whether that question, or a later one, was answered.
    pub(super) fn answered(&self, question: u64) -> bool {
        self.answered >= question
    }

    /// Asks, one question at a time, until this one is answered.
    pub(super) fn ask(&mut self, question: u64, now: Instant, effects: &mut Vec<Effect>) {
        let due = self.not_before.is_none_or(|at| now >= at);
        if due && !self.open && !self.answered(question) {
            self.asked += 1;
            self.open = true;
            effects.push(Effect::ListDaemonSets);
        }
    }

    /// When it is asked again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.open)
    }
}
