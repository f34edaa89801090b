//! The way to the receiver: a port, and HTTP/1.1 over TLS and proxies.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Carries one request to the receiver and brings back the status of its reply.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends `request`, whose URI is absolute. A redirect is not followed. The caller gives it a
    /// timeout.
    ///
    /// # Errors
    /// [`TransportError`], which tells nothing of the URL and the headers.
    ///
    /// # Cancel safety
    /// Dropping the future gives the exchange up.
    async fn send(&self, request: Request<Bytes>) -> Result<u16, TransportError>;
}

/// Why there is no reply. Says nothing of what was asked of whom: that is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection: no such name, refused, no route, or a proxy that refuses.
    #[error("no connection")]
    Connect,
    /// No usable roots in the system's store, or no TLS.
    #[error("no certificate authorities to trust")]
    Roots,
    /// The receiver's certificate was not taken, or it speaks no TLS.
    #[error("no TLS: the receiver's certificate is not trusted, or is for another name")]
    Tls,
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange broke off")]
    Broken,
}

/// A stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// HTTP/1.1, a connection for each request: there are two in the life of a machine.
///
/// TLS trusts the system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
/// others), read for each request. A proxy gets a `CONNECT`, for `http` as well; it is spoken to
/// without TLS.
#[derive(Debug)]
pub struct HttpTransport {
    proxies: Matcher,
}

impl HttpTransport {
    /// With the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or
    /// lower case.
    pub fn from_env() -> Self {
        Self::with_proxies(Matcher::from_env())
    }

    /// With these proxies.
    pub fn with_proxies(proxies: Matcher) -> Self {
        Self { proxies }
    }

    async fn connect(&self, url: &Uri) -> Result<TcpStream, TransportError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let stream = match self.proxies.intercept(url) {
            None => connector.call(url.clone()).await.map_err(|_| ()),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                tunnel.call(url.clone()).await.map_err(|_| ())
            }
        };
        stream
            .map(TokioIo::into_inner)
            .map_err(|()| TransportError::Connect)
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, mut request: Request<Bytes>) -> Result<u16, TransportError> {
        let url = request.uri().clone();
        let stream = self.connect(&url).await?;
        let stream: Box<dyn Stream> = if url.scheme_str() == Some("https") {
            Box::new(tls(stream, &url).await?)
        } else {
            Box::new(stream)
        };
        // To the receiver itself a request names its path, and the host in a header.
        let host = url.authority().map(|a| a.as_str().rsplit('@').next());
        let host = host.flatten().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| TransportError::Connect)?;
        request.headers_mut().entry(HOST).or_insert(host);
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| TransportError::Connect)?;
        exchange(stream, request.map(Full::new)).await
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<u16, TransportError> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| TransportError::Broken)?;
    let driven = async {
        // How it ends, the request knows.
        let _ = connection.await;
        std::future::pending().await
    };
    let answer = tokio::select! {
        biased;
        answer = sender.send_request(request) => answer,
        never = driven => never,
    };
    let answer = answer.map_err(|_| TransportError::Broken)?;
    Ok(answer.status().as_u16())
}

async fn tls(
    stream: TcpStream,
    url: &Uri,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, TransportError> {
    // Reading a hundred certificates takes a moment.
    let config = tokio::task::spawn_blocking(config).await;
    let config = config.map_err(|_| TransportError::Roots)??;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TransportError::Tls)?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connected.await.map_err(|_| TransportError::Tls)
}

fn config() -> Result<ClientConfig, TransportError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TransportError::Roots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TransportError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
