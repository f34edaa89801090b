//! What a case is made of.
//!
//! Paths, queries and bodies may hold `<ns>` (the case's namespace), `<uid a>`, `<rv a>` (of
//! the object `a`, as last seen), `<first rv a>`, `<rv list>` and `<continue>` (of the last
//! list). An object that bears the namespace's name is called `node`.

use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::target::User;

/// Cases that belong together.
pub struct Group {
    /// Its name, and that of its file of facts.
    pub name: &'static str,
    /// What the real server answered.
    pub facts: &'static str,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// A setup and requests.
pub struct Case {
    /// Its name, and that of its namespace.
    pub name: &'static str,
    pub(super) setup: Vec<Step>,
    pub(super) steps: Vec<Step>,
}

/// One thing that a case does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Request(Request),
    /// Opens a watch and leaves it open.
    Open(Request),
    /// Reads from the open watch.
    Read(Reading),
    /// Makes the server forget the past: old versions are gone.
    Forget,
}

/// A request, and what of its answer counts.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content_type: Option<&'static str>,
    pub(super) accept: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) user: User,
    /// JSON pointers into the object, or into each object of a list or watch.
    pub(super) see: Vec<&'static str>,
    /// Whether the message of a refusal counts, which is else only noted.
    pub(super) words: bool,
}

/// How much of a watch is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) events: usize,
    /// Reads to the end of the watch.
    pub(super) to_end: bool,
    pub(super) within: Duration,
}

/// No answer takes longer, but for those of an eviction that the server tries again.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn case(name: &'static str) -> Case {
    Case {
        name,
        setup: Vec::new(),
        steps: Vec::new(),
    }
}

impl Case {
    /// What must succeed before; not compared.
    pub(super) fn given(mut self, steps: impl IntoIterator<Item = Request>) -> Self {
        self.setup.extend(steps.into_iter().map(Step::Request));
        self
    }

    pub(super) fn when(mut self, request: Request) -> Self {
        self.steps.push(Step::Request(request));
        self
    }

    /// Opens a watch, to be read later.
    pub(super) fn open(mut self, request: Request) -> Self {
        self.steps.push(Step::Open(request));
        self
    }

    /// Reads so many events from the open watch.
    pub(super) fn read(mut self, events: usize) -> Self {
        self.steps.push(Step::Read(Reading {
            events,
            to_end: false,
            within: PATIENCE,
        }));
        self
    }

    /// Reads the open watch to its end.
    pub(super) fn read_to_end(mut self) -> Self {
        self.steps.push(Step::Read(Reading {
            events: usize::MAX,
            to_end: true,
            within: PATIENCE,
        }));
        self
    }

    pub(super) fn forget(mut self) -> Self {
        self.steps.push(Step::Forget);
        self
    }

    /// Whether it disturbs others that run at the same time.
    pub(super) fn runs_alone(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Forget))
    }
}

impl Request {
    fn new(method: Method, path: &str) -> Self {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/api/v1/namespaces/<ns>/{path}")
        };
        Self {
            method,
            path,
            content_type: None,
            accept: "application/json",
            body: Vec::new(),
            user: User::Admin,
            see: Vec::new(),
            words: false,
        }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.raw(body.to_string()).media("application/json")
    }

    /// A body that need not be JSON, without a content type.
    pub(super) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn media(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    pub(super) fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    pub(super) fn see(mut self, pointer: &'static str) -> Self {
        self.see.push(pointer);
        self
    }

    pub(super) fn words(mut self) -> Self {
        self.words = true;
        self
    }
}

pub(super) fn get(path: &str) -> Request {
    Request::new(Method::GET, path)
}

pub(super) fn post(path: &str, body: &Value) -> Request {
    Request::new(Method::POST, path).json(body)
}

pub(super) fn put(path: &str, body: &Value) -> Request {
    Request::new(Method::PUT, path).json(body)
}

pub(super) fn delete(path: &str) -> Request {
    Request::new(Method::DELETE, path)
}

pub(super) fn json_patch(path: &str, operations: &Value) -> Request {
    Request::new(Method::PATCH, path)
        .json(operations)
        .media("application/json-patch+json")
}

pub(super) fn merge_patch(path: &str, body: &Value) -> Request {
    Request::new(Method::PATCH, path)
        .json(body)
        .media("application/merge-patch+json")
}
