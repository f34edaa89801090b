//! Every row of the table in the module's words, every pair of state and input, and random
//! courses of events.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::drainer::Order;
use crate::node::Quarantine;
use crate::notice::{InstanceAction, NoticeEnd, NoticeKind, SourceHealth, Trouble};
use crate::policy::KindRule;
use crate::policy::Response;

mod document;
mod memory;
mod properties;
mod sources;
mod table;
mod time;

const BOOT: &str = "boot-1";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A lifecycle and the time, which both clocks show alike.
struct Bench {
    life: Lifecycle,
    start: Instant,
    seconds: u64,
    /// So long the monotonic clock stood still while the other went on.
    asleep: u64,
    tell: Vec<Occurrence>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Policy::default())
    }

    fn with(policy: Policy) -> Self {
        Self {
            life: Lifecycle::new(policy, ["source".to_owned()]),
            start: Instant::now(),
            seconds: 0,
            asleep: 0,
            tell: Vec::new(),
        }
    }

    /// Started, identified, heard, and the node is ours and remembers nothing.
    fn ready() -> Self {
        Self::ready_with(Policy::default())
    }

    fn ready_with(policy: Policy) -> Self {
        let mut bench = Self::with(policy);
        bench.on(Input::Started);
        bench.on(identified("i-1"));
        bench.on(recalled(None));
        bench.on(good());
        bench
    }

    fn now(&self) -> Now {
        Now {
            instant: self.start + Duration::from_secs(self.seconds),
            wall: at((self.seconds + self.asleep).cast_signed()),
        }
    }

    fn ready_now(&self) -> Readiness {
        self.life.readiness(self.now().instant)
    }

    fn on(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Outbox::default();
        self.life.on(input, self.now(), &mut out);
        self.tell.extend(out.tell);
        out.effects
    }

    /// A deadline `after` the start.
    fn deadline(&self, after: u64) -> Deadline {
        let now = self.now();
        Deadline::anchored(at(after.cast_signed()), now.wall, now.instant)
    }

    fn notice(&self, id: &str, kind: NoticeKind, after: Option<u64>) -> Notice {
        let notice = Notice::new(NoticeId::new(id), kind, self.now().instant);
        match after {
            Some(after) => notice.with_deadline(self.deadline(after)),
            None => notice,
        }
    }

    fn raise(&mut self, id: &str, kind: NoticeKind, after: u64) -> Vec<Effect> {
        let notice = self.notice(id, kind, Some(after));
        self.on(said(Signal::Raised(notice)))
    }

    fn interrupt(&mut self, after: u64) -> Vec<Effect> {
        self.raise("spot", NoticeKind::SpotInterruption, after)
    }

    fn told(&self, what: impl Fn(&Occurrence) -> bool) -> usize {
        self.tell.iter().filter(|o| what(o)).count()
    }
}

/// What the first source says.
fn said(signal: Signal) -> Input {
    Input::Signal { source: 0, signal }
}

fn identified(id: &str) -> Input {
    said(Signal::Identified(Instance::new(id)))
}

fn good() -> Input {
    said(Signal::Health(SourceHealth::Good))
}

fn failing() -> Input {
    let (trouble, reason) = (Trouble::Unreachable, "away".into());
    said(Signal::Health(SourceHealth::Failing { trouble, reason }))
}

fn cancelled(id: &str) -> Input {
    ended(id, NoticeEnd::Cancelled)
}

fn ended(id: &str, how: NoticeEnd) -> Input {
    let notice = NoticeId::new(id);
    said(Signal::Ended { notice, how })
}

fn recalled(memory: Option<Memory>) -> Input {
    Input::Recalled(Recall::new(memory, Some(BOOT.into()), true))
}

/// What was written down for a notice of instance `i-1`.
fn memory(id: &str, phase: Phase, deadline: Option<u64>) -> Memory {
    let quarantine = Quarantine {
        notice: NoticeId::new(id),
        kind: NoticeKind::SpotInterruption,
        action: InstanceAction::Terminate,
        deadline: deadline.map(|s| at(s.cast_signed())),
        phase,
        since: at(-60),
        instance: Some("i-1".into()),
    };
    Memory::of(&quarantine, Some(BOOT.into()), true, false)
}

/// The effects' names, with what matters of them.
fn names(effects: &[Effect]) -> Vec<String> {
    let name = |effect: &Effect| match effect {
        Effect::Recall(_) => "recall".to_owned(),
        Effect::Quarantine(q) => format!("quarantine {:?}", q.phase),
        Effect::Release(release) if release.settled.is_some() => "release, settled".to_owned(),
        Effect::Release(_) => "release".to_owned(),
        Effect::Abandon => "abandon".to_owned(),
        Effect::StartDrain(_) => "start".to_owned(),
        Effect::AmendDrain(order) if order.cancelled => "stop".to_owned(),
        Effect::AmendDrain(_) => "amend".to_owned(),
    };
    effects.iter().map(name).collect()
}

/// How many seconds after the start the first order among `effects` ends.
fn ordered(bench: &Bench, effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::StartDrain(order) | Effect::AmendDrain(order) => {
            Some((order.deadline?.instant() - bench.start).as_secs())
        }
        _ => None,
    })
}
