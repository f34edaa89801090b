//! What differs from run to run, as symbols: UIDs, versions, times, generated names.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What a case has seen so far.
pub(super) struct Symbols {
    namespace: String,
    /// UID to symbol.
    uids: BTreeMap<String, String>,
    /// Symbols that were given, to number those of the same name.
    names: BTreeMap<String, usize>,
    /// By UID: the versions in the order in which they were seen.
    versions: BTreeMap<String, Vec<String>>,
    /// By UID: the last deletion timestamp.
    deletions: BTreeMap<String, String>,
    /// What placeholders stand for.
    memory: BTreeMap<String, String>,
}

impl Symbols {
    pub(super) fn new(namespace: &str) -> Self {
        let ns = ("ns".to_owned(), namespace.to_owned());
        Self {
            namespace: namespace.to_owned(),
            uids: BTreeMap::new(),
            names: BTreeMap::new(),
            versions: BTreeMap::new(),
            deletions: BTreeMap::new(),
            memory: BTreeMap::from([ns]),
        }
    }

    /// Puts what is known in the place of placeholders.
    pub(super) fn fill(&self, text: &str) -> String {
        self.memory
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("<{name}>"), value)
            })
    }

    /// Remembers an object, or the objects of a list.
    pub(super) fn learn(&mut self, body: &Value) {
        if let Some(items) = body["items"].as_array() {
            let metadata = &body["metadata"];
            self.remember("rv list", &metadata["resourceVersion"]);
            self.remember("continue", &metadata["continue"]);
            for item in items {
                self.learn(item);
            }
            return;
        }
        let metadata = &body["metadata"];
        let (Some(uid), Some(name)) = (metadata["uid"].as_str(), metadata["name"].as_str()) else {
            return;
        };
        let name = self.short(name, metadata);
        if !self.uids.contains_key(uid) {
            let count = self.names.entry(name.clone()).or_default();
            *count += 1;
            let symbol = match *count {
                1 => format!("uid of {name}"),
                more => format!("uid of {name}, no. {more}"),
            };
            self.uids.insert(uid.to_owned(), symbol);
        }
        let version = metadata["resourceVersion"].as_str().unwrap_or_default();
        let versions = self.versions.entry(uid.to_owned()).or_default();
        if !version.is_empty() && !versions.iter().any(|known| known == version) {
            versions.push(version.to_owned());
        }
        self.remember(&format!("uid {name}"), &metadata["uid"]);
        if !version.is_empty() {
            self.remember(&format!("rv {name}"), &metadata["resourceVersion"]);
            self.memory
                .entry(format!("first rv {name}"))
                .or_insert_with(|| version.to_owned());
        }
    }

    fn remember(&mut self, name: &str, value: &Value) {
        if let Some(value) = value.as_str() {
            self.memory.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A name without the namespace in front.
    fn short(&self, name: &str, metadata: &Value) -> String {
        if let Some(prefix) = metadata["generateName"].as_str() {
            return format!("{prefix}*");
        }
        if name == self.namespace {
            return "node".to_owned();
        }
        name.strip_prefix(&self.namespace)
            .and_then(|rest| rest.strip_prefix('-'))
            .unwrap_or(name)
            .to_owned()
    }

    /// The metadata that always counts.
    pub(super) fn metadata(&mut self, metadata: &Value) -> Value {
        let mut seen = json!({});
        for key in ["namespace", "finalizers", "deletionGracePeriodSeconds"] {
            if !metadata[key].is_null() {
                seen[key] = metadata[key].clone();
            }
        }
        if let Some(name) = metadata["name"].as_str() {
            seen["name"] = if metadata["generateName"].is_string() {
                self.short(name, metadata).into()
            } else {
                name.into()
            };
        }
        let Some(uid) = metadata["uid"].as_str() else {
            return seen;
        };
        seen["uid"] = self.text(uid).into();
        if let Some(version) = metadata["resourceVersion"].as_str() {
            seen["resourceVersion"] = self.version(uid, version).into();
        }
        if let Some(time) = metadata["deletionTimestamp"].as_str() {
            let symbol = match self.deletions.insert(uid.to_owned(), time.to_owned()) {
                None => "set",
                Some(before) if before == time => "unchanged",
                // RFC 3339 in one zone sorts as text.
                Some(before) if before.as_str() > time => "earlier",
                Some(_) => "later",
            };
            seen["deletionTimestamp"] = symbol.into();
        }
        seen
    }

    /// `v2` is the second version of an object that the case saw.
    fn version(&self, uid: &str, version: &str) -> String {
        let versions = self.versions.get(uid).map_or(&[][..], Vec::as_slice);
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let Some(index) = versions.iter().position(|known| known == version) else {
            return "none".to_owned();
        };
        let older = versions[..index]
            .iter()
            .any(|earlier| number(earlier) > number(version));
        format!("v{}{}", index + 1, if older { ", but smaller" } else { "" })
    }

    /// A list's version: whether it is at least that of every object in it.
    pub(super) fn list_version(version: &Value, items: &[Value]) -> &'static str {
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let newest = items
            .iter()
            .filter_map(|item| number(&item["metadata"]["resourceVersion"]))
            .max();
        match number(version) {
            None => "none",
            Some(0) => "zero",
            Some(version) if Some(version) < newest => "older than what it holds",
            Some(_) => "a version",
        }
    }

    /// UIDs and times anywhere in a value, as symbols.
    pub(super) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if is_time(text) => "a time".into(),
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.clone(), self.value(value)))
                .collect(),
            other => other.clone(),
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let uids = self.uids.iter();
        let text = uids.fold(text.to_owned(), |text, (uid, symbol)| {
            text.replace(uid, symbol)
        });
        let versions = self
            .versions
            .values()
            .flat_map(|of_one| of_one.iter().enumerate());
        let text = versions.fold(text, |text, (index, version)| {
            text.replace(&format!("({version})"), &format!("(v{})", index + 1))
        });
        without_object(text)
    }
}

/// Some refusals quote the whole object: cut out.
fn without_object(text: String) -> String {
    const START: &str = "Invalid value: \"{";
    const END: &str = "}\": ";
    match (text.find(START), text.rfind(END)) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}", &text[..start + START.len()], &text[end..])
        }
        _ => text,
    }
}

/// As in `2026-01-31T12:00:00Z`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && text.ends_with('Z')
}
