//! `events/maintenance/scheduled` and `events/maintenance/history`: lists of events.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value};
use spot_core::notice::InstanceAction;

use super::{DecodeError, time, value};
use crate::quote::excerpt;

/// The most events of a list that are read: the first ones. EC2 schedules one or two.
pub const MAX_EVENTS: usize = 64;

/// What an event does to the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventCode {
    /// `instance-stop`.
    InstanceStop,
    /// `instance-retirement`.
    InstanceRetirement,
    /// `instance-reboot`: the instance boots anew.
    InstanceReboot,
    /// `system-reboot`: its host does.
    SystemReboot,
    /// `system-maintenance`: its network or power is worked on.
    SystemMaintenance,
    /// A code that nobody knows, escaped and cut; empty where there is none.
    Unknown(String),
}

impl EventCode {
    /// What is done to the instance; a code that nobody knows is taken for a termination.
    pub fn action(&self) -> InstanceAction {
        match self {
            Self::InstanceStop => InstanceAction::Stop,
            Self::InstanceReboot | Self::SystemReboot => InstanceAction::Reboot,
            Self::SystemMaintenance => InstanceAction::Maintain,
            Self::InstanceRetirement | Self::Unknown(_) => InstanceAction::Terminate,
        }
    }
}

impl From<&str> for EventCode {
    fn from(code: &str) -> Self {
        match code.trim().to_ascii_lowercase().as_str() {
            "instance-stop" => Self::InstanceStop,
            "instance-retirement" => Self::InstanceRetirement,
            "instance-reboot" => Self::InstanceReboot,
            "system-reboot" => Self::SystemReboot,
            "system-maintenance" => Self::SystemMaintenance,
            _ => Self::Unknown(excerpt(code.trim().as_bytes())),
        }
    }
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventState {
    /// It is to come, or under way. Also what a state that nobody knows is taken for: a notice
    /// too many does less harm than one too few.
    Active,
    /// It is done.
    Completed,
    /// It was called off.
    Canceled,
}

impl From<&str> for EventState {
    fn from(state: &str) -> Self {
        match state.trim().to_ascii_lowercase().as_str() {
            "completed" => Self::Completed,
            "canceled" | "cancelled" => Self::Canceled,
            _ => Self::Active,
        }
    }
}

/// One event (EC2 User Guide, "Scheduled events for your instances").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledEvent {
    /// Its identity: one plain word.
    pub event_id: String,
    /// What it does.
    pub code: EventCode,
    /// How far it has come.
    pub state: EventState,
    /// When it begins, at the earliest.
    pub not_before: Timestamp,
    /// When it has ended, at the latest, where that is told and can be read.
    pub not_after: Option<Timestamp>,
    /// Until when it can be moved, where that is told and can be read.
    pub not_before_deadline: Option<Timestamp>,
    /// What it is said to be, escaped and cut.
    pub description: Option<String>,
}

/// A list of events: each that can be read, and why others cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledEvents {
    /// At most [`MAX_EVENTS`], each id once: of several with the same, the active one that
    /// comes first in time.
    pub events: Vec<ScheduledEvent>,
    /// What is wrong with the first that cannot be read, or that there are more than are read.
    /// Where it is set, what is missing from `events` may stand all the same.
    pub malformed: Option<DecodeError>,
}

/// Reads the body of `events/maintenance/scheduled` or of `events/maintenance/history`. An
/// event that cannot be read hides no other.
///
/// # Errors
/// [`DecodeError::Empty`] and [`DecodeError::List`].
///
/// ```
/// use spot_core::notice::InstanceAction;
/// use spot_imds::decode::scheduled_events;
///
/// let body = br#"[{"EventId":"instance-event-1","Code":"system-reboot","State":"active",
///     "NotBefore":"21 Jan 2019 09:00:43 GMT","NotAfter":"21 Jan 2019 09:17:23 GMT"}]"#;
/// let list = scheduled_events(body).unwrap();
/// assert_eq!(list.events[0].code.action(), InstanceAction::Reboot);
/// assert_eq!(list.malformed, None);
/// ```
pub fn scheduled_events(body: &[u8]) -> Result<ScheduledEvents, DecodeError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let First { items, more } = serde_json::from_slice(body).map_err(|_| DecodeError::List {
        quoted: excerpt(body),
    })?;
    let mut list = ScheduledEvents::default();
    for (index, item) in items.iter().enumerate() {
        match event(item) {
            Ok(event) => list.add(event),
            Err(source) => {
                list.malformed.get_or_insert(DecodeError::Event {
                    number: index + 1,
                    source: Box::new(source),
                });
            }
        }
    }
    if more {
        let most = MAX_EVENTS;
        list.malformed.get_or_insert(DecodeError::TooMany { most });
    }
    Ok(list)
}

impl ScheduledEvents {
    fn add(&mut self, event: ScheduledEvent) {
        let rank = |e: &ScheduledEvent| (e.state != EventState::Active, e.not_before);
        let same = |known: &&mut ScheduledEvent| known.event_id == event.event_id;
        match self.events.iter_mut().find(same) {
            Some(known) if rank(&event) < rank(known) => *known = event,
            Some(_) => {}
            None => self.events.push(event),
        }
    }
}

fn event(item: &Value) -> Result<ScheduledEvent, DecodeError> {
    let object = || DecodeError::Object {
        wanted: "an EventId and a NotBefore",
        quoted: quoted(item),
    };
    let fields = item.as_object().ok_or_else(object)?;
    let text = |name| text(fields, name);
    let not_before = text("NotBefore").ok_or_else(object)?;
    let time = |name| text(name).and_then(|text| time::spelled(text).ok());
    Ok(ScheduledEvent {
        event_id: value(text("EventId").ok_or_else(object)?.as_bytes())?,
        code: EventCode::from(text("Code").unwrap_or_default()),
        state: EventState::from(text("State").unwrap_or_default()),
        not_before: time::spelled(not_before)?,
        not_after: time("NotAfter"),
        not_before_deadline: time("NotBeforeDeadline"),
        description: text("Description").map(|text| excerpt(text.as_bytes())),
    })
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

/// The beginning of an item, without spelling a long one out.
fn quoted(item: &Value) -> String {
    match item {
        Value::Object(fields) => {
            let names = fields.keys().take(8).map(String::as_str);
            excerpt(names.collect::<Vec<_>>().join(" ").as_bytes())
        }
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => excerpt(text.as_bytes()),
        short => short.to_string(),
    }
}

/// The first items of a list; the rest is passed over and not kept.
struct First {
    items: Vec<Value>,
    more: bool,
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let (mut items, mut more) = (Vec::new(), false);
                while items.len() < MAX_EVENTS {
                    match list.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(First { items, more }),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(First { items, more })
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TIME: &str = "21 Jan 2019 09:00:43 GMT";

    fn read(list: &Value) -> ScheduledEvents {
        scheduled_events(list.to_string().as_bytes()).unwrap()
    }

    fn entry(id: &str, state: &str, not_before: &str) -> Value {
        json!({"EventId": id, "Code": "instance-stop", "State": state, "NotBefore": not_before})
    }

    #[test]
    fn everything_that_ec2_documents_is_read() {
        let list = read(&json!([{
            "NotBefore": TIME,
            "Code": "system-reboot",
            "Description": "scheduled\u{7} reboot",
            "EventId": "instance-event-0d59937288b749b32",
            "NotAfter": "21 Jan 2019 09:17:23 GMT",
            "NotBeforeDeadline": "2 Feb 2019 09:00:43 GMT",
            "State": "active",
            "New": {"field": []},
        }]));
        let [event] = &list.events[..] else {
            panic!("{list:?}")
        };
        assert_eq!(event.event_id, "instance-event-0d59937288b749b32");
        assert_eq!(event.code, EventCode::SystemReboot);
        assert_eq!(event.state, EventState::Active);
        assert_eq!(event.not_before.to_string(), "2019-01-21T09:00:43Z");
        assert_eq!(event.not_after.unwrap().to_string(), "2019-01-21T09:17:23Z");
        assert!(event.not_before_deadline.is_some());
        assert_eq!(event.description.as_deref(), Some(r"scheduled\x07 reboot"));
        assert_eq!(list.malformed, None);
        assert_eq!(read(&json!([])), ScheduledEvents::default());
    }

    #[test]
    fn codes_and_states_are_told_apart() {
        for (code, action) in [
            ("instance-stop", InstanceAction::Stop),
            ("instance-retirement", InstanceAction::Terminate),
            ("instance-reboot", InstanceAction::Reboot),
            ("system-reboot", InstanceAction::Reboot),
            ("system-maintenance", InstanceAction::Maintain),
            ("vaporise", InstanceAction::Terminate),
        ] {
            assert_eq!(EventCode::from(code).action(), action, "{code}");
        }
        let retired = EventCode::from("Instance-Retirement");
        assert_eq!(retired, EventCode::InstanceRetirement);
        let odd = EventCode::from("va\u{7}porise");
        assert_eq!(odd, EventCode::Unknown(r"va\x07porise".into()));
        for (state, read) in [
            ("active", EventState::Active),
            ("Completed", EventState::Completed),
            ("canceled", EventState::Canceled),
            ("cancelled", EventState::Canceled),
            ("pondered", EventState::Active),
            ("", EventState::Active),
        ] {
            assert_eq!(EventState::from(state), read, "{state}");
        }
    }

    #[test]
    fn one_that_cannot_be_read_hides_no_other() {
        let good = entry("e-1", "active", TIME);
        let long = "x".repeat(129);
        for (bad, quoted) in [
            (json!({}), ""),
            (json!(7), "7"),
            (json!([]), "a list"),
            (json!("event"), "event"),
            (json!(null), "null"),
            (entry("two words", "active", TIME), "two words"),
            (entry(&long, "active", TIME), "xxx"),
            (entry("e-2", "active", "soon"), "soon"),
            (
                json!({"EventId": 7, "NotBefore": TIME}),
                "EventId NotBefore",
            ),
            (
                json!({"EventId": "e-2", "NotBefore": 7}),
                "EventId NotBefore",
            ),
        ] {
            let list = read(&json!([bad, good]));
            assert_eq!(list.events.len(), 1, "{bad}");
            assert_eq!(list.events[0].event_id, "e-1");
            let error = list.malformed.unwrap();
            let DecodeError::Event { number: 1, source } = error else {
                panic!("{error}")
            };
            assert!(source.to_string().contains(quoted), "{bad}: {source}");
        }
        let bare = json!({"EventId": "e-3", "NotBefore": TIME, "NotAfter": "later"});
        let list = read(&json!([bare]));
        assert_eq!(list.events[0].code, EventCode::Unknown(String::new()));
        assert_eq!((list.events[0].not_after, list.malformed), (None, None));
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let entries = (0..MAX_EVENTS).map(|n| entry(&format!("e-{n}"), "active", TIME));
        let mut entries: Vec<_> = entries.collect();
        assert_eq!(read(&json!(entries)).malformed, None);
        entries.push(entry("e-more", "active", TIME));
        let list = read(&json!(entries));
        assert_eq!(list.events.len(), MAX_EVENTS);
        assert_eq!(list.malformed, Some(DecodeError::TooMany { most: 64 }));
    }

    #[test]
    fn of_several_with_one_id_the_nearest_active_one_counts() {
        let later = "22 Jan 2019 09:00:43 GMT";
        let list = read(&json!([
            entry("e-1", "completed", TIME),
            entry("e-1", "active", later),
            entry("e-1", "active", TIME),
            json!({"EventId": "e-1", "NotBefore": TIME, "Description": "the same again"}),
            entry("e-1", "canceled", TIME),
        ]));
        let [event] = &list.events[..] else {
            panic!("{list:?}")
        };
        assert_eq!(event.state, EventState::Active);
        assert_eq!(event.not_before.to_string(), "2019-01-21T09:00:43Z");
        assert_eq!(event.description, None, "of two alike the first");
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert_eq!(scheduled_events(b" "), Err(DecodeError::Empty));
        for body in ["{}", "null", "<html>", "[", "[{}] more", "[1e999]"] {
            let error = scheduled_events(body.as_bytes()).unwrap_err();
            assert!(matches!(error, DecodeError::List { .. }), "{body}");
        }
    }
}
