//! The API server: one synchronous function from a request to a reply, and the objects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use serde_json::{Value, json};
use spot_core::clock::Now;

use super::access::{Access, Wish};
use super::budget;
use super::discovery;
use super::failure::{Failure, Wrong, respond};
use super::fields;
use super::json::{has, text};
use super::kind::Kind;
use super::render::Form;
use super::route::{Place, Query, Target, target};
use super::store::Store;
use super::watch::Watch;

/// The API server. It knows no clock: every call is told the time.
///
/// Requests are taken as a real API server takes them, but for authentication: whoever asks
/// is let in (see [`Api::access`] for refusals). What it does not serve is in the
/// [module's list of limits](super#limits).
#[derive(Debug)]
pub struct Api {
    pub(crate) store: Store,
    /// Who is refused what.
    pub access: Access,
}

/// What a request is answered with.
#[derive(Debug)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// How long the real server takes before it says so, such as the ten seconds that it
    /// retries where a pod that needs no budget has another UID.
    pub delay: Duration,
}

/// A whole response, or a watch.
#[derive(Debug)]
pub enum Reply {
    /// A response with its whole body.
    Whole(Response<Bytes>),
    /// A watch, to be followed by [`Api::follow`].
    Watch(Watch),
}

/// A request that has been read.
pub(crate) struct Asked<'a> {
    pub(crate) place: Place,
    pub(crate) query: Query,
    pub(crate) form: Form,
    pub(crate) media: &'a str,
    pub(crate) body: &'a Bytes,
    pub(crate) now: Now,
    /// The version that is read where a cache may answer; see [`Api::handle_stale`].
    pub(crate) lag: u64,
}

type Outcome = Result<Answer, Failure>;

impl Api {
    /// An API server without objects but the namespaces `default` and `kube-system`. UIDs and
    /// the endings of names follow from the seed.
    pub fn new(seed: u64, now: Now) -> Self {
        let mut api = Self {
            store: Store::new(seed),
            access: Access::default(),
        };
        for name in ["default", "kube-system"] {
            api.make_namespace(name, now);
        }
        api
    }

    pub(crate) fn make_namespace(&mut self, name: &str, now: Now) {
        if self.store.get(Kind::Namespace, name).is_none() {
            let namespace = json!({"kind": "Namespace", "apiVersion": "v1",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
            self.store.insert(Kind::Namespace, namespace, now.wall);
        }
    }

    /// Answers a request.
    pub fn handle(&mut self, request: &Request<Bytes>, now: Now) -> Answer {
        self.handle_stale(request, now, 0)
    }

    /// Answers a request; where a cache may answer (`resourceVersion=0`), with what it was
    /// `lag` versions ago.
    pub fn handle_stale(&mut self, request: &Request<Bytes>, now: Now, lag: u64) -> Answer {
        let head = request.method() == Method::HEAD;
        self.answer(request, now, lag)
            .unwrap_or_else(|failure| Answer {
                delay: failure.delay,
                reply: Reply::Whole(if head {
                    failure.response().map(|_| Bytes::new())
                } else {
                    failure.response()
                }),
            })
    }

    fn answer(&mut self, request: &Request<Bytes>, now: Now, lag: u64) -> Outcome {
        let header = |name| {
            let value = request.headers().get(name);
            value
                .and_then(|v: &header::HeaderValue| v.to_str().ok())
                .unwrap_or("")
        };
        let form = Form::accepted(header(header::ACCEPT))?;
        let media = header(header::CONTENT_TYPE);
        let media = media.split(';').next().unwrap_or("").trim();
        let place = match target(request.uri().path())? {
            Target::Document(path) => {
                return Ok(Answer::from(discovery::document(&path, now)));
            }
            Target::AccessReview => return self.review(request),
            Target::Objects(place) => place,
        };
        let query = Query::parse(request.uri().query());
        let asked = Asked {
            place,
            query,
            form,
            media,
            body: request.body(),
            now,
            lag,
        };
        let verb = verb(request.method(), &asked)?;
        let wish = Wish::new(verb, &asked.place);
        self.access.check(&wish)?;
        if matches!(verb, "create" | "update") && !is_object(asked.media) {
            return Err(Failure::new(415, "UnsupportedMediaType", UNKNOWN_FORMAT));
        }
        let named = asked.place.name.is_some();
        match (verb, asked.place.subresource.as_deref()) {
            ("get", None | Some("status")) => self.get(&asked),
            ("list", None) => self.list(&asked),
            ("watch", None) => self.watch(asked),
            ("create", None) if !named => self.create(&asked),
            ("create", Some("eviction")) if asked.place.kind == Kind::Pod => {
                let warnings = fields::check(&asked)?;
                let mut answer = self.evict(&asked)?;
                if let Reply::Whole(response) = &mut answer.reply {
                    let headers = response.headers_mut();
                    for warning in warnings {
                        headers.append(header::WARNING, warning);
                    }
                }
                Ok(answer)
            }
            ("create", Some("binding")) if asked.place.kind == Kind::Pod => self.bind(&asked),
            ("update" | "patch", None | Some("status")) if named => self.change(verb, &asked),
            ("delete", None) if named => self.delete(&asked),
            (_, None | Some("status" | "eviction" | "binding")) => Err(Failure::method()),
            _ => Err(Failure::unknown_path()),
        }
    }

    /// A `SelfSubjectAccessReview`.
    fn review(&mut self, request: &Request<Bytes>) -> Outcome {
        if request.method() != Method::POST {
            return Err(Failure::method());
        }
        let mut review: Value = serde_json::from_slice(request.body()).map_err(|error| {
            Failure::bad(format!(
                "the object provided is unrecognized (must be of type SelfSubjectAccessReview): \
                 couldn't get version/kind; json parse error: {error}"
            ))
        })?;
        let wrong = |field: &str, problem: &str| {
            let wrong = Wrong {
                reason: "FieldValueInvalid",
                field: format!("spec.{field}"),
                message: format!("Invalid value: {problem}"),
            };
            Failure::invalid("authorization.k8s.io", "", "", &[wrong])
        };
        let spec = &review["spec"];
        match (
            has(spec, "/resourceAttributes"),
            has(spec, "/nonResourceAttributes"),
        ) {
            (false, false) => {
                let problem = "null: exactly one of nonResourceAttributes or \
                    resourceAttributes must be specified";
                return Err(wrong("resourceAttributes", problem));
            }
            (true, true) => {
                let (path, verb) = ("/nonResourceAttributes/path", "/nonResourceAttributes/verb");
                let problem = format!(
                    "{{\"Path\":\"{}\",\"Verb\":\"{}\"}}: cannot be specified in combination \
                     with resourceAttributes",
                    text(spec, path),
                    text(spec, verb)
                );
                return Err(wrong("nonResourceAttributes", &problem));
            }
            _ => {}
        }
        let allowed = self.access.allows(&Wish::reviewed(spec));
        if let Some(attributes) = review["spec"]["resourceAttributes"].as_object_mut() {
            attributes.retain(|_, value| value != "");
        }
        review["metadata"] = json!({});
        review["kind"] = "SelfSubjectAccessReview".into();
        review["apiVersion"] = "authorization.k8s.io/v1".into();
        review["status"] = json!({ "allowed": allowed });
        Ok(respond(201, &review).into())
    }

    /// The object at `namespace/name` (or `name`, for what is cluster-wide), as it is.
    pub fn object(&self, kind: Kind, key: &str) -> Option<Arc<Value>> {
        self.store.get(kind, key).cloned()
    }

    /// All objects of a kind, by namespace and name.
    pub fn objects(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.store.all(kind).values().map(|object| &**object)
    }

    /// Writes an object as if another writer had: made where it is new, replaced as a whole
    /// where it is not. Nothing is checked.
    pub fn put(&mut self, kind: Kind, mut object: Value, now: Now) -> Arc<Value> {
        let resource = kind.resource();
        object["kind"] = resource.name.into();
        object["apiVersion"] = resource.api_version().into();
        match self.store.get(kind, &super::json::key_of(&object)).cloned() {
            None => self.store.insert(kind, object, now.wall),
            Some(old) => {
                super::write::keep_identity(&mut object, &old);
                super::write::count_generation(kind, &mut object, &old);
                self.store.replace(kind, object)
            }
        }
    }

    /// Removes an object as if its deletion had ended.
    pub fn remove(&mut self, kind: Kind, key: &str) -> Option<Arc<Value>> {
        self.store.remove(kind, key)
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.store.version()
    }

    /// Forgets the changes up to a version: watches and exact reads from before it are
    /// answered with 410.
    pub fn compact(&mut self, version: u64) {
        self.store.compact(version);
    }

    /// How many changes are remembered; 20,000 unless told otherwise.
    pub fn remember_at_most(&mut self, changes: usize) {
        self.store.remember_at_most(changes);
    }

    /// Brings the status of one budget (`namespace/name`) up to date, as the disruption
    /// controller does; when it wants to look again.
    pub fn sync_budget(&mut self, key: &str, now: Now) -> Option<jiff::Timestamp> {
        budget::sync(&mut self.store, key, now.wall)
    }
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            reply: Reply::Whole(response),
            delay: Duration::ZERO,
        }
    }
}

const UNKNOWN_FORMAT: &str = "the body of the request was in an unknown format - accepted media \
    types include: application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Whether a body of a media type may hold an object; one that says nothing is JSON.
fn is_object(media: &str) -> bool {
    matches!(media, "" | "application/json")
}

/// The verb as authorization names it.
fn verb(method: &Method, asked: &Asked<'_>) -> Result<&'static str, Failure> {
    let named = asked.place.name.is_some();
    match *method {
        Method::GET if named => Ok("get"),
        Method::GET if asked.query.flag("watch") => Ok("watch"),
        Method::GET => Ok("list"),
        Method::POST => Ok("create"),
        Method::PUT => Ok("update"),
        Method::PATCH => Ok("patch"),
        Method::DELETE => Ok("delete"),
        _ => Err(Failure::method()),
    }
}
