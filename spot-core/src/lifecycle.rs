//! The pure state machine of the handler: signals and completions in, effects out.
//!
//! It reads no clock and does nothing itself. After every input it compares what should be
//! with what is, and asks for the difference:
//!
//! | situation | what it asks for |
//! |---|---|
//! | a notice whose response is to cordon | quarantine |
//! | a notice whose response is to drain | quarantine and drain, at the same time |
//! | the same notice again | nothing |
//! | the same notice, earlier | the drain's deadline brought nearer |
//! | the same notice, later | nothing: a deadline never moves back |
//! | a weightier notice | it leads; a running drain goes on under the nearer deadline |
//! | the leading notice taken back | the next one leads; without one: stop the drain, then release |
//! | the same, and the next one only cordons | stop the drain |
//! | the drain ended | written down, so that it is not done again after a restart |
//! | a memory of this instance and boot, still to come | carried on at once |
//! | a memory of anything else, and no notice | release what was ours and forget, once it is known who we are |
//! | the node not read yet | notices wait |
//! | the node another machine's | notices wait, what was asked for is given up, a running drain stops, nothing is released |
//!
//! Notices are compared by their response first, then by kind ([`NoticeKind`](crate::notice::NoticeKind)'s order).

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Now;
use crate::deadline::{Deadline, nearer};
use crate::drainer::Order;
use crate::node::{Memory, Phase, Quarantine, Recall};
use crate::notice::{Instance, Notice, NoticeId, Signal, SourceHealth};
use crate::observer::Occurrence;
use crate::policy::{Policy, Response};

/// What the state machine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started.
    Started,
    /// A source said something.
    Signal(Signal),
    /// The node was read.
    Recalled(Recall),
    /// The node is another machine's.
    NotOurs,
    /// The drain returned.
    DrainFinished,
    /// The time asked for by [`Lifecycle::next_wake`] has come.
    Woken,
}

/// What the state machine asks for. No arm may be left out by the one who performs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the node, comparing it with the instance; until it succeeds.
    Recall(Option<Instance>),
    /// Bring the node to this state; replaces an earlier wish that is not yet fulfilled.
    Quarantine(Quarantine),
    /// Take back what is ours; replaces an earlier wish that is not yet fulfilled.
    Release(Option<Instance>),
    /// Give up what was asked for and is not yet fulfilled: the node is not ours.
    Abandon,
    /// Start the drain.
    StartDrain(Order),
    /// Change the running drain's order.
    AmendDrain(Order),
}

/// Asked-for effects and things to tell, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// What observers are told.
    pub tell: Vec<Occurrence>,
}

/// Whether a notice now would be acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// Nothing is missing.
    pub ready: bool,
    /// What is missing, for an operator.
    pub missing: Vec<String>,
}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    /// None is running and none has been done for the leading notice.
    None,
    Running,
    /// Running, told to stop.
    Stopping,
    Done,
}

/// A notice that stands.
#[derive(Debug)]
struct Standing {
    notice: Notice,
    /// Only known from memory: no source has said it to this process.
    remembered: bool,
}

impl Standing {
    /// When a notice that only memory knows is over.
    fn ends(&self) -> Option<Instant> {
        self.notice.deadline.map(|d| d.instant())
    }
}

/// The notice that is acted on, and what was last asked for because of it.
#[derive(Debug)]
struct Lead {
    notice: Notice,
    /// When it was first detected, perhaps by an earlier process.
    since: Timestamp,
    drain: Drain,
    quarantine: Option<Quarantine>,
    order: Option<Order>,
}

/// The state machine. See the [module](self).
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    instance: Option<Instance>,
    node: NodeState,
    memory: Option<Memory>,
    /// What was last heard of the sources.
    health: Option<SourceHealth>,
    /// A source has been heard at least once: what does not stand now, does not stand.
    heard: bool,
    standing: BTreeMap<NoticeId, Standing>,
    lead: Option<Lead>,
}

impl Lifecycle {
    /// A lifecycle at its beginning.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            instance: None,
            node: NodeState::Unknown,
            memory: None,
            health: None,
            heard: false,
            standing: BTreeMap::new(),
            lead: None,
        }
    }

    /// Takes an input at `now`; what follows from it is appended to `out`.
    pub fn on(&mut self, input: Input, now: Now, out: &mut Outbox) {
        match input {
            Input::Started => out.effects.push(Effect::Recall(None)),
            Input::Signal(signal) => self.on_signal(signal, out),
            Input::Recalled(recall) => self.on_recalled(recall, now, out),
            Input::NotOurs => {
                if std::mem::replace(&mut self.node, NodeState::NotOurs) != NodeState::NotOurs {
                    out.effects.push(Effect::Abandon);
                    out.effects.push(Effect::Recall(self.instance.clone()));
                }
            }
            Input::DrainFinished => self.on_drain_finished(),
            Input::Woken => {}
        }
        self.settle(now, out);
    }

    /// When [`Input::Woken`] is due, if ever.
    pub fn next_wake(&self) -> Option<Instant> {
        if !self.heard {
            return None;
        }
        self.standing
            .values()
            .filter(|s| s.remembered)
            .filter_map(Standing::ends)
            .min()
    }

    /// Whether a drain runs.
    pub fn is_draining(&self) -> bool {
        self.lead
            .as_ref()
            .is_some_and(|l| matches!(l.drain, Drain::Running | Drain::Stopping))
    }

    /// Whether a notice now would be acted on.
    pub fn readiness(&self) -> Readiness {
        let mut missing = Vec::new();
        match &self.health {
            None => missing.push("no source has been heard yet".to_owned()),
            Some(SourceHealth::Failing { reason }) => {
                missing.push(format!("notices cannot be heard: {reason}"));
            }
            Some(SourceHealth::Good) => {}
        }
        match self.node {
            NodeState::Unknown => missing.push("the node has not been read yet".to_owned()),
            NodeState::NotOurs => missing.push("the node is another instance".to_owned()),
            NodeState::Ours { .. } => {}
        }
        Readiness {
            ready: missing.is_empty(),
            missing,
        }
    }

    fn on_signal(&mut self, signal: Signal, out: &mut Outbox) {
        match signal {
            Signal::Identified(instance) => {
                if self.instance.as_ref() == Some(&instance) {
                    return;
                }
                // Whose node it is must be looked at again with what is known now.
                self.node = NodeState::Unknown;
                self.instance = Some(instance.clone());
                out.tell.push(Occurrence::Identified(instance.clone()));
                out.effects.push(Effect::Recall(Some(instance)));
            }
            Signal::Raised(notice) => self.on_raised(notice, out),
            Signal::Cancelled(id) => {
                if self.standing.remove(&id).is_some() {
                    out.tell.push(Occurrence::NoticeCancelled(id));
                }
            }
            Signal::Health(health) => {
                self.heard |= health == SourceHealth::Good;
                if self.health.as_ref() != Some(&health) {
                    out.tell.push(Occurrence::SourceHealth(health.clone()));
                    self.health = Some(health);
                }
            }
        }
    }

    fn on_raised(&mut self, notice: Notice, out: &mut Outbox) {
        if let Some(standing) = self.standing.get_mut(&notice.id) {
            standing.remembered = false;
            standing.notice.action = notice.action;
            standing.notice.deadline = nearer(standing.notice.deadline, notice.deadline);
            return;
        }
        let response = self.policy.response(notice.kind);
        out.tell.push(Occurrence::NoticeRaised {
            notice: notice.clone(),
            response,
        });
        self.standing.insert(
            notice.id.clone(),
            Standing {
                notice,
                remembered: false,
            },
        );
    }

    fn on_recalled(&mut self, recall: Recall, now: Now, out: &mut Outbox) {
        let Recall {
            memory,
            boot,
            verified,
        } = recall;
        out.tell.push(Occurrence::NodeKnown { verified });
        self.node = NodeState::Ours { boot };
        if self.lead.is_some() {
            return; // what is remembered there is our own doing
        }
        self.memory = memory;
        let Some(memory) = self.memory.as_ref().filter(|m| self.is_of_this_boot(m)) else {
            return;
        };
        let remembered = remembered_notice(memory, now);
        let to_come = remembered
            .deadline
            .is_some_and(|d| !d.remaining(now.instant).is_zero());
        if to_come && !self.standing.contains_key(&remembered.id) {
            out.tell.push(Occurrence::Resumed(remembered.clone()));
            self.standing.insert(
                remembered.id.clone(),
                Standing {
                    notice: remembered,
                    remembered: true,
                },
            );
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
            }
        }
    }

    /// Asks for the difference between what should be and what is.
    fn settle(&mut self, now: Now, out: &mut Outbox) {
        if self.heard {
            // The time of what only memory knew has passed, and the machine is still here.
            self.standing
                .retain(|_, s| !s.remembered || s.ends().is_some_and(|end| end > now.instant));
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
            NodeState::Ours { .. } => match self.leader() {
                None => self.stand_down(out),
                Some(notice) => self.act(notice, now, out),
            },
        }
    }

    /// The weightiest notice that is to be acted on, with the nearest deadline of all that
    /// ask for the same.
    fn leader(&self) -> Option<Notice> {
        let weight = |s: &Standing| (self.policy.response(s.notice.kind), s.notice.kind);
        let lead = self
            .standing
            .values()
            .filter(|s| weight(s).0 >= Response::Cordon)
            .max_by_key(|s| weight(s))?;
        let deadline = self
            .standing
            .values()
            .filter(|s| weight(s).0 == weight(lead).0)
            .fold(None, |d, s| nearer(d, s.notice.deadline));
        Some(Notice {
            deadline,
            ..lead.notice.clone()
        })
    }

    /// Tells a running drain to stop. Whether there is one to wait for.
    fn stops_drain(&mut self, out: &mut Outbox) -> bool {
        let Some(lead) = &mut self.lead else {
            return false;
        };
        if lead.drain == Drain::Running {
            lead.drain = Drain::Stopping;
            let cancelled = Order {
                cancelled: true,
                ..Order::from_notice(&lead.notice)
            };
            out.effects.push(Effect::AmendDrain(cancelled));
        }
        lead.drain == Drain::Stopping
    }

    fn stand_down(&mut self, out: &mut Outbox) {
        if self.stops_drain(out) {
            return;
        }
        let ours = self.lead.take().is_some();
        // Nothing of this process; perhaps of an earlier one, or of another machine.
        let known = self.instance.is_some();
        let stale = self
            .memory
            .take_if(|m| self.heard && (known || m.instance.is_none()));
        if ours || stale.is_some() {
            out.effects.push(Effect::Release(self.instance.clone()));
        }
    }

    fn act(&mut self, mut notice: Notice, now: Now, out: &mut Outbox) {
        let mut lead = self.lead.take().unwrap_or_else(|| self.begin(&notice, now));
        let drains = self.policy.response(notice.kind) == Response::Drain;
        if lead.drain == Drain::Stopping || (lead.drain == Drain::Running && !drains) {
            self.lead = Some(lead);
            self.stops_drain(out);
            return; // it begins anew when the drain has returned
        }
        notice.deadline = nearer(notice.deadline, lead.notice.deadline);
        if lead.notice.id != notice.id {
            let (old, new) = (lead.notice.id, notice.id.clone());
            out.tell.push(Occurrence::NoticeSuperseded { old, new });
            if lead.drain == Drain::Done {
                lead.drain = Drain::None;
            }
        }
        lead.notice = notice;

        let order = Order::from_notice(&lead.notice);
        let drain = match lead.drain {
            Drain::None if drains => {
                lead.drain = Drain::Running;
                Some(Effect::StartDrain(order.clone()))
            }
            Drain::Running if lead.order.as_ref() != Some(&order) => {
                if lead.order.as_ref().map(|o| o.deadline) != Some(order.deadline) {
                    out.tell.push(Occurrence::DeadlineNearer(order.clone()));
                }
                Some(Effect::AmendDrain(order.clone()))
            }
            _ => None,
        };
        let phase = match (lead.drain, drains) {
            (Drain::Done, _) => Phase::Drained,
            (_, true) => Phase::Draining,
            (_, false) => Phase::Cordoned,
        };
        let quarantine = Quarantine {
            instance: self.instance.as_ref().map(|i| i.id.clone()),
            ..Quarantine::new(&lead.notice, phase, lead.since)
        };
        if lead.quarantine.as_ref() != Some(&quarantine) {
            out.effects.push(Effect::Quarantine(quarantine.clone()));
            lead.quarantine = Some(quarantine);
        }
        if let Some(effect) = drain {
            out.effects.push(effect);
            lead.order = Some(order);
        }
        self.lead = Some(lead);
    }

    /// A new lead, taking up what an earlier process had come to for the same notice.
    fn begin(&mut self, notice: &Notice, now: Now) -> Lead {
        let memory = self
            .memory
            .take()
            .filter(|m| m.notice.id == notice.id && self.is_of_this_boot(m));
        let mut lead = Lead {
            notice: notice.clone(),
            since: now.wall,
            drain: Drain::None,
            quarantine: None,
            order: None,
        };
        if let Some(memory) = memory {
            lead.notice.deadline =
                nearer(notice.deadline, remembered_notice(&memory, now).deadline);
            lead.since = memory.since;
            if memory.phase == Phase::Drained {
                lead.drain = Drain::Done;
            }
        }
        lead
    }

    /// Whether a memory is of the machine and the boot that we are.
    fn is_of_this_boot(&self, memory: &Memory) -> bool {
        let ours = self.instance.as_ref().map(|i| i.id.as_str());
        let NodeState::Ours { boot } = &self.node else {
            return false;
        };
        ours.is_some() && memory.instance.as_deref() == ours && memory.boot == *boot
    }
}

/// The notice that a memory tells of, its deadline anchored by the local wall clock.
fn remembered_notice(memory: &Memory, now: Now) -> Notice {
    let notice = &memory.notice;
    Notice {
        deadline: memory
            .deadline
            .map(|d| Deadline::anchored(d, now.wall, now.instant)),
        ..Notice::new(notice.id.clone(), notice.kind, now.instant).with_action(notice.action)
    }
}

#[cfg(test)]
mod tests;
