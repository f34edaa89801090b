//! The notice that is acted on: its beginning, its course, its end.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::standing::Standing;
use super::standing::{is_another, is_outlived};
use super::{Effect, Lifecycle, Outbox};
use crate::clock::Now;
use crate::deadline::nearer;
use crate::drainer::Order;
use crate::node::{Phase, Quarantine, Release};
use crate::notice::{Notice, NoticeId, NoticeKind};
use crate::observer::Occurrence;
use crate::policy::Response;

/// How often the node is looked at again while a maintenance may have rebooted it: the boot that
/// it shows is that of before until its kubelet has reported anew.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// None is running and none has been done for the leading notice.
    None,
    Running,
    /// Running, told to stop.
    Stopping,
    Done,
}

/// The notice that is acted on, and what was last asked for because of it.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) notice: Notice,
    /// When it was first detected, perhaps by an earlier process.
    pub(super) since: Timestamp,
    pub(super) drain: Drain,
    pub(super) quarantine: Option<Quarantine>,
    pub(super) order: Option<Order>,
    /// The node takes nothing new.
    pub(super) held: bool,
    /// The drain ended while the node still took new pods.
    pub(super) leaky: bool,
    /// When the node is looked at again.
    pub(super) look: Option<Instant>,
}

impl Lifecycle {
    /// Tells a running drain to stop. Whether there is one to wait for.
    pub(super) fn stops_drain(&mut self, out: &mut Outbox) -> bool {
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

    pub(super) fn stand_down(&mut self, now: Now, out: &mut Outbox) {
        if self.stops_drain(out) {
            return;
        }
        let ours = self.lead.take();
        if ours.is_some() {
            self.memory = None; // our own has taken its place
        }
        // Not of this process: of an earlier one, or of another machine.
        let known = self.instance.is_some();
        let heard = self.hearing.is_complete();
        let believed = self.is_believed(now);
        let was_seen = matches!(self.settled, Some((_, true)));
        let dealt_with = |id: &NoticeId| self.notices.get(id).is_some_and(Standing::is_settled);
        // Of this very boot it may stand still, and merely not be said at the moment.
        let may_stand = self
            .memory
            .as_ref()
            .is_some_and(|m| self.is_of_this_boot(m));
        let stale = self.memory.take_if(|m| {
            let settled = m.phase == Phase::Settled;
            let kept = settled && dealt_with(&m.notice.id);
            let over = believed || !may_stand || (settled && was_seen);
            heard && over && !kept && (known || m.instance.is_none())
        });
        // What was written down as dealt with is forgotten when it stands no longer.
        let over = heard && known && (believed || was_seen);
        let over = over && (self.settled.as_ref()).is_some_and(|(id, _)| !dealt_with(id));
        let (last, since) = match (&ours, &stale) {
            (Some(lead), _) => (Some(lead.notice.id.clone()), Some(lead.since)),
            (None, Some(memory)) => (Some(memory.notice.id.clone()), Some(memory.since)),
            (None, None) if over => (None, None),
            (None, None) => return,
        };
        let instance = self.instance.as_ref().map(|i| i.id.clone());
        let mut release = Release::of(instance);
        let settled = last.filter(dealt_with);
        let settled = settled.or_else(|| self.notices.any_settled().cloned());
        self.settled = None;
        let standing = settled.as_ref().and_then(|id| self.notices.get(id));
        if let (Some(standing), Some(since)) = (standing, since) {
            release = release.settling(self.wish(&standing.notice, Phase::Settled, since));
            self.settled = settled.map(|id| (id, true));
        }
        out.effects.push(Effect::Release(release));
    }

    fn wish(&self, notice: &Notice, phase: Phase, since: Timestamp) -> Quarantine {
        Quarantine {
            instance: self.instance.as_ref().map(|i| i.id.clone()),
            ..Quarantine::new(notice, phase, since)
        }
    }

    pub(super) fn act(&mut self, mut notice: Notice, now: Now, out: &mut Outbox) {
        let mut lead = self.lead.take().unwrap_or_else(|| self.begin(&notice, now));
        let drains = self.notices.rule(&notice).response == Response::Drain;
        if lead.drain == Drain::Stopping || (lead.drain == Drain::Running && !drains) {
            self.lead = Some(lead);
            self.stops_drain(out);
            return; // it begins anew when the drain has returned
        }
        if lead.notice.id == notice.id || lead.drain == Drain::Running {
            notice.deadline = nearer(notice.deadline, lead.notice.deadline);
        }
        if lead.notice.id != notice.id {
            let (old, new) = (lead.notice.id, notice.id.clone());
            self.notices.begin(&new, Duration::ZERO);
            out.tell.push(Occurrence::NoticeSuperseded { old, new });
            if lead.drain == Drain::Done {
                lead.drain = Drain::None;
            }
        }
        lead.notice = notice;

        let order = Order::from_notice(&lead.notice).with_held(lead.held);
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
            // Not before the node takes nothing new: until then it is not the end.
            (Drain::Done, _) if !lead.leaky => Phase::Drained,
            (_, true) => Phase::Draining,
            (_, false) => Phase::Cordoned,
        };
        let quarantine = self.wish(&lead.notice, phase, lead.since);
        if lead.quarantine.as_ref() != Some(&quarantine) {
            out.effects.push(Effect::Quarantine(quarantine.clone()));
            lead.quarantine = Some(quarantine);
        }
        if let Some(effect) = drain {
            out.effects.push(effect);
            lead.order = Some(order);
        }
        self.look_again(&mut lead, now, out);
        self.settled = None;
        self.lead = Some(lead);
    }

    /// Whether a maintenance has rebooted the machine shows on the node, some time after.
    fn look_again(&self, lead: &mut Lead, now: Now, out: &mut Outbox) {
        let may_be_back = lead.drain != Drain::Running && is_done_by_a_boot(&lead.notice, now);
        let first = (lead.notice.deadline).map_or(now.instant, |d| d.instant().max(now.instant));
        lead.look = match lead.look.filter(|_| is_maintenance(&lead.notice)) {
            Some(due) if due <= now.instant && may_be_back => {
                out.effects.push(Effect::Recall(self.instance.clone()));
                Some(now.instant + LOOK)
            }
            Some(due) if due > now.instant => Some(due),
            _ => is_maintenance(&lead.notice).then_some(first + LOOK),
        };
    }

    /// A new lead, taking up what an earlier process had come to for the same notice.
    fn begin(&mut self, notice: &Notice, now: Now) -> Lead {
        // That of another notice may still say that it has been dealt with.
        let ours = self.memory.as_ref().is_some_and(|m| {
            let same = m.notice.id == notice.id;
            same && self.is_of_this_boot(m) && !is_another(&self.remembered_notice(m, now), notice)
        });
        let memory = self.memory.take_if(|_| ours);
        let mut lead = Lead {
            notice: notice.clone(),
            since: now.wall,
            drain: Drain::None,
            quarantine: None,
            order: None,
            held: false,
            leaky: false,
            look: None,
        };
        let mut earlier = Duration::ZERO;
        if let Some(memory) = memory {
            let remembered = self.remembered_notice(&memory, now).deadline;
            if !is_outlived(remembered, notice.deadline, now.instant) {
                lead.notice.deadline = nearer(notice.deadline, remembered);
            }
            lead.since = memory.since;
            // It was written together with the quarantine.
            lead.held = true;
            if memory.phase == Phase::Drained {
                lead.drain = Drain::Done;
            }
            earlier = Duration::try_from(now.wall.duration_since(memory.since)).unwrap_or_default();
        }
        self.notices.begin(&notice.id, earlier);
        lead
    }
}

fn is_maintenance(notice: &Notice) -> bool {
    notice.kind == NoticeKind::ScheduledMaintenance
}

/// Whether another boot now would mean that what was announced has been done.
pub(super) fn is_done_by_a_boot(notice: &Notice, now: Now) -> bool {
    is_maintenance(notice) && (notice.deadline).is_none_or(|d| d.remaining(now.instant).is_zero())
}
