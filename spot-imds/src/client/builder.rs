//! What can be set about a client.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{ImdsClient, Inner};
use crate::observer::ExchangeObserver;
use crate::options::{self, ConfigError, Endpoint, within};
use crate::transport::{HttpTransport, Transport};

/// Puts an [`ImdsClient`] together.
#[derive(Clone)]
pub struct ImdsClientBuilder {
    pub(super) endpoint: String,
    pub(super) request_timeout: Duration,
    pub(super) max_body: usize,
    pub(super) token_ttl: u32,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) observers: Vec<Arc<dyn ExchangeObserver>>,
}

impl ImdsClientBuilder {
    /// The service's URL: `http://HOST[:PORT]`, without a path
    /// ([`options::DEFAULT_ENDPOINT`] unless set). IPv6 addresses go in brackets.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = url.into();
        self
    }

    /// How long one exchange may take: connecting, and the reply to its last byte
    /// ([`options::DEFAULT_REQUEST_TIMEOUT`] unless set, within
    /// [`options::REQUEST_TIMEOUTS`]).
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The longest body that is read, in bytes ([`options::DEFAULT_MAX_BODY`] unless set,
    /// within [`options::MAX_BODIES`]).
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// The life of a session token that is asked for, in seconds
    /// ([`options::DEFAULT_TOKEN_TTL`] unless set, within [`options::TOKEN_TTLS`]).
    #[must_use]
    pub fn token_ttl(mut self, seconds: u32) -> Self {
        self.token_ttl = seconds;
        self
    }

    /// Another way to the service than TCP, for tests and simulations.
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Adds one that is told of every request.
    #[must_use]
    pub fn observer(mut self, observer: impl ExchangeObserver + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// The client. No request is made yet, and no runtime is needed.
    ///
    /// # Errors
    /// [`ConfigError`], for the first setting that cannot be used.
    pub fn build(self) -> Result<ImdsClient, ConfigError> {
        let endpoint = Endpoint::parse(&self.endpoint)?;
        let request_timeout = within(
            self.request_timeout,
            &options::REQUEST_TIMEOUTS,
            ConfigError::RequestTimeout,
        )?;
        let max_body = within(self.max_body, &options::MAX_BODIES, ConfigError::MaxBody)?;
        let token_ttl = within(self.token_ttl, &options::TOKEN_TTLS, ConfigError::TokenTtl)?;
        let transport = self
            .transport
            .unwrap_or_else(|| Arc::new(HttpTransport::new(request_timeout)));
        Ok(ImdsClient(Arc::new(Inner {
            endpoint,
            request_timeout,
            max_body,
            token_ttl,
            transport,
            observers: self.observers,
            token: Mutex::new(None),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused() {
        let builder = ImdsClient::builder;
        assert!(builder().build().is_ok());
        assert_eq!(
            builder().token_ttl(0).build().unwrap_err(),
            ConfigError::TokenTtl(0)
        );
        assert_eq!(
            builder().max_body(0).build().unwrap_err(),
            ConfigError::MaxBody(0)
        );
        let timeout = Duration::ZERO;
        assert_eq!(
            builder().request_timeout(timeout).build().unwrap_err(),
            ConfigError::RequestTimeout(timeout)
        );
        assert!(matches!(
            builder().endpoint("nowhere").build(),
            Err(ConfigError::Endpoint { .. })
        ));
    }
}
