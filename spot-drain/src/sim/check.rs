//! What is wrong with an object, as far as a drain can come across it, and how often the
//! server says so: an update's checks of metadata and taints run twice.

use serde_json::Value;

use super::failure::Wrong;
use super::json::{has, list, number, text};
use super::kind::Kind;

/// What the server says about a label's value that cannot be used.
pub(crate) const LABEL: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
    start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
    regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const POD_SPEC: &str = "Forbidden: pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn one(reason: &'static str, field: impl Into<String>, message: impl Into<String>) -> Wrong {
    Wrong {
        reason,
        field: field.into(),
        message: message.into(),
    }
}

pub(crate) fn required(field: &str) -> Wrong {
    one("FieldValueRequired", field, "Required value")
}

fn invalid(field: impl Into<String>, value: &str, why: &str) -> Wrong {
    let message = format!("Invalid value: \"{value}\": {why}");
    one("FieldValueInvalid", field, message)
}

/// Whether it is the name part of a label or taint: 63 characters, letters at both ends.
fn is_name_part(part: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = part.as_bytes();
    part.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name_part(value)
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|part| {
            is_name_part(part)
                && !part.contains('_')
                && !part.bytes().any(|byte| byte.is_ascii_uppercase())
        })
}

/// What is wrong with an object that is made.
pub(crate) fn made(kind: Kind, object: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        let message = "Required value: name or generateName is required";
        wrong.push(one("FieldValueRequired", "metadata.name", message));
    } else if matches!(kind, Kind::Pod | Kind::Node | Kind::PodDisruptionBudget)
        && !is_subdomain(name)
    {
        wrong.push(invalid("metadata.name", name, NAME));
    }
    labels(object, &mut wrong);
    match kind {
        Kind::Node => taints(object, &mut wrong),
        Kind::PodDisruptionBudget => bounds(object, &mut wrong),
        Kind::Pod if list(object, "/spec/containers").is_empty() => {
            wrong.push(required("spec.containers"));
        }
        Kind::Event => involved(object, &mut wrong),
        _ => {}
    }
    wrong
}

/// What is wrong with an object that is changed.
pub(crate) fn changed(kind: Kind, object: &Value, old: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    labels(object, &mut wrong);
    if kind == Kind::Node {
        // A node's labels are looked at once more.
        labels(object, &mut wrong);
        taints(object, &mut wrong);
    }
    let uid = text(object, "/metadata/uid");
    if !uid.is_empty() && uid != text(old, "/metadata/uid") {
        wrong.push(invalid("metadata.uid", uid, "field is immutable"));
    }
    let gone = text(object, "/metadata/deletionTimestamp");
    if !gone.is_empty() && gone != text(old, "/metadata/deletionTimestamp") {
        wrong.push(invalid(
            "metadata.deletionTimestamp",
            gone,
            "field is immutable",
        ));
    }
    // Updates are checked twice, and say so twice.
    let mut wrong: Vec<Wrong> = wrong.iter().flat_map(|w| [w.clone(), w.clone()]).collect();
    match kind {
        Kind::Node => provider(object, old, &mut wrong),
        Kind::PodDisruptionBudget => bounds(object, &mut wrong),
        Kind::Pod if text(object, "/spec/nodeName") != text(old, "/spec/nodeName") => {
            wrong.push(one("FieldValueForbidden", "spec", POD_SPEC));
        }
        _ => {}
    }
    wrong
}

/// What is wrong with a status that is written.
pub(crate) fn status(kind: Kind, object: &Value) -> Vec<Wrong> {
    if kind != Kind::PodDisruptionBudget {
        return Vec::new();
    }
    let fields = [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ];
    let wrong = fields.iter().filter_map(|field| {
        let value = number(object, &format!("/status/{field}")).filter(|value| *value < 0)?;
        let message = format!("Invalid value: {value}: must be greater than or equal to 0");
        Some(one("FieldValueInvalid", format!("status.{field}"), message))
    });
    wrong.collect()
}

fn labels(object: &Value, wrong: &mut Vec<Wrong>) {
    for (_, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if let Some(value) = value.as_str().filter(|value| !is_label_value(value)) {
            wrong.push(invalid("metadata.labels", value, LABEL));
        }
    }
}

fn bounds(budget: &Value, wrong: &mut Vec<Wrong>) {
    if has(budget, "/spec/minAvailable") && has(budget, "/spec/maxUnavailable") {
        let spec = &budget["spec"];
        let message = format!(
            "Invalid value: {{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\
             \"UnhealthyPodEvictionPolicy\":{}}}: minAvailable and maxUnavailable cannot be both set",
            spec["minAvailable"],
            spec["selector"],
            spec["maxUnavailable"],
            spec["unhealthyPodEvictionPolicy"]
        );
        wrong.push(one("FieldValueInvalid", "spec", message));
    }
}

fn provider(node: &Value, old: &Value, wrong: &mut Vec<Wrong>) {
    let before = text(old, "/spec/providerID");
    if !before.is_empty() && before != text(node, "/spec/providerID") {
        let message = "Forbidden: node updates may not change providerID except from \"\" to valid";
        wrong.push(one("FieldValueForbidden", "spec.providerID", message));
    }
}

/// An event is in the namespace of what it is about, or in `default`.
fn involved(event: &Value, wrong: &mut Vec<Wrong>) {
    let about = text(event, "/involvedObject/namespace");
    let namespace = text(event, "/metadata/namespace");
    if about != namespace && !(about.is_empty() && namespace == "default") {
        let why = "does not match event.namespace";
        wrong.push(invalid("involvedObject.namespace", about, why));
    }
}

fn taints(node: &Value, wrong: &mut Vec<Wrong>) {
    let taints = list(node, "/spec/taints");
    for (at, taint) in taints.iter().enumerate() {
        let (key, effect) = (text(taint, "/key"), text(taint, "/effect"));
        let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
        if !is_name_part(name) {
            wrong.push(invalid(format!("metadata.taints[{at}].key"), key, KEY));
        }
        let field = format!("metadata.taints[{at}].effect");
        if effect.is_empty() {
            wrong.push(required(&field));
        } else if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let message = format!(
                "Unsupported value: \"{effect}\": supported values: \"NoSchedule\", \
                 \"PreferNoSchedule\", \"NoExecute\""
            );
            wrong.push(one("FieldValueNotSupported", field, message));
        }
        let same = |t: &Value| text(t, "/key") == key && text(t, "/effect") == effect;
        if taints[..at].iter().any(same) {
            let value = text(taint, "/value");
            let message = format!(
                "Duplicate value: {{\"Key\":\"{key}\",\"Value\":\"{value}\",\"Effect\":\
                 \"{effect}\",\"TimeAdded\":null}}: taints must be unique by key and effect pair"
            );
            wrong.push(one(
                "FieldValueDuplicate",
                format!("metadata.taints[{at}]"),
                message,
            ));
        }
    }
}
