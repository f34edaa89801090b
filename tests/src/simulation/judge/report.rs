//! P8 and P10: what the reports say is so.

use std::collections::BTreeSet;

use spot_core::observer::Occurrence;
use spot_drain::report::{PodOutcome, Report};

use super::{Case, Verdict};
use crate::{
    simulation::evidence::{Who, who},
    wire::{Call, OnTheWire},
};

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let mut began = None;
    for entry in case.evidence.told(case.index) {
        match &entry.what {
            Occurrence::DrainStarted(_) => began = Some((entry.who, entry.at)),
            Occurrence::DrainFinished(report) => {
                let Some(report) = report.details::<Report>() else {
                    continue;
                };
                let since = began.filter(|(who, _)| *who == entry.who);
                one(
                    case,
                    entry.who,
                    since.map(|(_, at)| at),
                    entry.at,
                    report,
                    verdict,
                );
            }
            _ => {}
        }
    }
}

fn one(
    case: Case<'_>,
    by: Who,
    began: Option<std::time::Duration>,
    at: std::time::Duration,
    report: &Report,
    verdict: &mut Verdict,
) {
    let ledger = &case.evidence.ledger;
    let mut named = BTreeSet::new();
    for pod in &report.pods {
        let (name, uid) = (&pod.name, &pod.uid);
        verdict.check("P10", at, named.insert(uid.0.clone()), || {
            format!("{name} is in the report twice")
        });
        if pod.outcome == PodOutcome::Gone {
            let known = ledger.pods.get(&uid.0);
            let gone = known.is_some_and(|pod| {
                pod.history.gone.is_some_and(|gone| gone <= at)
                    || pod.bound().is_some_and(|(_, node)| node != case.name())
            });
            verdict.check("P8", at, gone, || {
                format!("{name} is said to be gone and is there")
            });
        }
    }
    let Some(began) = began.filter(|_| !case.plot.manner.dry_run) else {
        return;
    };
    let tried = case.evidence.requests.iter().filter(|request| {
        let sent = case.evidence.since(request.at);
        who(request) == Some(by)
            && matches!(request.call(), Call::Evict | Call::Delete)
            && (began..=at).contains(&sent)
    });
    // Dry runs are self-checks.
    let tried = tried.filter_map(OnTheWire::ending);
    for uid in tried
        .filter(|ending| !ending.dry_run)
        .filter_map(|ending| ending.uid)
    {
        verdict.check("P10", at, named.contains(&uid), || {
            format!("a pod was tried and is not in the report: {uid}")
        });
    }
}
