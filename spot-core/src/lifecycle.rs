//! The pure state machine of the handler: signals and completions in, effects out.
//!
//! It reads no clock and does nothing itself. After every input it compares what should be
//! with what is, and asks for the difference. What stands is decided by the
//! [policy](crate::policy): a notice may wait for its time, and may have lived it. Of several
//! that are to be acted on, one leads: the one with the greater
//! [response](crate::policy::Response), then the weightier [kind](crate::notice::NoticeKind).
//! A deadline only ever comes nearer, whoever names it.
#![doc = include_str!("../lifecycle.md")]

mod exchange;
mod hearing;
mod lead;
mod standing;

use std::time::Duration;

use tokio::time::Instant;

use crate::armed::Finding;
use crate::clock::Now;
use crate::deadline::Deadline;
use crate::node::{Memory, Phase, Recall};
use crate::notice::{Instance, Notice, NoticeId, Signal};
use crate::observer::Occurrence;
use crate::policy::Policy;
pub use exchange::{Effect, Input, Outbox, Readiness, State};
pub use hearing::CLOCK_TOLERANCE;
use hearing::Hearing;
use lead::{Drain, Lead, is_done_by_a_boot};
use standing::{Change, Notices, Word, is_another};

/// A wall clock that went so much farther than the monotonic one has seen a suspend.
const SUSPEND: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq)]
enum NodeState {
    /// Not read yet, or to be read again.
    Unknown,
    /// Read, and not another machine's.
    Ours {
        boot: Option<String>,
    },
    NotOurs,
}

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Lifecycle {
    hearing: Hearing,
    instance: Option<Instance>,
    /// The source that said so; of several the first one's word counts.
    identified_by: Option<usize>,
    node: NodeState,
    /// What was read on the node and not taken up or released yet.
    memory: Option<Memory>,
    notices: Notices,
    lead: Option<Lead>,
    /// The notice that is remembered on the node as dealt with, and whether a source has said it
    /// to this process.
    settled: Option<(NoticeId, bool)>,
    /// When the last input came.
    last: Option<Now>,
}

impl Lifecycle {
    /// A lifecycle at its beginning, that will hear sources of these names.
    pub fn new(policy: Policy, sources: impl IntoIterator<Item = String>) -> Self {
        Self {
            hearing: Hearing::new(sources),
            instance: None,
            identified_by: None,
            node: NodeState::Unknown,
            memory: None,
            notices: Notices::new(policy),
            lead: None,
            settled: None,
            last: None,
        }
    }

    /// Takes an input at `now`; what follows from it is appended to `out`.
    pub fn on(&mut self, input: Input, now: Now, out: &mut Outbox) {
        self.mind_the_gap(now, out);
        match input {
            Input::Started => out.effects.push(Effect::Recall(None)),
            Input::Signal { source, signal } => self.on_signal(source, signal, now, out),
            Input::Recalled(recall) => self.on_recalled(recall, now, out),
            Input::NotOurs => {
                if std::mem::replace(&mut self.node, NodeState::NotOurs) != NodeState::NotOurs {
                    out.effects.push(Effect::Abandon);
                    out.effects.push(Effect::Recall(self.instance.clone()));
                }
            }
            Input::Quarantined => self.on_quarantined(now),
            Input::DrainFinished => self.on_drain_finished(),
            Input::Woken => {}
        }
        self.settle(now, out);
    }

    /// When [`Input::Woken`] is due, if ever.
    pub fn next_wake(&self) -> Option<Instant> {
        let last = self.last?;
        let heard = self.hearing.is_complete();
        let notices = self.notices.next_wake(heard, self.hearing.right(last));
        // Where the node may not be looked at that is not waited for either.
        let ours = matches!(self.node, NodeState::Ours { .. });
        let look = self.lead.as_ref().and_then(|lead| lead.look);
        let look = look.filter(|_| ours && self.state() != State::Stopping);
        let remembers = self.memory.is_some() || self.settled.is_some();
        let remembers = remembers || self.notices.any_only_remembered();
        let believed = self.hearing.believed().filter(|_| remembers);
        let believed = believed.filter(|at| *at > last.instant);
        [notices, look, believed].into_iter().flatten().min()
    }

    /// Where the handling stands.
    pub fn state(&self) -> State {
        match (&self.lead, &self.node) {
            (Some(lead), _) => match lead.drain {
                Drain::Running => State::Draining,
                Drain::Stopping => State::Stopping,
                Drain::Done => State::Drained,
                Drain::None => State::Cordoned,
            },
            (None, NodeState::Unknown) => State::Blind,
            (None, NodeState::NotOurs) => State::Foreign,
            (None, NodeState::Ours { .. }) if self.notices.is_empty() => State::Idle,
            (None, NodeState::Ours { .. }) => State::Standing,
        }
    }

    /// Whether a drain runs.
    pub fn is_draining(&self) -> bool {
        matches!(self.state(), State::Draining | State::Stopping)
    }

    /// Whether a notice at `now` would be acted on.
    pub fn readiness(&self, now: Instant) -> Readiness {
        let mut missing = self.hearing.missing(now);
        match self.node {
            NodeState::Unknown => missing.push("the node has not been read yet".to_owned()),
            NodeState::NotOurs => missing.push("the node is another instance".to_owned()),
            NodeState::Ours { .. } => {}
        }
        Readiness::lacking(missing)
    }

    /// What is known of the links from the notice to here, at `now`.
    pub fn findings(&self, now: Instant) -> [Finding; 2] {
        self.hearing.findings(now)
    }

    /// The instance that we run on, where a source has said it.
    pub fn instance(&self) -> Option<&Instance> {
        self.instance.as_ref()
    }

    /// A suspend, or somebody set the clock. Nothing follows from it here: the sources anchor
    /// their deadlines anew by their own clocks, and so is what only memory knows by what they say of
    /// theirs.
    fn mind_the_gap(&mut self, now: Now, out: &mut Outbox) {
        let Some(last) = self.last.replace(now) else {
            return;
        };
        let wall = Duration::try_from(now.wall.duration_since(last.wall)).unwrap_or_default();
        let gap = wall.saturating_sub(now.instant.saturating_duration_since(last.instant));
        if gap >= SUSPEND {
            out.tell.push(Occurrence::ClockJumped(gap));
        }
    }

    fn on_signal(&mut self, source: usize, signal: Signal, now: Now, out: &mut Outbox) {
        match signal {
            Signal::Identified(instance) => self.on_identified(source, instance, out),
            Signal::Raised(notice) => {
                let response = self.notices.rule(&notice).response;
                match self.notices.raise(source, &notice) {
                    Word::New => out.tell.push(Occurrence::NoticeRaised { notice, response }),
                    Word::News => out.tell.push(Occurrence::NoticeChanged(notice)),
                    Word::Known => {}
                }
            }
            Signal::Ended { notice, how } => {
                if self.notices.end(source, &notice) {
                    out.tell.push(Occurrence::NoticeEnded { notice, how });
                }
            }
            Signal::Health(health) => {
                if self.hearing.health(source, &health, now.instant) {
                    let source = self.hearing.name(source).to_owned();
                    out.tell.push(Occurrence::SourceHealth { source, health });
                }
            }
            Signal::Clock(ahead) => {
                self.hearing.clock(source, ahead, now);
                for notice in self.notices.anchor_anew(self.hearing.right(now)) {
                    out.tell.push(Occurrence::NoticeChanged(notice));
                }
                let source = self.hearing.name(source).to_owned();
                out.tell.push(Occurrence::Clock { source, ahead });
            }
        }
    }

    fn on_identified(&mut self, source: usize, instance: Instance, out: &mut Outbox) {
        let outranked = self.identified_by.is_some_and(|first| first < source);
        if outranked || self.instance.as_ref() == Some(&instance) {
            return;
        }
        let same = (self.instance.as_ref()).is_some_and(|known| known.id == instance.id);
        self.identified_by = Some(source);
        self.notices.launched = instance.launched;
        self.instance = Some(instance.clone());
        out.tell.push(Occurrence::Identified(instance.clone()));
        if !same {
            // Whose node it is must be looked at again with what is known now.
            self.node = NodeState::Unknown;
            out.effects.push(Effect::Recall(Some(instance)));
        }
    }

    fn on_recalled(&mut self, recall: Recall, now: Now, out: &mut Outbox) {
        let Recall {
            memory,
            boot,
            verified,
        } = recall;
        let before = match &self.node {
            NodeState::Ours { boot } => boot.clone(),
            _ => None,
        };
        let rebooted = before.is_some() && boot.is_some() && before != boot;
        self.node = NodeState::Ours { boot };
        if let Some(lead) = &mut self.lead {
            // What is remembered there is our own doing.
            if rebooted && is_done_by_a_boot(&lead.notice, now) {
                self.notices.settle(&lead.notice.id);
            }
            return;
        }
        out.tell.push(Occurrence::NodeKnown { verified });
        self.settled = (memory.as_ref())
            .filter(|m| m.phase == Phase::Settled)
            .map(|m| (m.notice.id.clone(), false));
        self.memory = memory;
        let Some(memory) = self.memory.as_ref().filter(|m| self.is_of_this_boot(m)) else {
            return;
        };
        let remembered = self.remembered_notice(memory, now);
        let to_come = (remembered.deadline).is_some_and(|d| !d.remaining(now.instant).is_zero());
        let to_come = to_come && memory.phase != Phase::Settled;
        if to_come && self.notices.get(&remembered.id).is_none() {
            out.tell.push(Occurrence::Resumed(remembered.clone()));
            self.notices.remember(remembered);
        }
    }

    fn on_quarantined(&mut self, now: Now) {
        if let Some(lead) = &mut self.lead {
            lead.held = true;
            let to_come = (lead.notice.deadline).is_none_or(|d| d.instant() > now.instant);
            if std::mem::take(&mut lead.leaky) && lead.drain == Drain::Done && to_come {
                // Pods may have come between the end of the drain and now.
                lead.drain = Drain::None;
            }
        }
    }

    fn on_drain_finished(&mut self) {
        if let Some(lead) = &mut self.lead {
            if lead.drain == Drain::Stopping {
                lead.drain = Drain::None;
                // The next one, if any, has a deadline of its own.
                lead.notice.deadline = None;
            } else {
                lead.drain = Drain::Done;
                lead.leaky = !lead.held;
            }
        }
    }

    /// Whether what no source has said by now is believed not to stand.
    fn is_believed(&self, now: Now) -> bool {
        let believed = self.hearing.believed();
        believed.is_some_and(|believed| believed <= now.instant)
    }

    /// Asks for the difference between what should be and what is.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        let believed = self.is_believed(now);
        if believed {
            self.notices.forget_what_is_not_said(now.instant);
        }
        if let Some((id, seen)) = &mut self.settled {
            *seen |= self.notices.get(id).is_some();
        }
        if let Some(done) = self.memory.as_ref().and_then(|m| self.dealt_with(m, now)) {
            self.notices.settle(&done);
        }
        for change in self.notices.look(self.hearing.right(now)) {
            out.tell.push(match change {
                Change::Waits(notice, until) => Occurrence::NoticeWaits { notice, until },
                Change::Expired(id) => Occurrence::NoticeExpired(id),
            });
        }
        match self.node {
            // What runs goes on; nothing begins.
            NodeState::Unknown => {}
            NodeState::NotOurs => {
                if !self.stops_drain(out) {
                    self.lead = None;
                } else if let Some(lead) = &mut self.lead {
                    lead.quarantine = None; // it was given up
                }
            }
            NodeState::Ours { .. } => match self.notices.leader(self.hearing.right(now)) {
                None => self.stand_down(now, out),
                Some(notice) => self.act(notice, now, out),
            },
        }
    }

    /// The notice that a memory says has been dealt with, on this instance.
    fn dealt_with(&self, memory: &Memory, now: Now) -> Option<NoticeId> {
        let standing = &self.notices.get(&memory.notice.id)?.notice;
        let NodeState::Ours { boot } = &self.node else {
            return None;
        };
        let rebooted = boot.is_some() && memory.boot.is_some() && memory.boot != *boot;
        let remembered = self.remembered_notice(memory, now);
        let done =
            memory.phase == Phase::Settled || (rebooted && is_done_by_a_boot(&remembered, now));
        let another = is_another(&remembered, standing);
        (self.is_of_this_instance(memory) && !another && done).then(|| memory.notice.id.clone())
    }

    fn is_of_this_instance(&self, memory: &Memory) -> bool {
        let ours = self.instance.as_ref().map(|i| i.id.as_str());
        ours.is_some() && memory.instance.as_deref() == ours
    }

    /// Whether a memory is of the machine and the boot that we are.
    fn is_of_this_boot(&self, memory: &Memory) -> bool {
        let NodeState::Ours { boot } = &self.node else {
            return false;
        };
        self.is_of_this_instance(memory) && memory.boot == *boot
    }

    /// The notice that a memory tells of, its deadline anchored by the wall clock, put right
    /// where a source's clock is known.
    fn remembered_notice(&self, memory: &Memory, now: Now) -> Notice {
        let notice = &memory.notice;
        let wall = self.hearing.right(now).wall;
        Notice {
            deadline: memory
                .deadline
                .map(|d| Deadline::anchored(d, wall, now.instant)),
            ..Notice::new(notice.id.clone(), notice.kind, now.instant).with_action(notice.action)
        }
    }
}

#[cfg(test)]
mod tests;
