//! What a drain has done, and the promises that every drain keeps.

use crate::wire::{Call, OnTheWire as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use spot_drain::{
    plan::{BudgetPolicy, Settings},
    report::{PodOutcome, PodReport, Report},
    window::Window as Times,
};
use tokio::time::Instant;

use spot_drain::sim::Recorded;

use crate::{Error, Result};

/// A drain that has ended.
#[derive(Debug)]
pub struct Drained {
    /// Its report.
    pub report: Report,
    /// When it began.
    pub began: Instant,
    /// When it returned.
    pub ended: Instant,
    /// Its times, as they were at the beginning.
    pub times: Times,
    /// What was asked meanwhile.
    pub requests: Vec<Recorded>,
}

impl fmt::Display for Drained {
    /// The report, and what was asked in vain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        for request in self.requests.iter().filter(|r| !r.succeeded()) {
            let Recorded { method, path, .. } = request;
            let at = self.at(request).as_secs_f64();
            let status = request
                .status
                .map_or("no answer".to_owned(), |s| s.to_string());
            write!(f, "\n  {at:.2} s: {method} {path}: {status}")?;
        }
        Ok(())
    }
}

impl Drained {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// When a request came, after the beginning.
    pub fn at(&self, request: &Recorded) -> Duration {
        request.at.saturating_duration_since(self.began)
    }

    /// The requests of a kind.
    pub fn calls(&self, call: Call) -> Vec<&Recorded> {
        let of_it = |request: &&Recorded| request.call() == call;
        self.requests.iter().filter(of_it).collect()
    }

    /// The evictions that were tried of pods whose names start so.
    pub fn evictions(&self, name: &str) -> Vec<&Recorded> {
        let mut evictions = self.calls(Call::Evict);
        evictions.retain(|request| request.pod().starts_with(name));
        evictions
    }

    /// The first eviction of such a pod that was accepted.
    ///
    /// # Errors
    /// Where there is none.
    pub fn accepted(&self, name: &str) -> Result<&Recorded> {
        let mut evictions = self.evictions(name).into_iter();
        let accepted = evictions.find(|request| request.succeeded());
        let none = || {
            Error::Usage(format!(
                "no eviction of {name} was accepted:\n{}",
                self.report
            ))
        };
        accepted.ok_or_else(none)
    }

    /// When the last eviction of such a pod was tried, after the beginning.
    ///
    /// # Errors
    /// Where none was.
    pub fn last_try(&self, name: &str) -> Result<Duration> {
        let tries = self.evictions(name);
        let last = tries.iter().map(|request| self.at(request)).max();
        last.ok_or_else(|| Error::Usage(format!("no eviction of {name} was tried")))
    }

    /// The graces that were sent with those evictions that succeeded.
    pub fn graces(&self, name: &str) -> Vec<Option<i64>> {
        let evictions = self.evictions(name).into_iter();
        let accepted = evictions.filter(|request| request.succeeded());
        accepted
            .filter_map(|request| Some(request.ending()?.grace))
            .collect()
    }

    /// The pods whose names start so.
    pub fn pods(&self, name: &str) -> Vec<&PodReport> {
        let of_it = |pod: &&PodReport| pod.name.starts_with(name);
        self.report.pods.iter().filter(of_it).collect()
    }

    /// The one pod whose name starts so.
    ///
    /// # Errors
    /// Where there is none, or there are more.
    pub fn pod(&self, name: &str) -> Result<&PodReport> {
        match self.pods(name)[..] {
            [pod] => Ok(pod),
            ref pods => Err(Error::Usage(format!(
                "{} pods {name} in the report:\n{self}",
                pods.len()
            ))),
        }
    }

    /// Whether there are `count` pods whose names start so, and all are gone.
    pub fn all_gone(&self, name: &str, count: usize) -> bool {
        let pods = self.pods(name);
        pods.len() == count && pods.iter().all(|pod| pod.outcome == PodOutcome::Gone)
    }

    /// How many requests of each kind.
    pub fn tally(&self) -> BTreeMap<Call, usize> {
        let mut tally = BTreeMap::new();
        for request in &self.requests {
            *tally.entry(request.call()).or_default() += 1;
        }
        tally
    }

    /// What holds in every scenario (the numbers are those of the specification).
    ///
    /// # Errors
    /// Names the promise that was broken.
    pub(super) fn keeps_promises(&self, settings: &Settings, late: Duration) -> Result<()> {
        let broken = |what: String| Err(Error::Usage(format!("{what}\n{self}")));
        let end = self.times.end();
        if self.ended > end + late {
            return broken(format!("P5: returned {:?} after its end", self.ended - end));
        }
        let respects = settings.budgets == BudgetPolicy::Respect;
        if respects && !self.calls(Call::Delete).is_empty() {
            return broken("P2: a pod was deleted under Respect".to_owned());
        }
        let observed: BTreeMap<&str, &PodReport> = self
            .report
            .pods
            .iter()
            .map(|pod| (pod.uid.0.as_str(), pod))
            .collect();
        if observed.len() != self.report.pods.len() {
            return broken("P10: a pod is in the report twice".to_owned());
        }
        let tried = [self.calls(Call::Evict), self.calls(Call::Delete)].concat();
        for request in tried {
            let ending = request.ending();
            let uid = ending.as_ref().and_then(|ending| ending.uid.as_deref());
            let pod = uid.and_then(|uid| observed.get(uid));
            let (Some(ending), Some(pod)) = (ending, pod) else {
                return broken(format!("P3: no UID that was observed: {request:?}"));
            };
            if matches!(pod.outcome, PodOutcome::Skipped { .. }) {
                return broken(format!("P1: a pod that is left alone: {request:?}"));
            }
            if settings.dry_run && !ending.dry_run {
                return broken(format!("P13: a call that is no dry run: {request:?}"));
            }
            let room = end.saturating_duration_since(request.at).as_secs();
            let most = pod.own_grace.as_secs().min(room.max(1));
            let fits = |grace: i64| u64::try_from(grace).is_ok_and(|g| (1..=most).contains(&g));
            if ending.grace.is_some_and(|grace| !fits(grace)) {
                return broken(format!("P4: grace of {:?} s: {request:?}", ending.grace));
            }
        }
        Ok(())
    }

    /// The UIDs that the evictions of such pods named.
    pub fn evicted_uids(&self, name: &str) -> BTreeSet<String> {
        let evictions = self.evictions(name).into_iter();
        evictions
            .filter_map(|request| request.ending()?.uid)
            .collect()
    }
}
