//! Every call that ends a pod: which, how, and when.

use std::time::Duration;

use spot_core::{notice::NoticeKind, observer::Occurrence};
use spot_drain::{plan::BudgetPolicy, sim::Recorded};

use super::{MARGIN, Verdict};
use crate::{
    simulation::{
        evidence::{Entry, Evidence, Pod, Who, who},
        plot::{Machine, Plot},
    },
    wire::{Call, Ending, OnTheWire as _},
};

/// How exactly a handler can know the time that is left: the metadata's clock shows whole
/// seconds, and so does what it announces.
const VAGUE: Duration = Duration::from_millis(2_100);

/// A call that ends a pod.
struct Deadly<'a> {
    at: Duration,
    who: Who,
    machine: &'a Machine,
    request: &'a Recorded,
    ending: Ending,
    pod: &'a Pod,
}

pub(super) fn judge(plot: &Plot, evidence: &Evidence, verdict: &mut Verdict) {
    for request in &evidence.requests {
        let call = request.call();
        let Some(who) = who(request).filter(|_| matches!(call, Call::Evict | Call::Delete)) else {
            continue;
        };
        let at = evidence.since(request.at);
        let machine = plot.machines.get(who.machine);
        let ending = request.ending();
        if !plot.manner.dry_run && ending.as_ref().is_some_and(|ending| ending.dry_run) {
            // A self-check.
            continue;
        }
        let uid = ending.as_ref().and_then(|ending| ending.uid.as_deref());
        let path = &request.path;
        verdict.check("P3", at, uid.is_some(), || format!("{path} names no UID"));
        let (Some(machine), Some(ending), Some(uid)) = (machine, ending.clone(), uid) else {
            continue;
        };
        let key = key(path);
        let mut seen = evidence.ledger.named(&key);
        let pod = seen.find(|pod| pod.uid == uid && pod.came() <= at);
        verdict.check("P3", at, pod.is_some(), || {
            format!("{path} names {uid}, which was never there")
        });
        if let Some(pod) = pod {
            let deadly = Deadly {
                at,
                who,
                machine,
                request,
                ending,
                pod,
            };
            deadly.judge(plot, evidence, verdict);
        }
    }
}

/// `namespace/name` of the pod at a path.
fn key(path: &str) -> String {
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces");
    let (namespace, name) = (parts.nth(1), parts.nth(1));
    format!(
        "{}/{}",
        namespace.unwrap_or_default(),
        name.unwrap_or_default()
    )
}

impl Deadly<'_> {
    fn judge(&self, plot: &Plot, evidence: &Evidence, verdict: &mut Verdict) {
        let (at, pod) = (self.at, self.pod);
        let dry = plot.manner.dry_run;
        verdict.check("P13", at, self.ending.dry_run == dry, || {
            format!("{}: dry run {}, wanted {dry}", pod.key, self.ending.dry_run)
        });
        if dry {
            // It may be a self-check.
            return;
        }
        self.whom(evidence, verdict);
        let ours = pod
            .bound()
            .is_some_and(|(_, node)| node == self.machine.name);
        let blind = evidence.was_blind(self.who, at);
        verdict.check(
            "own node",
            at,
            ours && (blind || !self.machine.foreign),
            || {
                format!(
                    "{} ended {}, which is not its own",
                    self.machine.name, pod.key
                )
            },
        );
        let deletes = self.request.call() == Call::Delete;
        if deletes {
            self.deletion(plot, verdict);
        }
        self.grace(deletes, evidence, verdict);
        let running = drains_at(evidence, self.who, at);
        verdict.check("P11", at, running, || {
            format!("{} is ended while no drain runs", pod.key)
        });
        let until = finished_after(evidence, self.who, at);
        let open = self.request.ended.map(|ended| evidence.since(ended));
        let outlives = until.is_some_and(|until| open.is_none_or(|ended| ended > until));
        verdict.check("P11", at, !outlives, || {
            format!("the call for {} outlives its drain, to {until:?}", pod.key)
        });
    }

    /// P1.
    fn whom(&self, evidence: &Evidence, verdict: &mut Verdict) {
        let (at, pod) = (self.at, self.pod);
        verdict.check("P1", at, !pod.is_mirror(), || {
            format!("{} is a mirror", pod.key)
        });
        let lives = pod.is_of_daemon_set(&evidence.ledger, at);
        verdict.check("P1", at, !lives, || {
            format!("{} is a live DaemonSet's", pod.key)
        });
        verdict.check("P1", at, !evidence.is_own(self.who, pod), || {
            format!("{} is our own", pod.key)
        });
        verdict.check("P1", at, pod.wish() != Some("skip"), || {
            format!("{} had opted out", pod.key)
        });
    }

    /// P2 and P12.
    fn deletion(&self, plot: &Plot, verdict: &mut Verdict) {
        let (at, pod) = (self.at, self.pod);
        let BudgetPolicy::DeleteAt { grace } = plot.manner.budgets else {
            verdict.check("P2", at, false, || format!("{} is deleted", pod.key));
            return;
        };
        let due = self.machine.due();
        if let Some(due) = due.filter(|_| self.machine.tells_true_time()) {
            let takes = pod.grace().min(grace.max(Duration::from_secs(1)));
            // The margin is kept twice: before the end, and for the grace to run out in.
            let earliest = due.saturating_sub(takes + 2 * MARGIN.1 + VAGUE);
            verdict.check("P12", at, at >= earliest, || {
                format!("{} is deleted before {earliest:?}", pod.key)
            });
        }
    }

    /// Whether this handler has told of the interruption, and where it only remembers it, knows what
    /// time it is.
    fn knows_its_time(&self, evidence: &Evidence) -> bool {
        let mut told = evidence
            .told(self.who.machine)
            .filter(|entry| entry.who == self.who && entry.at < self.at);
        let is_right = self.machine.skew.is_zero() && self.machine.sets.is_empty();
        let knows_the_clock =
            is_right || (told.clone()).any(|entry| matches!(entry.what, Occurrence::Clock { .. }));
        told.any(|entry| match &entry.what {
            Occurrence::NoticeRaised { notice, .. } => notice.kind == NoticeKind::SpotInterruption,
            Occurrence::Resumed(notice) => {
                notice.kind == NoticeKind::SpotInterruption && knows_the_clock
            }
            _ => false,
        })
    }

    /// P4, and that no grace is cut that would fit.
    fn grace(&self, deletes: bool, evidence: &Evidence, verdict: &mut Verdict) {
        let (at, pod) = (self.at, self.pod);
        let own = pod.grace();
        let sent = self.ending.grace;
        let bounds = sent.is_none_or(|sent| {
            sent >= 1 && u128::from(sent.unsigned_abs()) <= u128::from(own.as_secs())
        });
        verdict.check("P4", at, bounds, || {
            format!("{}: a grace of {sent:?} s, its own is {own:?}", pod.key)
        });
        let due = self.machine.due();
        let judged = self.machine.tells_true_time() && self.knows_its_time(evidence);
        let Some(due) = due.filter(|_| judged) else {
            return;
        };
        let given = sent.map_or(own, |sent| Duration::from_secs(sent.unsigned_abs()));
        let fits = at + given <= due + VAGUE || given <= Duration::from_secs(1);
        verdict.check("P4", at, fits, || {
            format!(
                "{}: a grace of {given:?} ends after the machine, at {due:?}",
                pod.key
            )
        });
        // A deletion follows a grace that is configured.
        let needless = sent.is_some() && !deletes && at + own + 2 * MARGIN.1 + VAGUE < due;
        verdict.check("P4", at, !needless, || {
            format!(
                "{}: a grace of {own:?} is cut to {given:?} and would fit",
                pod.key
            )
        });
    }
}

/// When the drain ended that this handler was in at a moment; `None` where it did not.
pub(super) fn finished_after(evidence: &Evidence, who: Who, at: Duration) -> Option<Duration> {
    let mut told = evidence.told(who.machine).filter(|entry| entry.who == who);
    let ends = |entry: &&Entry| matches!(entry.what, Occurrence::DrainFinished(_));
    told.find(|entry| entry.at >= at && ends(entry))
        .map(|entry| entry.at)
}

/// Whether a drain of this handler runs at a moment.
pub(super) fn drains_at(evidence: &Evidence, who: Who, at: Duration) -> bool {
    let mut running = false;
    let mut ended = None;
    for entry in evidence
        .told(who.machine)
        .filter(|entry| entry.who == who && entry.at <= at)
    {
        match entry.what {
            Occurrence::DrainStarted(_) => running = true,
            Occurrence::DrainFinished(_) => {
                running = false;
                ended = Some(entry.at);
            }
            _ => {}
        }
    }
    running || ended == Some(at)
}
