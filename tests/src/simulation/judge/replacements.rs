//! P14, and the rest of what make before break promises.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use spot_core::observer::Occurrence;
use spot_drain::{
    replacement::{DETACHED_ANNOTATION, HASH_LABEL},
    sim::Recorded,
};

use super::{
    Case, Verdict,
    node::is_tainted,
    progress::{allows, selects},
};
use crate::{
    simulation::{
        evidence::{Pod, is_detached, who},
        plot::Deed,
    },
    wire::{Call, Ending, OnTheWire as _},
};

/// How exactly a handler can know the time that is left, with the margins that it keeps.
const WITH_MARGINS: Duration = Duration::from_millis(12_100);
/// What an eviction is reckoned to take, where nothing breaks and at most.
const EACH: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// A drain that begins so long before a pod's grace must have its replacement made first: the
/// margins, the five seconds below which a wait is not worth the while, and what finding out takes.
const AMPLE: Duration = Duration::from_secs(22);

/// A pod whose return was refused so often may be left, and is told of.
const REFUSALS: usize = 10;

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
    patches(case, verdict);
    evictions(case, verdict);
    made_first(case, verdict);
}

/// Where the node was given back nothing of it is detached.
fn left_behind(case: Case<'_>, verdict: &mut Verdict) {
    if case.machine.foreign {
        return;
    }
    let changes = case.evidence.ledger.nodes.get(case.name());
    for change in changes.into_iter().flatten() {
        let by = change
            .by
            .and_then(|number| case.evidence.requests.get(number));
        let ours = by.and_then(who).is_some();
        if !ours || !is_tainted(&change.before) || is_tainted(&change.after) {
            continue;
        }
        for pod in case.evidence.ledger.on(case.name()) {
            let state = pod.history.at(change.at);
            let stands = state.is_some_and(|state| {
                is_detached(state) && state["metadata"]["deletionTimestamp"].is_null()
            });
            let stands = stands && refusals(case, pod, change.at) < REFUSALS;
            verdict.check("P14", change.at, !stands, || {
                format!("{} is detached on a node that was given back", pod.key)
            });
        }
    }
}

/// How often the server refused to have a pod changed, up to a moment.
fn refusals(case: Case<'_>, pod: &Pod, until: Duration) -> usize {
    let requests = case.evidence.requests.iter();
    let refused = requests.filter(|request| {
        request.call() == Call::PatchPod
            && request
                .status
                .is_some_and(|status| (400..500).contains(&status))
            && pod.key.ends_with(&format!("/{}", request.pod()))
            && case.evidence.since(request.at) <= until
    });
    refused.count()
}

/// Only pods of the own node are changed, and of them only what detaches them.
fn patches(case: Case<'_>, verdict: &mut Verdict) {
    let of_others = |pod: &Value| {
        let mut metadata = pod["metadata"].clone();
        for (map, ours) in [("labels", HASH_LABEL), ("annotations", DETACHED_ANNOTATION)] {
            if let Some(map) = metadata[map].as_object_mut() {
                map.remove(ours);
            }
            if metadata[map]
                .as_object()
                .is_some_and(serde_json::Map::is_empty)
            {
                metadata[map] = Value::Null;
            }
        }
        (
            metadata["labels"].take(),
            metadata["annotations"].take(),
            pod["spec"].clone(),
        )
    };
    let ours = |request: &&Recorded| {
        let by = who(request);
        let real = !request.query.contains("dryRun=All");
        real && request.call() == Call::PatchPod && by.is_some_and(|by| by.machine == case.index)
    };
    for request in case.evidence.requests.iter().filter(ours) {
        let at = case.evidence.since(request.at);
        let Some(effect) = request.effect.as_ref().filter(|e| !e.versions.is_empty()) else {
            continue;
        };
        for (pod, index) in case.evidence.ledger.pods.values().filter_map(|pod| {
            let made = |state: &Value| {
                let version = state["metadata"]["resourceVersion"].as_str();
                version.is_some_and(|v| v.parse().is_ok_and(|v: u64| effect.versions.contains(&v)))
            };
            let states = pod.history.states();
            let index = states.iter().position(|(_, state)| made(state))?;
            Some((pod, index)).filter(|_| request.path.ends_with(&format!("/{}", request.pod())))
        }) {
            let states = pod.history.states();
            let before = index.checked_sub(1).and_then(|before| states.get(before));
            let (Some((_, before)), Some((_, after))) = (before, states.get(index)) else {
                continue;
            };
            // What its ReplicaSet makes of it at the same moment is another version.
            let kept = of_others(before) == of_others(after);
            verdict.check("P7", at, kept, || {
                format!("{} was changed in more than what detaches it", pod.key)
            });
            let own = pod.bound().is_some_and(|(_, node)| node == case.name());
            verdict.check("own node", at, own, || {
                format!("{} was changed and is another node's", pod.key)
            });
        }
    }
}

/// Where nothing is in the way, a pod whose workload allows it is detached before it is evicted.
fn made_first(case: Case<'_>, verdict: &mut Verdict) {
    let (plot, machine) = (case.plot, case.machine);
    let others =
        |(_, deed): &(Duration, Deed)| deed.is_about_pods() || deed.is_about_cordon(case.name());
    let plain = plot.manner.makes_first
        && !plot.manner.dry_run
        && plot.denied.is_none()
        && plot.outages.is_empty()
        && !plot.deeds.iter().any(others)
        && machine.kills.is_empty()
        && machine.kubelet.is_none()
        && machine.left.is_none()
        && !machine.foreign
        && machine.tells_true_time();
    let mut told = case.evidence.told(case.index);
    let began = told.find_map(|entry| match &entry.what {
        Occurrence::DrainStarted(_) => Some(entry.at),
        _ => None,
    });
    let Some((due, began)) = machine.due().zip(began).filter(|_| plain) else {
        return;
    };
    for pod in case.evidence.ledger.on(case.name()) {
        let serves = pod.serves(began) && pod.bound().is_some_and(|(at, _)| at < began);
        let ample = began + pod.grace() + AMPLE < due;
        if !ample || !serves || !pod.surges(plot) || pod.wish() == Some("skip") {
            continue;
        }
        let Some(ends) = pod.ends().filter(|ends| *ends >= began) else {
            continue;
        };
        let first = pod.detached().is_some_and(|detached| detached <= ends);
        verdict.check("made first", ends, first, || {
            format!("{} is evicted, and no replacement was made first", pod.key)
        });
    }
}

/// Nobody goes before another serves while there is time, nor later than its grace needs.
fn evictions(case: Case<'_>, verdict: &mut Verdict) {
    // Nobody else takes pods away.
    let alone = !case.plot.deeds.iter().any(|(_, deed)| deed.is_about_pods())
        && case.plot.machines.iter().all(|m| m.kubelet.is_none())
        && case.machine.tells_true_time();
    // And nothing keeps it from being in time.
    let plain =
        case.plot.outages.is_empty() && case.plot.denied.is_none() && case.machine.kills.is_empty();
    let Some(due) = case.machine.due().filter(|_| alone) else {
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
        let Some(then) = detached else {
            continue;
        };
        let before = at.saturating_sub(Duration::from_nanos(1));
        // Those of one budget go one after the other, and the last one's grace has to fit.
        let each = if case.plot.outages.is_empty() {
            EACH.0
        } else {
            EACH.1
        };
        let needed = pod.grace() + each * behind(case, pod, before);
        let there_was_time = at + needed + WITH_MARGINS < due;
        let served = pod.serves(before) && pod.served_until(at);
        if there_was_time && served && request.succeeded() {
            let enough = others(case, pod, before) >= wanted(case, pod);
            verdict.check("before another serves", at, enough, || {
                format!("{} is evicted and nobody serves in its place", pod.key)
            });
        }
        // At its first try.
        let free =
            plain && tried.insert(uid.clone()) && !held.contains(&(pod.namespace(), pod.app()));
        let begins = due.saturating_sub(pod.grace() + WITH_MARGINS);
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

/// How many other detached pods of the node may have to go after this one: those of its workload,
/// and where no budget is over it, all over which none is.
fn behind(case: Case<'_>, pod: &Pod, at: Duration) -> u32 {
    let budgets = &case.evidence.ledger.budgets;
    let is_held = |pod: &Pod| budgets.values().any(|budget| selects(budget, pod));
    let is_behind = |other: &&Pod| {
        let is_same = other.app() == pod.app() && other.namespace() == pod.namespace();
        let are_free = !is_held(other) && !is_held(pod);
        let waits = other.detached().is_some() && other.serves(at);
        other.uid != pod.uid && waits && (is_same || are_free)
    };
    let behind = case.evidence.ledger.on(case.name()).filter(is_behind);
    u32::try_from(behind.count()).unwrap_or(u32::MAX)
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
