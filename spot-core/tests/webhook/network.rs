//! The transport over sockets: HTTP, TLS, and a proxy.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use hyper_util::client::proxy::matcher::Matcher;
use spot_core::webhook::transport::{HttpTransport, Transport, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Reads to the end of a message with so many bytes of body.
async fn read(stream: &mut (impl AsyncRead + Unpin), body: usize) -> String {
    let mut all = Vec::new();
    loop {
        let end = all.windows(4).position(|w| w == b"\r\n\r\n");
        if end.is_some_and(|end| all.len() >= end + 4 + body) {
            return String::from_utf8(all).unwrap();
        }
        assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let asked = read(&mut stream, 2).await;
    let reply = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(reply).await.unwrap();
    asked
}

fn post(url: &str) -> Request<Bytes> {
    let request = Request::builder().method(Method::POST).uri(url);
    request.body(Bytes::from_static(b"{}")).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn direct() -> HttpTransport {
    HttpTransport::with_proxies(Matcher::builder().build())
}

#[tokio::test]
async fn a_plain_request_names_its_path_and_its_host() {
    let (listener, address) = listen().await;
    let url = format!("http://{address}/hook/secret?a=b");
    let transport = direct();
    let served = async { answer(listener.accept().await.unwrap().0).await };
    let (status, asked) = tokio::join!(transport.send(post(&url)), served);
    assert_eq!(status.unwrap(), 202);
    assert!(
        asked.starts_with("POST /hook/secret?a=b HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
}

#[tokio::test]
async fn an_error_says_nothing_of_the_url() {
    let (listener, address) = listen().await;
    drop(listener);
    let url = format!("http://{address}/s3cret");
    let error = direct().send(post(&url)).await.unwrap_err();
    assert_eq!(error, TransportError::Connect);
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let (listener, address) = listen().await;
    let (proxy, proxy_address) = listen().await;
    let url = format!("http://{address}/hook");
    let proxies = Matcher::builder().all(format!("http://user:pass@{proxy_address}"));
    let transport = HttpTransport::with_proxies(proxies.build());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut client = proxy.accept().await.unwrap().0;
        let asked = read(&mut client, 0).await;
        assert!(
            asked.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
            "{asked}"
        );
        assert!(
            asked.to_lowercase().contains("proxy-authorization: basic"),
            "{asked}"
        );
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut server = TcpStream::connect(address).await.unwrap();
        let _ = copy_bidirectional(&mut client, &mut server).await;
    });
    let served = async { answer(listener.accept().await.unwrap().0).await };
    let (status, asked) = tokio::join!(transport.send(post(&url)), served);
    assert_eq!(status.unwrap(), 202);
    assert!(asked.starts_with("POST /hook HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (listener, address) = listen().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let url = format!("https://localhost:{}/hook", address.port());
    let transport = direct();
    let served = async {
        let stream = listener.accept().await.unwrap().0;
        acceptor.accept(stream).await.is_err()
    };
    let (status, refused) = tokio::join!(transport.send(post(&url)), served);
    let error = status.unwrap_err();
    assert!(
        matches!(error, TransportError::Tls | TransportError::Roots),
        "{error:?}"
    );
    assert!(refused || error == TransportError::Roots);
}
