//! Whether a simulation went as it must, judged from what the servers saw.
//!
//! The rules have the numbers of the drain's specification (P1 to P14), or words of their own.

mod calls;
mod caps;
mod drains;
mod idle;
mod node;
mod notices;
mod progress;
mod replacements;
mod report;
mod storm;

use std::{fmt, time::Duration};

use super::{
    evidence::{Evidence, Who},
    plot::{Machine, Plot},
};

/// The bounds of the margin that a drain keeps before its deadline, and a last grace before that.
const MARGIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// When, from the start.
    pub at: Duration,
    /// Which rule.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, rule, what } = self;
        write!(f, "{rule}: at {:.3} s {what}", at.as_secs_f64())
    }
}

/// What was checked, and what was wrong.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) checks: u64,
    pub(super) wrongs: Vec<Wrong>,
}

impl Verdict {
    /// One check of a rule.
    fn check(
        &mut self,
        rule: &'static str,
        at: Duration,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        self.checks += 1;
        if !holds {
            let what = what();
            self.wrongs.push(Wrong { at, rule, what });
        }
    }
}

/// One machine before the judge.
#[derive(Clone, Copy)]
struct Case<'a> {
    plot: &'a Plot,
    evidence: &'a Evidence,
    index: usize,
    machine: &'a Machine,
}

impl Case<'_> {
    fn name(&self) -> &str {
        &self.machine.name
    }

    /// When the machine takes its last breath.
    fn end(&self) -> Duration {
        let length = self.plot.span.length;
        self.machine.dies.map_or(length, |dies| dies.min(length))
    }

    /// Until when a handler lived.
    fn died(&self, who: Who) -> Duration {
        let lives = self.evidence.lives.get(self.index).into_iter().flatten();
        let mut life = lives.filter(|life| life.who == who);
        life.next().map_or(Duration::MAX, |life| life.until)
    }
}

/// Judges everything.
pub(super) fn judge(plot: &Plot, evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    for (index, machine) in plot.machines.iter().enumerate() {
        let case = Case {
            plot,
            evidence,
            index,
            machine,
        };
        for life in evidence.lives.get(index).into_iter().flatten() {
            verdict.check("lives on", life.until, life.failed.is_none(), || {
                let how = life.failed.clone().unwrap_or_default();
                format!("the handler of {} ended by itself: {how}", case.name())
            });
        }
        notices::judge(case, &mut verdict);
        drains::judge(case, &mut verdict);
        report::judge(case, &mut verdict);
        progress::judge(case, &mut verdict);
        replacements::judge(case, &mut verdict);
        idle::judge(case, &mut verdict);
    }
    calls::judge(plot, evidence, &mut verdict);
    caps::judge(plot, evidence, &mut verdict);
    storm::judge(evidence, &mut verdict);
    node::judge(plot, evidence, &mut verdict);
    verdict.wrongs.sort_by_key(|wrong| wrong.at);
    verdict
}
