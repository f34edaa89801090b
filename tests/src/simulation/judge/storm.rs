//! No handler makes a storm: what is asked again is asked later, whatever the answer was.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use spot_core::observer::Occurrence;

use super::{
    Verdict,
    calls::{drains_at, finished_after},
};
use crate::{
    simulation::evidence::{Evidence, Who, who},
    wire::{Call, OnTheWire as _},
};

/// A drain's first round is 64 calls at most, and each of them may be answered at once.
const AT_ONCE: usize = 200;

/// How long after a question about rights got no answer it is asked again.
const DOUBT: Duration = Duration::from_secs(1);

pub(super) fn judge(evidence: &Evidence, verdict: &mut Verdict) {
    doubts(evidence, verdict);
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

/// Within a drain a question about rights that got no answer is asked again after a second.
fn doubts(evidence: &Evidence, verdict: &mut Verdict) {
    let mut unanswered: BTreeMap<(Who, &Bytes), Duration> = BTreeMap::new();
    for request in &evidence.requests {
        let at = evidence.since(request.at);
        // A self-check, which asks the same, may follow on the drain's end.
        let drains = |who: Who| {
            drains_at(evidence, who, at) && finished_after(evidence, who, at) != Some(at)
        };
        let Some(who) = who(request).filter(|who| request.call() == Call::Review && drains(*who))
        else {
            continue;
        };
        let question = (who, &request.body);
        let before = unanswered.remove(&question);
        if request.status.is_none() {
            let ended = request.ended.map_or(at, |ended| evidence.since(ended));
            unanswered.insert(question, ended);
        }
        let Some(before) = before else {
            continue;
        };
        let mut told = evidence.told(who.machine);
        let anew = told.any(|entry| {
            let started = matches!(entry.what, Occurrence::DrainStarted(_));
            started && (before..=at).contains(&entry.at)
        });
        verdict.check("no storm", at, anew || at >= before + DOUBT, || {
            format!("{who:?} asks again about its rights, unanswered at {before:?}")
        });
    }
}
