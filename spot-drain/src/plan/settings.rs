//! How a plan drains.

use std::sync::Arc;
use std::time::Duration;

use crate::replacement::MakeBeforeBreak;
use crate::rules::{Rules, Usual};

/// What is done about pods that a budget holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BudgetPolicy {
    /// Evict until the end, never delete. A pod that is still held when the machine goes is
    /// lost with it; whether its processes get a signal is then up to the operating system
    /// and the kubelet's own graceful shutdown.
    #[default]
    Respect,
    /// Delete what is still held as late as leaves it the smaller of its own grace and this,
    /// so that its processes get their SIGTERM. This goes past the budget; a pod that nothing
    /// has held yet is evicted first all the same.
    DeleteAt {
        /// The longest grace that is waited for; at least 1 s is.
        grace: Duration,
    },
}

/// How fast calls are made. Plans of one cluster share them in a [`Fleet`](super::Fleet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most calls under way at once (64); 0 counts as 1. A drain begins with as many,
    /// halves them with slow answers, down to 4, and widens again with quick ones. On two cores, 110
    /// evictions took an API server 1.6 s over 16 connections, 1.0 s over 32, 0.8 s over 64,
    /// and 1.0 s all at once.
    pub in_flight: usize,
    /// The most evictions, deletions, patches and looks at workloads in a second once `burst` is
    /// used up (50); 0 counts as 1.
    pub per_second: u32,
    /// How many may go at once after a rest (256: a full node); 0 counts as 1.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 64,
            per_second: 50,
            burst: 256,
        }
    }
}

/// How a plan drains. The defaults are what a Spot interruption wants.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// What is done about pods that a budget holds.
    pub budgets: BudgetPolicy,
    /// How fast calls are made.
    pub limits: Limits,
    /// Which pods are left alone, and in which order the rest goes.
    pub rules: Arc<dyn Rules>,
    /// For which workloads a replacement is made before a pod is evicted. Only on a node that is
    /// known to take no new pods ([`Input::Cordoned`](super::Input::Cordoned)), and not in a dry
    /// run.
    pub make_before_break: MakeBeforeBreak,
    /// The notice by which it is drained, to be written on pods that are detached.
    pub notice: Option<String>,
    /// Namespace and name of the pod that drains, where it is one.
    pub ourselves: Option<(String, String)>,
    /// The API server checks every call and carries none of them out; an accepted one ends
    /// the pod's part.
    pub dry_run: bool,
    /// The longest drain where no deadline is known (15 minutes).
    pub longest: Duration,
    /// How long the drain stays after its last pod for volumes to detach, so that they can
    /// serve elsewhere (30 s); only where pods with claims were drained, and not past its end.
    pub detach: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budgets: BudgetPolicy::Respect,
            limits: Limits::default(),
            rules: Arc::new(Usual),
            make_before_break: MakeBeforeBreak::Off,
            notice: None,
            ourselves: None,
            dry_run: false,
            longest: Duration::from_secs(15 * 60),
            detach: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// With so many calls under way at once.
    #[must_use]
    pub fn with_in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// With so many calls a second, and so many at once after a rest.
    #[must_use]
    pub fn with_rate(self, per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            ..self
        }
    }
}

impl Settings {
    /// With another policy about pods that a budget holds.
    #[must_use]
    pub fn with_budgets(self, budgets: BudgetPolicy) -> Self {
        Self { budgets, ..self }
    }

    /// With other limits on calls.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With an embedder's own rules about pods.
    #[must_use]
    pub fn with_rules(self, rules: impl Rules + 'static) -> Self {
        Self {
            rules: Arc::new(rules),
            ..self
        }
    }

    /// With replacements made first, for these workloads.
    #[must_use]
    pub fn with_make_before_break(self, make_before_break: MakeBeforeBreak) -> Self {
        Self {
            make_before_break,
            ..self
        }
    }

    /// With the namespace and name of the pod that drains, which is never evicted.
    #[must_use]
    pub fn with_ourselves(self, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            ourselves: Some((namespace.into(), name.into())),
            ..self
        }
    }

    /// With calls that the API server checks and does not carry out, or with real ones.
    #[must_use]
    pub fn with_dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// With another longest time where no deadline is known.
    #[must_use]
    pub fn with_longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// With another time for volumes to detach after the last pod.
    #[must_use]
    pub fn with_detach(self, detach: Duration) -> Self {
        Self { detach, ..self }
    }
}
