//! Scheduled maintenance, list by list: several events at once are several notices.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use spot_core::notice::{Notice, NoticeEnd, NoticeId, NoticeKind};
use tokio::time::Instant;

use super::absence::Absence;
use super::heard::Heard;
use super::moment::Moment;
use crate::decode::{
    DecodeError, EventCode, EventState, MAX_EVENTS, ScheduledEvent, scheduled_events,
};

const KIND: NoticeKind = NoticeKind::ScheduledMaintenance;

/// The most events that stand at a time; one more is not raised and shows as failing health.
const MAX_STANDING: usize = 2 * MAX_EVENTS;

/// By how much another time for an event has to differ for it to have been rescheduled.
const RESCHEDULED: SignedDuration = SignedDuration::from_secs(5);

/// The events that stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Maintenance {
    standing: BTreeMap<String, Known>,
    /// Something was missing from the last list, and the history has not been asked yet.
    in_doubt: bool,
}

#[derive(Clone, Debug)]
struct Known {
    not_before: Timestamp,
    notice: Notice,
    /// From well-formed lists.
    absence: Absence,
    /// It has been absent for long.
    gone: bool,
}

impl Maintenance {
    /// Whether the history is to be asked, and [`settle`](Self::settle) to be called.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// A reply. A list that is absent or cannot be read to its end takes nothing back.
    pub(super) fn heed(&mut self, body: Option<&[u8]>, at: &Moment) -> Heard {
        let list = body.map(scheduled_events).transpose();
        let mut heard = Heard::default();
        match list {
            Ok(Some(list)) => {
                heard.malformed = list.malformed;
                for event in &list.events {
                    self.heed_event(event, at, &mut heard);
                }
                if heard.malformed.is_none() {
                    self.miss(&list.events, at.received);
                    return heard;
                }
            }
            Ok(None) => {}
            Err(error) => heard.malformed = Some(error),
        }
        self.in_doubt = false;
        heard
    }

    fn heed_event(&mut self, event: &ScheduledEvent, at: &Moment, heard: &mut Heard) {
        let how = match event.state {
            EventState::Active => return self.heed_active(event, at, heard),
            EventState::Canceled => NoticeEnd::Cancelled,
            EventState::Completed => NoticeEnd::Completed,
        };
        if let Some(known) = self.standing.remove(&event.event_id) {
            heard.end(&known.notice.id, how);
        }
    }

    fn heed_active(&mut self, event: &ScheduledEvent, at: &Moment, heard: &mut Heard) {
        if let EventCode::Unknown(code) = &event.code {
            heard.unknown.get_or_insert_with(|| code.clone());
        }
        let room = self.standing.len() < MAX_STANDING;
        let Some(known) = self.standing.get_mut(&event.event_id) else {
            if room {
                let known = Known::new(event, at);
                heard.raise(&known.notice);
                self.standing.insert(event.event_id.clone(), known);
            } else {
                let most = MAX_STANDING;
                heard.malformed.get_or_insert(DecodeError::TooMany { most });
            }
            return;
        };
        known.absence.ended();
        let moved = event.not_before.duration_since(known.not_before);
        let is_past = event.not_before <= at.reference();
        if moved > RESCHEDULED || (moved < -RESCHEDULED && is_past) {
            // A deadline never moves back, nor does one that has passed leave any time: it is
            // another notice.
            heard.end(&known.notice.id, NoticeEnd::Cancelled);
            *known = Known::new(event, at);
            heard.raise(&known.notice);
            return;
        }
        let mut news = known.notice.action != event.code.action();
        known.notice.action = event.code.action();
        let anew = at.deadline(event.not_before);
        if moved < -RESCHEDULED {
            known.not_before = event.not_before;
            let nearer = known.notice.deadline.map_or(anew, |d| d.nearer(anew));
            known.notice.deadline = Some(nearer);
            news = true;
        } else if let Some(nearer) = known.notice.deadline.and_then(|d| at.nearer(d, anew)) {
            known.notice.deadline = Some(nearer);
            news = true;
        }
        if news {
            heard.raise(&known.notice);
        }
    }

    /// A whole list: what is not in it is missing.
    fn miss(&mut self, events: &[ScheduledEvent], now: Instant) {
        self.in_doubt = false;
        for (id, known) in &mut self.standing {
            if !events.iter().any(|event| event.event_id == *id) {
                known.gone = known.absence.lasts(now);
                self.in_doubt = true;
            }
        }
    }

    /// What the history says of the events that are missing; `None` where it could not be had.
    /// What it does not tell of is called off once it has been missing for long.
    pub(super) fn settle(&mut self, history: Option<&[u8]>) -> Heard {
        let past = history.and_then(|body| scheduled_events(body).ok());
        let past = past.map(|list| list.events).unwrap_or_default();
        let mut heard = Heard::default();
        self.in_doubt = false;
        self.standing.retain(|id, known| {
            if !known.absence.is_so() {
                return true;
            }
            let told = past.iter().find(|event| event.event_id == *id);
            let how = match told.map(|event| event.state) {
                Some(EventState::Completed) => NoticeEnd::Completed,
                Some(EventState::Canceled) => NoticeEnd::Cancelled,
                _ if known.gone => NoticeEnd::Cancelled,
                _ => return true,
            };
            heard.end(&known.notice.id, how);
            false
        });
        heard
    }
}

impl Known {
    fn new(event: &ScheduledEvent, at: &Moment) -> Self {
        let id = NoticeId::new(format!("{KIND}/{}", event.event_id));
        let mut notice = Notice::new(id, KIND, at.received).with_action(event.code.action());
        // One that may begin at any moment names no time: one in the past would leave a drain
        // none at all.
        if event.not_before > at.reference() {
            notice = notice.with_deadline(at.deadline(event.not_before));
        }
        Self {
            not_before: event.not_before,
            notice,
            absence: Absence::default(),
            gone: false,
        }
    }
}

#[cfg(test)]
mod tests;
