//! The parts of the API server that a patch of a node meets.
//!
//! As there, a JSON patch's `test` for `null` holds where nothing is (evanphx/json-patch), two
//! taints with the same key and effect are invalid, and empty maps, lists and `false` are not
//! kept.

use super::*;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// 409: another version, or another node.
    Conflict,
    /// 422: a `test` does not hold, or what would result is invalid.
    Invalid,
}

/// What our code sees of a node.
pub(super) fn facts(node: &Value) -> NodeFacts {
    serde_json::from_value(node.clone()).unwrap()
}

/// The node after `patch`.
pub(super) fn apply(node: &Value, patch: &NodePatch) -> Result<Value, Refused> {
    let mut new = node.clone();
    match patch {
        NodePatch::Json(ops) => {
            for op in ops.as_array().unwrap() {
                perform(&mut new, op)?;
            }
        }
        NodePatch::Merge(object) => {
            merge(&mut new, object);
            let versions = ["uid", "resourceVersion"];
            if versions
                .iter()
                .any(|v| new["metadata"][v] != node["metadata"][v])
            {
                return Err(Refused::Conflict);
            }
        }
    }
    validate(&new)?;
    normalise(&mut new);
    if new != *node {
        let version: u64 = node["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        new["metadata"]["resourceVersion"] = (version + 1).to_string().into();
    }
    Ok(new)
}

/// One operation of a JSON patch (RFC 6902): those that we use.
fn perform(node: &mut Value, op: &Value) -> Result<(), Refused> {
    let path = op["path"].as_str().unwrap();
    let (parent, key) = path.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    let value = op["value"].clone();
    let parent = node.pointer_mut(parent).ok_or(Refused::Invalid)?;
    match (op["op"].as_str().unwrap(), parent) {
        ("test", parent) => {
            let found = match parent {
                Value::Array(list) => list.get(key.parse::<usize>().unwrap()),
                other => other.get(&key),
            };
            if found.unwrap_or(&Value::Null) != &value {
                return Err(Refused::Invalid);
            }
        }
        ("add", Value::Array(list)) if key == "-" => list.push(value),
        ("replace", Value::Array(list)) => {
            *list
                .get_mut(key.parse::<usize>().unwrap())
                .ok_or(Refused::Invalid)? = value;
        }
        ("add", Value::Object(map)) => {
            map.insert(key, value);
        }
        other => panic!("an operation that we did not expect: {other:?}"),
    }
    Ok(())
}

/// A merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn validate(node: &Value) -> Result<(), Refused> {
    let taints = taints(node);
    for (i, taint) in taints.iter().enumerate() {
        if taints[..i].iter().any(|t| is_same_taint(t, taint)) {
            return Err(Refused::Invalid);
        }
    }
    Ok(())
}

/// What is empty is not kept.
pub(super) fn normalise(node: &mut Value) {
    let is_empty = |v: &Value| match v {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    for part in ["metadata", "spec"] {
        let map = node[part].as_object_mut().unwrap();
        map.retain(|_, value| !is_empty(value));
    }
}
