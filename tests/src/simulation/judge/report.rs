//! P8 and P10: what the reports say is so.

use std::{collections::BTreeSet, time::Duration};

use spot_core::observer::Occurrence;
use spot_drain::report::{PodOutcome, Report};

use super::{Case, Verdict};
use crate::{
    simulation::evidence::{Who, who},
    wire::{Call, OnTheWire},
};

/// A drain that has ended, and the pods in its report.
struct Drained {
    who: Who,
    began: Duration,
    at: Duration,
    named: BTreeSet<String>,
}

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let mut began = None;
    let mut drains = Vec::new();
    for entry in case.evidence.told(case.index) {
        match &entry.what {
            Occurrence::DrainStarted(_) => began = Some((entry.who, entry.at)),
            Occurrence::DrainFinished(report) => {
                let Some(report) = report.details::<Report>() else {
                    continue;
                };
                let named = named(case, entry.at, report, verdict);
                let began = began.filter(|(who, _)| *who == entry.who);
                drains.extend(began.map(|(who, began)| Drained {
                    who,
                    began,
                    at: entry.at,
                    named,
                }));
            }
            _ => {}
        }
    }
    if !case.plot.manner.dry_run {
        tried(case, &drains, verdict);
    }
}

/// The pods that a report names, once each; those that are gone are.
fn named(case: Case<'_>, at: Duration, report: &Report, verdict: &mut Verdict) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for pod in &report.pods {
        let (name, uid) = (&pod.name, &pod.uid);
        verdict.check("P10", at, named.insert(uid.0.clone()), || {
            format!("{name} is in the report twice")
        });
        if pod.outcome == PodOutcome::Gone {
            let known = case.evidence.ledger.pods.get(&uid.0);
            let gone = known.is_some_and(|pod| {
                pod.history.gone.is_some_and(|gone| gone <= at)
                    || pod.bound().is_some_and(|(_, node)| node != case.name())
            });
            verdict.check("P8", at, gone, || {
                format!("{name} is said to be gone and is there")
            });
        }
    }
    named
}

/// Every pod that was tried while a drain ran is in its report; where one drain ended in the moment
/// in which another began, in that of either.
fn tried(case: Case<'_>, drains: &[Drained], verdict: &mut Verdict) {
    for request in &case.evidence.requests {
        let Some(by) = who(request) else { continue };
        if !matches!(request.call(), Call::Evict | Call::Delete) {
            continue;
        }
        // Dry runs are self-checks.
        let ending = request.ending().filter(|ending| !ending.dry_run);
        let Some(uid) = ending.and_then(|ending| ending.uid) else {
            continue;
        };
        let sent = case.evidence.since(request.at);
        let mut ran = drains
            .iter()
            .filter(|drain| drain.who == by && (drain.began..=drain.at).contains(&sent))
            .peekable();
        let Some(at) = ran.peek().map(|drain| drain.at) else {
            continue;
        };
        let is_named = ran.any(|drain| drain.named.contains(&uid));
        verdict.check("P10", at, is_named, || {
            format!("a pod was tried and is not in the report: {uid}")
        });
    }
}
