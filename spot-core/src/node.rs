//! The port that quarantines the machine's place in its cluster, and what is remembered there.

use std::error::Error as StdError;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::armed::{Finding, SelfCheck};
use crate::notice::{Instance, InstanceAction, Notice, NoticeId, NoticeKind};

/// How far the handling of a notice has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Nothing new comes to the node; what is there stays.
    Cordoned,
    /// Work is being moved away.
    Draining,
    /// The drain has ended, complete or at its deadline.
    Drained,
    /// Dealt with: the node is released, though the notice may stand still.
    Settled,
}

/// What the quarantine asks for: nothing new on the node, and a memory of why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantine {
    /// The notice behind it.
    pub notice: NoticeId,
    /// Its kind, which the taint names.
    pub kind: NoticeKind,
    /// What is done to the instance.
    pub action: InstanceAction,
    /// When, as announced.
    pub deadline: Option<Timestamp>,
    /// How far it has come.
    pub phase: Phase,
    /// When it was detected.
    pub since: Timestamp,
    /// The instance that we run on, where it is known: another one's node is refused.
    pub instance: Option<String>,
}

impl Quarantine {
    /// What follows from `notice`, detected at `since`, on an instance that is not known.
    pub fn new(notice: &Notice, phase: Phase, since: Timestamp) -> Self {
        Self {
            notice: notice.id.clone(),
            kind: notice.kind,
            action: notice.action,
            deadline: notice.deadline.map(|d| d.wall()),
            phase,
            since,
            instance: None,
        }
    }

    /// The same on an instance that is known.
    #[must_use]
    pub fn on_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }
}

/// What a release takes back, and what it leaves written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// The instance that we run on, where it is known: another one's node is refused.
    pub instance: Option<String>,
    /// A notice that stands still and has been dealt with ([`Phase::Settled`]). It stays
    /// remembered, so that no later process deals with it again; without one all is forgotten.
    pub settled: Option<Quarantine>,
}

impl Release {
    /// Takes back all that is ours, on the node of `instance` where it is known.
    pub fn of(instance: Option<String>) -> Self {
        Self {
            instance,
            settled: None,
        }
    }

    /// The same, remembering a notice that has been dealt with.
    #[must_use]
    pub fn settling(mut self, settled: Quarantine) -> Self {
        self.settled = Some(settled);
        self
    }
}

/// What is remembered on the node, version 1.
///
/// Keyed by instance, boot and notice: a node name is used again by another instance, and a
/// stopped instance comes back under its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Memory {
    /// The version of this layout.
    pub v: u32,
    /// The instance that the notice was for.
    pub instance: Option<String>,
    /// The boot that the notice was for.
    pub boot: Option<String>,
    /// The notice.
    pub notice: RememberedNotice,
    /// When the machine goes, as announced.
    pub deadline: Option<Timestamp>,
    /// How far the handling had come.
    pub phase: Phase,
    /// Whether the cordon is ours to take back.
    pub cordoned: bool,
    /// Whether the load-balancer label is ours to take back.
    pub excluded: bool,
    /// When the notice was detected.
    pub since: Timestamp,
}

/// The notice as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RememberedNotice {
    /// Its identity.
    pub id: NoticeId,
    /// Its kind.
    pub kind: NoticeKind,
    /// What is done to the instance.
    pub action: InstanceAction,
}

impl Memory {
    /// The version that this code writes and understands.
    pub const VERSION: u32 = 1;

    /// A memory of `quarantine`, made by the boot `boot`, having cordoned and excluded what
    /// the flags say.
    pub fn of(
        quarantine: &Quarantine,
        boot: Option<String>,
        cordoned: bool,
        excluded: bool,
    ) -> Self {
        Self {
            v: Self::VERSION,
            instance: quarantine.instance.clone(),
            boot,
            notice: RememberedNotice {
                id: quarantine.notice.clone(),
                kind: quarantine.kind,
                action: quarantine.action,
            },
            deadline: quarantine.deadline,
            phase: quarantine.phase,
            cordoned,
            excluded,
            since: quarantine.since,
        }
    }
}

/// What the node says when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recall {
    /// What was remembered, of a version that is understood.
    pub memory: Option<Memory>,
    /// The node's present boot.
    pub boot: Option<String>,
    /// Whether the node was seen to be the instance that was asked for; `false` where one of
    /// the two does not say who it is.
    pub verified: bool,
}

impl Recall {
    /// What the node says.
    pub fn new(memory: Option<Memory>, boot: Option<String>, verified: bool) -> Self {
        Self {
            memory,
            boot,
            verified,
        }
    }
}

/// The machine's place in its cluster.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait NodeControl: Send + Sync {
    /// Reads what is remembered and compares the node with `instance`.
    ///
    /// # Errors
    /// [`NodeError::AnotherInstance`] where the node belongs to another machine.
    async fn recall(&self, instance: Option<Instance>) -> Result<Recall, NodeError>;

    /// Lets nothing new come to the node and writes down why. Idempotent: what is already so
    /// is left as it is.
    ///
    /// # Errors
    /// Any [`NodeError`]; nothing was changed then, or all of it.
    async fn quarantine(&self, quarantine: Quarantine) -> Result<(), NodeError>;

    /// Takes back what is ours and forgets, but for what is settled. Idempotent.
    ///
    /// # Errors
    /// Any [`NodeError`]; nothing was changed then, or all of it.
    async fn release(&self, release: Release) -> Result<(), NodeError>;
}

/// Why the node could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The cluster answers and knows no such node.
    #[error("node {node:?} does not exist in this cluster")]
    NotFound {
        /// The name that was asked for.
        node: String,
    },
    /// The node belongs to another machine, and is not touched.
    #[error("node {node:?} is instance {found}, but this program runs on {ours}")]
    AnotherInstance {
        /// The node's name.
        node: String,
        /// The instance that we run on.
        ours: String,
        /// The instance that the node is.
        found: String,
    },
    /// A permission is missing.
    #[error("not allowed to {verb} {resource}")]
    Forbidden {
        /// The verb, as RBAC writes it.
        verb: &'static str,
        /// The resource, as RBAC writes it.
        resource: &'static str,
        /// What the server said.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The server said no for another reason.
    #[error("refused")]
    Refused(#[source] Box<dyn StdError + Send + Sync>),
    /// No usable answer: away, slow, overloaded, or too many other writers at once.
    #[error("no usable answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl NodeError {
    /// Every name that [`NodeError::kind`] gives.
    pub const KINDS: [&'static str; 5] = [
        "not-found",
        "another-instance",
        "forbidden",
        "refused",
        "unavailable",
    ];

    /// A short name of the kind of error, for logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::AnotherInstance { .. } => "another-instance",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Whether the same call may succeed soon.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether a permission is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// What mends it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "set --node-name to the name that the node has in the cluster",
            Self::AnotherInstance { .. } => {
                "run the handler on the node that it is told to look after"
            }
            Self::Forbidden { .. } => "grant the verb on the resource to the handler's account",
            Self::Refused(_) => "look at admission webhooks and policies for nodes",
            Self::Unavailable(_) => "none needed; it is tried again",
        }
    }

    /// The error and its causes on one line.
    pub fn describe(&self) -> String {
        let mut text = self.to_string();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// A machine that has no place in a cluster: nothing to quarantine, nothing remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNode;

#[async_trait]
impl NodeControl for NoNode {
    async fn recall(&self, _: Option<Instance>) -> Result<Recall, NodeError> {
        Ok(Recall::default())
    }

    async fn quarantine(&self, _: Quarantine) -> Result<(), NodeError> {
        Ok(())
    }

    async fn release(&self, _: Release) -> Result<(), NodeError> {
        Ok(())
    }
}

/// There is nothing to prove without a cluster.
#[async_trait]
impl SelfCheck for NoNode {
    async fn check(&self, _: Option<Instance>) -> Vec<Finding> {
        Vec::new()
    }
}
