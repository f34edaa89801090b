//! No handler makes a storm: what is asked again is asked later, whatever the answer was.

use std::{collections::BTreeMap, time::Duration};

use super::Verdict;
use crate::simulation::evidence::{Evidence, Who, who};

/// A drain's first round is 64 calls at most, and each of them may be answered at once.
const AT_ONCE: usize = 200;

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    let mut moments: BTreeMap<(Duration, Who), usize> = BTreeMap::new();
    for request in &evidence.requests {
        if let Some(who) = who(request) {
            *moments
                .entry((evidence.since(request.at), who))
                .or_default() += 1;
        }
    }
    for ((at, who), requests) in moments {
        verdict.check("no storm", at, requests <= AT_ONCE, || {
            format!("{who:?} makes {requests} requests at once")
        });
    }
}
