//! P14, and the rest of what make before break promises.

use std::{collections::BTreeSet, time::Duration};

use spot_core::observer::Occurrence;

use super::{
    Case, Verdict,
    progress::{allows, selects},
};
use crate::{
    simulation::evidence::{Pod, is_detached, who},
    wire::{Call, Ending, OnTheWire as _},
};

/// How exactly a handler can know the time that is left, with the margins that it keeps.
const VAGUE: Duration = Duration::from_millis(12_100);

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let ledger = &case.evidence.ledger;
    for pod in ledger.on(case.name()) {
        if let Some(at) = pod.detached() {
            let manner = case.plot.manner;
            let allowed = manner.makes_first && !manner.dry_run && pod.surges(case.plot);
            verdict.check("two at once", at, allowed, || {
                format!("{} is detached, of which there must not be two", pod.key)
            });
        }
    }
    left_behind(case, verdict);
    evictions(case, verdict);
}

/// Where the node was given back nothing of it is detached.
fn left_behind(case: Case<'_>, verdict: &mut Verdict) {
    if case.machine.foreign {
        return;
    }
    for entry in case.evidence.told(case.index) {
        if !matches!(entry.what, Occurrence::Released) {
            continue;
        }
        for pod in case.evidence.ledger.on(case.name()) {
            let state = pod.history.at(entry.at);
            let stands = state.is_some_and(|state| {
                is_detached(state) && state["metadata"]["deletionTimestamp"].is_null()
            });
            verdict.check("P14", entry.at, !stands, || {
                format!("{} is detached on a node that was given back", pod.key)
            });
        }
    }
}

/// Nobody goes before another serves while there is time, nor later than its grace needs.
fn evictions(case: Case<'_>, verdict: &mut Verdict) {
    // Nobody else takes pods away.
    let alone = case.plot.machines.len() == 1
        && !case.plot.deeds.iter().any(|(_, deed)| deed.is_about_pods())
        && case.machine.kubelet.is_none()
        && case.machine.tells_true_time();
    // And nothing keeps it from being in time.
    let plain =
        case.plot.outages.is_empty() && case.plot.denied.is_none() && case.machine.kills.is_empty();
    let due = case.machine.announced.iter().filter_map(|a| a.due).min();
    let Some(due) = due.filter(|_| alone) else {
        return;
    };
    let mut tried = BTreeSet::new();
    // Workloads of which one was refused: the others wait behind it.
    let mut held = BTreeSet::new();
    for request in &case.evidence.requests {
        let ours = who(request).is_some_and(|who| who.machine == case.index);
        if !ours || request.call() != Call::Evict {
            continue;
        }
        let Some(Ending {
            uid: Some(uid),
            grace,
            dry_run: false,
        }) = request.ending()
        else {
            continue;
        };
        let at = case.evidence.since(request.at);
        let Some(pod) = case.evidence.ledger.pods.get(&uid) else {
            continue;
        };
        if !request.succeeded() {
            held.insert((pod.namespace(), pod.app()));
        }
        let detached = pod.detached().filter(|then| *then <= at);
        let Some(then) = detached.filter(|_| tried.insert(uid.clone())) else {
            continue;
        };
        let there_was_time = at + pod.grace() + VAGUE < due;
        let before = at.saturating_sub(Duration::from_nanos(1));
        let served = pod.serves(before) && pod.served_until(at);
        if there_was_time && served && request.succeeded() {
            let enough = others(case, pod, before) >= wanted(case, pod);
            verdict.check("before another serves", at, enough, || {
                format!("{} is evicted and nobody serves in its place", pod.key)
            });
        }
        let free = plain && !held.contains(&(pod.namespace(), pod.app()));
        let begins = due.saturating_sub(pod.grace() + VAGUE);
        let fitted = free && then < begins && !was_closed(case, pod, begins, at);
        verdict.check("late for its grace", at, !fitted || grace.is_none(), || {
            format!(
                "{} waited until its grace of {:?} was cut",
                pod.key,
                pod.grace()
            )
        });
    }
}

/// Whether a budget over a pod allowed nothing for a while of that time: what waited together may
/// have to go one after the other.
fn was_closed(case: Case<'_>, pod: &Pod, from: Duration, to: Duration) -> bool {
    let budgets = case.evidence.ledger.budgets.values();
    budgets.filter(|budget| selects(budget, pod)).any(|budget| {
        let states = budget.states();
        let first = states.partition_point(|(at, _)| *at <= from);
        let during = states.iter().skip(first.saturating_sub(1));
        during
            .take_while(|(at, _)| *at < to)
            .any(|(_, state)| !allows(state))
    })
}

/// How many others of its workload serve.
fn others(case: Case<'_>, pod: &Pod, at: Duration) -> usize {
    let all = case.evidence.ledger.pods.values();
    let others = all.filter(|other| {
        other.uid != pod.uid && other.app() == pod.app() && other.namespace() == pod.namespace()
    });
    others.filter(|other| other.serves(at)).count()
}

fn wanted(case: Case<'_>, pod: &Pod) -> usize {
    let load = case.plot.load(pod.app());
    load.map_or(0, |load| {
        usize::try_from(load.replicas).unwrap_or(usize::MAX)
    })
}
