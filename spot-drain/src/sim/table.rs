//! Tables, the form that `kubectl get` asks for.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::json::{condition, has, is_ready, is_terminating, list, number, text};
use super::kind::Kind;

/// A row's cells for a kind, and their titles.
fn titles(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Node => &["Name", "Status", "Roles", "Age", "Version"],
        Kind::Pod => &["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node"],
        Kind::PodDisruptionBudget => &[
            "Name",
            "Min Available",
            "Max Unavailable",
            "Allowed Disruptions",
            "Age",
        ],
        Kind::ReplicaSet | Kind::Deployment | Kind::StatefulSet => {
            &["Name", "Desired", "Current", "Ready", "Age"]
        }
        Kind::Event => &["Last Seen", "Type", "Reason", "Object", "Message"],
        _ => &["Name", "Age"],
    }
}

pub(crate) fn table<'a>(
    kind: Kind,
    items: impl Iterator<Item = &'a Value>,
    meta: &Value,
    now: Timestamp,
) -> Value {
    let columns: Vec<Value> = titles(kind)
        .iter()
        .map(|title| {
            let wide = matches!((kind, *title), (Kind::Pod, "IP" | "Node"));
            json!({ "name": title, "type": "string", "description": "", "priority": i32::from(wide),
                "format": if *title == "Name" { "name" } else { "" } })
        })
        .collect();
    let rows: Vec<Value> = items
        .map(|object| {
            json!({ "cells": cells(kind, object, now), "object": {
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"] } })
        })
        .collect();
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
        "columnDefinitions": columns, "rows": rows })
}

fn cells(kind: Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    let of = |at: &str| Value::from(text(object, at));
    let count = |at: &str| Value::from(number(object, at).unwrap_or(0));
    let name = of("/metadata/name");
    let age = Value::from(age(text(object, "/metadata/creationTimestamp"), now));
    let either = |at: &str| match object.pointer(at) {
        Some(Value::String(text)) => text.clone().into(),
        Some(Value::Number(count)) => count.to_string().into(),
        _ => Value::from("N/A"),
    };
    match kind {
        Kind::Node => vec![
            name,
            node_status(object).into(),
            "<none>".into(),
            age,
            of("/status/nodeInfo/kubeletVersion"),
        ],
        Kind::Pod => {
            let all = list(object, "/spec/containers").len();
            let ready = if is_ready(object) { all } else { 0 };
            let status = if is_terminating(object) {
                "Terminating".into()
            } else {
                of("/status/phase")
            };
            let place = |at: &str| {
                if has(object, at) {
                    of(at)
                } else {
                    "<none>".into()
                }
            };
            vec![
                name,
                format!("{ready}/{all}").into(),
                status,
                "0".into(),
                age,
                place("/status/podIP"),
                place("/spec/nodeName"),
            ]
        }
        Kind::PodDisruptionBudget => vec![
            name,
            either("/spec/minAvailable"),
            either("/spec/maxUnavailable"),
            count("/status/disruptionsAllowed"),
            age,
        ],
        Kind::ReplicaSet | Kind::Deployment | Kind::StatefulSet => vec![
            name,
            count("/spec/replicas"),
            count("/status/replicas"),
            count("/status/readyReplicas"),
            age,
        ],
        Kind::Event => vec![
            age,
            of("/type"),
            of("/reason"),
            format!(
                "{}/{}",
                text(object, "/involvedObject/kind").to_lowercase(),
                text(object, "/involvedObject/name")
            )
            .into(),
            of("/message"),
        ],
        _ => vec![name, age],
    }
}

fn node_status(node: &Value) -> String {
    let ready = match condition(node, "Ready").map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node["spec"]["unschedulable"] == true {
        format!("{ready},SchedulingDisabled")
    } else {
        ready.to_owned()
    }
}

/// A time in the past as kubectl writes it, shortly.
fn age(since: &str, now: Timestamp) -> String {
    let Ok(since) = since.parse::<Timestamp>() else {
        return "<unknown>".to_owned();
    };
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
