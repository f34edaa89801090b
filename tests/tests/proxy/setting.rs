//! What the tests of the proxy stand on.

use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Config, client::Body};
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{Injection, Node, Sim, World};
use spot_tests::{Result, error::Context as _, proxy::Proxy};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

const WATCH: &str = "/api/v1/nodes?watch=true&resourceVersion=0&allowWatchBookmarks=false";

/// One node in a simulator that is served, and the proxy before it.
pub(crate) struct Setting {
    pub(crate) proxy: Proxy,
    pub(crate) sim: Sim,
    config: Config,
    _tasks: JoinSet<()>,
}

impl Setting {
    pub(crate) async fn new() -> Result<Self> {
        let world = World::builder().node(Node::new("a")).build(Instant::now());
        let sim = Sim::new(world);
        let listener = TcpListener::bind("127.0.0.1:0").await.context("bind")?;
        let address = listener.local_addr().context("address")?;
        let mut tasks = JoinSet::new();
        let served = sim.clone();
        tasks.spawn(async move { match served.serve(listener).await {} });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        let proxy = Proxy::start(&config).await?;
        Ok(Self {
            proxy,
            sim,
            config,
            _tasks: tasks,
        })
    }

    /// All requests have this fault from now on.
    pub(crate) async fn with(fault: impl Into<Injection>) -> Result<Self> {
        let setting = Self::new().await?;
        let fault = fault.into();
        let always = move |_: u64, _: &http::Request<bytes::Bytes>, _: Now| fault.clone();
        setting.proxy.set_faults(always);
        Ok(setting)
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Client::try_from(self.proxy.towards(&self.config)?).context("client")
    }

    /// Status, headers and body of a GET.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, http::HeaderMap, String)> {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let answer = self.client()?.send(request).await.context(path)?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.context(path)?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((parts.status.as_u16(), parts.headers, text))
    }

    /// A GET on a connection of its own, to see what becomes of that.
    pub(crate) async fn raw(&self, path: &str) -> std::io::Result<TcpStream> {
        let address = self.proxy.url().replace("http://", "");
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: proxy\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    pub(crate) fn only(&self) -> spot_drain::sim::Recorded {
        let all = self.proxy.requests();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    pub(crate) async fn label(&self, value: &str) -> Result<()> {
        let nodes = Api::<KubeNode>::all(Client::new(self.sim.service(), "default"));
        let label = Patch::Merge(json!({"metadata": {"labels": {"seen": value}}}));
        let patched = nodes.patch("a", &PatchParams::default(), &label).await;
        patched.map(drop).context("label the node")
    }
}

/// The lines of a watch through the proxy.
pub(crate) struct Lines {
    body: Body,
    rest: Vec<u8>,
}

impl Lines {
    pub(crate) async fn open(setting: &Setting) -> Result<Self> {
        let request = http::Request::get(WATCH).body(Body::empty()).unwrap();
        let answer = setting.client()?.send(request).await.context("watch")?;
        assert_eq!(answer.status(), 200);
        Ok(Self {
            body: answer.into_body(),
            rest: Vec::new(),
        })
    }

    /// The next line: `None` at the end, an error where the connection broke.
    pub(crate) async fn next(&mut self) -> Option<Result<Value, String>> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(Ok(serde_json::from_slice(&line).unwrap()));
            }
            match self.body.frame().await? {
                Ok(frame) => self.rest.extend(frame.into_data().unwrap_or_default()),
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }

    /// The label of the node in the next line.
    pub(crate) async fn label(&mut self) -> Option<String> {
        let line = self.next().await?.ok()?;
        line["object"]["metadata"]["labels"]["seen"]
            .as_str()
            .map(String::from)
    }
}
