//! With faults that end, every pod that could be saved was: its eviction was accepted.

use std::time::Duration;

use serde_json::Value;
use spot_core::{notice::NoticeKind, observer::Occurrence};
use spot_drain::sim::Injection;

use super::{Case, MARGIN, Verdict, node::is_quarantined};
use crate::{
    simulation::evidence::{History, Pod, Who, who},
    wire::{Call, OnTheWire as _},
};

/// Within this time of calm what can be done is done: the longest pause between tries is 5 s.
const SOON: Duration = Duration::from_secs(12);
/// So many failed looks in a row are believed.
const LOOKS: usize = 3;
/// A budget that is open is used within this time.
const OPEN: Duration = Duration::from_secs(8);
/// What five pods are given besides: some plots allow five calls a second.
const FIVE: Duration = Duration::from_secs(1);

/// A time of calm in a drain.
struct Calm<'a> {
    case: Case<'a>,
    who: Who,
    /// When the drain began.
    began: Duration,
    /// From when on nothing breaks.
    from: Duration,
    /// Until when nothing breaks, and its handler lives.
    until: Duration,
    /// When the machine goes.
    deadline: Duration,
    /// When the drain is over at the earliest.
    due: Duration,
}

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    let machine = case.machine;
    let judged = machine.tells_true_time()
        && !machine.foreign
        && !case.plot.manner.dry_run
        && case.plot.denied.is_none()
        && machine.drains(NoticeKind::SpotInterruption);
    let Some(due) = machine.due().filter(|_| judged) else {
        return;
    };
    for (who, began) in drains(case) {
        for (from, until) in calms(case, began, case.died(who)) {
            let calm = Calm {
                case,
                who,
                began,
                from,
                until,
                deadline: due,
                due: due.saturating_sub(MARGIN.1),
            };
            calm.judge(verdict);
        }
    }
}

/// When interruptions' drains began.
fn drains(case: Case<'_>) -> impl Iterator<Item = (Who, Duration)> {
    case.evidence
        .told(case.index)
        .filter_map(|entry| match &entry.what {
            Occurrence::DrainStarted(order) if order.kind == NoticeKind::SpotInterruption => {
                Some((entry.who, entry.at))
            }
            _ => None,
        })
}

/// The times in which nothing breaks between a handler and the API server, and nothing lingers of
/// what did.
fn calms(case: Case<'_>, began: Duration, died: Duration) -> Vec<(Duration, Duration)> {
    let mut outages: Vec<(Duration, Duration)> = case
        .plot
        .outages
        .iter()
        .filter(|outage| outage.concerns(case.name()))
        .map(|outage| (outage.from, outage.until + outage.lingers()))
        .collect();
    outages.sort_unstable();
    let (mut calms, mut from) = (Vec::new(), began);
    for (begins, ends) in outages {
        if begins > from {
            calms.push((from, begins.min(died)));
        }
        from = from.max(ends);
    }
    calms.push((from, died));
    calms
}

impl Calm<'_> {
    fn judge(&self, verdict: &mut Verdict) {
        let ledger = &self.case.evidence.ledger;
        let name = self.case.name();
        let on_it = ledger.on(name).count();
        let soon = self.from + SOON + FIVE * u32::try_from(on_it / 5).unwrap_or_default();
        if soon > self.due || soon > self.until {
            return;
        }
        if !self.case.plot.is_handled_by_others(name) {
            let quarantined = self.is_quarantined(soon);
            verdict.check("quarantines", soon, quarantined, || {
                format!("{name} takes pods in the middle of a drain")
            });
        }
        for pod in ledger.on(name).filter(|pod| self.is_to_go(pod)) {
            let budgets: Vec<_> = ledger
                .budgets
                .iter()
                .filter(|(key, budget)| {
                    key.starts_with(&format!("{}/", pod.namespace())) && selects(budget, pod)
                })
                .collect();
            let ends = pod.ends().unwrap_or(Duration::MAX);
            let waits = pod.wish() == Some("last") || pod.is_critical();
            // For its replacement, as long as its grace allows.
            let waits = waits || self.case.plot.manner.makes_first && pod.surges(self.case.plot);
            match budgets.as_slice() {
                [] if waits => {
                    let late = self.deadline;
                    let judged = late <= self.until;
                    verdict.check("progress", late, !judged || ends <= late, || {
                        format!("{} was never evicted, and nothing held it", pod.key)
                    });
                }
                [] => verdict.check("progress", soon, ends <= soon, || {
                    format!("{} is not evicted, and nothing holds it", pod.key)
                }),
                [(key, budget)] => {
                    // One that waits is tried when its grace has to begin.
                    let from = if waits {
                        soon.max(self.deadline.saturating_sub(pod.grace()))
                    } else {
                        soon
                    };
                    let open = self.stood_open(budget, from, ends);
                    verdict.check("progress", soon, open.is_none(), || {
                        format!(
                            "{} was not evicted, and its budget {key} stood open from {open:?}",
                            pod.key
                        )
                    });
                }
                _ => {}
            }
        }
    }

    fn is_quarantined(&self, at: Duration) -> bool {
        let changes = self.case.evidence.ledger.nodes.get(self.case.name());
        let mut before = changes
            .into_iter()
            .flatten()
            .filter(|change| change.at <= at);
        before
            .next_back()
            .is_some_and(|change| is_quarantined(&change.after))
    }

    /// Whether a pod has to leave, and is there when it is calm.
    fn is_to_go(&self, pod: &Pod) -> bool {
        let there = pod.history.at(self.from).is_some()
            && pod.bound().is_some_and(|(at, _)| at <= self.from);
        there
            && !pod.is_mirror()
            && !self.case.evidence.is_own(self.who, pod)
            // What is a DaemonSet's when a drain asks counts as that to its end.
            && !pod.is_of_daemon_set(&self.case.evidence.ledger, self.began)
            && pod.wish() != Some("skip")
            && !pod.is_completed(self.from)
            && pod.ends().is_none_or(|ends| ends > self.from)
            && !(pod.daemon_set().is_some() && self.sets_were_unknown())
    }

    /// Whether the drain ended before it was calm, and its DaemonSets could not be looked up by then:
    /// what is one's by its owner is left alone.
    fn sets_were_unknown(&self) -> bool {
        let evidence = self.case.evidence;
        let ended = evidence.told(self.case.index).find_map(|entry| {
            let is_it = entry.who == self.who && entry.at >= self.began;
            (is_it && matches!(entry.what, Occurrence::DrainFinished(_))).then_some(entry.at)
        });
        let Some(ended) = ended.filter(|ended| *ended <= self.from) else {
            return false;
        };
        let looks = evidence.requests.iter().filter(|request| {
            who(request) == Some(self.who)
                && request.call() == Call::ListDaemonSets
                && (self.began..=ended).contains(&evidence.since(request.at))
        });
        let failed = looks
            .rev()
            .take_while(|look| !look.succeeded() || look.injected != Injection::none());
        failed.count() >= LOOKS
    }

    /// From when on a budget stood open for long with its pod still there.
    fn stood_open(&self, budget: &History, from: Duration, ends: Duration) -> Option<Duration> {
        let until = ends
            .min(self.due)
            .min(self.until)
            .min(budget.gone.unwrap_or(Duration::MAX));
        let mut open: Option<Duration> = None;
        let states = budget.states();
        for (index, (at, state)) in states.iter().enumerate() {
            let next = states
                .get(index + 1)
                .map_or(until, |(at, _)| (*at).min(until));
            let (at, next) = ((*at).max(from), next.max(from));
            if allows(state) {
                let since = *open.get_or_insert(at);
                if next >= since + OPEN && at < until {
                    return Some(since);
                }
            } else {
                open = None;
            }
        }
        None
    }
}

pub(super) fn allows(budget: &Value) -> bool {
    let observed = budget["status"]["observedGeneration"] == budget["metadata"]["generation"];
    observed && budget["status"]["disruptionsAllowed"].as_i64() > Some(0)
}

/// Every budget of a plot selects by one label.
pub(super) fn selects(budget: &History, pod: &Pod) -> bool {
    let app = |value: &Value| value.as_str().map(str::to_owned);
    let wanted = budget
        .last()
        .and_then(|b| app(&b["spec"]["selector"]["matchLabels"]["app"]));
    let has = pod
        .history
        .last()
        .and_then(|p| app(&p["metadata"]["labels"]["app"]));
    wanted.is_some() && wanted == has
}
