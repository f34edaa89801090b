//! The forms in which objects are sent: as they are, their metadata alone, or as a table.

use serde_json::{Value, json};

use super::api::Asked;
use super::failure::Failure;
use super::kind::Kind;
use super::table;

/// What the client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Metadata,
    Table,
}

impl Form {
    /// The first form of an `Accept` header that is served.
    pub(crate) fn accepted(accept: &str) -> Result<Self, Failure> {
        if accept.trim().is_empty() {
            return Ok(Self::Whole);
        }
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            if !matches!(
                parts.next(),
                Some("application/json" | "application/*" | "*/*")
            ) {
                continue;
            }
            let kind = parts.find_map(|part| part.strip_prefix("as="));
            return Ok(match kind {
                Some("Table") => Self::Table,
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Self::Metadata,
                // Aggregated discovery is not served: the plain form is next in line.
                Some("APIGroupDiscoveryList") => continue,
                _ => Self::Whole,
            });
        }
        let message = "406: Not Acceptable\n\nAvailable representations: application/json";
        Err(Failure::media(406, "NotAcceptable", message))
    }

    /// One object.
    pub(crate) fn one(self, asked: &Asked<'_>, object: &Value) -> Value {
        self.object(asked.place.kind, &asked.place.group, asked.now.wall, object)
    }

    pub(crate) fn object(
        self,
        kind: Kind,
        group: &str,
        now: jiff::Timestamp,
        object: &Value,
    ) -> Value {
        match self {
            Self::Whole => whole(group, object),
            Self::Metadata => metadata(object),
            Self::Table => table::table(
                kind,
                std::iter::once(object),
                &json!({"resourceVersion": object["metadata"]["resourceVersion"]}),
                now,
            ),
        }
    }

    /// A list.
    pub(crate) fn many<'a>(
        self,
        asked: &Asked<'_>,
        items: impl Iterator<Item = &'a Value>,
        meta: &Value,
    ) -> Value {
        let resource = asked.place.kind.resource();
        match self {
            Self::Whole => {
                let events = asked.place.group == "events.k8s.io";
                let version = if events {
                    "events.k8s.io/v1".to_owned()
                } else {
                    resource.api_version()
                };
                // The items of a list do not name their kind.
                let items: Vec<Value> = items
                    .map(|object| {
                        let mut item = whole(&asked.place.group, object);
                        if let Some(members) = item.as_object_mut() {
                            members.remove("kind");
                            members.remove("apiVersion");
                        }
                        item
                    })
                    .collect();
                json!({ "kind": format!("{}List", resource.name), "apiVersion": version,
                    "metadata": meta, "items": items })
            }
            Self::Metadata => {
                let items: Vec<Value> = items.map(metadata).collect();
                // As the server writes a list that was never begun.
                let items = Some(items).filter(|items| !items.is_empty());
                json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": meta, "items": items })
            }
            Self::Table => table::table(asked.place.kind, items, meta, asked.now.wall),
        }
    }
}

fn metadata(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"] })
}

/// The members of events that their two APIs name differently: core first.
const EVENT: [(&str, &str); 4] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

fn whole(group: &str, object: &Value) -> Value {
    if group != "events.k8s.io" {
        return object.clone();
    }
    let mut event = rename(object, EVENT);
    event["apiVersion"] = "events.k8s.io/v1".into();
    event
}

/// An event as it is stored, from what `events.k8s.io` is sent.
pub(crate) fn stored_event(event: &Value) -> Value {
    let mut event = rename(event, EVENT.map(|(core, new)| (new, core)));
    event["apiVersion"] = "v1".into();
    event
}

fn rename(object: &Value, names: [(&str, &str); 4]) -> Value {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        for (from, to) in names {
            if let Some(value) = members.remove(from) {
                members.insert(to.to_owned(), value);
            }
        }
    }
    object
}
