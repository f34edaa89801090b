//! Where faults and replies met a drain: what many simulations have covered, and what not.
//!
//! A cell is a phase of a drain, a fault and a reply to an eviction: in that phase the fault was met
//! by any request of the drain, and after it the reply, or with it.

mod rows;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    time::Duration,
};

use spot_core::observer::Occurrence;

use super::{
    evidence::{Evidence, Who, who},
    plot::Plot,
};
use crate::wire::{Call, OnTheWire as _};

pub(super) use rows::{FAULTS, PHASES, Phase, REPLIES};
use rows::{fault, phase, reply};

/// Each must have been met so often in a long run.
pub const ENOUGH: u64 = 20;

/// A phase, a fault and a reply.
type Cell = (Phase, &'static str, &'static str);

/// How often each fault and each reply to an eviction met in each phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    cells: BTreeMap<Cell, u64>,
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        for (cell, times) in other.cells {
            *self.cells.entry(cell).or_default() += times;
        }
    }
}

/// When each drain began, and when it ended.
type Drains = BTreeMap<Who, Vec<(Duration, Duration)>>;

pub(super) fn cover(plot: &Plot, evidence: &Evidence) -> Coverage {
    let drains = drains(plot, evidence);
    let mut coverage = Coverage::default();
    let mut met: BTreeMap<(Who, Duration, Phase), BTreeSet<&'static str>> = BTreeMap::new();
    for request in &evidence.requests {
        let Some(who) = who(request) else { continue };
        let at = evidence.since(request.at);
        let mut of_it = drains.get(&who).into_iter().flatten();
        let Some(drain) = of_it.find(|(from, until)| (*from..=*until).contains(&at)) else {
            continue;
        };
        let phase = phase(*drain, at, makes(plot, evidence, who, at));
        let before = met.entry((who, drain.0, phase)).or_default();
        before.extend(fault(request));
        let deadly = matches!(request.call(), Call::Evict | Call::Delete);
        if let Some(reply) = reply(request).filter(|_| deadly) {
            for fault in before.iter() {
                *coverage.cells.entry((phase, fault, reply)).or_default() += 1;
            }
        }
    }
    coverage
}

fn drains(plot: &Plot, evidence: &Evidence) -> Drains {
    let mut drains = Drains::new();
    for entry in &evidence.diary {
        let of_it = drains.entry(entry.who).or_default();
        match entry.what {
            Occurrence::DrainStarted(_) => of_it.push((entry.at, plot.span.length)),
            Occurrence::DrainFinished(_) => {
                if let Some((_, until)) = of_it.last_mut() {
                    *until = entry.at;
                }
            }
            _ => {}
        }
    }
    drains
}

/// Whether pods of a machine wait for their replacements.
fn makes(plot: &Plot, evidence: &Evidence, who: Who, at: Duration) -> bool {
    if !plot.manner.makes_first {
        return false;
    }
    let name = plot.machines.get(who.machine).map(|m| m.name.as_str());
    let mut here = evidence.ledger.on(name.unwrap_or_default());
    here.any(|pod| {
        let detached = pod.detached().is_some_and(|detached| detached <= at);
        detached && pod.ends().is_none_or(|ends| ends > at)
    })
}

impl Coverage {
    fn times(&self, cell: Cell) -> u64 {
        self.cells.get(&cell).copied().unwrap_or_default()
    }

    /// What was met less than [`ENOUGH`] times, as lines of the list that plots aim by.
    pub fn holes(&self) -> Vec<String> {
        let mut holes = Vec::new();
        for phase in PHASES {
            for fault in FAULTS {
                for reply in REPLIES {
                    let times = self.times((phase, fault, reply));
                    if times < ENOUGH {
                        holes.push(format!("{phase:?} | {fault} | {reply} | {times}"));
                    }
                }
            }
        }
        holes
    }
}
