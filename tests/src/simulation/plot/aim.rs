//! Plots that aim: at a phase of a drain, a fault and a reply that meet too seldom by chance.
//!
//! What is seldom is in `seldom.txt`, as `simulate --coverage` names it. Each aimed plot takes one
//! line of it, and is set up so that the fault and the reply are met in that phase, most likely.

use std::{fmt, sync::LazyLock, time::Duration};

use spot_core::{
    notice::NoticeKind,
    sim::{Fault, Random},
};
use spot_drain::sim::{Budget, Injection, WatchFault, Workload};
use spot_imds::sim::Announcement;

use super::{
    Plot, Span,
    cluster::{Load, Make},
    machine::Machine,
    outage::{Canned, Outage},
    secs,
};
use crate::simulation::coverage::{FAULTS, PHASES, Phase, REPLIES};

/// A phase, a fault and a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) struct Aim {
    phase: Phase,
    fault: &'static str,
    reply: &'static str,
}

static SELDOM: LazyLock<Vec<Aim>> = LazyLock::new(|| {
    let lines = include_str!("seldom.txt").lines();
    lines.filter_map(Aim::parse).collect()
});

/// When the notice shows, when the machine dies, and how long it is looked at.
const SHOWS: Duration = Duration::from_secs(2);
const DIES: Duration = Duration::from_secs(75);
const LENGTH: Duration = Duration::from_secs(100);

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            phase,
            fault,
            reply,
        } = self;
        write!(f, "{phase:?} | {fault} | {reply}")
    }
}

impl Aim {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('|').map(str::trim);
        let (phase, fault, reply) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            phase: PHASES.into_iter().find(|p| format!("{p:?}") == phase)?,
            fault: FAULTS.into_iter().find(|f| *f == fault)?,
            reply: REPLIES.into_iter().find(|r| *r == reply)?,
        })
    }

    pub(super) fn draw(random: &mut Random) -> Option<Self> {
        random.pick(&SELDOM).copied()
    }

    /// Turns a plot into one that most likely meets it.
    pub(super) fn arrange(self, plot: &mut Plot) {
        plot.aim = Some(self);
        plot.span = Span {
            length: LENGTH,
            peace: DIES,
        };
        plot.machines = vec![Machine::taken(SHOWS, DIES)];
        plot.manner.dry_run = false;
        plot.manner.makes_first = self.phase == Phase::Making;
        plot.denied = None;
        for refuge in &mut plot.refuges {
            refuge.room = 110;
        }
        plot.deeds.clear();
        let name = plot.machines.first().map(|m| m.name.clone());
        plot.loads.extend(self.loads(&name.unwrap_or_default()));
        plot.outages = self.outages();
    }

    /// When the phase is, so that something may go wrong in it.
    fn window(self) -> (Duration, Duration) {
        match self.phase {
            Phase::Opening => (SHOWS.saturating_sub(secs(1)), SHOWS + secs(2)),
            Phase::Evicting | Phase::Making => (SHOWS + secs(3), SHOWS + secs(43)),
            // The drain ends 5 s before its machine.
            Phase::Closing => (DIES.saturating_sub(secs(16)), DIES.saturating_sub(secs(4))),
        }
    }

    /// Pods that are evicted in that phase, some under a budget that is closed.
    fn loads(self, node: &str) -> Vec<Load> {
        let mut loads = Vec::new();
        let mut add = |make, name: &str, replicas, with: &dyn Fn(Workload) -> Workload| {
            let workload = match make {
                Make::StatefulSet => Workload::stateful_set(name),
                _ => Workload::deployment(name),
            };
            let workload = with(
                workload
                    .replicas(replicas)
                    .on(node)
                    .grace(10)
                    .exit_after("3"),
            );
            let surges = make == Make::Deployment;
            loads.push(Load::aimed(name, make, replicas, surges, workload));
        };
        let is_last = self.phase == Phase::Closing;
        let late = |workload: Workload| {
            if is_last {
                workload
                    .annotation("spot-interrupt-handler/drain", "last")
                    .grace(2)
                    .exit_after("1")
            } else {
                workload
            }
        };
        match self.phase {
            Phase::Opening => add(Make::StatefulSet, "aimed", 6, &|w| w),
            Phase::Closing => add(Make::StatefulSet, "aimed", 6, &late),
            // One after the other.
            Phase::Evicting | Phase::Making => add(Make::StatefulSet, "aimed", 8, &|w| {
                w.budget(Budget::max_unavailable("1"))
            }),
        }
        if self.phase == Phase::Making {
            add(Make::Deployment, "waits", 2, &|w| w.ready_after("38"));
        }
        if self.reply == "429 budget" {
            add(Make::StatefulSet, "shut", 3, &|w| {
                late(w).budget(Budget::max_unavailable("0"))
            });
        }
        loads
    }

    fn outages(self) -> Vec<Outage> {
        let (from, until) = self.window();
        let mut outages = Vec::new();
        if let Some(canned) = Canned::of(self.reply) {
            outages.push(Outage::of_endings(from, until, 2, canned));
        }
        let fault = injection(self.fault);
        let on_watches = fault.watch != WatchFault::default();
        if self.phase != Phase::Opening && (on_watches || self.fault == "stale read") {
            // A watch that was opened before ends, so that another is opened, or a list made.
            let ends = Some(from.saturating_sub(SHOWS) + secs(1));
            let watch = WatchFault {
                closed_after: ends.filter(|_| on_watches),
                expired_after: ends.filter(|_| !on_watches),
                ..WatchFault::default()
            };
            let injection = Injection {
                watch,
                ..Injection::none()
            };
            outages.push(Outage::of_watches(Duration::ZERO, from, injection));
        }
        outages.push(if on_watches {
            Outage::of_watches(from, until, fault)
        } else {
            Outage::of_all(from, until, 3, fault)
        });
        outages
    }
}

/// Of each name in [`FAULTS`] one.
fn injection(fault: &str) -> Injection {
    let none = Injection::none();
    let soon = Some(Duration::from_millis(300));
    let watch = WatchFault::default();
    let on_watch = |watch| Injection {
        watch,
        ..Injection::none()
    };
    match fault {
        "slow request" => Injection {
            before: secs(1),
            ..none
        },
        "slow answer" => Injection {
            after: secs(1),
            ..none
        },
        "status" => Fault::status(503).into(),
        "reset before" => Fault::ResetBefore.into(),
        "reset after" => Fault::ResetAfter.into(),
        "black hole before" => Fault::BlackHole.into(),
        "black hole after" => Fault::BlackHoleAfter.into(),
        "half a body" => Fault::Truncate(12).into(),
        "padded" => Fault::Oversize(50_000).into(),
        "refused" => Fault::Refused.into(),
        "stale read" => Injection { lag: 5, ..none },
        "watch closed" => on_watch(WatchFault {
            closed_after: soon,
            ..watch
        }),
        "watch reset" => on_watch(WatchFault {
            reset_after: soon,
            ..watch
        }),
        "watch silent" => on_watch(WatchFault {
            silent_after: soon,
            ..watch
        }),
        "watch expired" => on_watch(WatchFault {
            expired_after: soon,
            ..watch
        }),
        _ => on_watch(WatchFault {
            twice: true,
            ..watch
        }),
    }
}

impl Machine {
    /// One that is taken, as EC2 means it to be.
    fn taken(shows: Duration, dies: Duration) -> Self {
        let announcement = Announcement::spot("terminate").left(dies.saturating_sub(shows));
        Self::interrupted(
            announcement.after(shows),
            NoticeKind::SpotInterruption,
            shows,
            dies,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_seldom_can_be_aimed_at() {
        let lines = include_str!("seldom.txt").lines();
        let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
        assert_eq!(SELDOM.len(), lines.len());
        for (aim, line) in SELDOM.iter().zip(lines) {
            assert!(line.starts_with(&aim.to_string()), "{line}");
        }
    }
}
