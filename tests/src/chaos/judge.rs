//! Whether an hour was as it must be.

use std::{collections::BTreeMap, time::Duration};

use spot_core::{
    deadline::Deadline,
    node::Phase,
    notice::{NoticeId, NoticeKind},
    observer::Occurrence,
    sim::Timeline,
};

use super::{Ended, Entry, Hour, PEACE, Plot, plot::Announced};
use crate::marks::TAINT;

/// From an intact answer to the event: the source may wait a second for the instance-id.
const SOON: Duration = Duration::from_secs(2);
/// How late a drain may end, for what it takes to say so; and what one is given that begins when
/// its time is over, as a hibernation's.
const LATE: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_secs(2);

/// What is not as it must be.
pub(super) fn wrongs(plot: &Plot, ended: &Ended) -> Vec<String> {
    let mut wrong: Vec<String> = ended.failed.iter().cloned().collect();
    wrong.extend(missed(plot, ended));
    wrong.extend(drained_twice(plot, ended));
    wrong.extend(cut_short(ended));
    wrong.extend(ended_too_soon(plot, ended));
    wrong.extend(never_drained(plot, ended));
    wrong.extend(late(ended));
    wrong.extend(the_end(plot, ended));
    wrong
}

/// When a notice was served intact, in which life.
fn served(announced: &Announced, ended: &Ended) -> Vec<(Duration, usize)> {
    let asked = format!("GET /latest/meta-data/{}", announced.path);
    let shown = |at: Duration| at >= announced.shows && announced.ends.is_none_or(|end| at < end);
    let intact = ended.asked.iter().filter(|request| {
        request.what == asked
            && request.status == Some(200)
            && request.faults.is_empty()
            && shown(request.at)
    });
    let life = |at: Duration| {
        let lives = ended.lives.iter();
        lives
            .clone()
            .position(|(from, to)| (*from..*to).contains(&at))
    };
    intact
        .filter_map(|request| Some((request.at, life(request.at)?)))
        .collect()
}

/// A notice that was served intact twice in one life, and was not told in it.
fn missed(plot: &Plot, ended: &Ended) -> Vec<String> {
    let mut wrong = Vec::new();
    for announced in &plot.announced {
        let served = served(announced, ended);
        let twice = served.windows(2).filter(|pair| pair[0].1 == pair[1].1);
        for (at, life) in twice.map(|pair| pair[1]) {
            let told = ended
                .diary
                .iter()
                .filter(|entry| entry.life == life)
                .any(|entry| entry.at <= at + SOON && is_told(&entry.what, announced.kind));
            let over = ended
                .lives
                .get(life)
                .is_some_and(|(_, end)| *end <= at + SOON);
            if !told && !over {
                let kind = announced.kind;
                wrong.push(format!(
                    "{kind} was served intact twice by {at:?} and not told"
                ));
                break;
            }
        }
    }
    wrong
}

fn is_told(what: &Occurrence, kind: NoticeKind) -> bool {
    match what {
        Occurrence::NoticeRaised { notice, .. } | Occurrence::Resumed(notice) => {
            notice.kind == kind
        }
        _ => false,
    }
}

/// A drain of what had been drained, written down, and neither ended nor been superseded. After
/// another boot an interruption that is announced still is another.
fn drained_twice(plot: &Plot, ended: &Ended) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut done: Option<(NoticeId, Duration)> = None;
    let rebooted = |since: Duration, at: Duration| {
        let reboots = plot.kills.iter().filter(|kill| kill.reboot);
        reboots
            .into_iter()
            .any(|kill| kill.at >= since && kill.at <= at)
    };
    for Entry { at, what, .. } in &ended.diary {
        done = done.filter(|(_, since)| !rebooted(*since, *at));
        match what {
            Occurrence::DrainStarted(order)
                if done.as_ref().is_some_and(|(id, _)| *id == order.notice) =>
            {
                wrong.push(format!("{} was drained again at {at:?}", order.notice));
            }
            // That it was drained is known to all who come later when it is written down.
            Occurrence::Quarantined { quarantine, .. } if quarantine.phase == Phase::Drained => {
                done = Some((quarantine.notice.clone(), *at));
            }
            Occurrence::NoticeSuperseded { .. }
            | Occurrence::NoticeEnded { .. }
            | Occurrence::Released => done = None,
            _ => {}
        }
    }
    wrong
}

/// A notice that was said to be over while it was announced. A maintenance that is moved is ended
/// and raised anew.
fn ended_too_soon(plot: &Plot, ended: &Ended) -> Vec<String> {
    let mut wrong = Vec::new();
    for announced in &plot.announced {
        let is_moved = plot.moved.is_some() && announced.kind == NoticeKind::ScheduledMaintenance;
        let early = ended.diary.iter().find(|entry| {
            matches!(&entry.what, Occurrence::NoticeEnded { notice, .. }
                if notice.as_str().starts_with(announced.kind.as_str()))
                && announced.ends.is_none_or(|end| entry.at < end)
        });
        if let Some(entry) = early.filter(|_| !is_moved) {
            let kind = announced.kind;
            wrong.push(format!(
                "{kind} was said to be over at {:?} and is not",
                entry.at
            ));
        }
    }
    wrong
}

/// An interruption that was told, long before the end, and never drained in any life.
fn never_drained(plot: &Plot, ended: &Ended) -> Option<String> {
    let kind = NoticeKind::SpotInterruption;
    let told = |entry: &&Entry| entry.at < PEACE && is_told(&entry.what, kind);
    ended
        .diary
        .iter()
        .find(told)
        .filter(|_| plot.drains(kind))?;
    let drained = |entry: &Entry| matches!(&entry.what, Occurrence::DrainStarted(order) if order.kind == kind);
    let finished = |entry: &Entry| matches!(entry.what, Occurrence::DrainFinished(_));
    if !ended.diary.iter().any(drained) {
        return Some("an interruption was told and never drained".to_owned());
    }
    (!ended.diary.iter().any(finished)).then(|| "a drain never ended".to_owned())
}

/// A drain that was given no time though its own notice left some.
fn cut_short(ended: &Ended) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut raised: BTreeMap<(usize, NoticeId), Option<Deadline>> = BTreeMap::new();
    for entry in &ended.diary {
        match &entry.what {
            Occurrence::NoticeRaised { notice, .. }
            | Occurrence::NoticeChanged(notice)
            | Occurrence::Resumed(notice) => {
                raised.insert((entry.life, notice.id.clone()), notice.deadline);
            }
            Occurrence::DrainStarted(order) => {
                let own = raised.get(&(entry.life, order.notice.clone())).copied();
                let has_time = |deadline: Option<Deadline>| {
                    left(deadline, entry, ended).is_none_or(|left| !left.is_zero())
                };
                if own.is_some_and(has_time) && !has_time(order.deadline) {
                    wrong.push(format!("the drain at {:?} was given no time", entry.at));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// A drain that went on after its deadline.
fn late(ended: &Ended) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut due: Option<(usize, Duration)> = None;
    let nearest =
        |entry: &Entry, left: Option<Duration>| left.map(|left| (entry.life, entry.at + left));
    for entry in &ended.diary {
        match &entry.what {
            Occurrence::DrainStarted(order) => {
                let left = left(order.deadline, entry, ended);
                due = nearest(entry, left.map(|left| left.max(LEAST)));
            }
            Occurrence::DeadlineNearer(order) if due.is_some() => {
                let left = left(order.deadline, entry, ended);
                due = nearest(entry, left.map(|left| left.max(LEAST)));
            }
            Occurrence::DrainFinished(_) => {
                if let Some((life, due)) = due.take()
                    && life == entry.life
                    && entry.at > due + LATE
                {
                    wrong.push(format!("a drain due at {due:?} ended at {:?}", entry.at));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// What an order left when it was given.
fn left(deadline: Option<Deadline>, entry: &Entry, ended: &Ended) -> Option<Duration> {
    deadline.map(|deadline| deadline.remaining(ended.start + entry.at))
}

/// In the end the node is quarantined where something stands that demands it, and free where
/// nothing is announced any more.
fn the_end(plot: &Plot, ended: &Ended) -> Option<String> {
    let taints = ended.node["spec"]["taints"].as_array();
    let tainted = taints.is_some_and(|all| all.iter().any(|taint| taint["key"] == TAINT));
    let cordoned = ended.node["spec"]["unschedulable"] == true;
    let stands = |announced: &&Announced| announced.ends.is_none();
    // What ends in the last minutes is perhaps not believed to have ended yet.
    let is_over = |announced: &Announced| announced.ends.is_some_and(|end| end < PEACE);
    let certain = [NoticeKind::SpotInterruption, NoticeKind::AsgTermination];
    let mut standing = plot.announced.iter().filter(stands);
    let demands = standing.any(|a| certain.contains(&a.kind) && plot.drains(a.kind));
    if demands && !(tainted && cordoned) {
        return Some("a notice stands, and the node takes pods in the end".to_owned());
    }
    if plot.announced.iter().all(is_over) && (tainted || cordoned) {
        return Some(format!(
            "nothing stands, and the node is held in the end: {}",
            ended.node
        ));
    }
    None
}

/// What the hour held.
pub(super) fn tally(plot: &Plot, ended: &Ended) -> Hour {
    let twice = |announced: &&Announced| served(announced, ended).len() > 1;
    let drains = |entry: &&Entry| matches!(entry.what, Occurrence::DrainStarted(_));
    Hour {
        notices: plot.announced.len(),
        served: plot.announced.iter().filter(twice).count(),
        drains: ended.diary.iter().filter(drains).count(),
        polls: ended.asked.len(),
        broken: ended
            .asked
            .iter()
            .filter(|asked| !asked.faults.is_empty())
            .count(),
        kills: plot.kills.len(),
    }
}

/// The hour as a table.
pub(super) fn story(plot: &Plot, ended: &Ended, mut timeline: Timeline) -> Timeline {
    for Entry { at, life, what } in &ended.diary {
        let what = format!("{what:?}");
        let short: String = what.chars().take(160).collect();
        timeline.record(*at, format!("handler {}", life + 1), short);
    }
    for kill in &plot.kills {
        let more = if kill.reboot {
            "; the machine reboots"
        } else {
            ""
        };
        let what = format!("kills the handler for {:?}{more}", kill.down);
        timeline.record(kill.at, "test", what);
    }
    timeline
}
