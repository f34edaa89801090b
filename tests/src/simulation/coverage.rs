//! Where faults and replies met a drain: what many simulations have covered, and what not.

use std::{collections::BTreeMap, fmt, ops::AddAssign, time::Duration};

use spot_core::{observer::Occurrence, sim::Fault};
use spot_drain::sim::{Injection, Recorded, WatchFault};

use super::{
    evidence::{Evidence, Who, who},
    plot::Plot,
};
use crate::wire::{Call, OnTheWire as _};

/// Each must have been met so often in a long run.
pub const ENOUGH: u64 = 20;

/// How far a drain has come when a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Idle,
    Opening,
    Evicting,
    Closing,
    Over,
}

const PHASES: [Phase; 5] = [
    Phase::Idle,
    Phase::Opening,
    Phase::Evicting,
    Phase::Closing,
    Phase::Over,
];
/// In these evictions are asked for.
const DRAINING: [Phase; 3] = [Phase::Opening, Phase::Evicting, Phase::Closing];

const FAULTS: [&str; 16] = [
    "slow request",
    "slow answer",
    "status",
    "reset before",
    "reset after",
    "black hole before",
    "black hole after",
    "half a body",
    "padded",
    "refused",
    "stale read",
    "watch closed",
    "watch reset",
    "watch silent",
    "watch expired",
    "events late or twice",
];

const REPLIES: [&str; 16] = [
    "accepted",
    "429 budget",
    "429 stale budget",
    "429 overload",
    "429 with Retry-After",
    "500 several budgets",
    "404",
    "409",
    "403 namespace ends",
    "403 rights",
    "4xx of a webhook",
    "401",
    "5xx",
    "no answer, took effect",
    "no answer, took none",
    "200 of something else",
];

/// How often each fault, and each reply to an eviction, was met in each phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    faults: BTreeMap<(&'static str, Phase), u64>,
    replies: BTreeMap<(&'static str, Phase), u64>,
    /// Replies to evictions of drains during which a fault was met.
    under: BTreeMap<(&'static str, &'static str), u64>,
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        for (cell, times) in other.faults {
            *self.faults.entry(cell).or_default() += times;
        }
        for (cell, times) in other.replies {
            *self.replies.entry(cell).or_default() += times;
        }
        for (cell, times) in other.under {
            *self.under.entry(cell).or_default() += times;
        }
    }
}

/// When each drain began, and when it ended.
type Drains = BTreeMap<Who, Vec<(Duration, Duration)>>;

pub(super) fn cover(plot: &Plot, evidence: &Evidence) -> Coverage {
    let mut drains = Drains::new();
    for entry in &evidence.diary {
        match entry.what {
            Occurrence::DrainStarted(_) => {
                let all = drains.entry(entry.who).or_default();
                all.push((entry.at, plot.span.length));
            }
            Occurrence::DrainFinished(_) => {
                let last = drains.get_mut(&entry.who).and_then(|all| all.last_mut());
                if let Some((_, until)) = last {
                    *until = entry.at;
                }
            }
            _ => {}
        }
    }
    let mut coverage = Coverage::default();
    let mut met: BTreeMap<(Who, Duration), Vec<&'static str>> = BTreeMap::new();
    for request in &evidence.requests {
        let Some(who) = who(request) else { continue };
        let at = evidence.since(request.at);
        let of_it = drains.get(&who).map(Vec::as_slice).unwrap_or_default();
        let phase = phase(of_it, at);
        let fault = fault(&request.injected);
        if let Some(fault) = fault {
            *coverage.faults.entry((fault, phase)).or_default() += 1;
        }
        let drain = of_it
            .iter()
            .find(|(from, until)| (*from..=*until).contains(&at));
        let Some((from, _)) = drain else { continue };
        let before = met.entry((who, *from)).or_default();
        before.extend(fault);
        if matches!(request.call(), Call::Evict | Call::Delete)
            && let Some(reply) = reply(request)
        {
            *coverage.replies.entry((reply, phase)).or_default() += 1;
            before.sort_unstable();
            before.dedup();
            for fault in before {
                *coverage.under.entry((*fault, reply)).or_default() += 1;
            }
        }
    }
    coverage
}

fn phase(drains: &[(Duration, Duration)], at: Duration) -> Phase {
    const SECONDS: Duration = Duration::from_secs(2);
    const LAST: Duration = Duration::from_secs(10);
    let running = drains
        .iter()
        .find(|(from, until)| (*from..=*until).contains(&at));
    match running {
        Some((from, _)) if at <= *from + SECONDS => Phase::Opening,
        Some((_, until)) if at + LAST >= *until => Phase::Closing,
        Some(_) => Phase::Evicting,
        None if drains.iter().any(|(_, until)| at > *until) => Phase::Over,
        None => Phase::Idle,
    }
}

fn fault(injected: &Injection) -> Option<&'static str> {
    let none = WatchFault::default();
    Some(match &injected.fault {
        Some(Fault::Status { .. }) => "status",
        Some(Fault::ResetBefore) => "reset before",
        Some(Fault::ResetAfter) => "reset after",
        Some(Fault::BlackHole) => "black hole before",
        Some(Fault::BlackHoleAfter) => "black hole after",
        Some(Fault::Truncate(_)) => "half a body",
        Some(Fault::Oversize(_)) => "padded",
        Some(Fault::Refused) => "refused",
        Some(_) => "slow answer",
        None if !injected.before.is_zero() => "slow request",
        None if !injected.after.is_zero() => "slow answer",
        None if injected.lag > 0 => "stale read",
        None if injected.watch.closed_after.is_some() => "watch closed",
        None if injected.watch.reset_after.is_some() => "watch reset",
        None if injected.watch.silent_after.is_some() => "watch silent",
        None if injected.watch.expired_after.is_some() => "watch expired",
        None if injected.watch != none => "events late or twice",
        None => return None,
    })
}

/// The row of the table of replies that the handler's side of an eviction is in.
fn reply(request: &Recorded) -> Option<&'static str> {
    let effect = request.effect.as_ref();
    let Some(status) = request.status else {
        // What its own death cut off is nothing that it was told.
        let cut = request.injected.fault.is_some();
        return cut.then_some(match effect {
            Some(_) => "no answer, took effect",
            None => "no answer, took none",
        });
    };
    let body = match (&request.injected.fault, effect) {
        (Some(Fault::Status { body, .. }), _) => body.clone(),
        (_, Some(effect)) => String::from_utf8_lossy(&effect.body).into_owned(),
        _ => String::new(),
    };
    let asked = matches!(
        &request.injected.fault,
        Some(Fault::Status {
            retry_after: Some(_),
            ..
        })
    );
    Some(match status {
        200..300 if body.contains("\"kind\"") => "accepted",
        200..300 => "200 of something else",
        429 if body.contains("DisruptionBudget") && body.contains("retryAfterSeconds") => {
            "429 stale budget"
        }
        429 if body.contains("DisruptionBudget") => "429 budget",
        429 if asked => "429 with Retry-After",
        429 => "429 overload",
        500 if body.contains("PodDisruptionBudget") => "500 several budgets",
        404 => "404",
        409 => "409",
        403 if body.contains("NamespaceTerminating") => "403 namespace ends",
        403 if body.contains("webhook") => "4xx of a webhook",
        403 => "403 rights",
        401 => "401",
        500.. => "5xx",
        _ => "4xx of a webhook",
    })
}

impl Coverage {
    /// What was met less than [`ENOUGH`] times.
    pub fn holes(&self) -> Vec<String> {
        let mut holes = Vec::new();
        let mut look = |times: Option<&u64>, what: String| {
            let times = times.copied().unwrap_or_default();
            if times < ENOUGH {
                holes.push(format!("{what}: {times}"));
            }
        };
        for fault in FAULTS {
            for phase in PHASES {
                look(
                    self.faults.get(&(fault, phase)),
                    format!("{fault}, {phase:?}"),
                );
            }
        }
        for reply in REPLIES {
            for phase in DRAINING {
                look(
                    self.replies.get(&(reply, phase)),
                    format!("{reply}, {phase:?}"),
                );
            }
            for fault in FAULTS {
                look(
                    self.under.get(&(fault, reply)),
                    format!("{fault} before {reply}"),
                );
            }
        }
        holes
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "fault, in phase")?;
        for phase in PHASES {
            write!(f, "{:>10}", format!("{phase:?}"))?;
        }
        writeln!(f)?;
        for fault in FAULTS {
            write!(f, "{fault:<24}")?;
            for phase in PHASES {
                let times = self.faults.get(&(fault, phase)).copied();
                write!(f, "{:>10}", times.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        write!(f, "\n{:<24}", "reply, in phase")?;
        for phase in DRAINING {
            write!(f, "{:>10}", format!("{phase:?}"))?;
        }
        writeln!(f)?;
        for reply in REPLIES {
            write!(f, "{reply:<24}")?;
            for phase in DRAINING {
                let times = self.replies.get(&(reply, phase)).copied();
                write!(f, "{:>10}", times.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "\nreply (column), in a drain that had met the fault (row)"
        )?;
        write!(f, "{:<24}", "")?;
        for index in 1..=REPLIES.len() {
            write!(f, "{index:>8}")?;
        }
        writeln!(f)?;
        for fault in FAULTS {
            write!(f, "{fault:<24}")?;
            for reply in REPLIES {
                let times = self.under.get(&(fault, reply)).copied();
                write!(f, "{:>8}", times.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        for (reply, index) in REPLIES.iter().zip(1..) {
            writeln!(f, "{index:>4} {reply}")?;
        }
        Ok(())
    }
}
