//! P9, and that nothing is evicted without end: how many calls that end pods at once, in a time,
//! under one budget, and in all.

use std::{collections::BTreeMap, time::Duration};

use spot_drain::{plan::BudgetPolicy, sim::Recorded};

use super::{Verdict, progress::selects};
use crate::{
    simulation::{
        evidence::{Evidence, Who, who},
        plot::Plot,
    },
    wire::{Call, OnTheWire as _},
};

/// A node that takes what is evicted from it again loses so many pods at the most: six
/// workloads of a few, each some times.
const MOST: usize = 500;
/// A list of budgets is known to a plan within this time, and that a pod has become ready.
const KNOWN: Duration = Duration::from_secs(1);

pub(super) fn judge(plot: &Plot, evidence: &Evidence, verdict: &mut Verdict) {
    if plot.manner.dry_run {
        // Self-checks are not told from the drain.
        return;
    }
    let mut by_handler: BTreeMap<Who, Vec<&Recorded>> = BTreeMap::new();
    for request in &evidence.requests {
        let ends = matches!(request.call(), Call::Evict | Call::Delete);
        let is_check = request.ending().is_some_and(|ending| ending.dry_run);
        if let Some(who) = who(request).filter(|_| ends && !is_check) {
            by_handler.entry(who).or_default().push(request);
        }
    }
    for (who, requests) in by_handler {
        at_once(plot, evidence, who, &requests, verdict);
        in_a_time(plot, evidence, who, &requests, verdict);
        // What is about to be deleted is asked for once, whoever else is.
        if plot.manner.budgets == BudgetPolicy::Respect {
            under_one_budget(evidence, who, &requests, verdict);
        }
        let took = requests
            .iter()
            .filter(|r| r.effect.as_ref().is_some_and(|e| e.status < 300));
        let (took, last) = (took.count(), requests.last().map(|request| request.at));
        let last = last.map(|at| evidence.since(at)).unwrap_or_default();
        verdict.check("no churn", last, took <= MOST, || {
            format!("{who:?} ended {took} pods, which keep coming back")
        });
    }
}

/// When a call was over.
fn ended(evidence: &Evidence, request: &Recorded) -> Duration {
    let ended = request.ended;
    ended.map_or(Duration::MAX, |ended| evidence.since(ended))
}

fn at_once(
    plot: &Plot,
    evidence: &Evidence,
    who: Who,
    requests: &[&Recorded],
    verdict: &mut Verdict,
) {
    let most = plot.manner.limits.in_flight.max(1);
    let mut under_way: Vec<Duration> = Vec::new();
    for request in requests {
        let at = evidence.since(request.at);
        // One that ends as another begins is over.
        under_way.retain(|ended| *ended > at);
        under_way.push(ended(evidence, request));
        verdict.check("P9", at, under_way.len() <= most, || {
            format!("{who:?} has {} calls under way", under_way.len())
        });
    }
}

/// In any time there are no more than the burst, and what the rate gives in it.
fn in_a_time(
    plot: &Plot,
    evidence: &Evidence,
    who: Who,
    requests: &[&Recorded],
    verdict: &mut Verdict,
) {
    let limits = plot.manner.limits;
    let times: Vec<Duration> = requests.iter().map(|r| evidence.since(r.at)).collect();
    let burst = f64::from(limits.burst.max(1));
    let rate = f64::from(limits.per_second.max(1));
    for (last, until) in times.iter().enumerate() {
        let most_over = times[..=last].iter().enumerate().find(|(first, from)| {
            let took = until.saturating_sub(**from).as_secs_f64();
            let made = u32::try_from(last + 1 - first).unwrap_or(u32::MAX);
            // Timers fire at whole milliseconds.
            f64::from(made) > burst + rate * (took + 0.002) + 0.5
        });
        verdict.check("P9", *until, most_over.is_none(), || {
            let (first, from) = most_over.unwrap_or((last, until));
            let made = last + 1 - first;
            format!(
                "{who:?} made {made} calls within {:?}",
                until.saturating_sub(*from)
            )
        });
    }
}

/// Of pods under one budget that the handler knows one is asked for at a time: the server makes
/// those wait that conflict.
fn under_one_budget(evidence: &Evidence, who: Who, requests: &[&Recorded], verdict: &mut Verdict) {
    let listed = evidence.requests.iter().filter(|request| {
        crate::simulation::evidence::who(request) == Some(who)
            && request.call() == Call::ListBudgets
            && request.succeeded()
            && request.injected == spot_drain::sim::Injection::none()
    });
    let Some(known) = listed.filter_map(|request| request.ended).min() else {
        return;
    };
    let known = evidence.since(known) + KNOWN;
    let mut under_way: BTreeMap<&str, (Duration, &str)> = BTreeMap::new();
    // A deletion asks no budget.
    for request in requests.iter().filter(|r| r.call() == Call::Evict) {
        let at = evidence.since(request.at);
        let Some(pod) = request
            .ending()
            .and_then(|ending| evidence.ledger.pods.get(&ending.uid?))
        else {
            continue;
        };
        let mut over = evidence.ledger.budgets.iter().filter(|(key, budget)| {
            key.starts_with(&format!("{}/", pod.namespace())) && selects(budget, pod)
        });
        // Several make the server refuse it, and one that is not ready may be let go all the same.
        if let (Some((key, _)), None) = (over.next(), over.next())
            && pod.serves(at)
            && pod.serves(at.saturating_sub(KNOWN))
        {
            let before = under_way.insert(key, (ended(evidence, request), &pod.key));
            let clash = before.filter(|(ended, _)| *ended > at && at > known);
            verdict.check("one at a time", at, clash.is_none(), || {
                let other = clash.map_or("", |(_, other)| other);
                format!(
                    "{} is asked for while {other} is, and {key} is over both",
                    pod.key
                )
            });
        }
    }
}
