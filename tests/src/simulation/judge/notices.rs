//! The notices: none that was served is missed, none is drained twice, none is given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use spot_core::{
    deadline::Deadline,
    node::Phase,
    notice::{NoticeId, NoticeKind},
    observer::Occurrence,
};

use super::{Case, Verdict, node::is_tainted};
use crate::simulation::{
    evidence::{Entry, Who},
    plot::{Announced, Left},
};

/// From an intact answer to the event: the source may wait a second for the instance-id.
const SOON: Duration = Duration::from_secs(2);

pub(super) fn judge(case: Case<'_>, verdict: &mut Verdict) {
    missed(case, verdict);
    drained_twice(case, verdict);
    ended_too_soon(case, verdict);
    never_drained(case, verdict);
    cut_short(case, verdict);
    postponed(case, verdict);
    the_end(case, verdict);
}

/// Whether nothing breaks, or there is time enough afterwards.
fn has_quiet_end(case: Case<'_>) -> bool {
    let hour = Duration::from_secs(3_600);
    let unbroken = case.plot.outages.is_empty()
        && case.machine.faults.is_empty()
        && case.machine.kills.is_empty()
        && case.machine.jumps.is_empty();
    let able = !case.machine.foreign && !case.plot.manner.dry_run && case.plot.denied.is_none();
    able && (case.plot.span.length >= hour || unbroken)
}

/// When a notice was served intact, in which life.
fn served(case: Case<'_>, announced: &Announced) -> Vec<(Duration, Who)> {
    let asked = format!("GET /latest/meta-data/{}", announced.path);
    let shown = |at: Duration| at >= announced.shows && announced.ends.is_none_or(|end| at < end);
    let all = case.evidence.asked.get(case.index).into_iter().flatten();
    let intact = all.filter(|request| {
        request.what == asked
            && request.status == Some(200)
            && request.faults.is_empty()
            && shown(request.at)
    });
    let life = |at: Duration| {
        let mut lives = case.evidence.lives.get(case.index).into_iter().flatten();
        lives
            .find(|life| (life.from..life.until).contains(&at))
            .map(|life| life.who)
    };
    intact
        .filter_map(|request| Some((request.at, life(request.at)?)))
        .collect()
}

/// A notice that was served intact twice in one life is told in it.
fn missed(case: Case<'_>, verdict: &mut Verdict) {
    for announced in &case.machine.announced {
        let kind = announced.kind;
        let served = served(case, announced);
        let twice = served.windows(2).filter(|pair| pair[0].1 == pair[1].1);
        for (at, who) in twice.map(|pair| pair[1]) {
            let mut told = case
                .evidence
                .told(case.index)
                .filter(|entry| entry.who == who);
            let told = told.any(|entry| entry.at <= at + SOON && is_told(&entry.what, kind));
            let over = case.died(who) <= at + SOON;
            verdict.check("no notice missed", at, told || over, || {
                format!(
                    "{kind} was served intact twice to {} and not told",
                    case.name()
                )
            });
            if !told {
                break;
            }
        }
    }
}

fn is_told(what: &Occurrence, kind: NoticeKind) -> bool {
    match what {
        Occurrence::NoticeRaised { notice, .. } | Occurrence::Resumed(notice) => {
            notice.kind == kind
        }
        _ => false,
    }
}

/// What had been drained, written down, and neither ended nor been superseded, is not drained
/// again. After another boot an interruption that is announced still is another.
fn drained_twice(case: Case<'_>, verdict: &mut Verdict) {
    // What another version left is left alone, and nothing of ours is written there.
    if case.plot.manner.dry_run || case.machine.left == Some(Left::Unreadable) {
        return;
    }
    let mut done: Option<(NoticeId, Duration)> = None;
    // Who may not read the node does not know what is written there.
    let mut reads = true;
    let rebooted = |since: Duration, at: Duration| {
        let mut reboots = case.machine.kills.iter().filter(|kill| kill.reboot);
        reboots.any(|kill| kill.at >= since && kill.at <= at)
    };
    for Entry { at, what, .. } in case.evidence.told(case.index) {
        done = done.filter(|(_, since)| !rebooted(*since, *at));
        match what {
            Occurrence::NodeKnown { verified } => reads = *verified,
            Occurrence::DrainStarted(order) if reads => {
                let again = done.as_ref().is_some_and(|(id, _)| *id == order.notice);
                verdict.check("drained once", *at, !again, || {
                    format!("{} was drained again", order.notice)
                });
            }
            // That it was drained is known to all who come later when it is written down, until
            // one who could not read it writes something else there.
            Occurrence::Quarantined { quarantine, .. } => {
                let drained = quarantine.phase == Phase::Drained;
                done = drained.then(|| (quarantine.notice.clone(), *at));
            }
            Occurrence::NoticeSuperseded { .. }
            | Occurrence::NoticeEnded { .. }
            | Occurrence::Released => done = None,
            _ => {}
        }
    }
}

/// A notice is not said to be over while it is announced. A maintenance that is moved is ended
/// and raised anew.
fn ended_too_soon(case: Case<'_>, verdict: &mut Verdict) {
    for announced in &case.machine.announced {
        let kind = announced.kind;
        if case.machine.moved.is_some() && kind == NoticeKind::ScheduledMaintenance {
            continue;
        }
        let ends = case.evidence.told(case.index).filter(|entry| {
            matches!(&entry.what, Occurrence::NoticeEnded { notice, .. }
                if notice.as_str().starts_with(kind.as_str()))
        });
        for entry in ends {
            let over = announced.ends.is_some_and(|end| entry.at >= end);
            verdict.check("stands while announced", entry.at, over, || {
                format!("{kind} was said to be over and is not")
            });
        }
    }
}

/// An interruption that was told, long before the end, is drained, and the drain ends.
fn never_drained(case: Case<'_>, verdict: &mut Verdict) {
    let kind = NoticeKind::SpotInterruption;
    let last = case
        .end()
        .min(case.plot.span.peace)
        .saturating_sub(Duration::from_secs(5));
    let told = case.evidence.told(case.index);
    let in_time = |entry: &&Entry| entry.at < last && is_told(&entry.what, kind);
    let Some(first) = told.clone().find(in_time).map(|entry| entry.at) else {
        return;
    };
    if !has_quiet_end(case) || !case.machine.drains(kind) {
        return;
    }
    // A drain that another notice began may serve this one too.
    let drained = told.clone().any(|entry| match &entry.what {
        Occurrence::DrainStarted(order) | Occurrence::DeadlineNearer(order) => order.kind == kind,
        Occurrence::DrainFinished(_) => entry.at >= first,
        _ => false,
    });
    verdict.check("drains what it tells", first, drained, || {
        "an interruption was told and never drained".to_owned()
    });
}

/// A drain whose own notice leaves time is given some.
fn cut_short(case: Case<'_>, verdict: &mut Verdict) {
    let mut raised: BTreeMap<(Who, NoticeId), Option<Deadline>> = BTreeMap::new();
    for entry in case.evidence.told(case.index) {
        match &entry.what {
            Occurrence::NoticeRaised { notice, .. }
            | Occurrence::NoticeChanged(notice)
            | Occurrence::Resumed(notice) => {
                raised.insert((entry.who, notice.id.clone()), notice.deadline);
            }
            Occurrence::DrainStarted(order) => {
                let own = raised.get(&(entry.who, order.notice.clone())).copied();
                let has_time = |deadline: Option<Deadline>| {
                    let at = case.evidence.start + entry.at;
                    deadline.is_none_or(|deadline| !deadline.remaining(at).is_zero())
                };
                let cut = own.is_some_and(has_time) && !has_time(order.deadline);
                verdict.check("time of its own", entry.at, !cut, || {
                    format!("a drain of {} was given no time", case.name())
                });
            }
            _ => {}
        }
    }
}

/// What a source has said again, or says of what was remembered, is not due later than before,
/// unless the machine has outlived what was remembered.
fn postponed(case: Case<'_>, verdict: &mut Verdict) {
    let mut said: BTreeMap<(Who, NoticeId), Option<Deadline>> = BTreeMap::new();
    let mut remembered = BTreeSet::new();
    for entry in case.evidence.told(case.index) {
        match &entry.what {
            Occurrence::NoticeRaised { notice, .. } => {
                said.insert((entry.who, notice.id.clone()), notice.deadline);
                remembered.remove(&(entry.who, notice.id.clone()));
            }
            Occurrence::Resumed(notice) => {
                said.insert((entry.who, notice.id.clone()), notice.deadline);
                remembered.insert((entry.who, notice.id.clone()));
            }
            Occurrence::NoticeChanged(notice) => {
                let key = (entry.who, notice.id.clone());
                let is_remembered = remembered.contains(&key);
                let Some(before) = said.get_mut(&key) else {
                    continue;
                };
                let at = case.evidence.start + entry.at;
                let outlived = before.is_some_and(|before| before.remaining(at).is_zero());
                let later = match (*before, notice.deadline) {
                    (Some(before), Some(now)) => now.instant() > before.instant(),
                    (before, now) => before.is_some() && now.is_none(),
                };
                let excused = is_remembered && outlived;
                verdict.check("not postponed", entry.at, excused || !later, || {
                    format!("{} was due sooner before", notice.id)
                });
                *before = notice.deadline;
            }
            _ => {}
        }
    }
}

/// In the end the node is quarantined where something stands that demands it, and free where
/// nothing is announced any more.
fn the_end(case: Case<'_>, verdict: &mut Verdict) {
    let machine = case.machine;
    if !has_quiet_end(case) || case.plot.is_handled_by_others(case.name()) {
        return;
    }
    let node = case.evidence.ledger.node(case.name());
    let tainted = node.is_some_and(|node| is_tainted(node));
    let cordoned = node.is_some_and(|node| node["spec"]["unschedulable"] == true);
    let end = case.end();
    let seen = |announced: &&Announced| announced.shows + Duration::from_secs(10) < end;
    let stands = |announced: &&Announced| announced.ends.is_none();
    // What ends in the last minutes is perhaps not believed to have ended yet.
    let long_ago = end.saturating_sub(Duration::from_secs(360));
    let is_over = |announced: &Announced| {
        let lately = if announced.in_words {
            end.saturating_sub(Duration::from_secs(20))
        } else {
            long_ago
        };
        announced.ends.is_some_and(|end| end < lately)
    };
    let certain = [NoticeKind::SpotInterruption, NoticeKind::AsgTermination];
    let mut standing = machine.announced.iter().filter(stands).filter(seen);
    let demands = standing.any(|a| certain.contains(&a.kind) && machine.drains(a.kind));
    verdict.check(
        "quarantined in the end",
        end,
        !demands || (tainted && cordoned),
        || format!("a notice stands, and {} takes pods", case.name()),
    );
    // What another version left is not ours to take back.
    let free = machine.announced.iter().all(is_over) && machine.left != Some(Left::Unreadable);
    verdict.check(
        "free in the end",
        end,
        !free || !(tainted || cordoned),
        || format!("nothing stands, and {} is held", case.name()),
    );
}
