//! The binary in the image's own root file system, as a pod runs it: with its service account and
//! its webhook's secret mounted, and nothing else there.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{
    Error, Result,
    cluster::{Cluster, NodeSpec, Workload},
    deploy::{Manifests, installed::Installed},
    error::Context as _,
    handler,
    image::Image,
    metadata_sim::MetadataSim,
    process::{Process, Spec},
    scratch::Scratch,
    wait::wait_until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);
const RECEIVER: &str = "hooks.example.test";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A receiver over TLS: its port, the authority that vouches for it, what it is told.
async fn receiver(tasks: &mut JoinSet<()>) -> (u16, String, mpsc::UnboundedReceiver<Value>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![RECEIVER.to_owned()]).unwrap();
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
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut all = Vec::new();
            while stream.read_buf(&mut all).await.is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&all);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                if let Some(Ok(body)) = body.map(serde_json::from_str) {
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                    let _ = tell.send(body);
                    break;
                }
            }
        }
    });
    (port, certificate.pem(), told)
}

/// An image that trusts one more authority than this machine.
async fn image(authority: &str) -> Result<Image> {
    let scratch = Scratch::new("authorities")?;
    let bundle = scratch.path().join("bundle.crt");
    let ours = std::fs::read_to_string(super::AUTHORITIES).context("read the authorities")?;
    std::fs::write(&bundle, ours + authority).context("write the authorities")?;
    Image::build(handler::binary().await?, &bundle).await
}

#[tokio::test]
async fn it_drains_a_node_and_tells_a_webhook_by_its_name_with_nothing_else_there() -> Result<()> {
    let installed = Installed::start(Manifests::Current).await?;
    let cluster = Cluster::create(&installed.admin()?, "image").await?;
    let node = cluster.add_node(&NodeSpec::spot("doomed")).await?;
    cluster.add_node(&NodeSpec::on_demand("refuge")).await?;
    cluster.deploy_on(&node, &Workload::new("web", 2)).await?;
    let agent = installed.agent(&node).await?;
    let metadata = MetadataSim::of(&node.instance_id)?;
    let mut tasks = JoinSet::new();
    let (port, authority, mut told) = receiver(&mut tasks).await;

    // What a kubelet puts into a pod.
    let image = image(&authority).await?;
    let ca = std::fs::read(installed.plane.ca()).context("read the authority")?;
    image.mount(&format!("{ACCOUNT}/ca.crt"), ca)?;
    image.mount(&format!("{ACCOUNT}/token"), agent.token())?;
    image.mount(&format!("{ACCOUNT}/namespace"), "kube-system")?;
    image.mount(
        "/etc/webhook/secret/url",
        format!("https://{RECEIVER}:{port}/told"),
    )?;
    image.mount("/etc/hosts", format!("127.0.0.1 localhost {RECEIVER}\n"))?;

    let api: http::Uri = installed.plane.url().parse().unwrap();
    let mut environment: BTreeMap<String, String> = agent.env()?.into_iter().collect();
    let host = api.host().unwrap().to_owned();
    environment.insert("KUBERNETES_SERVICE_HOST".into(), host);
    environment.insert(
        "KUBERNETES_SERVICE_PORT".into(),
        api.port().unwrap().to_string(),
    );
    let log = Scratch::new("alone")?;
    let entry = &image.config["config"]["Entrypoint"][0];
    let spec = Spec::new("the image", Path::new("unshare"), &log.path().join("log"))
        .args(["--map-root-user", "--root"])
        .arg(image.root())
        .args(["--wd", "/"])
        .arg(entry.as_str().unwrap())
        .args(agent.arguments()?)
        .args(["--metadata-url", &metadata.url, "--listen", "127.0.0.1:0"])
        .args(["--webhook-url-file", "/etc/webhook/secret/url"]);
    let spec = environment
        .iter()
        .fold(spec, |spec, (key, value)| spec.env(key, value));
    let process = Process::start(&spec)?;
    let says = async |words: &str| {
        wait_until(words, A_WHILE, async || {
            let log = process.log();
            let said = log.contains(words);
            said.then_some(()).ok_or(log)
        })
        .await
    };
    says("notices can be heard").await?;
    let notice = Announcement::spot(InstanceAction::Terminate);
    metadata
        .imds
        .announce(notice.left(Duration::from_secs(120)));
    says("drain finished").await?;
    for event in ["notice", "drain-finished"] {
        let message = tokio::time::timeout(A_WHILE, told.recv()).await;
        let late = |_| Error::Usage(format!("no {event}: {}", process.log()));
        let message = message.map_err(late)?.unwrap();
        assert_eq!(message["event"], event, "{message}");
    }
    assert!(cluster.pods_on(&node.name).await?.is_empty());
    process.stop(A_WHILE).await?;
    Ok(())
}
