//! A simulation as a table: who did what, and when.

use std::{fmt::Write as _, time::Duration};

use spot_core::sim::Timeline;
use spot_drain::sim::Recorded;

use super::{
    evidence::{Entry, Evidence, who},
    judge::Verdict,
    plot::Plot,
};
use crate::wire::{Call, OnTheWire as _};

/// Long lines are cut to so many characters.
const WIDTH: usize = 600;

pub(super) fn tell(plot: &Plot, evidence: &Evidence, verdict: &Verdict) -> Timeline {
    let mut story = Timeline::default();
    if let Some(aim) = &plot.aim {
        story.record(Duration::ZERO, "plot", format!("aims at {aim}"));
    }
    for outage in &plot.outages {
        story.record(outage.from, "network", outage.to_string());
    }
    for (at, deed) in &plot.deeds {
        story.record(*at, "others", deed.to_string());
    }
    for (machine, announced) in plot.machines.iter().zip(&evidence.announced) {
        for entry in announced.entries() {
            let what = format!("{}: {}", machine.name, entry.what);
            story.record(entry.at, entry.who.clone(), short(&what));
        }
        machine_turns(machine, &mut story);
    }
    for Entry { at, who, what } in &evidence.diary {
        let name = format!("spot-{}/{}", who.machine, who.life);
        // What is at this very moment depends on nothing but the seed; moments do not.
        story.record(*at, name, short(&timeless(&format!("{what:?}"))));
    }
    for (number, request) in evidence.requests.iter().enumerate() {
        let name = if who(request).is_some() {
            request.user_agent.clone()
        } else {
            "others".to_owned()
        };
        story.record(
            evidence.since(request.at),
            name,
            line(number, request, evidence),
        );
    }
    for ended in &evidence.ended {
        let at = evidence.since(ended.at);
        let what = format!(
            "{} ends: {:?}, needs {:?}",
            ended.pod, ended.how, ended.needed
        );
        story.record(at, ended.node.clone(), what);
    }
    for (key, budget) in &evidence.ledger.budgets {
        let mut before = None;
        for (at, state) in budget.states() {
            let allowed = state["status"]["disruptionsAllowed"].as_i64();
            if before != Some(allowed) {
                let allowed = allowed.unwrap_or_default();
                story.record(*at, "budget", format!("{key} allows {allowed}"));
            }
            before = Some(allowed);
        }
    }
    for wrong in &verdict.wrongs {
        story.record(wrong.at, "JUDGE", format!("{}: {}", wrong.rule, wrong.what));
    }
    story
}

fn machine_turns(machine: &super::plot::Machine, story: &mut Timeline) {
    for kill in &machine.kills {
        let more = if kill.reboot {
            "; the machine reboots"
        } else {
            ""
        };
        let what = format!("handler killed for {:?}{more}", kill.down);
        story.record(kill.at, machine.name.clone(), what);
    }
    for (at, skew) in &machine.jumps {
        story.record(*at, machine.name.clone(), format!("Date is {skew:?} ahead"));
    }
    for (at, skew) in &machine.sets {
        story.record(
            *at,
            machine.name.clone(),
            format!("wall clock is {skew:?} ahead"),
        );
    }
    if let Some((at, by)) = machine.suspend {
        story.record(at, machine.name.clone(), format!("suspended for {by:?}"));
    }
    if let Some((at, silent)) = machine.kubelet {
        story.record(
            at,
            machine.name.clone(),
            format!("kubelet silent for {silent:?}"),
        );
    }
    if let Some(at) = machine.dies {
        story.record(at, machine.name.clone(), "the machine is gone");
    }
}

fn line(number: usize, request: &Recorded, evidence: &Evidence) -> String {
    let mut line = match request.call() {
        Call::Evict | Call::Delete => {
            let ending = request.ending();
            let grace = ending.and_then(|ending| ending.grace);
            let grace = grace.map_or_else(String::new, |grace| format!(", grace {grace}"));
            format!("#{number} {:?} {}{grace}", request.call(), request.pod())
        }
        Call::PatchNode => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            format!("#{number} PatchNode {body}")
        }
        call => format!("#{number} {call:?}"),
    };
    if request.injected.fault.is_some() || request.injected != spot_drain::sim::Injection::none() {
        line.push_str(" [broken]");
    }
    let status = match (&request.effect, request.status) {
        (_, Some(status)) => format!(" -> {status}"),
        (Some(effect), None) => format!(" -> no answer to {}", effect.status),
        (None, None) => " -> nothing".to_owned(),
    };
    line.push_str(&status);
    if let Some(ended) = request.ended {
        let ended = evidence.since(ended);
        // Writing to a string cannot fail.
        let _ = write!(line, " at {:.3}", ended.as_secs_f64());
    }
    short(&line)
}

/// Without moments of the machine that simulates, which are another in each run.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(index) = rest.find("Instant {") {
        out.push_str(&rest[..index]);
        out.push_str("Instant");
        rest = rest[index..].split_once('}').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn short(text: &str) -> String {
    text.replace('\n', " ").chars().take(WIDTH).collect()
}
