//! Who left first: a pod's endpoint, or the pod?
//!
//! The order is the store's, by resource versions: two watches are two connections, and what is
//! read later on one of them did not have to happen later. That versions of two kinds can be
//! compared is a property of the one etcd that these tests run, not one of the API.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, pin_mut};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{Result, cluster::Cluster, error::Context as _};

/// Watches the pods and `EndpointSlice`s of a namespace from when it is made.
#[derive(Debug)]
pub struct Trail {
    seen: Arc<Mutex<Seen>>,
    /// Ends with the trail.
    _watches: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Pods that a slice offers to new connections, by slice.
    offered: BTreeMap<String, Vec<String>>,
    /// The version that withdrew a pod from new connections, unless it is offered again.
    withdrawn: BTreeMap<String, u64>,
    /// The version that removed a pod's object.
    gone: BTreeMap<String, u64>,
}

impl Trail {
    /// Starts watching.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let mut watches = JoinSet::new();
        let slices = Arc::clone(&seen);
        follow::<EndpointSlice>(cluster, &mut watches, move |event| {
            if let WatchEvent::Added(slice) | WatchEvent::Modified(slice) = event {
                lock(&slices).on_slice(&slice);
            }
        })
        .await?;
        let pods = Arc::clone(&seen);
        follow::<Pod>(cluster, &mut watches, move |event| {
            if let WatchEvent::Deleted(pod) = event {
                lock(&pods).gone.insert(pod.name_any(), version(&pod));
            }
        })
        .await?;
        Ok(Self {
            seen,
            _watches: watches,
        })
    }

    /// How many pods are gone.
    pub fn gone(&self) -> usize {
        lock(&self.seen).gone.len()
    }

    /// Whether this pod is gone.
    pub fn is_gone(&self, pod: &str) -> bool {
        lock(&self.seen).gone.contains_key(pod)
    }

    /// The pods that were gone before their endpoints were withdrawn.
    pub fn gone_too_early(&self) -> Vec<String> {
        let seen = lock(&self.seen);
        let early = |pod: &String, gone: &u64| seen.withdrawn.get(pod).is_none_or(|w| w >= gone);
        seen.gone
            .iter()
            .filter(|(p, g)| early(p, g))
            .map(|(p, _)| p.clone())
            .collect()
    }
}

impl Seen {
    fn on_slice(&mut self, slice: &EndpointSlice) {
        let endpoints = slice.endpoints.iter().flatten();
        let offered: Vec<String> = endpoints
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .filter_map(|e| e.target_ref.as_ref()?.name.clone())
            .collect();
        let before = self
            .offered
            .insert(slice.name_any(), offered.clone())
            .unwrap_or_default();
        for pod in &offered {
            self.withdrawn.remove(pod);
        }
        for pod in before.into_iter().filter(|pod| !offered.contains(pod)) {
            self.withdrawn.insert(pod, version(slice));
        }
    }
}

/// The store's revision of an object's last change.
fn version<K: Resource>(object: &K) -> u64 {
    let version = object.meta().resource_version.as_deref();
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// Lists, so that what is there already is known, and watches from there.
async fn follow<K>(
    cluster: &Cluster,
    watches: &mut JoinSet<()>,
    mut on: impl FnMut(WatchEvent<K>) + Send + 'static,
) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let api = cluster.api::<K>();
    let list = api.list(&ListParams::default()).await.context("list")?;
    let version = list.metadata.resource_version.clone().unwrap_or_default();
    for object in list {
        on(WatchEvent::Added(object));
    }
    watches.spawn(async move {
        let Ok(events) = api.watch(&WatchParams::default(), &version).await else {
            return;
        };
        pin_mut!(events);
        while let Some(Ok(event)) = events.next().await {
            on(event);
        }
    });
    Ok(())
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
