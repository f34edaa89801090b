//! Whether the volumes of the pods that left have left the node too.
//!
//! A volume serves elsewhere once it is detached; one that is still attached when the machine
//! goes is detached by force minutes later.

use std::time::Duration;

use tokio::time::Instant;

use super::drain::Drain;
use super::{Effect, after};
use crate::classify::Class;

/// From the last pod's end to the first look, and between two looks.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));
/// Before a drain's end, where pods are still there.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// What is known of a node's volumes.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    /// When the last pod was gone.
    settled: Option<Instant>,
    under_way: bool,
    looked: Option<Instant>,
    /// The answer to the last look.
    pub(super) answer: Option<Result<Vec<String>, String>>,
}

impl Volumes {
    /// A look was answered.
    pub(super) fn looked(&mut self, answer: Result<Vec<String>, String>, now: Instant) {
        self.under_way = false;
        self.looked = Some(now);
        self.answer = Some(answer);
    }
}

impl Drain {
    /// Whether pods with claimed volumes leave the node.
    fn moves_volumes(&self) -> bool {
        let leaves = |class| matches!(class, Class::Evict(_) | Class::Terminating | Class::Awaited);
        !self.settings.dry_run
            && self
                .pods
                .values()
                .any(|e| e.facts.claims && leaves(e.class))
    }

    /// Whether pods with claimed volumes stay: theirs are attached to the end.
    fn keeps_volumes(&self) -> bool {
        let stays = |class| matches!(class, Class::Skip(_));
        self.pods
            .values()
            .any(|e| e.facts.claims && stays(e.class) && e.gone.is_none())
    }

    /// Whether no volume is waited for any more at `now`.
    pub(super) fn volumes_settled(&self, now: Instant) -> bool {
        if !self.moves_volumes() {
            return true;
        }
        let waited = |since| now >= after(since, self.settings.detach);
        match (&self.volumes.answer, self.volumes.settled) {
            (_, None) => false,
            (_, Some(settled)) if waited(settled) => true,
            (Some(Err(_)), _) => true,
            (Some(Ok(attached)), Some(settled)) => {
                let current = self.volumes.looked.is_some_and(|at| at >= settled);
                current && (attached.is_empty() || self.keeps_volumes())
            }
            (None, _) => false,
        }
    }

    /// When to look next.
    fn look_at(&self) -> Option<Instant> {
        if self.volumes.under_way || !self.moves_volumes() {
            return None;
        }
        let last = self.window.end() - LAST_LOOK;
        let again = self.volumes.looked.map(|at| at + LOOK.1);
        match self.volumes.settled {
            Some(settled) => Some(again.unwrap_or(settled).max(settled + LOOK.0)),
            None if self.volumes.looked.is_some_and(|at| at >= last) => None,
            None => Some(last),
        }
    }

    /// When the volumes want something done.
    pub(super) fn volumes_wake(&self) -> impl Iterator<Item = Instant> {
        let patience = self
            .volumes
            .settled
            .map(|at| after(at, self.settings.detach));
        patience.into_iter().chain(self.look_at())
    }

    /// Looks at what is attached, where it is time.
    pub(super) fn look_at_volumes(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let before = self.volumes.settled;
        self.volumes.settled = self.pods_gone().then(|| before.unwrap_or(now));
        if !self.volumes_settled(now) && self.look_at().is_some_and(|at| now >= at) {
            self.volumes.under_way = true;
            effects.push(Effect::LookAtVolumes);
        }
    }
}
