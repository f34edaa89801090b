//! A client that has nothing to do with any drain, and feels what it does to the API server.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use spot_tests::{
    clock::wall_now,
    cluster::Cluster,
    figures::{median_and_max, percentile},
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::sheet::time;

const EVERY: Duration = Duration::from_millis(50);
/// The `ConfigMap` that every namespace has.
const NAME: &str = "kube-root-ca.crt";

type Samples = Vec<(Timestamp, Duration)>;

/// Reads one `ConfigMap` every 50 ms until it is dropped.
pub(crate) struct Bystander {
    samples: Arc<Mutex<Samples>>,
    _task: JoinSet<()>,
}

impl Bystander {
    /// Starts reading, over a connection of its own.
    pub(crate) fn start(client: kube::Client, cluster: &Cluster) -> Self {
        let configs = Api::<ConfigMap>::namespaced(client, cluster.namespace());
        let samples = Arc::<Mutex<Samples>>::default();
        let mut task = JoinSet::new();
        let into = Arc::clone(&samples);
        task.spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let (at, start) = (wall_now(), Instant::now());
                // A failure takes its time as well; the control plane of a bench has none.
                let _ = configs.get(NAME).await;
                let sample = (at, start.elapsed());
                let mut samples = into.lock().unwrap_or_else(PoisonError::into_inner);
                samples.push(sample);
            }
        });
        Self {
            samples,
            _task: task,
        }
    }

    /// Median and 99th percentile of the reads begun between two times, for people to read.
    pub(crate) fn latency(&self, from: Timestamp, to: Timestamp) -> String {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let took: Vec<Duration> = samples
            .iter()
            .filter(|(at, _)| (from..=to).contains(at))
            .map(|(_, took)| *took)
            .collect();
        let (median, max) = median_and_max(&took).unwrap_or_default();
        format!(
            "median {}, 99 % within {}, longest {} ({} reads)",
            time(Some(median)),
            time(percentile(&took, 99)),
            time(Some(max)),
            took.len(),
        )
    }
}
