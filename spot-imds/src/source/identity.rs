//! Which machine this is: its instance-id, and what else is known of it.

use spot_core::notice::{Instance, LifeCycle};
use tokio::time::Instant;

use super::backoff::Backoff;
use crate::client::ImdsClient;
use crate::error::ImdsError;

/// What is known of the instance-id.
#[derive(Debug)]
pub(super) enum Identity {
    /// Nothing yet; asked for again when due, at once where that is not set.
    Unknown {
        due: Option<Instant>,
        /// When it could last not be had, and why.
        problem: Option<(Instant, String)>,
        backoff: Backoff,
    },
    /// It has been said.
    Said,
}

impl Identity {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self::Unknown {
            due: None,
            problem: None,
            backoff,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Said)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self {
            Self::Unknown { due, .. } => due.is_none_or(|due| due <= now),
            Self::Said => false,
        }
    }

    /// When it is to be asked for; `None` where it is not.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Unknown { due, .. } => Some(due.unwrap_or(now)),
            Self::Said => None,
        }
    }

    /// What an answer says; nothing where it is no instance-id.
    pub(super) fn heed(
        &mut self,
        answer: Result<Option<String>, ImdsError>,
        now: Instant,
    ) -> Option<Instance> {
        let why = match answer {
            Ok(Some(id)) => return Some(Instance::new(id)),
            Ok(None) => "the metadata service knows no instance-id".to_owned(),
            Err(error) => error.report(),
        };
        if let Self::Unknown {
            due,
            problem,
            backoff,
        } = self
        {
            *due = Some(now + backoff.failed());
            *problem = Some((now, why));
        }
        None
    }

    /// It is asked for at once: the service answers for the first time.
    pub(super) fn hasten(&mut self) {
        if let Self::Unknown { due, .. } = self {
            *due = None;
        }
    }

    /// The service answers again, after it had not from `since` on.
    pub(super) fn revive(&mut self, since: Instant) {
        if let Self::Unknown { due, problem, .. } = self
            && problem.as_ref().is_some_and(|(last, _)| *last >= since)
        {
            *due = None;
        }
    }

    /// Why it is unknown, where it has been asked for and is not about to be.
    pub(super) fn problem(&self, now: Instant) -> Option<&str> {
        match self {
            Self::Unknown {
                problem: Some((_, why)),
                ..
            } if !self.is_due(now) => Some(why),
            _ => None,
        }
    }
}

/// What is asked about the instance once its id is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    LifeCycle,
    Zone,
    Region,
    Launched,
}

impl Fact {
    /// The first that is asked.
    pub(super) const FIRST: Self = Self::LifeCycle;

    /// Asks; the instance with the answer in it. Nothing where it cannot be had now.
    pub(super) async fn ask(self, client: &ImdsClient, mut instance: Instance) -> Option<Instance> {
        match self {
            Self::LifeCycle => {
                let name = client.instance_life_cycle().await.ok()?;
                instance.life_cycle = name.as_deref().map(LifeCycle::from);
            }
            Self::Zone => instance.zone = client.availability_zone().await.ok()?,
            Self::Region => instance.region = client.region().await.ok()?,
            Self::Launched => instance.launched = client.launched().await.ok()?,
        }
        Some(instance)
    }

    /// The one after it.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::LifeCycle => Some(Self::Zone),
            Self::Zone => Some(Self::Region),
            Self::Region => Some(Self::Launched),
            Self::Launched => None,
        }
    }
}
