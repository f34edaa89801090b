//! What is missing, looked at several times a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::api::ListParams;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::town::{Kind, Town};
use crate::{
    Error, Result,
    cluster::{Cluster, is_ready},
    error::Context as _,
    kwok::KILLED_BY_GRACE,
};

/// The time between two looks.
const TICK: Duration = Duration::from_millis(200);

/// What a workload lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Loss {
    /// Its name.
    pub workload: String,
    /// Whether the rules of make before break allow it.
    pub allowed: bool,
    /// Ready replicas that were missing, times the seconds that they were.
    pub missing_replica_seconds: f64,
    /// For how long no endpoint of its Service was ready; `None` without a Service.
    pub seconds_without_an_endpoint: Option<f64>,
    /// Requests of its users; `None` without traffic.
    pub requests: Option<u64>,
    /// Those of them that nobody answered.
    pub failed_requests: Option<u64>,
    /// Processes that were killed before they had ended.
    pub killed: usize,
    /// Pods that were there when the machine died.
    pub lost: usize,
}

/// Looks at a town until it is told to stop.
pub struct Meter {
    cluster: Cluster,
    stop: oneshot::Sender<()>,
    task: JoinSet<Result<Seen>>,
}

/// What was seen until it was told to stop.
#[derive(Debug, Default)]
struct Seen {
    losses: BTreeMap<String, Loss>,
    /// The workloads of all pods that there were, by their names: those of one may begin as those of
    /// another.
    apps: BTreeMap<String, String>,
}

impl Meter {
    /// Begins to look.
    pub fn start(town: &Town) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (cluster, kinds) = (town.cluster.clone(), town.kinds.clone());
        let mut task = JoinSet::new();
        task.spawn(look(cluster, kinds, stopped));
        Self {
            cluster: town.cluster.clone(),
            stop,
            task,
        }
    }

    /// What was lost, in the order of the workloads; `lost` are the workloads of the pods that were
    /// lost with the machine.
    ///
    /// # Errors
    /// When it could not look.
    pub async fn stop(mut self, kinds: &[Kind], lost: &[String]) -> Result<Vec<Loss>> {
        let _ = self.stop.send(()); // it may have ended by an error already
        let ended = self.task.join_next().await;
        let Seen { mut losses, apps } = match ended {
            Some(Ok(seen)) => seen?,
            other => return Err(Error::Usage(format!("the meter ended: {other:?}"))),
        };
        let killed = self.cluster.events(KILLED_BY_GRACE).await?;
        let killed: BTreeSet<String> = killed
            .into_iter()
            .filter_map(|event| event.involved_object.name)
            .collect();
        Ok(kinds
            .iter()
            .map(|kind| {
                let of_it = |pod: &&String| apps.get(*pod).is_some_and(|app| app == kind.name);
                Loss {
                    workload: kind.name.to_owned(),
                    allowed: kind.allowed,
                    killed: killed.iter().filter(of_it).count(),
                    lost: lost.iter().filter(|name| *name == kind.name).count(),
                    ..losses.remove(kind.name).unwrap_or_default()
                }
            })
            .collect())
    }
}

async fn look(
    cluster: Cluster,
    kinds: Vec<Kind>,
    mut stopped: oneshot::Receiver<()>,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Instant::now();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => return Ok(seen),
            _ = ticks.tick() => {}
        }
        let serving = serving(&cluster, &mut seen.apps);
        let (serving, endpoints) = tokio::try_join!(serving, endpoints(&cluster))?;
        let now = Instant::now();
        let passed = now.duration_since(before).as_secs_f64();
        before = now;
        for kind in &kinds {
            let loss = seen.losses.entry(kind.name.to_owned()).or_default();
            let serve = serving.get(kind.name).copied().unwrap_or(0);
            let missing = u32::try_from(kind.wanted().saturating_sub(serve)).unwrap_or(u32::MAX);
            loss.missing_replica_seconds += f64::from(missing) * passed;
            if kind.service {
                let without = loss.seconds_without_an_endpoint.get_or_insert(0.0);
                if !endpoints.contains(kind.name) {
                    *without += passed;
                }
            }
        }
    }
}

/// How many pods of each workload serve; `apps` has of each pod that there is whose it is.
async fn serving(
    cluster: &Cluster,
    apps: &mut BTreeMap<String, String>,
) -> Result<BTreeMap<String, usize>> {
    let cached = ListParams::default().match_any();
    let pods = cluster.api::<Pod>().list(&cached).await;
    let mut serving = BTreeMap::new();
    for pod in pods.context("look at the pods")? {
        let app = pod.metadata.labels.as_ref().and_then(|l| l.get("app"));
        let app = app.cloned().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_none() && is_ready(&pod) {
            *serving.entry(app.clone()).or_default() += 1;
        }
        apps.insert(pod.metadata.name.unwrap_or_default(), app);
    }
    Ok(serving)
}

/// The Services with an endpoint that is ready.
async fn endpoints(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let cached = ListParams::default().match_any();
    let slices = cluster.api::<EndpointSlice>().list(&cached).await;
    let slices = slices.context("look at the endpoints")?.into_iter();
    let ready = |slice: &EndpointSlice| {
        let mut endpoints = slice.endpoints.iter().flatten();
        endpoints.any(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
    };
    let service = "kubernetes.io/service-name";
    let names = slices
        .filter(ready)
        .filter_map(|s| s.metadata.labels?.remove(service));
    Ok(names.collect())
}
