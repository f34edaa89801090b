//! A client of the instance metadata service, version 2 of its protocol only.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::decode::{self, DecodeError, LifecycleState, ScheduledEvents, SpotAction};
use crate::document::Document;
use crate::error::ImdsError;
use crate::observer::{Exchange, ExchangeObserver, Poll, label};
use crate::options::{self, Endpoint};
use crate::quote::excerpt;
use crate::token::Token;
use crate::transport::{Transport, TransportError};
pub use builder::ImdsClientBuilder;

/// Where the spot interruption notice is, below `/latest/meta-data/`.
pub const INSTANCE_ACTION: &str = "spot/instance-action";

/// Where a rebalance recommendation is, below `/latest/meta-data/`.
pub const REBALANCE: &str = "events/recommendations/rebalance";

/// Where the maintenance that is scheduled is, below `/latest/meta-data/`.
pub const SCHEDULED_EVENTS: &str = "events/maintenance/scheduled";

/// Where the maintenance that is done or was called off is, below `/latest/meta-data/`.
pub const PAST_EVENTS: &str = "events/maintenance/history";

/// Where an Auto Scaling group's wish is, below `/latest/meta-data/`.
pub const LIFECYCLE_STATE: &str = "autoscaling/target-lifecycle-state";

/// The instance identity document, which is not below `/latest/meta-data/`.
pub(crate) const IDENTITY_PATH: &str = "/latest/dynamic/instance-identity/document";

pub(crate) const TOKEN_PATH: &str = "/latest/api/token";
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
pub(crate) const TOKEN_TTL: HeaderName =
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// What Google's metadata service puts into each reply.
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const AGENT: &str = concat!("spot-imds/", env!("CARGO_PKG_VERSION"));

/// A client of the metadata service. Clones share its connection and its session token.
///
/// Requests are made one after the other, each with a timeout and a cap on its body. A session
/// token is had before the first, replaced before it expires, and dropped when the service no
/// longer takes it (401); the request is then made once more with a fresh one. So a call makes
/// four exchanges at the most. Beyond that nothing is retried here:
/// [`ImdsSource`](crate::source::ImdsSource) does that.
///
/// # Cancel safety
/// Every method can be dropped at any await: what it has learnt (a token) is kept, the exchange
/// that was under way is given up, and other callers go on.
#[derive(Clone)]
pub struct ImdsClient(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    request_timeout: Duration,
    max_body: usize,
    token_ttl: u32,
    transport: Arc<dyn Transport>,
    observers: Vec<Arc<dyn ExchangeObserver>>,
    /// Locked for the whole of a call: requests are serial, on one connection.
    token: Mutex<Option<Token>>,
}

impl fmt::Debug for ImdsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImdsClient")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

impl ImdsClient {
    /// A client with the defaults of [`options`], to be changed.
    pub fn builder() -> ImdsClientBuilder {
        ImdsClientBuilder {
            endpoint: options::DEFAULT_ENDPOINT.to_owned(),
            request_timeout: options::DEFAULT_REQUEST_TIMEOUT,
            max_body: options::DEFAULT_MAX_BODY,
            token_ttl: options::DEFAULT_TOKEN_TTL,
            transport: None,
            observers: Vec::new(),
        }
    }

    /// What is announced to this Spot instance; `None` where nothing is. For a deadline that is
    /// anchored by the service's own clock, [`get`](Self::get) [`INSTANCE_ACTION`] and see
    /// [`SpotAction::deadline`].
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn instance_action(&self) -> Result<Option<SpotAction>, ImdsError> {
        self.read(INSTANCE_ACTION, decode::instance_action).await
    }

    /// When a rebalance recommendation was made; `None` where there is none.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn rebalance(&self) -> Result<Option<Timestamp>, ImdsError> {
        self.read(REBALANCE, decode::rebalance).await
    }

    /// The maintenance that is scheduled; `None` where the service has no such list.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn scheduled_events(&self) -> Result<Option<ScheduledEvents>, ImdsError> {
        self.read(SCHEDULED_EVENTS, decode::scheduled_events).await
    }

    /// What the Auto Scaling group wants of this instance; `None` where it is in none.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn lifecycle_state(&self) -> Result<Option<LifecycleState>, ImdsError> {
        self.read(LIFECYCLE_STATE, decode::lifecycle_state).await
    }

    /// When this instance was started the last time; `None` where the service does not say.
    /// Nothing else of the identity document is kept.
    ///
    /// # Errors
    /// [`ImdsError`], which never quotes the document.
    pub async fn launched(&self) -> Result<Option<Timestamp>, ImdsError> {
        let reply = self.0.get(IDENTITY_PATH).await?;
        reply.read(IDENTITY_PATH, decode::launched)
    }

    /// The identity of this instance, for example `i-0123456789abcdef0`; `None` where the
    /// service knows none.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn instance_id(&self) -> Result<Option<String>, ImdsError> {
        self.read("instance-id", decode::instance_id).await
    }

    /// How this instance was bought: `spot`, `on-demand`, …
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn instance_life_cycle(&self) -> Result<Option<String>, ImdsError> {
        self.read("instance-life-cycle", decode::value).await
    }

    /// The availability zone, for example `eu-west-1a`.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn availability_zone(&self) -> Result<Option<String>, ImdsError> {
        self.read("placement/availability-zone", decode::value)
            .await
    }

    /// The region, for example `eu-west-1`.
    ///
    /// # Errors
    /// [`ImdsError`].
    pub async fn region(&self) -> Result<Option<String>, ImdsError> {
        self.read("placement/region", decode::value).await
    }

    /// Any metadata, by its path below `/latest/meta-data/`; `None` where there is none (404).
    ///
    /// # Errors
    /// [`ImdsError`]; [`ImdsError::InvalidPath`] for a path with characters that would have to
    /// be percent-encoded, with a query, or with a step `.` or `..`.
    pub async fn get(&self, path: &str) -> Result<Option<Document>, ImdsError> {
        Ok(self.ask(path).await?.found())
    }

    /// The same, with what a reply that finds nothing says: its `Date`, and when it came.
    pub(crate) async fn ask(&self, path: &str) -> Result<Reply, ImdsError> {
        self.0.get(&meta_data(path)?).await
    }

    /// How long one exchange may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// One that took longer than it may.
    pub(crate) fn timed_out(&self) -> ImdsError {
        self.0.timed_out()
    }

    /// A source has polled a path.
    pub(crate) fn tell_poll(&self, path: &'static str, is_good: bool) {
        for observer in &self.0.observers {
            observer.polled(&Poll { path, is_good });
        }
    }

    async fn read<T>(
        &self,
        path: &str,
        decode: fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, ImdsError> {
        let full = meta_data(path)?;
        self.0.get(&full).await?.read(&full, decode)
    }
}

/// A reply of status 200 or 404.
pub(crate) struct Reply {
    found: bool,
    document: Document,
}

impl Reply {
    /// What was asked for, if it is there.
    pub(crate) fn found(self) -> Option<Document> {
        self.found.then_some(self.document)
    }

    /// The reply whatever it says: for its time, not for its body.
    pub(crate) fn document(&self) -> &Document {
        &self.document
    }

    fn read<T>(
        self,
        path: &str,
        decode: fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, ImdsError> {
        let read = self.found().map(|document| decode(document.body()));
        read.transpose().map_err(|source| malformed(path, source))
    }
}

impl Inner {
    async fn get(&self, path: &str) -> Result<Reply, ImdsError> {
        let mut token = self.token.lock().await;
        let mut response = self.get_once(path, &mut token).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            *token = None;
            response = self.get_once(path, &mut token).await?;
        }
        let received = Instant::now();
        match response.status() {
            StatusCode::OK | StatusCode::NOT_FOUND => {
                if let (Some(token), Some(left)) = (&mut *token, ttl(response.headers())) {
                    token.shorten(left, received);
                }
            }
            StatusCode::UNAUTHORIZED => *token = None,
            _ => {}
        }
        match response.status() {
            status @ (StatusCode::OK | StatusCode::NOT_FOUND) => Ok(Reply {
                found: status == StatusCode::OK,
                document: Document::new(response, received),
            }),
            status => Err(unexpected(path, status)),
        }
    }

    async fn get_once(
        &self,
        path: &str,
        token: &mut Option<Token>,
    ) -> Result<Response<Bytes>, ImdsError> {
        let secret = self.fresh(token).await?;
        self.exchange(path, Method::GET, (TOKEN, secret)).await
    }

    /// A token that can be used, as a header; a new one where it is time for that.
    async fn fresh(&self, slot: &mut Option<Token>) -> Result<HeaderValue, ImdsError> {
        let now = Instant::now();
        if let Some(token) = slot.as_ref().filter(|token| !token.is_due(now)) {
            return Ok(token.header());
        }
        let issued = self.issue().await;
        let now = Instant::now();
        match (issued, slot.as_mut().filter(|token| token.is_valid(now))) {
            (Ok(token), _) => Ok(slot.insert(token).header()),
            // The old one will do for a while.
            (Err(_), Some(token)) => {
                token.postpone(now);
                Ok(token.header())
            }
            (Err(error), None) => {
                *slot = None;
                Err(error)
            }
        }
    }

    async fn issue(&self) -> Result<Token, ImdsError> {
        let asked = Instant::now();
        let ask = (TOKEN_TTL, HeaderValue::from(self.token_ttl));
        let response = self.exchange(TOKEN_PATH, Method::PUT, ask).await?;
        match response.status() {
            StatusCode::OK => {}
            // EC2's answers this request, whatever else it says.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                return Err(self.foreign("it hands out no session tokens"));
            }
            status => return Err(unexpected(TOKEN_PATH, status)),
        }
        let wanted = Duration::from_secs(self.token_ttl.into());
        let life = ttl(response.headers()).map_or(wanted, |granted| granted.min(wanted));
        Token::new(response.body(), life, asked).ok_or(ImdsError::MalformedToken)
    }

    /// One request and its whole reply, or a typed error within the timeout; told to observers.
    async fn exchange(
        &self,
        path: &str,
        method: Method,
        header: (HeaderName, HeaderValue),
    ) -> Result<Response<Bytes>, ImdsError> {
        let response = self.send(path, method, header).await;
        let answer = response.as_ref().map(|response| response.status().as_u16());
        let exchange = Exchange {
            path: label(path),
            answer: answer.map_err(ImdsError::kind),
        };
        for observer in &self.observers {
            observer.exchanged(&exchange);
        }
        response
    }

    async fn send(
        &self,
        path: &str,
        method: Method,
        (name, value): (HeaderName, HeaderValue),
    ) -> Result<Response<Bytes>, ImdsError> {
        let request = Request::builder()
            .method(method)
            .uri(self.endpoint.join(path))
            .header(name, value)
            .header(USER_AGENT, AGENT)
            .body(Bytes::new())
            .map_err(|_| ImdsError::InvalidPath {
                path: excerpt(path.as_bytes()),
            })?;
        let endpoint = || self.endpoint.to_string();
        let foreign = || self.foreign("it is Google's");
        let too_large = || ImdsError::TooLarge {
            path: path.to_owned(),
            limit: self.max_body,
        };
        match timeout(
            self.request_timeout,
            self.transport.send(request, self.max_body),
        )
        .await
        {
            Ok(Ok(response)) if response.headers().contains_key(FLAVOR) => Err(foreign()),
            Ok(Ok(response)) if response.body().len() > self.max_body => Err(too_large()),
            Ok(Ok(response)) => Ok(response),
            Err(_) | Ok(Err(TransportError::ConnectTimedOut)) => Err(self.timed_out()),
            Ok(Err(TransportError::TooLarge)) => Err(too_large()),
            Ok(Err(TransportError::Connect(source))) => Err(ImdsError::Unreachable {
                endpoint: endpoint(),
                source,
            }),
            Ok(Err(TransportError::Broken(source))) => Err(ImdsError::Broken {
                endpoint: endpoint(),
                source,
            }),
        }
    }

    fn timed_out(&self) -> ImdsError {
        ImdsError::TimedOut {
            endpoint: self.endpoint.to_string(),
            after: self.request_timeout,
        }
    }

    fn foreign(&self, sign: &'static str) -> ImdsError {
        ImdsError::Foreign {
            endpoint: self.endpoint.to_string(),
            sign,
        }
    }
}

/// A body that is not what its path promises.
pub(crate) fn malformed(path: &str, source: DecodeError) -> ImdsError {
    ImdsError::Malformed {
        path: path.to_owned(),
        source,
    }
}

fn meta_data(path: &str) -> Result<String, ImdsError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=%".contains(&b);
    let relative = path.trim_start_matches('/');
    if relative.is_empty()
        || !relative.bytes().all(is_plain)
        || relative.split('/').any(|step| step == "." || step == "..")
    {
        return Err(ImdsError::InvalidPath {
            path: excerpt(path.as_bytes()),
        });
    }
    Ok(format!("/latest/meta-data/{relative}"))
}

fn unexpected(path: &str, status: StatusCode) -> ImdsError {
    let path = path.to_owned();
    match status {
        StatusCode::UNAUTHORIZED => ImdsError::Unauthorized { path },
        StatusCode::FORBIDDEN => ImdsError::Refused { path },
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => ImdsError::Unavailable {
            path,
            status: status.as_u16(),
        },
        _ => ImdsError::UnexpectedStatus {
            path,
            status: status.as_u16(),
        },
    }
}

/// The rest of a token's life that a reply tells, where it is one that EC2 could mean.
fn ttl(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u32 = headers
        .get(&TOKEN_TTL)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    options::TOKEN_TTLS
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &[u8]) -> HeaderMap {
        [(name, HeaderValue::from_bytes(value).unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_life_is_believed_within_its_bounds() {
        let read = |value: &str| ttl(&headers(TOKEN_TTL, value.as_bytes()));
        assert_eq!(read(" 42 "), Some(Duration::from_secs(42)));
        for odd in ["0", "-1", "21601", "99999999999999999999", "1.5", ""] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_metadata_is_asked_for() {
        assert_eq!(
            meta_data("/tags/instance/a:b").unwrap(),
            "/latest/meta-data/tags/instance/a:b"
        );
        for path in [
            "",
            "/",
            "a b",
            "a?b",
            "a#b",
            "../api/token",
            "a/./b",
            "é",
            "a\r\nb",
        ] {
            assert!(
                matches!(meta_data(path), Err(ImdsError::InvalidPath { .. })),
                "{path:?}"
            );
        }
    }
}
