//! JSON patches, merge patches and the little of strategic merge patches that is used.

use serde_json::{Map, Value};

use super::failure::Failure;
use super::json::{parse_error, text};

/// Applies a patch of a media type.
pub(crate) fn apply(media: &str, object: &Value, patch: &[u8]) -> Result<Value, Failure> {
    let mut object = object.clone();
    let read: Result<Value, _> = serde_json::from_slice(patch);
    let patch = read.map_err(|error| {
        let problem = parse_error(patch, &error);
        Failure::bad(format!("error decoding patch: {problem}"))
    })?;
    match media {
        "application/json-patch+json" => {
            let Some(steps) = patch.as_array() else {
                return Err(Failure::bad(
                    "error decoding patch: json: cannot unmarshal object into Go value of type \
                     []handlers.jsonPatchOp",
                ));
            };
            for one in steps {
                step(&mut object, one).ok_or_else(Failure::unprocessable)?;
            }
            prune(&mut object);
        }
        "application/merge-patch+json" if patch.is_array() => {
            return Err(Failure::bad(
                "error decoding patch: json: cannot unmarshal array into Go value of type \
                 map[string]interface {}",
            ));
        }
        "application/merge-patch+json" => merge(&mut object, &patch),
        "application/strategic-merge-patch+json" => strategic(&mut object, &patch),
        _ => {
            let message = "415: Unsupported Media Type";
            return Err(Failure::media(415, "UnsupportedMediaType", message));
        }
    }
    if object.is_object() {
        Ok(object)
    } else {
        Err(Failure::unprocessable())
    }
}

/// Drops members that are null, as reading into a typed object does.
fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// One operation of a JSON patch; `None` where it does not apply.
///
/// As in the library that the API server uses, a missing member equals null in a `test`.
fn step(object: &mut Value, step: &Value) -> Option<()> {
    let path = text(step, "/path");
    match text(step, "/op") {
        "add" => add(object, path, step.get("value")?.clone()),
        "remove" => remove(object, path).map(drop),
        // It also makes a member that is not there.
        "replace" => {
            let value = step.get("value")?.clone();
            if let Some(found) = object.pointer_mut(path) {
                *found = value;
            } else {
                let (parent, last) = path.rsplit_once('/')?;
                let parent = object.pointer_mut(parent)?.as_object_mut()?;
                parent.insert(unescape(last), value);
            }
            Some(())
        }
        "test" => {
            let wanted = step.get("value").unwrap_or(&Value::Null);
            let found = object.pointer(path);
            if found.is_none() {
                // What it would be in must be there, and a list has no missing members.
                let (parent, _) = path.rsplit_once('/')?;
                object.pointer(parent)?.as_object()?;
            }
            let found = found.unwrap_or(&Value::Null);
            (found == wanted).then_some(())
        }
        "move" => {
            let moved = remove(object, text(step, "/from"))?;
            add(object, path, moved)
        }
        "copy" => {
            let copied = object.pointer(text(step, "/from"))?.clone();
            add(object, path, copied)
        }
        _ => None,
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn index(part: &str, length: usize) -> Option<usize> {
    if part == "-" {
        return Some(length);
    }
    part.parse().ok()
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    let (parent, last) = path.rsplit_once('/')?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => {
            members.insert(unescape(last), value);
        }
        Value::Array(items) => {
            let at = index(last, items.len()).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(object: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = path.rsplit_once('/')?;
    match object.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&unescape(last)),
        Value::Array(items) => {
            let at = index(last, items.len()).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

/// RFC 7386.
pub(crate) fn merge(object: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    let members = members(object);
    for (key, value) in patch {
        if value.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Turns anything into an object, and lends its members.
fn members(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        // Was made an object above.
        _ => unreachable!("an object"),
    }
}

/// The key by which a list is merged; lists without one are replaced whole.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "conditions" => Some("type"),
        "ownerReferences" => Some("uid"),
        "containers" | "initContainers" | "volumes" | "env" => Some("name"),
        _ => None,
    }
}

fn strategic(object: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    let members = members(object);
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(Value::Array(items)) = members.get_mut(list) {
                items.retain(|item| !value.as_array().is_some_and(|gone| gone.contains(item)));
            }
        } else if key.starts_with('$') {
            // Directives about order and retained keys change nothing here.
        } else if value.is_null() {
            members.remove(key);
        } else if let (Value::Array(new), Some(by)) = (value, merge_key(key)) {
            merge_list(members.entry(key.clone()).or_insert(Value::Null), new, by);
        } else if let (Value::Array(new), "finalizers") = (value, key.as_str()) {
            let old = members
                .entry(key.clone())
                .or_insert(Value::Array(Vec::new()));
            if let Some(old) = old.as_array_mut() {
                old.extend(
                    new.iter()
                        .filter(|n| !old.contains(n))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
            }
        } else {
            strategic(members.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn merge_list(old: &mut Value, new: &[Value], by: &str) {
    if !old.is_array() {
        *old = Value::Array(Vec::new());
    }
    let Some(old) = old.as_array_mut() else {
        return;
    };
    for item in new {
        let same = |o: &Value| o.get(by) == item.get(by);
        if item["$patch"] == "delete" {
            old.retain(|o| !same(o));
        } else if let Some(found) = old.iter_mut().find(|o| same(o)) {
            strategic(found, item);
        } else {
            old.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ops(object: &Value, ops: &Value) -> Result<Value, u16> {
        let patch = ops.to_string();
        apply("application/json-patch+json", object, patch.as_bytes()).map_err(|f| f.code)
    }

    #[test]
    fn a_missing_member_equals_null_in_a_test() {
        let node = json!({"spec": {}});
        let test = |path: &str| ops(&node, &json!([{"op": "test", "path": path, "value": null}]));
        assert!(test("/spec/taints").is_ok());
        assert_eq!(test("/spec/nope/deep"), Err(422));
    }

    #[test]
    fn an_append_needs_its_list() {
        let add = json!([{"op": "add", "path": "/spec/taints/-", "value": 2}]);
        assert_eq!(ops(&json!({"spec": {}}), &add), Err(422));
        let patched = ops(&json!({"spec": {"taints": [1]}}), &add);
        assert_eq!(patched, Ok(json!({"spec": {"taints": [1, 2]}})));
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        let remove = json!([{"op": "remove", "path": "/spec/x~1y"}]);
        assert_eq!(ops(&json!({"spec": {}}), &remove), Err(422));
        assert_eq!(
            ops(&json!({"spec": {"x/y": 1}}), &remove),
            Ok(json!({"spec": {}}))
        );
    }

    #[test]
    fn nothing_of_a_patch_stays_where_a_step_fails() {
        let node = json!({"spec": {}});
        let steps = json!([{"op": "add", "path": "/spec/a", "value": 1},
            {"op": "test", "path": "/spec/a", "value": 2}]);
        assert_eq!(ops(&node, &steps), Err(422));
        assert_eq!(ops(&node, &json!({"x": 1})), Err(400));
    }

    #[test]
    fn merge_patches_remove_by_null() {
        let mut node = json!({"spec": {"a": 1, "b": [1]}});
        merge(
            &mut node,
            &json!({"spec": {"a": null, "b": [2], "c": {"d": null, "e": 1}}}),
        );
        assert_eq!(node, json!({"spec": {"b": [2], "c": {"e": 1}}}));
    }

    #[test]
    fn strategic_patches_merge_conditions_and_replace_taints() {
        let mut node = json!({"spec": {"taints": [1]}, "status": {"conditions":
            [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]}});
        strategic(
            &mut node,
            &json!({"spec": {"taints": [2]}, "status": {
            "$setElementOrder/conditions": [],
            "conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "$patch": "delete"}]}}),
        );
        assert_eq!(
            node,
            json!({"spec": {"taints": [2]}, "status": {"conditions":
            [{"type": "Ready", "status": "False"}]}})
        );
    }
}
