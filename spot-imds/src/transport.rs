//! The way to the metadata service and back: a port, and its implementation over TCP.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The room for a reply's status line and headers, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The most headers that a reply may have.
const MAX_HEADERS: usize = 64;

/// A cause of any type, kept for its text.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Carries one request to the metadata service and brings back the reply.
///
/// [`HttpTransport`] does so over TCP; a test or a simulator answers in memory. The
/// [`ImdsClient`](crate::client::ImdsClient) sends one request at a time and gives each a
/// timeout, so that an implementation needs neither queue nor clock. The simulator
/// (`sim::SharedImds`, feature `sim`) is one; feature `mock` adds `MockTransport`.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute, and reads the whole reply, whatever its status.
    ///
    /// A redirect is a reply like any other: it is never followed.
    ///
    /// # Errors
    /// [`TransportError`]; a body of more than `max_body` bytes is
    /// [`TransportError::TooLarge`], and no more than that of it is kept in memory.
    ///
    /// # Cancel safety
    /// Dropping the future gives the exchange up; the next one is not affected by a late reply.
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, TransportError>;
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection: refused, no route, no such host.
    #[error("no connection")]
    Connect(#[source] BoxError),
    /// No connection in time.
    #[error("no connection in time")]
    ConnectTimedOut,
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange broke off")]
    Broken(#[source] BoxError),
    /// The body is longer than it may be.
    #[error("the body is too long")]
    TooLarge,
}

/// HTTP/1.1 over TCP on one connection that is kept alive between requests.
///
/// It follows no redirect and uses no proxy. The head of a reply is limited to 16 KiB and 64
/// headers. An exchange that is given up closes its connection, so that a late reply is never
/// taken for the answer to the next request; a kept connection that the service has closed
/// meanwhile is replaced, and the request, which has not been sent, goes over the new one.
///
/// Needs a Tokio runtime with I/O and time enabled when a request is sent, not before.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl HttpTransport {
    /// A transport that gives up connecting after `connect_timeout`.
    pub fn new(connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        // The executor drives the connection; the task ends with it, at the latest when this
        // transport is dropped.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Self { client }
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let response = self
            .client
            .request(request.map(Full::new))
            .await
            .map_err(|error| {
                if !error.is_connect() {
                    TransportError::Broken(error.into())
                } else if timed_out(&error) {
                    TransportError::ConnectTimedOut
                } else {
                    TransportError::Connect(error.into())
                }
            })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, max_body)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    TransportError::TooLarge
                } else {
                    TransportError::Broken(error)
                }
            })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// Whether a time limit, the kernel's or ours, is at the bottom of `error`.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
        {
            return true;
        }
        next = error.source();
    }
    false
}
