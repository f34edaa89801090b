//! What goes over the wire, to the byte, and what comes back.

use std::collections::VecDeque;
use std::sync::MutexGuard;

use bytes::Bytes;
use http::{HeaderName, Response};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use serde_json::{Value, json};

use super::*;

mod identity;
mod node;
mod pods;
mod replacement;
mod replies;
mod self_check;
mod survey;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Reply = Response<BoxBody<Bytes, Fault>>;

/// What the server does with a request.
enum Answer {
    Says(Reply),
    Never,
    /// The connection breaks.
    Breaks,
}

/// A request as it arrived.
#[derive(Debug)]
struct Asked {
    /// Method and address.
    line: String,
    accept: String,
    /// As whom, if not as ourselves.
    user: String,
    content_type: String,
    body: Value,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: Vec<Asked>,
}

/// An API server in memory that answers in order.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<State>>);

impl Wire {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let wire = Self::default();
        wire.state().answers.extend(answers);
        wire
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn cluster(&self) -> Cluster {
        let wire = self.clone();
        let service = tower::service_fn(move |request| wire.clone().serve(request));
        Cluster::from_client(Client::new(service, "default"))
    }

    async fn serve(self, request: Request<Body>) -> Result<Reply, Fault> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let header = |name| {
            let value = parts.headers.get(name);
            value.map_or("", |v| v.to_str().unwrap()).to_owned()
        };
        let asked = Asked {
            line: format!("{} {}", parts.method, parts.uri),
            accept: header(header::ACCEPT),
            user: header(HeaderName::from_static("impersonate-user")),
            content_type: header(header::CONTENT_TYPE),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let answer = {
            let mut state = self.state();
            state.asked.push(asked);
            state.answers.pop_front()
        };
        match answer.expect("one request too many") {
            Answer::Says(reply) => Ok(reply),
            Answer::Never => std::future::pending().await,
            Answer::Breaks => Err("connection reset".into()),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.state().asked.iter().map(|a| a.line.clone()).collect()
    }

    /// The only request there was.
    fn only(&self) -> Asked {
        let mut state = self.state();
        assert_eq!(state.asked.len(), 1, "{:?}", state.asked);
        state.asked.remove(0)
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into()).map_err(Into::into).boxed();
    Response::builder().status(status).body(body).unwrap()
}

fn says(status: u16, body: &Value) -> Answer {
    Answer::Says(reply(status, body.to_string()))
}

fn plain(status: u16, body: &'static str) -> Answer {
    Answer::Says(reply(status, body))
}

/// A body that ends before it should.
fn cut_short(status: u16) -> Answer {
    let body = Limited::new(Full::new(Bytes::from_static(b"{\"kind\": \"Sta")), 3);
    let reply = Response::builder().status(status).body(body.boxed());
    Answer::Says(reply.unwrap())
}

/// A refusal as the API server words it.
fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code})
}
