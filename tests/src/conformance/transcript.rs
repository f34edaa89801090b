//! What of an answer is written down.

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::{case::Request, symbols::Symbols};

/// Written down for the reader, and not compared.
pub(super) const NOTE: &str = "note";

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// An answer with symbols for what differs from run to run.
pub(super) fn write(symbols: &mut Symbols, request: &Request, answer: &Answer) -> Value {
    let mut entry = head(request, answer.status, &answer.headers);
    if let Ok(body) = serde_json::from_slice::<Value>(&answer.body) {
        symbols.learn(&body);
        if request.words {
            entry["message"] = symbols.value(&body["message"]);
        } else if let Some(message) = body["message"].as_str() {
            entry[NOTE] = symbols.text(message).into();
        }
        entry["body"] = body_of(symbols, &body, &request.see);
    } else if !answer.body.is_empty() {
        let text = String::from_utf8_lossy(&answer.body);
        entry["text"] = symbols.text(text.trim_end()).into();
    }
    entry
}

/// What counts of an answer before its body.
pub(super) fn head(request: &Request, status: u16, headers: &HeaderMap) -> Value {
    let mut entry = json!({
        "step": format!("{} {}", request.method, request.path),
        "status": status,
    });
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(media) = text(header::CONTENT_TYPE) {
        entry["type"] = media.into();
    }
    if let Some(seconds) = text(header::RETRY_AFTER) {
        entry["retryAfter"] = seconds.into();
    }
    let warnings: Vec<_> = headers
        .get_all(header::WARNING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if !warnings.is_empty() {
        entry["warnings"] = json!(warnings);
    }
    entry
}

/// An event of a watch.
pub(super) fn event(symbols: &mut Symbols, line: &str, see: &[&str]) -> Value {
    let Ok(event) = serde_json::from_str::<Value>(line) else {
        return json!({"unreadable": line});
    };
    let object = &event["object"];
    let mut entry = json!({"type": event["type"]});
    if event["type"] == "BOOKMARK" {
        let version = Symbols::list_version(&object["metadata"]["resourceVersion"], &[]);
        entry["object"] = json!({
            "kind": object["kind"],
            "apiVersion": object["apiVersion"],
            "resourceVersion": version,
            "annotations": object["metadata"]["annotations"],
        });
        return entry;
    }
    symbols.learn(object);
    if let Some(message) = object["message"].as_str() {
        entry[NOTE] = message.into();
    }
    entry["object"] = body_of(symbols, object, see);
    entry
}

fn body_of(symbols: &mut Symbols, body: &Value, see: &[&str]) -> Value {
    if body["kind"] == "Status" {
        return status(symbols, body);
    }
    let Some(items) = body["items"].as_array() else {
        return object(symbols, body, see);
    };
    let metadata = &body["metadata"];
    let mut listed = json!({
        "kind": body["kind"],
        "apiVersion": body["apiVersion"],
        "resourceVersion": Symbols::list_version(&metadata["resourceVersion"], items),
        "items": items.iter().map(|item| object(symbols, item, see)).collect::<Vec<_>>(),
    });
    if metadata["continue"]
        .as_str()
        .is_some_and(|token| !token.is_empty())
    {
        listed["continue"] = "a token".into();
    }
    if !metadata["remainingItemCount"].is_null() {
        listed["remainingItemCount"] = metadata["remainingItemCount"].clone();
    }
    listed
}

fn object(symbols: &mut Symbols, body: &Value, see: &[&str]) -> Value {
    let mut seen = Map::new();
    for key in ["kind", "apiVersion"] {
        if !body[key].is_null() {
            seen.insert(key.to_owned(), body[key].clone());
        }
    }
    if body["metadata"].is_object() {
        let metadata = symbols.metadata(&body["metadata"]);
        seen.insert("metadata".to_owned(), metadata);
    }
    for pointer in see {
        if let Some(value) = body.pointer(pointer) {
            seen.insert((*pointer).to_owned(), symbols.value(value));
        }
    }
    Value::Object(seen)
}

fn status(symbols: &Symbols, body: &Value) -> Value {
    let mut seen = json!({});
    for key in ["kind", "apiVersion", "status", "reason", "code", "details"] {
        if !body[key].is_null() {
            seen[key] = symbols.value(&body[key]);
        }
    }
    seen
}
