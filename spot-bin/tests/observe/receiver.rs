//! A webhook's receiver over TLS, with a certificate of its own.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Starts one that is of no use until `ready`; its port, who vouches for it, and what it is told.
pub(crate) async fn start(
    tasks: &mut JoinSet<()>,
    ready: Instant,
) -> (u16, String, mpsc::UnboundedReceiver<Value>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut all = Vec::new();
            let body = loop {
                assert_ne!(stream.read_buf(&mut all).await.unwrap(), 0);
                let text = String::from_utf8_lossy(&all);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                if let Some(Ok(body)) = body.map(serde_json::from_str) {
                    assert!(text.contains("x-token: s3cret\r\n"), "{text}");
                    break body;
                }
            };
            if Instant::now() < ready {
                let reply = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
                stream.write_all(reply).await.unwrap();
                continue;
            }
            let reply = b"HTTP/1.1 204 No Content\r\n\r\n";
            stream.write_all(reply).await.unwrap();
            tell.send(body).unwrap();
        }
    });
    (port, certificate.pem(), told)
}
