//! What an embedder decides about pods: which are left alone, which are waited for, and in
//! which order the rest goes. Pure.
//!
//! ```
//! use spot_drain::facts::PodFacts;
//! use spot_drain::rules::{Rules, Turn, Verdict};
//!
//! /// Batch jobs end by themselves; databases go after everything else.
//! #[derive(Debug)]
//! struct OurRules;
//!
//! impl Rules for OurRules {
//!     fn judge(&self, pod: &PodFacts, usual: Turn) -> Verdict {
//!         match pod.labels.get("tier").map(String::as_str) {
//!             Some("batch") => Verdict::Await,
//!             Some("database") => Verdict::Evict(usual.in_wave(2)),
//!             _ => Verdict::Evict(usual),
//!         }
//!     }
//! }
//! # use spot_drain::plan::Settings;
//! let settings = Settings::default().with_rules(OurRules);
//! ```

use std::fmt;

use crate::facts::PodFacts;

/// Decides about the pods that would be evicted.
///
/// Called often, with the same pod again whenever it was seen to change: answer at once, and
/// the same for the same pod.
pub trait Rules: fmt::Debug + Send + Sync {
    /// What is done with `pod`, whose turn would be `usual`.
    fn judge(&self, pod: &PodFacts, usual: Turn) -> Verdict {
        let _ = pod;
        Verdict::Evict(usual)
    }
}

/// No rules of the embedder's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usual;

impl Rules for Usual {}

/// What is done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is evicted in its turn.
    Evict(Turn),
    /// It is not evicted; the drain waits for its end, which it comes to by itself.
    Await,
    /// It is left alone, and holds up nothing; the reason is in the report.
    Leave(&'static str),
}

/// When a pod is evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Where there is a minute or more, a wave starts when the pods of all lower ones are gone,
    /// or as late as leaves its own and the later ones the graces that they need. Usually 1 for
    /// `system-*-critical` pods and 0 for others.
    pub wave: u8,
    /// The order within a wave, lower first; ties go by volumes, then by the longest grace.
    /// Usually 0.
    pub rank: i32,
    /// As late as its grace allows, as its annotation may ask.
    pub last: bool,
}

impl Turn {
    /// The usual turn of a pod.
    pub fn of(pod: &PodFacts) -> Self {
        Self {
            wave: u8::from(pod.critical),
            rank: 0,
            last: pod.wish.as_deref() == Some("last"),
        }
    }

    /// The same turn in another wave.
    #[must_use]
    pub fn in_wave(self, wave: u8) -> Self {
        Self { wave, ..self }
    }

    /// The same turn with another rank.
    #[must_use]
    pub fn ranked(self, rank: i32) -> Self {
        Self { rank, ..self }
    }
}
