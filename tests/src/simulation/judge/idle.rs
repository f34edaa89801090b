//! What an idle handler costs.

use std::time::Duration;

use super::{Case, Verdict};
use crate::{
    simulation::evidence::who,
    wire::{Call, OnTheWire as _},
};

/// The requests of one self-check, with the first look at the node.
const CHECK: usize = 16;
/// The further ones where replacements are made first.
const MAKING: usize = 5;
/// How often one is made at the most.
const EVERY: Duration = Duration::from_secs(600);
/// How often it looks again at a node that is another machine's, but for the first few times.
const AGAIN: Duration = Duration::from_secs(15);

/// A handler that is told nothing, and on whose way nothing breaks, asks the API server for its
/// self-checks and nothing else.
pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let quiet = case.machine.announced.is_empty()
        && case.plot.denied.is_none()
        && case.plot.outages.is_empty()
        && case.machine.faults.is_empty();
    if !quiet {
        return;
    }
    for life in case.evidence.lives.get(case.index).into_iter().flatten() {
        let requests = case.evidence.requests.iter();
        let requests = requests.filter(|request| who(request) == Some(life.who));
        let made = requests.clone().count();
        for request in requests {
            let harmless = request.method == "GET"
                || request.call() == Call::Review
                || request.query.contains("dryRun=All")
                || request.ending().is_some_and(|ending| ending.dry_run);
            // What an earlier handler has left is taken back.
            let left = case.machine.left.is_some();
            let at = case.evidence.since(request.at);
            verdict.check("idle", at, harmless || left, || {
                format!("{} {} changes something", request.method, request.path)
            });
        }
        let lasted = life.until.saturating_sub(life.from);
        let check = if case.plot.manner.makes_first {
            CHECK + MAKING
        } else {
            CHECK
        };
        let checks = 1 + usize::try_from(lasted.as_secs() / EVERY.as_secs()).unwrap_or_default();
        let looks = if case.machine.foreign {
            usize::try_from(lasted.as_secs() / AGAIN.as_secs()).unwrap_or_default()
        } else {
            0
        };
        verdict.check("idle", life.until, made <= checks * check + looks, || {
            format!(
                "{} made {made} requests in {lasted:?} of quiet",
                case.name()
            )
        });
    }
}
