//! Users of the workloads: every pod is a real HTTP server, a proxy follows the endpoints with a
//! delay as those on nodes do, and a client asks at a steady rate.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use k8s_openapi::api::{
    core::v1::Pod,
    discovery::v1::{Endpoint, EndpointSlice},
};
use kube::api::ListParams;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::town::Town;
use crate::{
    Error, Result,
    cluster::{Cluster, is_ready},
    error::Context as _,
    plain_http::request,
};

/// The time between two looks, and between two requests of a Service.
const TICK: Duration = Duration::from_millis(200);
/// How late the proxy is.
const LAG: Duration = Duration::from_secs(1);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a Service's users fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests.
    pub asked: u64,
    /// Of them, those that nobody answered.
    pub failed: u64,
}

/// Servers, a proxy and a client, until told to stop.
pub struct Traffic {
    stop: oneshot::Sender<()>,
    task: JoinSet<Result<BTreeMap<String, Served>>>,
}

impl Traffic {
    /// Begins to ask.
    pub fn start(town: &Town) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        let street = Street::new(town);
        task.spawn(street.live(stopped));
        Self { stop, task }
    }

    /// How users of each Service fared.
    ///
    /// # Errors
    /// When it could not look at pods or endpoints.
    pub async fn stop(mut self) -> Result<BTreeMap<String, Served>> {
        let _ = self.stop.send(()); // it may have ended by an error already
        match self.task.join_next().await {
            Some(Ok(served)) => served,
            other => Err(Error::Usage(format!("the traffic ended: {other:?}"))),
        }
    }
}

/// The ports of those behind each Service, as they were at a moment.
type Routes = BTreeMap<String, Vec<String>>;

struct Street {
    cluster: Cluster,
    services: Vec<String>,
    /// A pod's server, by the pod's name: its port, and what ends it.
    servers: BTreeMap<String, (u16, AbortHandle)>,
    serving: JoinSet<()>,
    /// What the proxy will know, the oldest first.
    routes: VecDeque<(Instant, Routes)>,
    requests: JoinSet<(String, bool)>,
    served: BTreeMap<String, Served>,
    turn: usize,
}

impl Street {
    fn new(town: &Town) -> Self {
        let with = town.kinds.iter().filter(|kind| kind.service);
        Self {
            cluster: town.cluster.clone(),
            services: with.map(|kind| kind.name.to_owned()).collect(),
            servers: BTreeMap::new(),
            serving: JoinSet::new(),
            routes: VecDeque::new(),
            requests: JoinSet::new(),
            served: BTreeMap::new(),
            turn: 0,
        }
    }

    async fn live(
        mut self,
        mut stopped: oneshot::Receiver<()>,
    ) -> Result<BTreeMap<String, Served>> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                Some(answered) = self.requests.join_next() => self.count(answered),
                _ = ticks.tick() => {
                    self.look().await?;
                    self.ask();
                }
            }
        }
        while let Some(answered) = self.requests.join_next().await {
            self.count(answered);
        }
        Ok(self.served)
    }

    fn count(&mut self, answered: std::result::Result<(String, bool), tokio::task::JoinError>) {
        // One that panicked is a bug of the bench, and no answer.
        let Ok((service, well)) = answered else {
            return;
        };
        let served = self.served.entry(service).or_default();
        served.asked += 1;
        served.failed += u64::from(!well);
    }

    /// Starts servers of pods that are ready, ends those of pods that are gone, and looks where
    /// the endpoints are.
    async fn look(&mut self) -> Result<()> {
        let cached = ListParams::default().match_any();
        let pods = self.cluster.api::<Pod>().list(&cached).await;
        let pods = pods.context("look at the pods")?.items;
        let mut there = BTreeSet::new();
        for pod in pods {
            let ready = is_ready(&pod);
            let name = pod.metadata.name.unwrap_or_default();
            if ready && !self.servers.contains_key(&name) {
                let listener = TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.context("listen")?;
                let port = listener.local_addr().context("listen")?.port();
                let server = self.serving.spawn(serve(listener));
                self.servers.insert(name.clone(), (port, server));
            }
            there.insert(name);
        }
        self.servers.retain(|name, (_, server)| {
            let stays = there.contains(name);
            if !stays {
                server.abort();
            }
            stays
        });
        let slices = self.cluster.api::<EndpointSlice>().list(&cached).await;
        let slices = slices.context("look at the endpoints")?.items;
        self.routes.push_back((Instant::now(), routes(slices)));
        Ok(())
    }

    /// One request to each Service, the way that the proxy knows.
    fn ask(&mut self) {
        let known = Instant::now().checked_sub(LAG);
        while self.routes.len() > 1 && self.routes.get(1).map(|(at, _)| *at) <= known {
            self.routes.pop_front();
        }
        let Some((at, routes)) = self.routes.front() else {
            return;
        };
        if Some(*at) > known {
            return; // it has not begun yet
        }
        self.turn += 1;
        for service in &self.services {
            let behind = routes.get(service).map_or(&[][..], Vec::as_slice);
            let pod = behind.get(self.turn % behind.len().max(1));
            let port = pod
                .and_then(|pod| self.servers.get(pod))
                .map(|(port, _)| *port);
            let service = service.clone();
            self.requests
                .spawn(async move { (service, answers(port).await) });
        }
    }
}

/// Whether a server answers.
async fn answers(port: Option<u16>) -> bool {
    let Some(port) = port else {
        return false;
    };
    let asked = timeout(PATIENCE, request(port, "GET", "/", &[])).await;
    matches!(asked, Ok(Ok((200, _))))
}

/// Answers until it is ended.
async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = timeout(PATIENCE, answer(stream)).await; // its client counts it
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 512];
    let _ = stream.read(&mut head).await?;
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nwell").await?;
    stream.shutdown().await
}

/// The pods behind each Service: those that are ready, and where none is, those that are going and
/// serve still (Kubernetes, "Proxying to terminating endpoints").
fn routes(slices: Vec<EndpointSlice>) -> Routes {
    let mut routes = Routes::new();
    for slice in slices {
        let labels = slice.metadata.labels.unwrap_or_default();
        let Some(service) = labels.get("kubernetes.io/service-name") else {
            continue;
        };
        let endpoints = slice.endpoints.unwrap_or_default();
        let of = |which: fn(&Endpoint) -> bool| {
            let chosen = endpoints.iter().filter(|endpoint| which(endpoint));
            let names = chosen.filter_map(|e| e.target_ref.as_ref()?.name.clone());
            names.collect::<Vec<_>>()
        };
        let ready = of(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true));
        let serving = || of(|e| e.conditions.as_ref().and_then(|c| c.serving) == Some(true));
        let chosen = if ready.is_empty() { serving() } else { ready };
        routes.entry(service.clone()).or_default().extend(chosen);
    }
    routes
}
