//! What a simulation leaves to be judged by: what the servers saw, and what the handlers told.

mod diary;
mod ledger;

use std::time::Duration;

use spot_core::{node::NodeError, observer::Occurrence, sim::Timeline};
use spot_drain::sim::{Ended, Recorded};
use spot_imds::sim::Asked;
use tokio::time::Instant;

use crate::wire::{Call, OnTheWire as _};

pub(super) use diary::{Diary, Entry};
pub(super) use ledger::{History, Ledger, Pod, Trail, is_detached};

/// One life of one machine's handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    pub(super) machine: usize,
    pub(super) life: usize,
}

/// When a handler lived.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) who: Who,
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// The pod that it was told is its own, as `namespace/name`.
    pub(super) own: Option<String>,
    /// How it ended by itself, which it must not.
    pub(super) failed: Option<String>,
}

/// Everything.
pub(super) struct Evidence {
    pub(super) start: Instant,
    /// What the API server was asked.
    pub(super) requests: Vec<Recorded>,
    /// What became of every pod, node and budget.
    pub(super) ledger: Ledger,
    /// How the processes ended.
    pub(super) ended: Vec<Ended>,
    /// The lives of each machine's handler.
    pub(super) lives: Vec<Vec<Life>>,
    /// What the handlers told.
    pub(super) diary: Vec<Entry>,
    /// What each machine's metadata service was asked.
    pub(super) asked: Vec<Vec<Asked>>,
    pub(super) announced: Vec<Timeline>,
}

impl Evidence {
    /// A moment as an offset.
    pub(super) fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// What one machine's handlers told.
    pub(super) fn told(&self, machine: usize) -> impl Iterator<Item = &Entry> + Clone {
        self.diary
            .iter()
            .filter(move |entry| entry.who.machine == machine)
    }

    /// Whether a handler was told that this pod is its own.
    pub(super) fn is_own(&self, who: Who, pod: &Pod) -> bool {
        let mut lives = self.lives.get(who.machine).into_iter().flatten();
        lives.any(|life| life.who == who && life.own.as_deref() == Some(&*pod.key))
    }

    /// Whether a handler was refused to read its node, and could not know by `at` whose it is.
    pub(super) fn was_blind(&self, by: Who, at: Duration) -> bool {
        let mut told = self.told(by.machine).filter(|entry| entry.who == by);
        let knew = told.clone().any(|entry| {
            let Occurrence::NodeFailed(error) = &entry.what else {
                return false;
            };
            entry.at < at && matches!(**error, NodeError::AnotherInstance { .. })
        });
        if knew {
            return false;
        }
        let refused = |request: &Recorded| {
            let is_look = matches!(request.call(), Call::GetNode);
            is_look && request.status == Some(403) && who(request) == Some(by)
        };
        told.any(|entry| matches!(entry.what, Occurrence::NodeKnown { verified: false }))
            && self.requests.iter().any(refused)
    }
}

/// Who made a request; `None`: no handler.
pub(super) fn who(request: &Recorded) -> Option<Who> {
    let (node, life) = request.user_agent.split_once('/')?;
    Some(Who {
        machine: node.strip_prefix("spot-")?.parse().ok()?,
        life: life.parse().ok()?,
    })
}
