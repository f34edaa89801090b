//! POST, PUT and PATCH: defaults, checks and what may not be changed.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::api::{Answer, Api, Asked};
use super::check;
use super::failure::{Failure, Wrong, respond};
use super::json::{has, hex, is_terminating, list, number, parse_error, set, text, unset};
use super::kind::Kind;
use super::patch;
use super::render::stored_event;

/// Whether a request or its options only want to know.
pub(crate) fn dry_run(values: &[&str], options: &str) -> Result<bool, Failure> {
    match values.iter().find(|v| **v != "All" && !v.is_empty()) {
        None => Ok(values.contains(&"All")),
        Some(other) => {
            let wrong = Wrong {
                reason: "FieldValueNotSupported",
                field: "dryRun".to_owned(),
                message: format!("Unsupported value: [\"{other}\"]: supported values: \"All\""),
            };
            Err(Failure::invalid("meta.k8s.io", options, "", &[wrong]))
        }
    }
}

/// Reads a body that must be an object of a kind.
pub(crate) fn body(bytes: &Bytes, kind: &str, versions: &[&str]) -> Result<Value, Failure> {
    let read: Result<Value, _> = serde_json::from_slice(bytes);
    let object = read.map_err(|error| {
        let problem = parse_error(bytes, &error);
        let hex = hex(&bytes[..bytes.len().min(64)]);
        Failure::bad(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get \
             version/kind; json parse error: {problem} ({hex})"
        ))
    })?;
    let (found, version) = (text(&object, "/kind"), text(&object, "/apiVersion"));
    let fits =
        (found.is_empty() || found == kind) && (version.is_empty() || versions.contains(&version));
    if object.is_object() && fits {
        return Ok(object);
    }
    let (version, found) = (
        if version.is_empty() {
            versions[0]
        } else {
            version
        },
        if found.is_empty() { kind } else { found },
    );
    let short = version.rsplit('/').next().unwrap_or(version);
    let known = Kind::all().map(Kind::resource);
    let mut known = known.filter(|r| r.name == found && r.api_version() == version);
    let problem = if known.next().is_some() && !versions[0].starts_with("policy/") {
        let group = versions[0]
            .split_once('/')
            .map_or("core", |(group, _)| group);
        format!("converting (v1.{found}) to ({group}.{kind}): unknown conversion")
    } else {
        format!(
            "no kind \"{found}\" is registered for version \"{version}\" in scheme \
             \"pkg/runtime/scheme.go:111\""
        )
    };
    Err(Failure::bad(format!(
        "{found} in version \"{short}\" cannot be handled as a {kind}: {problem}"
    )))
}

/// What only the server writes.
pub(crate) fn keep_identity(object: &mut Value, old: &Value) {
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        match old["metadata"].get(field) {
            Some(value) => set(object, &["metadata", field], value.clone()),
            None => unset(object, &["metadata", field]),
        }
    }
}

/// Counts a change of the spec.
pub(crate) fn count_generation(kind: Kind, object: &mut Value, old: &Value) {
    if kind.resource().generation && object.get("spec") != old.get("spec") {
        let generation = number(old, "/metadata/generation").unwrap_or(0) + 1;
        set(object, &["metadata", "generation"], generation);
    }
}

impl Api {
    /// A namespace must be there for what is made in it, and must not be going.
    pub(crate) fn check_namespace(&self, asked: &Asked<'_>, name: &str) -> Result<(), Failure> {
        let namespace = asked.place.namespace.as_str();
        if namespace.is_empty() {
            return Ok(());
        }
        let Some(found) = self.store.get(Kind::Namespace, namespace) else {
            return Err(Failure::not_found(Kind::Namespace.resource(), namespace));
        };
        if !is_terminating(found) {
            return Ok(());
        }
        let problem = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let cause = format!("namespace {namespace} is being terminated");
        let failure = Failure::forbidden(asked.place.kind.resource(), name, &problem);
        Err(failure
            .with_cause("NamespaceTerminating", &cause)
            .with_cause_field("metadata.namespace"))
    }

    pub(crate) fn create(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        let (kind, resource) = (place.kind, place.kind.resource());
        if resource.namespaced && place.namespace.is_empty() {
            return Err(Failure::method());
        }
        let events = place.group == "events.k8s.io";
        let version = resource.api_version();
        let versions = if events { "events.k8s.io/v1" } else { &version };
        let mut object = body(asked.body, resource.name, &[versions])?;
        if events {
            let wanted = [
                "action",
                "reason",
                "reportingController",
                "reportingInstance",
            ];
            let missing = wanted
                .iter()
                .filter(|field| text(&object, &format!("/{field}")).is_empty());
            let missing: Vec<Wrong> = missing.map(|field| check::required(field)).collect();
            if !missing.is_empty() {
                let name = text(&object, "/metadata/name");
                return Err(Failure::invalid("", resource.name, name, &missing));
            }
            object = stored_event(&object);
        }
        let dry = dry_run(&[asked.query.get("dryRun")], "CreateOptions")?;
        object["kind"] = resource.name.into();
        object["apiVersion"] = version.into();
        if resource.namespaced {
            let named = text(&object, "/metadata/namespace");
            if !named.is_empty() && named != place.namespace {
                return Err(elsewhere());
            }
            set(
                &mut object,
                &["metadata", "namespace"],
                place.namespace.as_str(),
            );
        }
        let stem = text(&object, "/metadata/generateName").to_owned();
        let called = match text(&object, "/metadata/name") {
            "" => stem.as_str(),
            name => name,
        };
        self.check_namespace(asked, called)?;
        if text(&object, "/metadata/name").is_empty() && !stem.is_empty() {
            let namespace = text(&object, "/metadata/namespace");
            let name = self.store.free_name(kind, namespace, &stem);
            set(&mut object, &["metadata", "name"], name);
        }
        let name = text(&object, "/metadata/name").to_owned();
        for field in [
            "uid",
            "resourceVersion",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            unset(&mut object, &["metadata", field]);
        }
        if resource.status {
            unset(&mut object, &["status"]);
        }
        default(kind, &mut object);
        let wrong = check::made(kind, &object);
        if !wrong.is_empty() {
            return Err(Failure::invalid(
                resource.group,
                resource.name,
                &name,
                &wrong,
            ));
        }
        let key = super::json::key_of(&object);
        if let Some(old) = self.store.get(kind, &key) {
            return Err(Failure::exists(resource, &name, is_terminating(old)));
        }
        let made = if dry {
            Arc::new(self.store.identified(kind, object, asked.now.wall))
        } else {
            self.store.insert(kind, object, asked.now.wall)
        };
        Ok(respond(201, &asked.form.one(asked, &made)).into())
    }

    /// PUT and PATCH, of an object or of its status.
    pub(crate) fn change(&mut self, verb: &str, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        let (kind, resource) = (place.kind, place.kind.resource());
        let options = if verb == "patch" {
            "PatchOptions"
        } else {
            "UpdateOptions"
        };
        let dry = dry_run(&[asked.query.get("dryRun")], options)?;
        let of_status = place.subresource.is_some();
        if of_status && !resource.status {
            return Err(Failure::unknown_path());
        }
        if verb == "patch" && !is_patch(asked.media) {
            let message = "415: Unsupported Media Type";
            return Err(Failure::media(415, "UnsupportedMediaType", message));
        }
        let read = if verb == "patch" {
            None
        } else {
            Some(body(asked.body, resource.name, &[&resource.api_version()])?)
        };
        let old = self
            .store
            .get(kind, &place.key())
            .cloned()
            .ok_or_else(|| Failure::not_found(resource, place.name()))?;
        let mut new = match read {
            Some(object) => object,
            None => patch::apply(asked.media, &old, asked.body)?,
        };
        let name = text(&new, "/metadata/name");
        if name != place.name() {
            return Err(Failure::bad(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                place.name()
            )));
        }
        let version = text(&new, "/metadata/resourceVersion");
        if !version.is_empty() && version.parse::<u64>().is_err() {
            let message = format!("strconv.ParseUint: parsing \"{version}\": invalid syntax");
            return Err(Failure::new(500, "", message));
        }
        if !version.is_empty() && version != text(&old, "/metadata/resourceVersion") {
            return Err(Failure::modified(resource, place.name()));
        }
        let uid = text(&new, "/metadata/uid");
        if verb != "patch" && !uid.is_empty() && uid != text(&old, "/metadata/uid") {
            let problem = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in \
                 object meta: {}",
                if kind == Kind::Node {
                    "minions"
                } else {
                    resource.plural
                },
                place.key(),
                text(&old, "/metadata/uid")
            );
            return Err(Failure::conflict(resource, place.name(), &problem));
        }
        let wrong = if of_status {
            check::status(kind, &new)
        } else {
            check::changed(kind, &new, &old)
        };
        if !wrong.is_empty() {
            return Err(Failure::invalid(
                resource.group,
                resource.name,
                place.name(),
                &wrong,
            ));
        }
        settle(kind, of_status, &mut new, &old);
        if dry {
            return Ok(respond(200, &asked.form.one(asked, &new)).into());
        }
        if is_done(&new) {
            // What was only held by its finalizers goes without another version.
            self.store.remove(kind, &place.key());
            let version = old["metadata"]["resourceVersion"].clone();
            set(&mut new, &["metadata", "resourceVersion"], version);
            return Ok(respond(200, &asked.form.one(asked, &new)).into());
        }
        let new = self.store.replace(kind, new);
        Ok(respond(200, &asked.form.one(asked, &new)).into())
    }
}

/// Whether an object was only kept by its finalizers, and has none left.
fn is_done(object: &Value) -> bool {
    is_terminating(object)
        && number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
        && list(object, "/metadata/finalizers").is_empty()
        && text(object, "/kind") != "Namespace"
}

fn is_patch(media: &str) -> bool {
    matches!(
        media,
        "application/json-patch+json"
            | "application/merge-patch+json"
            | "application/strategic-merge-patch+json"
    )
}

pub(crate) fn elsewhere() -> Failure {
    Failure::bad(
        "the namespace of the provided object does not match the namespace sent on the request",
    )
}

/// Puts back what this way of writing does not change.
fn settle(kind: Kind, of_status: bool, new: &mut Value, old: &Value) {
    let resource = kind.resource();
    new["kind"] = resource.name.into();
    new["apiVersion"] = resource.api_version().into();
    for field in ["name", "namespace"] {
        if let Some(value) = old["metadata"].get(field) {
            set(new, &["metadata", field], value.clone());
        }
    }
    let kept: &[&str] = match (of_status, resource.status) {
        (true, _) => &["spec"],
        (false, true) => &["status"],
        (false, false) => &[],
    };
    for field in kept {
        match old.get(*field) {
            Some(value) => new[*field] = value.clone(),
            None => unset(new, &[field]),
        }
    }
    if of_status {
        new["metadata"] = old["metadata"].clone();
    }
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match &new["metadata"][field] {
            Value::Object(members) => members.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => true,
        };
        if empty {
            unset(new, &["metadata", field]);
        }
    }
    if kind == Kind::Node {
        if list(new, "/spec/taints").is_empty() {
            unset(new, &["spec", "taints"]);
        }
        if new["spec"]["unschedulable"] == false {
            unset(new, &["spec", "unschedulable"]);
        }
    }
    if kind == Kind::PodDisruptionBudget {
        complete(new);
    }
    keep_identity(new, old);
    count_generation(kind, new, old);
}

/// A budget's status has all its numbers, but for a generation of zero.
fn complete(budget: &mut Value) {
    for field in [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ] {
        if !has(budget, &format!("/status/{field}")) {
            set(budget, &["status", field], 0);
        }
    }
    if number(budget, "/status/observedGeneration") == Some(0) {
        unset(budget, &["status", "observedGeneration"]);
    }
}

/// What a new object has that says nothing about it.
fn default(kind: Kind, object: &mut Value) {
    match kind {
        Kind::Pod => {
            for (field, value) in [
                ("terminationGracePeriodSeconds", json!(30)),
                ("restartPolicy", json!("Always")),
                ("schedulerName", json!("default-scheduler")),
                ("serviceAccountName", json!("default")),
                ("priority", json!(0)),
            ] {
                if !has(object, &format!("/spec/{field}")) {
                    set(object, &["spec", field], value);
                }
            }
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
        }
        Kind::Namespace => {
            set(object, &["spec", "finalizers"], json!(["kubernetes"]));
            object["status"] = json!({"phase": "Active"});
            let name = text(object, "/metadata/name").to_owned();
            set(
                object,
                &["metadata", "labels", "kubernetes.io/metadata.name"],
                name,
            );
        }
        Kind::PodDisruptionBudget => {
            object["status"] = json!({"disruptionsAllowed": 0, "currentHealthy": 0,
                "desiredHealthy": 0, "expectedPods": 0});
        }
        Kind::Node if object["spec"].is_null() => object["spec"] = json!({}),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet
            if !has(object, "/spec/replicas") =>
        {
            set(object, &["spec", "replicas"], 1);
        }
        _ => {}
    }
}
