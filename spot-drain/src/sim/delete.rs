//! DELETE: preconditions, graces and finalizers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use spot_core::clock::Now;

use super::api::{Answer, Api, Asked};
use super::failure::{Failure, respond};
use super::json::{is_ended, is_terminating, key_of, list, number, set, stamp, text};
use super::kind::{Kind, Resource};
use super::write::dry_run;

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) grace: Option<i64>,
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) dry: bool,
}

impl Options {
    /// Reads `DeleteOptions`, and the query's where they say nothing.
    pub(crate) fn read(options: &Value, asked: &Asked<'_>, named: &str) -> Result<Self, Failure> {
        let mut dry: Vec<&str> = list(options, "/dryRun")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        dry.push(asked.query.get("dryRun"));
        let grace = number(options, "/gracePeriodSeconds");
        let grace = grace.or_else(|| asked.query.get("gracePeriodSeconds").parse().ok());
        Ok(Self {
            grace,
            uid: text(options, "/preconditions/uid").to_owned(),
            version: text(options, "/preconditions/resourceVersion").to_owned(),
            dry: dry_run(&dry, named)?,
        })
    }

    /// Refuses where a precondition does not hold.
    pub(crate) fn check(&self, resource: &Resource, object: &Value) -> Result<(), Failure> {
        let name = text(object, "/metadata/name");
        let (uid, version) = (
            text(object, "/metadata/uid"),
            text(object, "/metadata/resourceVersion"),
        );
        if !self.uid.is_empty() && self.uid != uid {
            let problem = format!(
                "the UID in the precondition ({}) does not match the UID in record ({uid}). The \
                 object might have been deleted and then recreated",
                self.uid
            );
            return Err(Failure::precondition(resource, name, &problem));
        }
        if !self.version.is_empty() && self.version != version {
            let problem = format!(
                "the ResourceVersion in the precondition ({}) does not match the ResourceVersion \
                 in record ({version}). The object might have been modified",
                self.version
            );
            return Err(Failure::precondition(resource, name, &problem));
        }
        Ok(())
    }
}

impl Api {
    pub(crate) fn delete(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        let resource = place.kind.resource();
        let options = if asked.body.is_empty() {
            Value::Null
        } else {
            super::write::body(
                asked.body,
                "DeleteOptions",
                &["v1", "policy/v1", "apps/v1", "meta.k8s.io/v1"],
            )?
        };
        let options = Options::read(&options, asked, "DeleteOptions")?;
        let object = self
            .store
            .get(place.kind, &place.key())
            .cloned()
            .ok_or_else(|| Failure::not_found(resource, place.name()))?;
        options.check(resource, &object)?;
        let deleted = if options.dry {
            let marked = mark(place.kind, &object, options.grace, asked.now);
            marked.map_or(object, |(marked, _)| Arc::new(marked))
        } else {
            self.end(place.kind, &object, options.grace, asked.now)
        };
        if resource.returned {
            return Ok(respond(200, &asked.form.one(asked, &deleted)).into());
        }
        let mut details = json!({ "name": place.name(), "kind": resource.plural,
            "uid": deleted["metadata"]["uid"] });
        if !resource.group.is_empty() {
            details["group"] = resource.group.into();
        }
        let done = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "details": details });
        Ok(respond(200, &done).into())
    }

    /// Begins a deletion, or ends it where nothing holds it up; the object as it was left.
    ///
    /// A grace counts once: a later, longer one changes nothing. The API server does take a
    /// shorter one; it is the kubelet that takes no notice of it.
    pub(crate) fn end(
        &mut self,
        kind: Kind,
        object: &Arc<Value>,
        grace: Option<i64>,
        now: Now,
    ) -> Arc<Value> {
        let key = key_of(object);
        let held = kind == Kind::Namespace || !list(object, "/metadata/finalizers").is_empty();
        let Some((marked, grace)) = mark(kind, object, grace, now) else {
            return Arc::clone(object);
        };
        // What is not removed gracefully is removed in one step.
        if kind != Kind::Pod && !held {
            return self
                .store
                .remove(kind, &key)
                .unwrap_or_else(|| Arc::clone(object));
        }
        let marked = self.store.replace(kind, marked);
        if grace == 0 && !held {
            return self.store.remove(kind, &key).unwrap_or(marked);
        }
        marked
    }
}

/// An object as its deletion leaves it for the time of its grace; `None` where a deletion that
/// is under way is not changed by another.
fn mark(kind: Kind, object: &Value, grace: Option<i64>, now: Now) -> Option<(Value, i64)> {
    let going = is_terminating(object);
    let grace = if kind == Kind::Pod {
        let old = number(object, "/metadata/deletionGracePeriodSeconds");
        match (going, old, grace.map(|g| if g < 0 { 1 } else { g })) {
            (true, Some(old), Some(new)) if new >= old => return None,
            (true, _, None) => return None,
            (_, _, wanted) => pod_grace(object, wanted),
        }
    } else {
        0
    };
    let mut marked = object.clone();
    let begun: Timestamp = if going {
        let then = text(object, "/metadata/deletionTimestamp").parse();
        let old = number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
        then.ok()
            .and_then(|t: Timestamp| t.checked_sub(SignedDuration::from_secs(old)).ok())
            .unwrap_or(now.wall)
    } else {
        now.wall
    };
    let at = begun
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(begun);
    set(&mut marked, &["metadata", "deletionTimestamp"], stamp(at));
    if kind != Kind::Namespace {
        let path = ["metadata", "deletionGracePeriodSeconds"];
        set(&mut marked, &path, grace);
    }
    if !going && let Some(generation) = number(object, "/metadata/generation") {
        set(&mut marked, &["metadata", "generation"], generation + 1);
    }
    if kind == Kind::Namespace {
        set(&mut marked, &["status", "phase"], "Terminating");
    }
    Some((marked, grace))
}

/// The grace with which a pod goes.
fn pod_grace(pod: &Value, wanted: Option<i64>) -> i64 {
    if text(pod, "/spec/nodeName").is_empty() || is_ended(pod) {
        return 0;
    }
    let own = number(pod, "/spec/terminationGracePeriodSeconds");
    match wanted.or(own).unwrap_or(30) {
        negative if negative < 0 => 1,
        grace => grace,
    }
}
