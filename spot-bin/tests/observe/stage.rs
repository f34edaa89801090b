//! The daemon as it ships, a metadata service and a cluster, all on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use spot_core::notice::InstanceAction;
use spot_drain::sim::{Node, Sim, Workload, World};
use spot_imds::sim::{Imds, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::receiver;

const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const NODE: &str = "spot-1";

/// A running daemon and what it runs on; all of it ends when this is dropped.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    child: Child,
    log: BufReader<ChildStderr>,
    said: String,
    address: SocketAddr,
    webhook: mpsc::UnboundedReceiver<Value>,
    _servers: JoinSet<()>,
    _runtime: Runtime,
    _files: tempfile::TempDir,
}

impl Stage {
    /// A node with three pods, whose instance is interrupted at once.
    pub(crate) fn interrupted() -> Self {
        Self::with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::with_receiver(arguments, Duration::ZERO)
    }

    /// The same with a webhook whose receiver is of no use for so long.
    pub(crate) fn with_receiver(arguments: &[&str], away: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut servers = JoinSet::new();
        let (sim, metadata, api) = {
            let _in = runtime.enter();
            let imds = Imds::builder().instance(INSTANCE).spot_notice(
                Duration::from_millis(100),
                InstanceAction::Terminate,
                Duration::from_secs(120),
            );
            let server = Server::bind(imds.build().shared(), loopback()).unwrap();
            let metadata = server.url();
            servers.spawn(async move {
                server.run(std::future::pending::<()>()).await;
            });
            let sim = Sim::new(world());
            let listener = runtime.block_on(TcpListener::bind(loopback())).unwrap();
            let api = listener.local_addr().unwrap();
            let cluster = sim.clone();
            servers.spawn(async move { match cluster.serve(listener).await {} });
            (sim, metadata, api)
        };
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name);
        std::fs::write(file("kubeconfig"), kubeconfig(api)).unwrap();
        let (port, roots, webhook) = {
            let _in = runtime.enter();
            runtime.block_on(receiver::start(&mut servers, Instant::now() + away))
        };
        std::fs::write(file("roots.pem"), roots).unwrap();
        std::fs::write(file("url"), format!("https://localhost:{port}/s3cret\n")).unwrap();
        std::fs::write(file("headers"), "X-Token: s3cret\n").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_spot-interrupt-handler"))
            .args(["run", "--node-name", NODE, "--listen", "127.0.0.1:0"])
            .args(["--metadata-url", &metadata, "--kubeconfig"])
            .arg(file("kubeconfig"))
            .args(arguments)
            .env_clear()
            .env("SSL_CERT_FILE", file("roots.pem"))
            .env("WEBHOOK_URL_FILE", file("url"))
            .env("WEBHOOK_HEADERS_FILE", file("headers"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let started = line_with(&mut log, "started");
        let (_, address) = started.split_once("listen=").unwrap();
        let address = address.split_whitespace().next().unwrap().parse().unwrap();
        Self {
            sim,
            child,
            log,
            address,
            said: String::new(),
            webhook,
            _servers: servers,
            _runtime: runtime,
            _files: files,
        }
    }

    /// Waits until the log says so.
    pub(crate) fn wait_for(&mut self, words: &str) {
        self.said += &line_with(&mut self.log, words);
    }

    /// What the webhook was told next.
    pub(crate) fn told(&mut self) -> Value {
        self.webhook.blocking_recv().unwrap()
    }

    /// The rest of the log, once it has ended, and what was read of it before.
    pub(crate) fn log(&mut self) -> String {
        self.log.read_to_string(&mut self.said).unwrap();
        std::mem::take(&mut self.said)
    }

    /// A whole reply.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Asks it to end; its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn world() -> World {
    let web = Workload::deployment("web").namespace("shop").replicas(3);
    World::builder()
        .node(Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
        .node(Node::new("other-1"))
        .workload(web.on(NODE).exit_after("0.1"))
        .build(Instant::now())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn kubeconfig(api: SocketAddr) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "sim",
        "clusters": [{"name": "sim", "cluster": {"server": format!("http://{api}")}}],
        "users": [{"name": "sim", "user": {}}],
        "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}],
    });
    config.to_string()
}

fn line_with(log: &mut impl BufRead, words: &str) -> String {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended:\n{said}");
        said += &line;
        if line.contains(words) {
            return said;
        }
    }
}
