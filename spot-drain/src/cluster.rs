//! The connection to the API server: one client, one count of requests, no hidden retries.

#[cfg(feature = "events")]
mod events;
mod failure;
mod identity;
mod node;
mod patience;
mod pods;
mod replacement;
mod self_check;
mod survey;
mod watch;

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::{Client, Config};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};

pub use node::KubeNode;
pub use patience::{QUIET, SLOWEST};
pub use pods::KubePods;
pub use self_check::KubeSelfCheck;

use crate::observer::{ApiCall, CallObserver};
use crate::reply::{Raw, quote};
use failure::Failure;
use identity::Identity;
use patience::{Patience, RECHECK};

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The largest answer that is read.
const BODY: usize = 64 << 20;
/// The shortest time between two new clients.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

/// Why no connection can be made.
#[derive(Debug, thiserror::Error)]
#[error("no usable Kubernetes configuration")]
pub struct ConnectError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl ConnectError {
    pub(crate) fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// A call that brought no answer.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("no answer within {:.0} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("{words}")]
    Transport { failure: Failure, words: String },
    #[error("{status} {words}")]
    Status { status: u16, words: String },
}

impl CallError {
    fn transport(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Transport {
            failure: Failure::of(error),
            words: quote(&failure::describe(error)),
        }
    }

    /// Why there is no answer, in a word.
    fn kind(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timed-out",
            Self::Transport { .. } | Self::Status { .. } => "no-answer",
        }
    }
}

/// An answer that is not what was asked for.
fn unexpected(raw: &Raw) -> CallError {
    CallError::Status {
        status: raw.status,
        words: quote(&String::from_utf8_lossy(&raw.body)),
    }
}

/// A Kubernetes cluster, as one identity sees it. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    connection: Arc<Connection>,
    observer: Option<Arc<dyn CallObserver>>,
    identity: Identity,
}

struct Connection {
    /// What new clients are made from; `None` where the client was handed in.
    config: Option<Config>,
    client: Mutex<Current>,
    patience: Mutex<Patience>,
    requests: AtomicU64,
}

struct Current {
    client: Client,
    made: Instant,
}

impl Cluster {
    /// Connects as `config` says, but for its retries: a client that retries by itself hides
    /// a budget's refusal for minutes. The client is made anew after a 401 (the token may
    /// have been rotated) and after a call that got no answer (its connections may be dead).
    ///
    /// Must be called within a tokio runtime. No request is made.
    ///
    /// # Errors
    /// Where no client can be made of `config`, for example without a readable certificate.
    pub fn connect(mut config: Config) -> Result<Self, ConnectError> {
        config.default_retry = false;
        let client = Client::try_from(config.clone()).map_err(ConnectError::new)?;
        Ok(Self::new(Some(config), client))
    }

    /// Uses a client as it is. It must not retry by itself ([`Config::default_retry`] off),
    /// and it is never made anew: its owner looks after tokens and dead connections.
    pub fn from_client(client: Client) -> Self {
        Self::new(None, client)
    }

    fn new(config: Option<Config>, client: Client) -> Self {
        let client = Mutex::new(Current {
            client,
            made: Instant::now(),
        });
        Self {
            connection: Arc::new(Connection {
                config,
                client,
                patience: Mutex::default(),
                requests: AtomicU64::new(0),
            }),
            observer: None,
            identity: Identity::default(),
        }
    }

    /// The same cluster over connections of its own, so that what hangs there holds up nothing
    /// here; over the same client where that was handed in.
    #[cfg(feature = "events")]
    pub(crate) fn apart(&self) -> Self {
        let config = self.connection.config.clone();
        let client = config.clone().and_then(|c| Client::try_from(c).ok());
        let client = client.unwrap_or_else(|| self.current().client.clone());
        Self {
            observer: self.observer.clone(),
            identity: self.identity.clone(),
            ..Self::new(config, client)
        }
    }

    /// The same cluster with one that is told of every request: of those of what is made from
    /// it afterwards.
    #[must_use]
    pub fn with_observer(mut self, observer: impl CallObserver + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The same cluster, where a node is read, and its pods are read and evicted, as that node, by
    /// constrained impersonation (Kubernetes 1.36 and newer): then no right to do so reaches
    /// beyond that node. The node is patched as ourselves: none may change its own taints.
    /// Counts for what is made from it afterwards. The right to impersonate an associated node
    /// is one of tokens that are bound to a pod of that node.
    #[must_use]
    pub fn impersonating_nodes(mut self) -> Self {
        self.identity = Identity::Node;
        self
    }

    /// Tells of a request that has ended.
    fn tell(&self, method: &'static str, answer: Result<u16, &'static str>) {
        if let Some(observer) = &self.observer {
            observer.called(&ApiCall { method, answer });
        }
    }

    /// The pods of a node.
    pub fn pods(&self, node: impl Into<String>) -> KubePods {
        KubePods::new(self.clone(), Some(node.into()))
    }

    /// The pods of all nodes, for a [`Fleet`](crate::plan::Fleet). Of no node in particular, so
    /// which volumes are attached cannot be asked of it.
    pub fn all_pods(&self) -> KubePods {
        KubePods::new(self.clone(), None)
    }

    /// A node.
    pub fn node(&self, name: impl Into<String>) -> KubeNode {
        KubeNode::new(self.clone(), name.into())
    }

    /// Proves that a notice for a node would be acted on.
    pub fn self_check(&self, node: impl Into<String>) -> KubeSelfCheck {
        KubeSelfCheck::new(self.clone(), node.into())
    }

    /// How many requests were made so far.
    pub fn requests(&self) -> u64 {
        self.connection.requests.load(Ordering::Relaxed)
    }

    /// The API server's host and port; `None` where they are not known.
    fn server(&self) -> Option<String> {
        let url = &self.connection.config.as_ref()?.cluster_url;
        // Without what may stand before the host.
        let port = url.port_u16().map(|port| format!(":{port}"));
        Some(format!("{}{}", url.host()?, port.unwrap_or_default()))
    }

    /// Looks the API server's name up, as a client does; `None` where it is not known.
    async fn look_up(&self) -> Option<Result<(), String>> {
        let url = &self.connection.config.as_ref()?.cluster_url;
        let host = url.host()?;
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Some(Ok(()));
        }
        let found = timeout(QUIET, lookup_host((host, url.port_u16().unwrap_or(443)))).await;
        Some(match found {
            // There is no success without an address.
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{host:?}: {error}")),
            Err(_) => Err(format!("{host:?}: no answer within {} s", QUIET.as_secs())),
        })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.connection
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Client {
        self.connection.requests.fetch_add(1, Ordering::Relaxed);
        self.current().client.clone()
    }

    /// When the client was made, by which one is told from another.
    fn made(&self) -> Instant {
        self.current().made
    }

    /// Makes the client anew, with fresh connections and a token read again.
    fn renew(&self) {
        let Some(config) = &self.connection.config else {
            return;
        };
        let mut current = self.current();
        if current.made.elapsed() < RENEW_PAUSE {
            return;
        }
        match Client::try_from(config.clone()) {
            Ok(client) => {
                *current = Current {
                    client,
                    made: Instant::now(),
                }
            }
            Err(error) => {
                let error = failure::describe(&error);
                tracing::warn!(error, "no new client; going on with the old one");
            }
        }
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.connection
            .patience
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits a call for as long as it makes sense to.
    async fn patiently<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, CallError> {
        let start = Instant::now();
        self.until(|now| self.patience().until(start, now), call)
            .await
    }

    /// Awaits a call until the moment that `end` names, which is asked again and again.
    async fn until<T, E>(
        &self,
        end: impl Fn(Instant) -> Instant,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, CallError> {
        let (start, client) = (Instant::now(), self.made());
        let mut call = pin!(call);
        loop {
            let now = Instant::now();
            let until = end(now).min(now + RECHECK);
            if let Ok(done) = timeout_at(until, &mut call).await {
                if done.is_ok() {
                    self.patience().answered(start, client, Instant::now());
                }
                return Ok(done);
            }
            let now = Instant::now();
            if now >= end(now) {
                self.patience().waited(start, now);
                self.renew();
                return Err(CallError::Timeout(now - start));
            }
        }
    }

    /// Makes a request and reads its whole answer, whatever its status.
    async fn call(&self, request: Request<Vec<u8>>) -> Result<Raw, CallError> {
        let method = name(request.method());
        let answer = self.patiently(self.exchange(request)).await;
        self.checked(method, answer)
    }

    /// The same, for a call that must not be cut off.
    async fn call_to_the_end(&self, request: Request<Vec<u8>>) -> Result<Raw, CallError> {
        let (start, client) = (Instant::now(), self.made());
        let end = |_| self.patience().longest(start, client);
        let method = name(request.method());
        let answer = self.until(end, self.exchange(request)).await;
        self.checked(method, answer)
    }

    fn checked(
        &self,
        method: &'static str,
        answer: Result<Result<Raw, CallError>, CallError>,
    ) -> Result<Raw, CallError> {
        let answer = answer.flatten();
        let status = answer.as_ref().map(|raw| raw.status);
        self.tell(method, status.map_err(CallError::kind));
        if matches!(&answer, Ok(raw) if raw.status == 401) {
            self.renew();
        }
        answer
    }

    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Raw, CallError> {
        let client = self.client();
        let response = client
            .send(request.map(Body::from))
            .await
            .map_err(|error| CallError::transport(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BODY)
            .collect()
            .await
            .map_err(|error| CallError::transport(&*error))?;
        let retry_after = parts.headers.get(header::RETRY_AFTER);
        Ok(Raw {
            status: parts.status.as_u16(),
            retry_after: retry_after.and_then(|v| v.to_str().ok()?.trim().parse().ok()),
            body: body.to_bytes().into(),
        })
    }
}

/// A request; every part of its address is made of names that the API server gave us or that
/// were checked, and is escaped all the same.
fn request(method: Method, path: &str, media: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    if let Ok(media) = header::HeaderValue::from_str(media) {
        request.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    request
}

/// A method as a label.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Percent-encodes a part of a path or a query.
fn escape(part: &str) -> impl std::fmt::Display {
    utf8_percent_encode(part, RESERVED)
}

#[cfg(test)]
mod tests;
