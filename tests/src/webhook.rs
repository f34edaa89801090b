//! An admission webhook that denies evictions, with words of its own, as clusters have them.

use std::{convert::Infallible, net::Ipv4Addr, path::Path, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{Error, Result, cluster::Cluster, control_plane::ControlPlane, error::Context as _};

/// What is said of a pod's eviction: a status and words, or nothing where it is allowed.
pub type Verdict = fn(pod: &str) -> Option<(u16, String)>;

/// A running webhook. It denies nothing any more when it is dropped: the API server then finds
/// nobody there, and was told to ignore that.
#[derive(Debug)]
pub struct Webhook {
    _tasks: JoinSet<()>,
}

impl Webhook {
    /// Starts a server, with the control plane's own certificate, and has it asked about the
    /// evictions in `cluster`.
    ///
    /// # Errors
    /// When it cannot be started or registered.
    pub async fn start(plane: &ControlPlane, cluster: &Cluster, verdict: Verdict) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(plane)?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("bind the webhook")?;
        let port = listener.local_addr().context("the webhook's port")?.port();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, acceptor, verdict));
        register(plane, cluster, port).await?;
        Ok(Self { _tasks: tasks })
    }
}

fn tls(plane: &ControlPlane) -> Result<ServerConfig> {
    let bad = |what: &str, error: &dyn std::fmt::Display| Error::Tool(format!("{what}: {error}"));
    let (certificate, key) = plane.server_certificate();
    let read = CertificateDer::pem_file_iter(certificate);
    let chain = read.and_then(Iterator::collect);
    let chain = chain.map_err(|error| bad("the webhook's certificate", &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| bad("its key", &error))?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, key);
    config.map_err(|error| bad("the webhook's TLS", &error))
}

async fn register(plane: &ControlPlane, cluster: &Cluster, port: u16) -> Result<()> {
    let name = format!("{}.spot-tests.example", cluster.namespace());
    let authority = pem_as_bytes(plane.ca())?;
    let registration: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": name,
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/"),
                "caBundle": authority,
            },
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": ["pods/eviction"]}],
            "namespaceSelector":
                {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace()}},
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
        }],
    }))
    .map_err(|error| Error::Usage(error.to_string()))?;
    Api::all(cluster.client().clone())
        .create(&PostParams::default(), &registration)
        .await
        .map(drop)
        .context("register the webhook")
}

/// A file as Kubernetes' objects hold bytes.
fn pem_as_bytes(path: &Path) -> Result<k8s_openapi::ByteString> {
    let pem = std::fs::read(path).context(format!("read {}", path.display()))?;
    Ok(k8s_openapi::ByteString(pem))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, verdict: Verdict) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| review(request, verdict));
                    let served = http1::Builder::new();
                    let served = served.serve_connection(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
        }
    }
}

async fn review(
    request: Request<Incoming>,
    verdict: Verdict,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let pod = review["request"]["name"].as_str().unwrap_or_default();
    let mut answer = json!({"uid": review["request"]["uid"], "allowed": true});
    if let Some((code, message)) = verdict(pod) {
        answer["allowed"] = false.into();
        answer["status"] = json!({"code": code, "message": message});
    }
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer,
    });
    let mut response = Response::new(Full::from(answer.to_string()));
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}
