//! What simulations held, in numbers.

use std::{fmt, ops::AddAssign};

use spot_core::observer::Occurrence;

use super::{
    evidence::{Evidence, Pod},
    judge::Verdict,
    plot::Plot,
};

/// What one simulation held, or many together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Simulations.
    pub seeds: u64,
    /// Spot nodes.
    pub machines: u64,
    /// Notices that were announced.
    pub notices: u64,
    /// Drains that began.
    pub drains: u64,
    /// Evictions and deletions that were accepted.
    pub accepted: u64,
    /// Pods that were detached.
    pub detached: u64,
    /// Requests that the API server had.
    pub requests: u64,
    /// Of them, those with which something went wrong.
    pub faults: u64,
    /// Requests that the metadata services had.
    pub polls: u64,
    /// Of them, those with which something went wrong.
    pub broken: u64,
    /// Times that a handler was killed.
    pub kills: u64,
    /// Rules that were checked.
    pub checks: u64,
    /// Simulations in which a rule was broken.
    pub wrong: u64,
}

fn count_of(items: impl Iterator) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

pub(super) fn count(plot: &Plot, evidence: &Evidence, verdict: &Verdict) -> Tally {
    use crate::wire::{Call, OnTheWire as _};
    let requests = evidence.requests.iter();
    let deadly = |r: &&spot_drain::sim::Recorded| {
        matches!(r.call(), Call::Evict | Call::Delete)
            && r.effect.as_ref().is_some_and(|effect| effect.status < 300)
    };
    let polls = evidence.asked.iter().flatten();
    Tally {
        seeds: 1,
        machines: count_of(plot.machines.iter()),
        notices: count_of(plot.machines.iter().flat_map(|m| &m.announced)),
        drains: count_of(
            (evidence.diary.iter()).filter(|e| matches!(e.what, Occurrence::DrainStarted(_))),
        ),
        accepted: count_of(requests.clone().filter(deadly)),
        detached: count_of(evidence.ledger.pods.values().filter_map(Pod::detached)),
        requests: count_of(requests.clone()),
        faults: count_of(requests.filter(|r| r.injected != spot_drain::sim::Injection::none())),
        polls: count_of(polls.clone()),
        broken: count_of(polls.filter(|asked| !asked.faults.is_empty())),
        kills: count_of(evidence.lives.iter().flat_map(|lives| lives.iter().skip(1))),
        checks: verdict.checks,
        wrong: u64::from(!verdict.wrongs.is_empty()),
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.machines += other.machines;
        self.notices += other.notices;
        self.drains += other.drains;
        self.accepted += other.accepted;
        self.detached += other.detached;
        self.requests += other.requests;
        self.faults += other.faults;
        self.polls += other.polls;
        self.broken += other.broken;
        self.kills += other.kills;
        self.checks += other.checks;
        self.wrong += other.wrong;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} machines: {} notices, {} drains, {} pods evicted, {} detached; {} API \
             requests, {} of them with a fault; {} polls, {} of them broken; {} kills; {} checks, {} seeds \
             wrong",
            self.seeds,
            self.machines,
            self.notices,
            self.drains,
            self.accepted,
            self.detached,
            self.requests,
            self.faults,
            self.polls,
            self.broken,
            self.kills,
            self.checks,
            self.wrong
        )
    }
}
