//! What a machine is told about its own end, and what a source says about itself.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::deadline::Deadline;

/// The identity of a notice: the same for every repeat of it, also after a restart.
///
/// It holds no time of day: a service may tell the same interruption with a moving one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(String);

impl NoticeId {
    /// An identity from the source's own words, for example `spot-interruption`.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of event is announced. Ordered by precedence: a later kind supersedes an
/// earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NoticeKind {
    /// The instance is at a higher risk of interruption.
    RebalanceRecommendation,
    /// EC2 will stop, reboot or retire the instance at an appointed time.
    ScheduledMaintenance,
    /// The Auto Scaling group wants the instance gone.
    AsgTermination,
    /// EC2 takes the Spot instance back.
    SpotInterruption,
}

impl NoticeKind {
    /// Every kind, by rising precedence.
    pub const ALL: [Self; 4] = [
        Self::RebalanceRecommendation,
        Self::ScheduledMaintenance,
        Self::AsgTermination,
        Self::SpotInterruption,
    ];

    /// The name in taints, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RebalanceRecommendation => "rebalance-recommendation",
            Self::ScheduledMaintenance => "scheduled-maintenance",
            Self::AsgTermination => "asg-termination",
            Self::SpotInterruption => "spot-interruption",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of notice that nobody knows.
#[derive(Debug, thiserror::Error)]
#[error(
    "unknown kind of notice; one of spot-interruption, rebalance-recommendation, scheduled-maintenance, asg-termination"
)]
pub struct UnknownKind;

impl FromStr for NoticeKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownKind)
    }
}

/// What is going to be done to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceAction {
    /// It ends for good. Also what an unknown action is taken for.
    Terminate,
    /// It stops and may come back under its own name.
    Stop,
    /// Its memory is written to disk, which begins at once: no two minutes.
    Hibernate,
    /// It boots anew and comes back under its own name.
    Reboot,
    /// What it runs on is worked on: it may be without network or power for a while.
    Maintain,
    /// Nothing yet: a recommendation.
    None,
}

impl InstanceAction {
    /// The name in logs and metrics, and, where EC2 has one, the name as EC2 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
            Self::Reboot => "reboot",
            Self::Maintain => "maintain",
            Self::None => "none",
        }
    }
}

impl fmt::Display for InstanceAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One announcement about this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// The same for every repeat.
    pub id: NoticeId,
    /// What kind of event.
    pub kind: NoticeKind,
    /// What is done to the instance.
    pub action: InstanceAction,
    /// When it is done; `None` where the source tells no time.
    pub deadline: Option<Deadline>,
    /// When this process learnt of it.
    pub detected: Instant,
    /// How long before that it was announced, where the source says so; else zero.
    pub age: Duration,
}

impl Notice {
    /// A notice that says [`InstanceAction::Terminate`] and names no time.
    pub fn new(id: NoticeId, kind: NoticeKind, detected: Instant) -> Self {
        Self {
            id,
            kind,
            action: InstanceAction::Terminate,
            deadline: None,
            detected,
            age: Duration::ZERO,
        }
    }

    /// The same notice with an action.
    #[must_use]
    pub fn with_action(mut self, action: InstanceAction) -> Self {
        self.action = action;
        self
    }

    /// The same notice with a deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same notice, announced so long before it was detected.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// How a machine was bought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifeCycle {
    /// It can be taken back at two minutes' notice.
    Spot,
    /// It is there until it is given back.
    OnDemand,
    /// Any other way, as the cloud calls it.
    Other(String),
}

impl LifeCycle {
    /// The name as EC2 writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for LifeCycle {
    fn from(name: &str) -> Self {
        match name {
            "spot" => Self::Spot,
            "on-demand" => Self::OnDemand,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for LifeCycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The machine that a source speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// The cloud's identity of it, for example `i-0123456789abcdef0`.
    pub id: String,
    /// How it was bought.
    pub life_cycle: Option<LifeCycle>,
    /// When it was started the last time.
    pub launched: Option<Timestamp>,
    /// Its availability zone.
    pub zone: Option<String>,
    /// Its region.
    pub region: Option<String>,
}

impl Instance {
    /// A machine of which only the identity is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }
}

/// Why a source cannot be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// This machine is none that the source speaks for: a laptop, another cloud.
    NotHere,
    /// Nothing answers, or not in time.
    Unreachable,
    /// It answers, and refuses.
    Refused,
    /// It answers that it is asked too much.
    Overloaded,
    /// It answers something that means nothing.
    Garbled,
}

impl Trouble {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotHere => "not-here",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::Garbled => "garbled",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a source could be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceHealth {
    /// It was asked for everything that it is to tell, and answered as it should.
    Good,
    /// It could not be heard; it is asked again, for ever.
    Failing {
        /// What kind of trouble.
        trouble: Trouble,
        /// What went wrong and what mends it, for an operator.
        reason: String,
    },
}

/// How a notice came to stand no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoticeEnd {
    /// Taken back by the one who gave it.
    Cancelled,
    /// What it announced has been done.
    Completed,
    /// Its time is past, it is told no more, and the machine is still here.
    Passed,
}

impl NoticeEnd {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::Passed => "passed",
        }
    }
}

impl fmt::Display for NoticeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// Which machine this is. Said once it is known, and before any notice where possible.
    Identified(Instance),
    /// A notice stands; may be repeated.
    Raised(Notice),
    /// A notice stands no longer.
    Ended {
        /// Which.
        notice: NoticeId,
        /// How.
        how: NoticeEnd,
    },
    /// The source's state. Good health is said again at least every [`HEARTBEAT`], so that one
    /// who hears nothing for longer knows that something hangs.
    Health(SourceHealth),
    /// How far the local wall clock is ahead of the source's; negative where it is behind. Said
    /// when it is first known and when it changes by more than the source can be wrong.
    Clock(SignedDuration),
}

/// The longest that a source which can be heard says nothing.
pub const HEARTBEAT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_as_they_are_written() {
        for kind in NoticeKind::ALL {
            assert_eq!(kind.as_str().parse::<NoticeKind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("spot".parse::<NoticeKind>().is_err());
    }

    #[test]
    fn precedence_rises_to_the_interruption() {
        assert!(NoticeKind::ALL.is_sorted());
        assert_eq!(NoticeKind::ALL.last(), Some(&NoticeKind::SpotInterruption));
    }
}
