//! JSON schemas out of what an API server says of itself, for `kubeconform`: those that it fetches
//! by itself are somebody's conversion of the same, and on another machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use http::Request;
use kube::Client;
use serde_json::{Map, Value, json};

use crate::{Error, Result, error::Context as _};

const REFERENCE: &str = "#/definitions/";

/// Writes a schema for each kind of `objects` into `dir`, as the API server has it, where no
/// field may be there that it does not know.
///
/// # Errors
/// When the API server does not answer, does not know a kind, or a file cannot be written.
pub async fn write(client: &Client, objects: &[Value], dir: &Path) -> Result<()> {
    let request = Request::get("/openapi/v2")
        .body(Vec::new())
        .map_err(|error| Error::Usage(error.to_string()))?;
    let document: Value = client.request(request).await.context("the API's schema")?;
    let definitions = strict(&document)?;
    let mut kinds = BTreeMap::new();
    for (name, definition) in &definitions {
        let of = definition["x-kubernetes-group-version-kind"].as_array();
        for kind in of.into_iter().flatten() {
            kinds.insert(key(&kind["group"], &kind["version"], &kind["kind"]), name);
        }
    }
    for object in objects {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = key(&group.into(), &version.into(), &object["kind"]);
        let unknown = || Error::Usage(format!("the API server knows no {kind:?}"));
        let name = kinds.get(&kind).ok_or_else(unknown)?;
        let file = dir.join(format!(
            "{}.json",
            file_stem(group, version, &object["kind"])
        ));
        let schema = standalone(name, &definitions);
        std::fs::write(&file, schema.to_string()).context(format!("write {}", file.display()))?;
    }
    Ok(())
}

type Key = (String, String, String);

fn key(group: &Value, version: &Value, kind: &Value) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(group), text(version), text(kind))
}

/// As kubeconform's templates name a file: the kind, the group's first part, the version.
fn file_stem(group: &str, version: &str, kind: &Value) -> String {
    let kind = kind.as_str().unwrap_or_default().to_lowercase();
    let group = group.split('.').next().unwrap_or_default();
    if group.is_empty() {
        format!("{kind}-{version}")
    } else {
        format!("{kind}-{group}-{version}")
    }
}

/// The definitions, where an object has the properties that are named and no others.
fn strict(document: &Value) -> Result<Map<String, Value>> {
    let definitions = document["definitions"].as_object();
    let none = || Error::Usage("the API server's schema has no definitions".into());
    let mut definitions = definitions.ok_or_else(none)?.clone();
    for (name, definition) in &mut definitions {
        close(definition);
        // A number is read as its text.
        if name.ends_with(".Quantity") {
            definition["type"] = json!(["string", "number"]);
        }
        if name.ends_with(".IntOrString") {
            *definition = json!({"type": ["string", "integer"]});
        }
    }
    Ok(definitions)
}

/// Closes a schema and all that it is made of.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let open = object.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if object.contains_key("properties") && !open {
        object
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    for key in ["items", "additionalProperties"] {
        object.get_mut(key).map(close).unwrap_or_default();
    }
    let properties = object.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(Map::values_mut) {
        close(property);
    }
}

/// A schema with all that it refers to.
fn standalone(name: &str, all: &Map<String, Value>) -> Value {
    let mut wanted = vec![name.to_owned()];
    let mut needed = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if needed.insert(name.clone()) {
            references(&all[&name], &mut wanted);
        }
    }
    let definitions: Map<String, Value> = needed
        .into_iter()
        .map(|name| (name.clone(), all[&name].clone()))
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": format!("{REFERENCE}{name}"),
        "definitions": definitions,
    })
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            let reference = object.get("$ref").and_then(Value::as_str);
            into.extend(
                reference
                    .and_then(|r| r.strip_prefix(REFERENCE))
                    .map(String::from),
            );
            object.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_closed_and_brings_what_it_refers_to() {
        let document = json!({"definitions": {
            "a": {"properties": {"b": {"$ref": "#/definitions/b"}, "free": {"type": "object"}}},
            "b": {"properties": {"list": {"items": {"properties": {"c": {}}}}}},
            "x": {},
        }});
        let schema = standalone("a", &strict(&document).unwrap());
        let definitions = schema["definitions"].as_object().unwrap();
        assert_eq!(definitions.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(definitions["a"]["additionalProperties"], false);
        let item = &definitions["b"]["properties"]["list"]["items"];
        assert_eq!(item["additionalProperties"], false);
        assert!(definitions["a"]["properties"]["free"]["additionalProperties"].is_null());
    }

    #[test]
    fn files_are_named_as_kubeconform_looks_for_them() {
        let named = |group, version, kind: &str| file_stem(group, version, &kind.into());
        assert_eq!(named("", "v1", "ServiceAccount"), "serviceaccount-v1");
        let role = named("rbac.authorization.k8s.io", "v1", "ClusterRole");
        assert_eq!(role, "clusterrole-rbac-v1");
    }
}
