//! The API server's refusals: a `Status` object with the server's own reasons and words.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use serde_json::{Value, json};

use super::kind::Resource;

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    /// How long the server takes to say so.
    pub(crate) delay: Duration,
    words: Box<Words>,
}

#[derive(Clone, Debug)]
struct Words {
    reason: &'static str,
    message: String,
    details: Value,
    metadata: Value,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            delay: Duration::ZERO,
            words: Box::new(Words {
                reason,
                message: message.into(),
                details: Value::Null,
                metadata: json!({}),
            }),
        }
    }

    /// A failure about an object that is named in a way of its own.
    pub(crate) fn named(self, group: &str, kind: &str, name: &str) -> Self {
        self.about(group, kind, name)
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let mut details = json!({});
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details[key] = value.into();
            }
        }
        self.words.details = details;
        self
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn unknown_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, "NotFound", message).about("", "", "")
    }

    pub(crate) fn method() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).about("", "", "")
    }

    pub(crate) fn media(code: u16, reason: &'static str, message: &str) -> Self {
        Self::new(code, reason, message).about("", "", "")
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource.group, resource.plural, name)
    }

    pub(crate) fn exists(resource: &Resource, name: &str, deleting: bool) -> Self {
        let lead = if deleting {
            "object is being deleted: "
        } else {
            ""
        };
        let message = format!("{lead}{} \"{name}\" already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource.group, resource.plural, name)
    }

    /// The object was written in between.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let problem = "the object has been modified; please apply your changes to the latest \
             version and try again";
        Self::conflict(resource, name, problem)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, problem: &str) -> Self {
        let qualified = resource.qualified();
        let message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {problem}");
        Self::new(409, "Conflict", message).about(resource.group, resource.plural, name)
    }

    /// A precondition does not hold; such a refusal names the kind and not the resource.
    pub(crate) fn precondition(resource: &Resource, name: &str, problem: &str) -> Self {
        let kind = resource.qualified_kind();
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {problem}");
        Self::new(409, "Conflict", message).about(resource.group, resource.name, name)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, problem: &str) -> Self {
        let subject = if name.is_empty() {
            resource.qualified()
        } else {
            format!("{} \"{name}\"", resource.qualified())
        };
        let message = format!("{subject} is forbidden: {problem}");
        Self::new(403, "Forbidden", message).about(resource.group, resource.plural, name)
    }

    /// What is wrong with `name` of a kind, such as `Node` or `PatchOptions.meta.k8s.io`.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, wrong: &[Wrong]) -> Self {
        let mut words: Vec<String> = Vec::new();
        for w in wrong {
            let line = format!("{}: {}", w.field, w.message);
            if !words.contains(&line) {
                words.push(line);
            }
        }
        let words = match words.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let message = format!("{qualified} \"{name}\" is invalid: {words}");
        let mut failure = Self::new(422, "Invalid", message).about(group, kind, name);
        failure.words.details["causes"] = wrong
            .iter()
            .map(|w| json!({"reason": w.reason, "message": w.message, "field": w.field}))
            .collect();
        failure
    }

    /// A JSON patch that does not apply.
    pub(crate) fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(422, "Invalid", message).about("", "", "")
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// A budget has no room, or its numbers are stale.
    pub(crate) fn budget(message: &str, retry_after: u32) -> Self {
        let refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut failure = Self::new(429, "TooManyRequests", refusal).about("", "", "");
        if retry_after > 0 {
            failure.words.details["retryAfterSeconds"] = retry_after.into();
        }
        failure.with_cause("DisruptionBudget", message)
    }

    /// More budgets than one: a failure without a reason.
    pub(crate) fn budgets() -> Self {
        let message = "This pod has more than one PodDisruptionBudget, \
             which the eviction subresource does not support.";
        Self::new(500, "", message)
    }

    pub(crate) fn too_new(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut failure = Self::new(504, "Timeout", message).about("", "", "");
        failure.words.details["retryAfterSeconds"] = 1.into();
        failure.delay = Duration::from_secs(3);
        failure.with_cause("ResourceVersionTooLarge", "Too large resource version")
    }

    pub(crate) fn with_cause(mut self, reason: &str, message: &str) -> Self {
        if !self.words.details.is_object() {
            self.words.details = json!({});
        }
        if !self.words.details["causes"].is_array() {
            self.words.details["causes"] = json!([]);
        }
        if let Some(causes) = self.words.details["causes"].as_array_mut() {
            causes.push(json!({"reason": reason, "message": message}));
        }
        self
    }

    pub(crate) fn with_cause_field(mut self, field: &str) -> Self {
        self.words.details["causes"][0]["field"] = field.into();
        self
    }

    pub(crate) fn with_continue(mut self, token: &str) -> Self {
        self.words.metadata = json!({ "continue": token });
        self
    }

    /// The same words under another code and without a reason.
    pub(crate) fn unexplained(mut self, code: u16) -> Self {
        self.code = code;
        self.words.reason = "";
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// As a `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": self.words.metadata,
            "status": "Failure", "message": self.words.message, "code": self.code,
        });
        if !self.words.reason.is_empty() {
            status["reason"] = self.words.reason.into();
        }
        if !self.words.details.is_null() {
            status["details"] = self.words.details.clone();
        }
        status
    }

    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = respond(self.code, &self.status());
        let retry = self.words.details["retryAfterSeconds"].as_u64();
        if let Some(seconds) = retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn respond(code: u16, body: &Value) -> Response<Bytes> {
    answer(code, "application/json", body.to_string())
}

/// An answer of any media type.
pub(crate) fn answer(code: u16, media: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    let media = header::HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}
