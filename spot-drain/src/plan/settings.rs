//! How a plan drains.

use std::time::Duration;

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
        /// The longest grace that is waited for.
        grace: Duration,
    },
}

/// How a plan drains.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// What is done about pods that a budget holds.
    pub budgets: BudgetPolicy,
    /// The most calls under way at once (64). On two cores, 110 evictions took an API server
    /// 1.6 s over 16 connections, 1.0 s over 32, 0.8 s over 64, and 1.0 s all at once.
    pub in_flight: usize,
    /// Namespace and name of the pod that drains, where it is one.
    pub ourselves: Option<(String, String)>,
    /// Calls change nothing; an accepted one ends the pod's part.
    pub dry_run: bool,
    /// The longest drain where no deadline is known (15 minutes).
    pub longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budgets: BudgetPolicy::Respect,
            in_flight: 64,
            ourselves: None,
            dry_run: false,
            longest: Duration::from_secs(15 * 60),
        }
    }
}
