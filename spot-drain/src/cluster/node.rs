//! A node: read, quarantined and released, each change in one patch.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request};
use spot_core::node::{NodeControl, NodeError, Quarantine, Recall, Release};
use spot_core::notice::Instance;

use tokio::time::sleep;

use super::{Cluster, escape, request, unexpected};
use crate::reply::{Raw, Status};
use crate::taint::{self, NodeFacts, NodePatch, QuarantineSettings, Remembered};

/// The pauses before a 403 to the first look is believed: a server that has just started knows
/// nobody's rights for a second or two, and who may not look goes on without having compared
/// node and instance.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// How often a patch is tried anew where others write at the same time.
const TRIES: usize = 20;

/// A node of a cluster.
#[derive(Clone)]
pub struct KubeNode {
    cluster: Cluster,
    name: String,
    settings: QuarantineSettings,
    dry_run: bool,
    /// The node as it was last seen, to make a patch from without another look: the patch
    /// itself holds the node to what was seen.
    seen: Arc<Mutex<Option<NodeFacts>>>,
    /// That it may not be read is believed.
    forbidden: Arc<AtomicBool>,
}

impl KubeNode {
    pub(super) fn new(cluster: Cluster, name: String) -> Self {
        Self {
            cluster,
            name,
            settings: QuarantineSettings::default(),
            dry_run: false,
            seen: Arc::default(),
            forbidden: Arc::default(),
        }
    }

    /// The same node with other settings of its quarantine.
    #[must_use]
    pub fn with_settings(mut self, settings: QuarantineSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The same node, whose patches the server checks and does not keep.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Marks the node as unschedulable, as `kubectl cordon` does, and changes nothing else of it.
    ///
    /// # Errors
    /// [`NodeError`]; nothing is tried again.
    pub async fn cordon(&self) -> Result<(), NodeError> {
        self.schedulable(false).await
    }

    /// Marks the node as schedulable, whoever cordoned it, as `kubectl uncordon` does.
    ///
    /// # Errors
    /// [`NodeError`]; nothing is tried again.
    pub async fn uncordon(&self) -> Result<(), NodeError> {
        self.schedulable(true).await
    }

    async fn schedulable(&self, schedulable: bool) -> Result<(), NodeError> {
        let wanted = serde_json::json!({"spec": {"unschedulable": !schedulable}});
        let raw = self.send(NodePatch::Merge(wanted)).await?;
        match raw.status {
            200 => node_of(&raw).map(drop),
            _ => Err(self.refusal("patch", &raw)),
        }
    }

    /// Reads the node; never another machine's. Whether it was seen to be `instance`.
    async fn read(&self, instance: Option<&str>) -> Result<(NodeFacts, bool), NodeError> {
        let identity = &self.cluster.identity;
        let get = identity.asks(Some(&self.name), get_request(&self.name));
        let raw = self.cluster.call(get).await;
        let raw = raw.map_err(unavailable)?;
        if raw.status != 200 {
            return Err(self.refusal(identity.reading(Some(&self.name), "get"), &raw));
        }
        let node = node_of(&raw)?;
        let verified = self.identify(&node, instance)?;
        *self.seen() = Some(node.clone());
        Ok((node, verified))
    }

    /// The same, believing a 403 only when it is said again; one that was believed lasts.
    async fn read_patiently(&self, instance: Option<&str>) -> Result<(NodeFacts, bool), NodeError> {
        let mut pauses = AGAIN.iter();
        loop {
            let read = self.read(instance).await;
            let is_forbidden = matches!(read, Err(NodeError::Forbidden { .. }));
            if is_forbidden
                && !self.forbidden.load(Relaxed)
                && let Some(pause) = pauses.next()
            {
                sleep(*pause).await;
                continue;
            }
            self.forbidden.store(is_forbidden, Relaxed);
            return read;
        }
    }

    fn seen(&self) -> MutexGuard<'_, Option<NodeFacts>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `node` was seen to be `instance`; never where it is another machine's.
    fn identify(&self, node: &NodeFacts, instance: Option<&str>) -> Result<bool, NodeError> {
        match (node.instance(), instance) {
            (Some(found), Some(ours)) if found != ours => Err(NodeError::AnotherInstance {
                node: self.name.clone(),
                ours: ours.to_owned(),
                found: found.to_owned(),
            }),
            (found, ours) => Ok(found.is_some() && ours.is_some()),
        }
    }

    /// Reads and patches until the patch holds or is not needed.
    async fn change(
        &self,
        instance: Option<&str>,
        patch: impl Fn(&NodeFacts) -> Option<NodePatch>,
    ) -> Result<(), NodeError> {
        let mut last: Option<Raw> = None;
        // The version from which a patch was made that the server called invalid.
        let mut invalid: Option<String> = None;
        // That nothing is to be done is believed only of a node that was just read.
        let seen = self.seen().take();
        let seen = seen.filter(|node| matches!(self.identify(node, instance), Ok(true)));
        let made = |node: &NodeFacts| Some((patch(node)?, node.resource_version.clone()));
        let mut from_seen = seen.as_ref().and_then(made);
        for _ in 0..TRIES {
            let (patch, version) = if let Some(made) = from_seen.take() {
                made
            } else {
                let node = self.read(instance).await?.0;
                let Some(made) = made(&node) else {
                    return Ok(());
                };
                // Nobody has written since: it is a policy that refuses, not a `test`.
                let same = invalid.as_ref() == Some(&node.resource_version);
                if let Some(raw) = last.take_if(|_| same) {
                    return Err(NodeError::Refused(Box::new(unexpected(&raw))));
                }
                made
            };
            let raw = self.send(patch).await?;
            match raw.status {
                200 => {
                    let node = node_of(&raw)?;
                    *self.seen() = Some(node).filter(|_| !self.dry_run);
                    return Ok(());
                }
                // Somebody wrote in between: a conflict, or a `test` that no longer holds.
                409 | 422 => {
                    invalid = (raw.status == 422).then_some(version);
                    last = Some(raw);
                }
                _ => return Err(self.refusal("patch", &raw)),
            }
        }
        Err(match last {
            Some(raw) if raw.status == 422 => NodeError::Refused(Box::new(unexpected(&raw))),
            Some(raw) => unavailable(unexpected(&raw)),
            None => unavailable("nothing was tried"),
        })
    }

    async fn send(&self, patch: NodePatch) -> Result<Raw, NodeError> {
        self.cluster
            .call(patch_request(&self.name, patch, self.dry_run))
            .await
            .map_err(unavailable)
    }

    fn refusal(&self, verb: &'static str, raw: &Raw) -> NodeError {
        match raw.status {
            404 if Status::of(raw).is_not_found() => NodeError::NotFound {
                node: self.name.clone(),
            },
            403 => NodeError::Forbidden {
                verb,
                resource: "nodes",
                source: Some(Box::new(unexpected(raw))),
            },
            400..=499 if !matches!(raw.status, 401 | 404 | 408 | 409 | 429) => {
                NodeError::Refused(Box::new(unexpected(raw)))
            }
            _ => unavailable(unexpected(raw)),
        }
    }
}

/// The node in an answer; what has none did not come from the API server.
fn node_of(raw: &Raw) -> Result<NodeFacts, NodeError> {
    let node: NodeFacts = serde_json::from_slice(&raw.body).map_err(unavailable)?;
    if node.uid.is_empty() {
        return Err(unavailable("an answer that is no node"));
    }
    Ok(node)
}

/// The read of a node as it goes over the wire.
pub(super) fn get_request(name: &str) -> Request<Vec<u8>> {
    let path = format!("/api/v1/nodes/{}", escape(name));
    request(Method::GET, &path, "application/json", Vec::new())
}

/// A patch of a node as it goes over the wire.
pub(super) fn patch_request(name: &str, patch: NodePatch, dry_run: bool) -> Request<Vec<u8>> {
    let (media, body) = match patch {
        NodePatch::Json(ops) => ("application/json-patch+json", ops),
        NodePatch::Merge(object) => ("application/merge-patch+json", object),
    };
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let address = format!(
        "/api/v1/nodes/{}?fieldManager=spot-interrupt-handler{dry_run}",
        escape(name)
    );
    request(
        Method::PATCH,
        &address,
        media,
        body.to_string().into_bytes(),
    )
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> NodeError {
    NodeError::Unavailable(error.into())
}

#[async_trait]
impl NodeControl for KubeNode {
    async fn recall(&self, instance: Option<Instance>) -> Result<Recall, NodeError> {
        let ours = instance.as_ref().map(|i| i.id.as_str());
        let (node, verified) = self.read_patiently(ours).await?;
        let memory = match node.remembered() {
            Remembered::Memory(memory) => Some(memory),
            Remembered::Nothing => None,
            Remembered::Unreadable => {
                tracing::warn!(
                    node = self.name,
                    annotation = taint::MEMORY_ANNOTATION,
                    "another version wrote what is remembered on the node; it is left alone"
                );
                None
            }
        };
        Ok(Recall::new(memory, node.boot_id, verified))
    }

    async fn quarantine(&self, wish: Quarantine) -> Result<(), NodeError> {
        let patch = |node: &NodeFacts| taint::quarantine(node, &wish, &self.settings);
        self.change(wish.instance.as_deref(), patch).await
    }

    async fn release(&self, release: Release) -> Result<(), NodeError> {
        let settled = release.settled.as_ref();
        let ours = release.instance.as_deref();
        let ours = ours.or_else(|| settled?.instance.as_deref());
        let patch = |node: &NodeFacts| taint::release(node, settled, &self.settings);
        self.change(ours, patch).await
    }
}
