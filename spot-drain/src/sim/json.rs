//! Small helpers to read and write objects that are kept as JSON.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The value at a path of object members. Unlike [`Value::pointer`] it knows no escapes and no
/// indices, and allocates nothing: this is what the simulator does most.
pub(crate) fn member<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('/').skip(1);
    parts.try_fold(value, |value, part| value.as_object()?.get(part))
}

/// The text at a path, or nothing.
pub(crate) fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    member(value, at).and_then(Value::as_str).unwrap_or("")
}

/// The whole number at a path of members.
pub(crate) fn number(value: &Value, at: &str) -> Option<i64> {
    member(value, at).and_then(Value::as_i64)
}

/// The list at a path of members, or an empty one.
pub(crate) fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    member(value, at)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether anything is at a path of members.
pub(crate) fn has(value: &Value, at: &str) -> bool {
    member(value, at).is_some_and(|v| !v.is_null())
}

/// Sets the value at a path of object members; parents that are missing are made.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let mut at = value;
    for part in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[*part];
    }
    *at = new.into();
}

/// Removes the member at a path of object members.
pub(crate) fn unset(value: &mut Value, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut at = value;
    for part in parents {
        let Some(next) = at.get_mut(*part) else {
            return;
        };
        at = next;
    }
    if let Some(object) = at.as_object_mut() {
        object.remove(*last);
    }
}

/// A time as the API writes it, in whole seconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The condition of a type in `status.conditions`.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|c| text(c, "/type") == kind)
}

/// Whether the condition of a type is true.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| text(c, "/status") == "True")
}

/// Sets the condition of a type, with the time of its transition; whether anything changed.
pub(crate) fn set_condition(
    object: &mut Value,
    kind: &str,
    status: &str,
    words: (&str, &str),
    now: Timestamp,
) -> bool {
    let old = condition(object, kind);
    let same = |c: &Value| {
        text(c, "/status") == status
            && text(c, "/reason") == words.0
            && text(c, "/message") == words.1
    };
    if old.is_some_and(same) {
        return false;
    }
    let since = old
        .filter(|c| text(c, "/status") == status)
        .map_or_else(|| stamp(now), |c| text(c, "/lastTransitionTime").to_owned());
    let mut new = json!({ "type": kind, "status": status, "lastTransitionTime": since });
    if !words.0.is_empty() {
        new["reason"] = words.0.into();
    }
    if !words.1.is_empty() {
        new["message"] = words.1.into();
    }
    if !object["status"]["conditions"].is_array() {
        set(object, &["status", "conditions"], json!([]));
    }
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        match conditions.iter_mut().find(|c| text(c, "/type") == kind) {
            Some(found) => *found = new,
            None => conditions.push(new),
        }
    }
    true
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What is wrong with a text that is no JSON, as the server's parser says it.
pub(crate) fn parse_error(bytes: &[u8], error: &serde_json::Error) -> String {
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => "unexpected end of JSON input".to_owned(),
        Some(b) if b"{[\"-0123456789".contains(b) || b"tfn".contains(b) => error.to_string(),
        Some(b) => {
            let c = char::from(*b);
            format!("invalid character '{c}' looking for beginning of value")
        }
    }
}

/// The controller among an object's owners.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences")
        .iter()
        .find(|o| o["controller"] == true)
}

/// The value of an annotation.
pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(name)?.as_str()
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    is_true(pod, "Ready")
}

/// Whether a pod's containers have ended for good.
pub(crate) fn is_ended(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether an object's deletion has begun.
pub(crate) fn is_terminating(object: &Value) -> bool {
    has(object, "/metadata/deletionTimestamp")
}

/// `namespace/name`, or `name` where there is no namespace.
pub(crate) fn key_of(object: &Value) -> String {
    key(
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    )
}

/// `namespace/name`, or `name` where there is no namespace.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}
