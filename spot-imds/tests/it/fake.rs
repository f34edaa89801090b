//! A metadata service in memory, for paused time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use spot_core::clock::WallClock;
use spot_imds::client::ImdsClient;
use spot_imds::hardware::Hardware;
use spot_imds::source::{ImdsSource, ImdsSourceBuilder};
use spot_imds::transport::{Transport, TransportError};
use tokio::time::Instant;

use crate::ear::Ear;

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) what: String,
    pub(crate) token: Option<String>,
}

/// How a path is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status and a body.
    Says(u16, String),
    /// No connection.
    Refused,
    /// Nothing, ever.
    BlackHole,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Says(200, body.into())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Says(status, String::new())
    }
}

pub(crate) fn notice(action: &str, time: &str) -> Answer {
    Answer::ok(format!(r#"{{"action":"{action}","time":"{time}"}}"#))
}

/// The identity document, below `/latest/`.
pub(crate) const IDENTITY: &str = "dynamic/instance-identity/document";
pub(crate) const ACTION: &str = "spot/instance-action";
pub(crate) const REBALANCE: &str = "events/recommendations/rebalance";
pub(crate) const MAINTENANCE: &str = "events/maintenance/scheduled";
pub(crate) const HISTORY: &str = "events/maintenance/history";
pub(crate) const ASG: &str = "autoscaling/target-lifecycle-state";

/// The paths that are polled.
pub(crate) const POLLED: [&str; 4] = [ACTION, ASG, MAINTENANCE, REBALANCE];

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    calls: Vec<Call>,
    tokens: u32,
    valid: Option<String>,
    latency: Duration,
    ttl: Option<String>,
    date: Option<String>,
    flavor: Option<String>,
}

/// The service. Paths that are not set are absent; tokens are issued and checked.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn new() -> Self {
        let fake = Self::default();
        fake.set("instance-id", Answer::ok("i-0123456789abcdef0\n"));
        fake.set("instance-life-cycle", Answer::ok("spot"));
        fake.set("placement/availability-zone", Answer::ok("eu-west-1a"));
        fake.set("placement/region", Answer::ok("eu-west-1"));
        fake.set(
            IDENTITY,
            Answer::ok(r#"{"pendingTime":"2025-12-31T12:00:00Z"}"#),
        );
        fake
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.state().answers.insert(path.to_owned(), answer);
    }

    /// Every path, and the request for a token, is answered so.
    pub(crate) fn all(&self, answer: &Answer) {
        for path in [
            "token",
            "instance-id",
            "instance-life-cycle",
            "placement/availability-zone",
            "placement/region",
            IDENTITY,
        ] {
            self.set(path, answer.clone());
        }
        for path in POLLED {
            self.set(path, answer.clone());
        }
    }

    /// Nothing is announced any more, and what is polled is answered.
    pub(crate) fn quiet(&self) {
        for path in POLLED {
            self.unset(path);
        }
    }

    pub(crate) fn action(&self, answer: Answer) {
        self.set("spot/instance-action", answer);
    }

    pub(crate) fn unset(&self, path: &str) {
        self.state().answers.remove(path);
    }

    pub(crate) fn latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// What `X-aws-ec2-metadata-token-ttl-seconds` says from now on.
    pub(crate) fn ttl(&self, seconds: &str) {
        self.state().ttl = Some(seconds.to_owned());
    }

    pub(crate) fn date(&self, date: &str) {
        self.state().date = Some(date.to_owned());
    }

    /// Each reply says that it is of this make, as Google's do.
    pub(crate) fn flavor(&self, flavor: &str) {
        self.state().flavor = Some(flavor.to_owned());
    }

    /// The tokens that were issued are taken no longer.
    pub(crate) fn revoke(&self) {
        self.state().valid = None;
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    pub(crate) fn forget_calls(&self) {
        self.state().calls.clear();
    }

    /// When requests of this kind were made.
    pub(crate) fn times(&self, what: &str) -> Vec<Instant> {
        self.calls()
            .into_iter()
            .filter(|c| c.what == what)
            .map(|c| c.at)
            .collect()
    }

    pub(crate) fn client(&self) -> ImdsClient {
        ImdsClient::builder()
            .transport(Arc::new(self.clone()))
            .build()
            .unwrap()
    }

    pub(crate) fn builder(&self) -> ImdsSourceBuilder {
        ImdsSource::builder(self.client())
            .jitter_seed(1)
            .hardware(Hardware::Unknown)
            .clock(Arc::new(Noon))
    }

    /// A source that is heard without the ticking of its clock.
    pub(crate) fn source(&self) -> Ear {
        Ear::new(self.builder().build().unwrap())
    }
}

/// A wall clock that stands.
pub(crate) struct Noon;

impl WallClock for Noon {
    fn now(&self) -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }
}

#[async_trait]
impl Transport for Fake {
    async fn send(
        &self,
        request: Request<Bytes>,
        _max_body: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let path = request.uri().path().to_owned();
        let put = request.method() == Method::PUT;
        let path = match path.as_str() {
            "/latest/api/token" => "token",
            path => path
                .strip_prefix("/latest/meta-data/")
                .or_else(|| path.strip_prefix("/latest/"))
                .unwrap(),
        };
        let token = request.headers().get("x-aws-ec2-metadata-token");
        let token = token.map(|t| t.to_str().unwrap().to_owned());
        let (latency, answer, headers) = {
            let mut state = self.state();
            let what = format!("{} {path}", request.method());
            state.calls.push(Call {
                at: Instant::now(),
                what,
                token: token.clone(),
            });
            let set = state.answers.get(path).cloned();
            let answer = if put {
                set.unwrap_or_else(|| {
                    state.tokens += 1;
                    let token = format!("token-{}", state.tokens);
                    state.valid = Some(token.clone());
                    Answer::ok(token)
                })
            } else if token.is_none() || token != state.valid {
                Answer::status(401)
            } else {
                set.unwrap_or(Answer::status(404))
            };
            let headers = [
                ("x-aws-ec2-metadata-token-ttl-seconds", state.ttl.clone()),
                ("date", state.date.clone()),
                ("metadata-flavor", state.flavor.clone()),
            ];
            (state.latency, answer, headers)
        };
        tokio::time::sleep(latency).await;
        let (status, body) = match answer {
            Answer::Says(status, body) => (status, body),
            Answer::Refused => return Err(TransportError::Connect("refused".into())),
            Answer::BlackHole => std::future::pending().await,
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            if let Some(value) = value {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        Ok(response)
    }
}
