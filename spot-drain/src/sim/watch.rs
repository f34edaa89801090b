//! Watches: what happened after a version, told as the API server tells it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use spot_core::clock::Now;
use tokio::time::Instant;

use super::api::{Answer, Api, Asked, Reply};
use super::failure::{Failure, Wrong};
use super::kind::Kind;
use super::read::{Filter, version};
use super::render::Form;
use super::route::Query;
use super::store::{Change, What};

/// How long a watch stays open that asks for no time.
const OPEN: Duration = Duration::from_secs(45 * 60);
/// How often bookmarks come.
const BOOKMARK: Duration = Duration::from_secs(60);
/// How long before its end a watch sends a last bookmark.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// An open watch. It holds no part of the [`Api`]: whoever serves it asks for what is new.
#[derive(Debug)]
pub struct Watch {
    kind: Kind,
    group: String,
    form: Form,
    filter: Filter,
    /// Told up to this version.
    position: u64,
    /// What is told before anything that happens.
    first: VecDeque<Bytes>,
    ends: Instant,
    bookmark: Option<Instant>,
    ended: bool,
}

/// What is new to a watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed {
    /// These events, each a line of JSON.
    Events(Vec<Bytes>),
    /// Nothing; ask again when something has changed, and at this time at the latest.
    Nothing(Instant),
    /// The watch is over.
    Ended,
}

/// Initial events are asked for with the match that they need, and that with them.
fn check_match(query: &Query) -> Result<(), Failure> {
    let wanted = query.get("resourceVersionMatch");
    let why = if query.flag("sendInitialEvents") {
        if wanted == "NotOlderThan" {
            return Ok(());
        }
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    } else {
        if wanted.is_empty() {
            return Ok(());
        }
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    };
    let wrong = Wrong {
        reason: "FieldValueForbidden",
        field: "resourceVersionMatch".to_owned(),
        message: format!("Forbidden: {why}"),
    };
    Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &[wrong]))
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut line = json!({ "type": kind, "object": object }).to_string();
    line.push('\n');
    line.into()
}

impl Api {
    pub(crate) fn watch(&mut self, asked: Asked<'_>) -> Result<Answer, Failure> {
        let filter = Filter::of(&asked)?;
        // Unlike a list, the server takes an unusable version of a watch for its own failure.
        let from = version(&asked, "").map_err(|failure| failure.unexplained(500))?;
        let from = from.filter(|v| *v > 0);
        let query = &asked.query;
        check_match(query)?;
        let marks = query.flag("allowWatchBookmarks");
        let (position, mut first) = match from {
            // One that is too old is told so by its first event.
            Some(from) if !query.flag("sendInitialEvents") => (from, VecDeque::new()),
            _ => {
                let objects = self.store.all(asked.place.kind).values();
                let first = objects
                    .filter(|object| filter.matches(object))
                    .map(|object| line("ADDED", &asked.form.one(&asked, object)))
                    .collect();
                (self.store.version(), first)
            }
        };
        if marks && (from.is_none() || query.flag("sendInitialEvents")) {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            first.push_back(mark(asked.place.kind, position, &annotations));
        }
        let open = query.number("timeoutSeconds")?.filter(|s| *s > 0);
        let ends = asked.now.instant + open.map_or(OPEN, Duration::from_secs);
        let bookmark = marks.then(|| next_bookmark(asked.now.instant, ends));
        let watch = Watch {
            kind: asked.place.kind,
            group: asked.place.group,
            form: asked.form,
            filter,
            position,
            first,
            ends,
            bookmark,
            ended: false,
        };
        Ok(Answer {
            reply: Reply::Watch(watch),
            delay: Duration::ZERO,
        })
    }

    /// What is new to a watch.
    pub fn follow(&self, watch: &mut Watch, now: Now) -> Followed {
        if watch.ended {
            return Followed::Ended;
        }
        let mut lines: Vec<Bytes> = watch.first.drain(..).collect();
        if watch.position < self.store.compacted() {
            let oldest = self.store.compacted();
            let message = format!("too old resource version: {} ({oldest})", watch.position);
            lines.push(line("ERROR", &Failure::expired(message).status()));
            watch.ended = true;
            return Followed::Events(lines);
        }
        for change in self.store.since(watch.position) {
            if change.kind == watch.kind {
                lines.extend(watch.tell(change, now.wall));
            }
        }
        watch.position = watch.position.max(self.store.version());
        if watch.bookmark.is_some_and(|at| at <= now.instant) {
            lines.push(mark(watch.kind, watch.position, &Value::Null));
            watch.bookmark = Some(next_bookmark(now.instant, watch.ends));
        }
        if watch.ends <= now.instant {
            watch.ended = true;
        }
        if !lines.is_empty() {
            return Followed::Events(lines);
        }
        if watch.ended {
            return Followed::Ended;
        }
        Followed::Nothing(
            watch
                .bookmark
                .map_or(watch.ends, |mark| mark.min(watch.ends)),
        )
    }
}

impl Watch {
    /// A change as this watch sees it: what comes into its selection is added, and what
    /// leaves it is deleted.
    fn tell(&self, change: &Change, now: Timestamp) -> Option<Bytes> {
        let before = change.previous.as_ref();
        let was = before.is_some_and(|object| self.filter.matches(object));
        let is = change.what != What::Deleted && self.filter.matches(&change.object);
        let object = |object: &Value| self.form.object(self.kind, &self.group, now, object);
        match (was, is) {
            (false, true) => Some(line("ADDED", &object(&change.object))),
            (true, true) => Some(line("MODIFIED", &object(&change.object))),
            (true, false) => {
                // As it was while it was selected, under the version of what ended that.
                let mut last = (**before?).clone();
                last["metadata"]["resourceVersion"] = change.version.to_string().into();
                Some(line("DELETED", &object(&last)))
            }
            (false, false) => None,
        }
    }
}

fn next_bookmark(now: Instant, ends: Instant) -> Instant {
    let last = ends.checked_sub(LAST_BOOKMARK).unwrap_or(ends);
    let next = now + BOOKMARK;
    if last > now { next.min(last) } else { next }
}

fn mark(kind: Kind, version: u64, annotations: &Value) -> Bytes {
    let resource = kind.resource();
    let mut object = json!({ "kind": resource.name, "apiVersion": resource.api_version(),
        "metadata": { "resourceVersion": version.to_string() } });
    if kind != Kind::Event {
        object["spec"] = json!({});
    }
    if resource.status {
        object["status"] = json!({});
    }
    if !annotations.is_null() {
        object["metadata"]["annotations"] = annotations.clone();
    }
    line("BOOKMARK", &object)
}
