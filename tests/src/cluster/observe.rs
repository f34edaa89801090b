//! What became of the pods, their endpoints and budgets.

use std::time::Duration;

use k8s_openapi::{
    api::{
        core::v1::{Event, Pod},
        discovery::v1::EndpointSlice,
        policy::v1::{Eviction, PodDisruptionBudget},
    },
    apimachinery::pkg::apis::meta::v1::DeleteOptions,
};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions};
use serde_json::Value;

use super::Cluster;
use crate::{Result, error::Context as _, wait::wait_until};

/// How long a few hundred pods may take to be scheduled and run on a busy machine.
const PODS_START: Duration = Duration::from_secs(90);

/// One address behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The pod behind it.
    pub pod: String,
    /// Its address.
    pub address: String,
    /// Whether new connections go there.
    pub ready: bool,
    /// Whether it would answer.
    pub serving: bool,
    /// Whether its pod is being deleted.
    pub terminating: bool,
}

/// Whether a pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Cluster {
    /// The pods with the label `app` set to `app`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        let wanted = ListParams::default().labels(&format!("app={app}"));
        let pods = self.api::<Pod>().list(&wanted).await;
        Ok(pods.context(format!("list pods of {app}"))?.items)
    }

    /// The pods of the namespace that are bound to `node`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn pods_on(&self, node: &str) -> Result<Vec<Pod>> {
        let wanted = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let pods = self.api::<Pod>().list(&wanted).await;
        Ok(pods.context(format!("list pods on {node}"))?.items)
    }

    /// Waits until `count` pods of `app` that are not being deleted are ready with an address.
    ///
    /// # Errors
    /// When they are not, within a generous time.
    pub async fn wait_ready(&self, app: &str, count: usize) -> Result<Vec<Pod>> {
        wait_until(
            format!("{count} ready pods of {app}"),
            PODS_START,
            async || {
                let pods = self.pods(app).await.map_err(|error| error.to_string())?;
                let total = pods.len();
                let ready: Vec<Pod> = pods
                    .into_iter()
                    .filter(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod))
                    .filter(|pod| pod.status.as_ref().is_some_and(|s| s.pod_ip.is_some()))
                    .collect();
                if ready.len() == count {
                    Ok(ready)
                } else {
                    Err(format!("{total} pods, {} ready", ready.len()))
                }
            },
        )
        .await
    }

    /// Waits until `count` pods of `app` run, ready or not.
    ///
    /// # Errors
    /// When they do not, within a generous time.
    pub async fn wait_running(&self, app: &str, count: usize) -> Result<Vec<Pod>> {
        wait_until(format!("{count} pods of {app}"), PODS_START, async || {
            let mut pods = self.pods(app).await.map_err(|error| error.to_string())?;
            pods.retain(|pod| {
                let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
                phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
            });
            if pods.len() == count {
                Ok(pods)
            } else {
                Err(format!("{} run", pods.len()))
            }
        })
        .await
    }

    /// Waits until the pod of this name and uid is gone.
    ///
    /// # Errors
    /// When it is still there after `within`.
    pub async fn wait_gone(&self, pod: &Pod, within: Duration) -> Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let api = self.api::<Pod>();
        wait_until(format!("end of pod {name}"), within, async || {
            match api.get_opt(name).await.map_err(|error| error.to_string())? {
                Some(now) if now.metadata.uid == pod.metadata.uid => {
                    Err(format!("deleted at {:?}", now.metadata.deletion_timestamp))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Evicts a pod, with a grace of one's own if one is given.
    ///
    /// # Errors
    /// When the API server refuses, a budget's 429 included.
    pub async fn evict(&self, pod: &Pod, grace: Option<u32>) -> Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let what = format!("evict {name}");
        let eviction = Eviction {
            metadata: ObjectMeta {
                name: Some(name.into()),
                ..ObjectMeta::default()
            },
            delete_options: Some(DeleteOptions {
                grace_period_seconds: grace.map(Into::into),
                ..Default::default()
            }),
        };
        let post = PostParams::default();
        self.api::<Pod>()
            .create_subresource::<_, Value>("eviction", name, &post, &eviction)
            .await
            .map(drop)
            .context(what)
    }

    /// Deletes a pod of this very uid, with its own grace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete_pod(&self, pod: &Pod) -> Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let same = Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        };
        let params = DeleteParams {
            preconditions: Some(same),
            ..DeleteParams::default()
        };
        self.api::<Pod>()
            .delete(name, &params)
            .await
            .map(drop)
            .context(format!("delete {name}"))
    }

    /// What is behind a Service, in the order of the pods' names.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn endpoints(&self, service: &str) -> Result<Vec<Endpoint>> {
        let wanted = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let slices = self.api::<EndpointSlice>().list(&wanted).await;
        let mut endpoints: Vec<Endpoint> = slices
            .context(format!("list endpoints of {service}"))?
            .into_iter()
            .flat_map(|slice| slice.endpoints.unwrap_or_default())
            .map(|endpoint| {
                let conditions = endpoint.conditions.unwrap_or_default();
                Endpoint {
                    pod: endpoint
                        .target_ref
                        .and_then(|pod| pod.name)
                        .unwrap_or_default(),
                    address: endpoint.addresses.into_iter().next().unwrap_or_default(),
                    ready: conditions.ready.unwrap_or_default(),
                    serving: conditions.serving.unwrap_or_default(),
                    terminating: conditions.terminating.unwrap_or_default(),
                }
            })
            .collect();
        endpoints.sort();
        Ok(endpoints)
    }

    /// Waits until a budget's controller has seen it and it allows `disruptions`.
    ///
    /// # Errors
    /// When it does not, within a generous time.
    pub async fn wait_budget(&self, name: &str, disruptions: i32) -> Result<()> {
        let api = self.api::<PodDisruptionBudget>();
        wait_until(
            format!("budget {name} at {disruptions}"),
            PODS_START,
            async || {
                let budget = api.get(name).await.map_err(|error| error.to_string())?;
                match budget.status {
                    Some(status)
                        if status.observed_generation == budget.metadata.generation
                            && status.disruptions_allowed == Some(disruptions) =>
                    {
                        Ok(())
                    }
                    status => Err(format!("{status:?}")),
                }
            },
        )
        .await
    }

    /// The namespace's events with this reason.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn events(&self, reason: &str) -> Result<Vec<Event>> {
        let wanted = ListParams::default().fields(&format!("reason={reason}"));
        let events = self.api::<Event>().list(&wanted).await;
        Ok(events.context(format!("list events {reason}"))?.items)
    }
}
