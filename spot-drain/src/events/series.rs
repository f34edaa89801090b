//! What has been written lately, so that a repeat counts up instead of being written anew. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::note::{About, Note};

/// How long the same event counts up: as long as API servers keep events, unless told otherwise.
pub const SERIES: Duration = Duration::from_secs(3600);

/// How many are remembered.
const REMEMBERED: usize = 64;
/// How long an object's name may be, and how much of it the end of an event's takes.
const NAME: (usize, usize) = (253, 24);
/// Who writes.
const COMPONENT: &str = "spot-interrupt-handler";

/// Events that may be said again.
#[derive(Debug)]
pub(super) struct Series {
    node: String,
    /// The oldest first.
    written: Vec<Written>,
    /// Tells apart what was written in the same nanosecond.
    serial: u32,
}

#[derive(Debug)]
struct Written {
    note: Note,
    name: String,
    count: u32,
}

/// A request that writes an event.
#[derive(Debug, PartialEq)]
pub(super) enum Write {
    /// A new event.
    Create(Value),
    /// One more of an event that is there.
    Count { name: String, patch: Value },
}

impl Series {
    pub(super) fn new(node: String) -> Self {
        Self {
            node,
            written: Vec::new(),
            serial: 0,
        }
    }

    /// What is to be asked for so that `note` is an event.
    pub(super) fn write(&self, note: &Note) -> Write {
        match self.find(note) {
            Some(at) => {
                let Written { name, count, .. } = &self.written[at];
                let patch = json!({ "count": count + 1, "lastTimestamp": second(note.at) });
                let name = name.clone();
                Write::Count { name, patch }
            }
            None => Write::Create(self.event(note)),
        }
    }

    /// It is written.
    pub(super) fn written(&mut self, note: Note) {
        if let Some(at) = self.find(&note) {
            self.written[at].count += 1;
            return;
        }
        let name = self.name(&note);
        self.serial = self.serial.wrapping_add(1);
        if self.written.len() >= REMEMBERED {
            self.written.remove(0);
        }
        let count = 1;
        self.written.push(Written { note, name, count });
    }

    /// The one that was there is no more.
    pub(super) fn forget(&mut self, note: &Note) {
        if let Some(at) = self.find(note) {
            self.written.remove(at);
        }
    }

    fn find(&self, note: &Note) -> Option<usize> {
        let lately = |at: Timestamp| note.at.duration_since(at) < SignedDuration::from_secs(3600);
        self.written.iter().rposition(|written| {
            let (a, b) = (&written.note, note);
            (&a.about, a.reason, &a.message) == (&b.about, b.reason, &b.message) && lately(a.at)
        })
    }

    /// As client-go names events: the object's name and a time.
    fn name(&self, note: &Note) -> String {
        // Names are ASCII.
        let object = match &note.about {
            About::Node => &self.node,
            About::Object { name, .. } => name,
        };
        let object = &object[..object.len().min(NAME.0 - NAME.1)];
        let object = object.trim_end_matches(['.', '-']);
        let nanoseconds = i64::try_from(note.at.as_nanosecond()).unwrap_or_default();
        format!("{object}.{nanoseconds:x}.{}", self.serial % 1_000_000)
    }

    fn event(&self, note: &Note) -> Value {
        let host = &self.node;
        let involved = match &note.about {
            // The kubelet's events name the node by its name here, too.
            About::Node => json!({ "apiVersion": "v1", "kind": "Node", "name": host, "uid": host }),
            About::Object {
                kind: (version, kind),
                namespace,
                name,
                uid,
            } => json!({
                "apiVersion": version, "kind": kind,
                "namespace": namespace, "name": name, "uid": uid,
            }),
        };
        let at = second(note.at);
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": self.name(note), "namespace": namespace(&note.about) },
            "involvedObject": involved,
            "reason": note.reason,
            "message": note.message,
            "type": if note.warning { "Warning" } else { "Normal" },
            "source": { "component": COMPONENT, "host": host },
            "reportingComponent": COMPONENT,
            "reportingInstance": host,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        })
    }
}

/// Where an event about this is.
pub(super) fn namespace(about: &About) -> &str {
    match about {
        About::Node => "default",
        About::Object { namespace, .. } => namespace,
    }
}

/// A time as events tell it.
fn second(at: Timestamp) -> String {
    format!("{at:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(message: &str, second: i64) -> Note {
        let at = Timestamp::from_second(second).unwrap();
        Note::warning(About::Node, "NotArmed", message, at)
    }

    #[test]
    fn a_repeat_counts_up_for_an_hour() {
        let mut series = Series::new("n".to_owned());
        let write = |series: &mut Series, note: Note| {
            let write = series.write(&note);
            series.written(note);
            write
        };
        let first = write(&mut series, note("a", 1));
        assert!(matches!(&first, Write::Create(event) if event["count"] == 1));
        assert!(matches!(write(&mut series, note("b", 2)), Write::Create(_)));
        let Write::Count { name, patch } = write(&mut series, note("a", 60)) else {
            panic!("not counted")
        };
        let Write::Create(event) = first else {
            panic!()
        };
        assert_eq!(event["metadata"]["name"], name);
        let expected = json!({ "count": 2, "lastTimestamp": "1970-01-01T00:01:00Z" });
        assert_eq!(patch, expected);
        assert!(matches!(
            write(&mut series, note("a", 3601)),
            Write::Create(_)
        ));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut series = Series::new("n".to_owned());
        for n in 0..1000 {
            series.written(note(&n.to_string(), n));
        }
        assert_eq!(series.written.len(), REMEMBERED);
        let oldest = series.write(&note("0", 1000));
        assert!(matches!(oldest, Write::Create(_)));
    }

    #[test]
    fn a_long_name_leaves_room_for_the_time() {
        let series = Series::new("n".repeat(253));
        let name = series.name(&note("a", 1_767_225_600));
        assert!(name.len() <= NAME.0, "{}", name.len());
    }
}
