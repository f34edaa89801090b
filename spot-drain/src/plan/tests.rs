//! The plan against its promises. Time is handed in: nothing here waits.

use std::collections::{BTreeMap, BTreeSet};

use spot_core::drainer::DrainOutcome;

use super::*;
use crate::budget::{BudgetFacts, Budgets};
use crate::classify::DaemonSets;
use crate::facts::{Owner, Phase, PodFacts, Uid};
use crate::reply::{Refusal, Reply};
use crate::report::PodOutcome;

mod budgets;
mod calls;
mod fleet;
mod lanes;
mod limits;
mod making;
mod making_model;
mod order;
mod pods;
mod properties;
mod rules;
mod trouble;
mod volumes;
mod watched;

/// A ReplicaSet's pod with a grace of 30 s, the only one of its owner.
fn pod(name: &str) -> PodFacts {
    PodFacts {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid(name),
        owner: owner("ReplicaSet", &format!("rs-{name}")),
        grace: secs(30),
        ..PodFacts::default()
    }
}

fn owned(name: &str, kind: &str, by: &str) -> PodFacts {
    PodFacts {
        owner: owner(kind, by),
        ..pod(name)
    }
}

fn graced(name: &str, grace: u64) -> PodFacts {
    PodFacts {
        grace: secs(grace),
        ..pod(name)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the field wants it")]
fn owner(kind: &str, uid: &str) -> Option<Owner> {
    Some(Owner {
        kind: kind.into(),
        name: uid.into(),
        uid: Uid(uid.into()),
        controller: true,
    })
}

fn terminating(pod: PodFacts) -> PodFacts {
    PodFacts {
        terminating: Some(pod.grace),
        ..pod
    }
}

fn daemon_sets(known: DaemonSets) -> Input {
    Learnt::DaemonSets(known).into()
}

fn budgets(known: Budgets) -> Input {
    Learnt::Budgets(known).into()
}

fn access(allowed: Option<bool>) -> Input {
    let namespace = "shop".into();
    Learnt::Access { namespace, allowed }.into()
}

/// A budget of the pods' namespace, with this selector.
fn budget_over(name: &str, selector: &str) -> BudgetFacts {
    let text = format!(
        r#"{{"metadata": {{"namespace": "shop", "name": "{name}"}}, "spec": {{"selector": {selector}}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn uid(name: &str) -> Uid {
    Uid(name.into())
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn closed(budget: &str) -> Reply {
    Reply::BudgetClosed(Refusal {
        budget: Some(budget.into()),
        stale: false,
        words: "no room".into(),
    })
}

fn forbidden() -> Reply {
    Reply::Forbidden { words: "no".into() }
}

fn unclear() -> Reply {
    Reply::Unclear {
        what: "reset".into(),
    }
}

fn delete_at(grace: u64) -> Settings {
    Settings {
        budgets: BudgetPolicy::DeleteAt { grace: secs(grace) },
        ..Settings::default()
    }
}

/// The pauses between moments.
fn gaps(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|t| t[1].abs_diff(t[0])).collect()
}

/// The names of the pods that are to be evicted.
fn evicted(effects: &[Effect]) -> Vec<&str> {
    let name = |e: &'_ Effect| matches!(e, Effect::Evict(_));
    effects.iter().filter(|e| name(e)).map(named).collect()
}

fn deleted(effects: &[Effect]) -> Vec<&str> {
    let name = |e: &'_ Effect| matches!(e, Effect::Delete(_));
    effects.iter().filter(|e| name(e)).map(named).collect()
}

fn named(effect: &Effect) -> &str {
    match effect {
        Effect::Evict(call) | Effect::Delete(call) => &call.name,
        _ => "",
    }
}

/// A plan, the time, and answers on their way.
struct Bench {
    plan: Plan,
    start: Instant,
    now: Instant,
    agenda: BTreeMap<(Instant, usize), Input>,
    /// What was asked for, and how long after the start.
    log: Vec<(Duration, Effect)>,
    steps: usize,
}

impl Bench {
    /// A drain with `left` seconds to its deadline.
    fn new(settings: Settings, left: u64) -> Self {
        let start = Instant::now();
        Self {
            plan: Plan::new(settings, Some(start + secs(left)), start),
            start,
            now: start,
            agenda: BTreeMap::new(),
            log: Vec::new(),
            steps: 0,
        }
    }

    /// Two minutes, default settings, these pods listed at once.
    fn of(pods: impl IntoIterator<Item = PodFacts>) -> (Self, Vec<Effect>) {
        let mut bench = Self::new(Settings::default(), 120);
        let effects = bench.list(pods);
        (bench, effects)
    }

    fn on(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.plan.on(input, self.now, &mut effects);
        let at = self.now - self.start;
        self.log.extend(effects.iter().map(|e| (at, e.clone())));
        // Asked for once by every plan; their own tests look for them in the log.
        effects.retain(|e| !matches!(e, Effect::ListBudgets | Effect::WatchBudgets { .. }));
        effects
    }

    fn list(&mut self, pods: impl IntoIterator<Item = PodFacts>) -> Vec<Effect> {
        self.on(Input::Listed(pods.into_iter().collect()))
    }

    fn answer(&mut self, name: &str, reply: Reply) -> Vec<Effect> {
        self.on(Input::Answered {
            pod: uid(name),
            reply,
        })
    }

    /// Goes to `after` the start and wakes the plan.
    fn wake_at(&mut self, after: Duration) -> Vec<Effect> {
        self.now = self.start + after;
        self.on(Input::Woken)
    }

    fn next_wake(&self) -> Duration {
        self.plan.next_wake(self.now) - self.start
    }

    fn outcome(&self) -> Option<DrainOutcome> {
        self.plan.outcome(self.now)
    }

    fn became(&self, name: &str) -> PodOutcome {
        let report = self.plan.report(self.now);
        let pod = report.pods.into_iter().find(|p| p.name == name);
        pod.expect("in the report").outcome
    }

    /// Performs the plan until it ends or `until` has come; `server` answers each effect with
    /// inputs and their delays.
    fn run(
        &mut self,
        until: Duration,
        mut server: impl FnMut(&Effect, Duration) -> Vec<(Duration, Input)>,
    ) {
        let mut heard = 0;
        loop {
            for (at, effect) in self.log.split_off(heard) {
                for (delay, input) in server(&effect, at) {
                    let key = (self.start + at + delay, self.steps);
                    self.steps += 1;
                    self.agenda.insert(key, input);
                }
                self.log.push((at, effect));
            }
            heard = self.log.len();
            let wake = self.plan.next_wake(self.now);
            let due = self.agenda.first_key_value().map(|(k, _)| k.0);
            let next = due.map_or(wake, |d| d.min(wake));
            if self.outcome().is_some() || next > self.start + until {
                return;
            }
            self.steps += 1;
            assert!(self.steps < 100_000, "the plan turns in circles");
            self.now = self.now.max(next);
            let input = match due {
                Some(due) if due <= self.now => self.agenda.pop_first().map(|(_, i)| i),
                _ => Some(Input::Woken),
            };
            self.on(input.unwrap_or(Input::Woken));
        }
    }

    /// When pods whose name begins so were evicted, refused or not.
    fn evictions(&self, prefix: &str) -> Vec<Duration> {
        let hit = |e: &Effect| matches!(e, Effect::Evict(c) if c.name.starts_with(prefix));
        self.log
            .iter()
            .filter(|(_, e)| hit(e))
            .map(|(at, _)| *at)
            .collect()
    }

    fn deletions(&self) -> Vec<(Duration, Call)> {
        let call = |(at, e): &(Duration, Effect)| match e {
            Effect::Delete(call) => Some((*at, call.clone())),
            _ => None,
        };
        self.log.iter().filter_map(call).collect()
    }

    fn relists(&self) -> Vec<Duration> {
        let hits = self.log.iter().filter(|(_, e)| *e == Effect::Relist);
        hits.map(|(at, _)| *at).collect()
    }
}

/// A server that accepts: the pod's end is seen a second later.
fn accepts(call: &Call) -> Vec<(Duration, Input)> {
    let pod = call.pod.clone();
    let answered = Input::Answered {
        pod: pod.clone(),
        reply: Reply::Accepted,
    };
    vec![(millis(20), answered), (secs(1), Input::Deleted(pod))]
}

/// A server that replies so to a call.
fn replies(call: &Call, reply: Reply) -> Vec<(Duration, Input)> {
    let pod = call.pod.clone();
    vec![(millis(20), Input::Answered { pod, reply })]
}
