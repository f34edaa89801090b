//! A node's pods, over the API.

use std::future::ready;

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt as _};
use http::{Method, Request};
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::watch::{refusal, unavailable, watch_error};
use super::{Cluster, escape, replacement, request, unexpected};
use crate::budget::{BudgetFacts, Budgets};
use crate::classify::DaemonSets;
use crate::facts::{PodFacts, Uid};
use crate::plan::{Call, Detach, Reattach};
use crate::pods::{
    BudgetChange, Change, Freshness, Listed, Pods, PodsError, ReplicaSetChange, Watched,
};
use crate::replacement::Workload;
use crate::reply::{Reply, decode};

/// The most pods in one page of a list that does not come from the cache.
pub(super) const PAGE: u32 = 250;
/// What is accepted where only the objects' metadata is of interest.
pub(super) const METADATA: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const PODS: &str = "pods";
/// The verb of a watch.
const WATCHES: &str = "watch";
const BUDGETS: &str = "poddisruptionbudgets";
const REPLICA_SETS: &str = "replicasets";
/// How long the server may keep a watch open, in seconds.
const WATCH: u32 = 290;

/// The pods of one node, or of all.
#[derive(Clone)]
pub struct KubePods {
    cluster: Cluster,
    /// `None`: all of them.
    node: Option<String>,
}

/// The parts of a list that matter. What has no version is no list of the API server: an empty
/// object would be a list of nothing.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    metadata: PageMeta,
    // An empty list of metadata comes as `null`.
    items: Option<Vec<T>>,
}

impl<T> Page<T> {
    pub(super) fn into_items(self) -> Vec<T> {
        self.items.unwrap_or_default()
    }

    /// The items, and the token of the next page; it is empty after the last one.
    pub(super) fn into_parts(self) -> (Vec<T>, String) {
        (self.items.unwrap_or_default(), self.metadata.r#continue)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

/// An object of which only the UID matters.
#[derive(Deserialize)]
struct Identified {
    metadata: Identity,
}

#[derive(Deserialize)]
struct Identity {
    uid: Uid,
}

/// The part of a node that tells of its volumes.
#[derive(Deserialize)]
struct Attachments {
    status: AttachmentStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AttachmentStatus {
    volumes_attached: Vec<AttachedVolume>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AttachedVolume {
    name: String,
}

impl KubePods {
    pub(super) fn new(cluster: Cluster, node: Option<String>) -> Self {
        Self { cluster, node }
    }

    /// The query that selects the pods.
    fn selector(&self) -> String {
        match &self.node {
            Some(node) => format!("fieldSelector=spec.nodeName%3D{}&", escape(node)),
            None => String::new(),
        }
    }

    /// A request about the node or its pods, as whom it is asked.
    fn ask(&self, request: Request<Vec<u8>>) -> Request<Vec<u8>> {
        let identity = &self.cluster.identity;
        identity.asks(self.node.as_deref(), request)
    }

    async fn get<T: for<'a> Deserialize<'a>>(
        &self,
        verb: &'static str,
        resource: &'static str,
        path: &str,
    ) -> Result<T, PodsError> {
        let get = request(Method::GET, path, "application/json", Vec::new());
        let raw = self
            .cluster
            .call(self.ask(get))
            .await
            .map_err(unavailable)?;
        if raw.status == 200 {
            return serde_json::from_slice(&raw.body).map_err(unavailable);
        }
        let identity = &self.cluster.identity;
        let verb = identity.reading(self.node.as_deref(), verb);
        Err(refusal(verb, resource, &raw))
    }

    /// Lists what is not the node's, from the API server's cache.
    async fn look_up<T: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
        accept: &'static str,
    ) -> Result<Vec<T>, String> {
        let path = format!("{path}?resourceVersion=0");
        let mut get = request(Method::GET, &path, "application/json", Vec::new());
        get.headers_mut()
            .insert(http::header::ACCEPT, http::HeaderValue::from_static(accept));
        let raw = self.cluster.call(get).await.map_err(|e| e.to_string())?;
        if raw.status != 200 {
            return Err(unexpected(&raw).to_string());
        }
        let page: Page<T> = serde_json::from_slice(&raw.body).map_err(|e| e.to_string())?;
        Ok(page.into_items())
    }

    /// Watches objects that are few, and what they come to when they are seen or gone. They are read
    /// from JSON values: one kind of stream is enough for all of them, and it is large.
    async fn watch_few<T: DeserializeOwned + 'static, C: Send + 'static>(
        &self,
        resource: &'static str,
        get: Request<Vec<u8>>,
        seen: fn(T) -> C,
        gone: fn(T) -> C,
    ) -> Result<BoxStream<'static, Result<C, PodsError>>, PodsError> {
        let read = move |object: Value| match serde_json::from_value(object) {
            Ok(object) => Some(object),
            Err(error) => {
                tracing::warn!(%error, resource, "a change cannot be read");
                None
            }
        };
        let events = self.cluster.events::<Value>(WATCHES, resource, get).await?;
        let changes = events.filter_map(move |event| {
            ready(match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    read(object).map(|object| Ok(seen(object)))
                }
                Ok(WatchEvent::Deleted(object)) => read(object).map(|object| Ok(gone(object))),
                Ok(WatchEvent::Bookmark(_)) => None,
                Ok(WatchEvent::Error(status)) => Some(Err(watch_error(
                    WATCHES,
                    resource,
                    &kube::Error::Api(status),
                ))),
                Err(error) => Some(Err(error)),
            })
        });
        Ok(changes.boxed())
    }

    /// Patches a pod, as ourselves in any case: a node may change no pod's labels.
    async fn patch(&self, patch: Request<Vec<u8>>) -> Reply {
        match self.cluster.call(patch).await {
            Ok(raw) => decode(&raw),
            Err(error) => Reply::Lost {
                what: error.to_string(),
            },
        }
    }

    /// Evicts or deletes by name and UID.
    async fn end(&self, call: Request<Vec<u8>>) -> Reply {
        let call = self.ask(call);
        match self.cluster.call_to_the_end(call).await {
            Ok(raw) => decode(&raw),
            Err(error) => Reply::Lost {
                what: error.to_string(),
            },
        }
    }
}

fn options(call: &Call) -> Value {
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": { "uid": call.pod },
    });
    if let Some(grace) = call.grace {
        options["gracePeriodSeconds"] = grace.into();
    }
    if call.dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

/// An eviction as it goes over the wire.
pub(super) fn eviction(call: &Call) -> Request<Vec<u8>> {
    let (namespace, name) = (escape(&call.namespace), escape(&call.name));
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "namespace": call.namespace, "name": call.name },
        "deleteOptions": options(call),
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let body = body.to_string().into_bytes();
    request(Method::POST, &path, "application/json", body)
}

/// Asks whether we may do `right` with evictions of a namespace's pods, or of all where it is
/// empty.
pub(super) fn review(right: &str, namespace: &str) -> Request<Vec<u8>> {
    review_of(
        &json!({ "verb": right, "resource": "pods", "subresource": "eviction",
        "namespace": namespace }),
    )
}

/// Asks whether we may do what the attributes name.
pub(super) fn review_of(attributes: &Value) -> Request<Vec<u8>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let body = review.to_string().into_bytes();
    request(Method::POST, path, "application/json", body)
}

#[async_trait]
impl Pods for KubePods {
    async fn list(&self, freshness: Freshness) -> Result<Listed, PodsError> {
        let selector = self.selector();
        let mut query = match freshness {
            Freshness::Any => format!("{selector}resourceVersion=0"),
            Freshness::NotOlderThan(version) => format!(
                "{selector}resourceVersion={}&resourceVersionMatch=NotOlderThan",
                escape(&version)
            ),
            Freshness::Latest => format!("{selector}limit={PAGE}"),
        };
        let mut pods = Vec::new();
        loop {
            let page: Page<PodFacts> = self
                .get("list", PODS, &format!("/api/v1/pods?{query}"))
                .await?;
            pods.extend(page.items.into_iter().flatten());
            if page.metadata.r#continue.is_empty() {
                return Ok(Listed {
                    pods,
                    version: page.metadata.resource_version,
                });
            }
            let token = escape(&page.metadata.r#continue);
            query = format!("{selector}limit={PAGE}&continue={token}");
        }
    }

    async fn watch(
        &self,
        version: String,
    ) -> Result<BoxStream<'static, Result<Watched, PodsError>>, PodsError> {
        let path = format!(
            "/api/v1/pods?{}watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={}",
            self.selector(),
            escape(&version)
        );
        let get = request(Method::GET, &path, "application/json", Vec::new());
        let identity = &self.cluster.identity;
        let verb = identity.reading(self.node.as_deref(), WATCHES);
        let events = self.cluster.events(verb, PODS, self.ask(get)).await?;
        Ok(events.map(|event| event.and_then(change)).boxed())
    }

    async fn evict(&self, call: Call) -> Reply {
        self.end(eviction(&call)).await
    }

    async fn delete(&self, call: Call) -> Reply {
        let (namespace, name) = (escape(&call.namespace), escape(&call.name));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let body = options(&call).to_string().into_bytes();
        let delete = request(Method::DELETE, &path, "application/json", body);
        self.end(delete).await
    }

    async fn detach(&self, detach: Detach) -> Reply {
        self.patch(replacement::detach(&detach)).await
    }

    async fn reattach(&self, reattach: Reattach) -> Reply {
        self.patch(replacement::reattach(&reattach)).await
    }

    async fn workload(&self, namespace: String, replica_set: String) -> Workload {
        self.cluster.workload(&namespace, &replica_set).await
    }

    async fn watch_replica_sets(
        &self,
        namespace: String,
        hashes: Vec<String>,
    ) -> Result<BoxStream<'static, Result<ReplicaSetChange, PodsError>>, PodsError> {
        let get = replacement::watch(&namespace, &hashes, WATCH);
        let (seen, gone) = (ReplicaSetChange::Seen, ReplicaSetChange::Deleted);
        self.watch_few(REPLICA_SETS, get, seen, gone).await
    }

    async fn daemon_sets(&self) -> DaemonSets {
        // Their specs are of no interest here.
        match self
            .look_up::<Identified>("/apis/apps/v1/daemonsets", METADATA)
            .await
        {
            Ok(sets) => DaemonSets::Exist(sets.into_iter().map(|d| d.metadata.uid).collect()),
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "DaemonSets cannot be looked up; their pods are left alone"
                );
                DaemonSets::Unavailable(problem)
            }
        }
    }

    async fn budgets(&self) -> Budgets {
        let path = "/apis/policy/v1/poddisruptionbudgets";
        match self.look_up(path, "application/json").await {
            Ok(budgets) => Budgets::Known(budgets),
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "budgets cannot be looked up; pods of one owner go carefully"
                );
                Budgets::Unavailable(problem)
            }
        }
    }

    async fn watch_budgets(
        &self,
        namespace: String,
    ) -> Result<BoxStream<'static, Result<BudgetChange, PodsError>>, PodsError> {
        // From any version: the stream then begins with what there is, from the cache.
        let path = format!(
            "/apis/policy/v1/namespaces/{}/poddisruptionbudgets?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion=0",
            escape(&namespace)
        );
        let get = request(Method::GET, &path, "application/json", Vec::new());
        let gone = |budget: BudgetFacts| BudgetChange::Deleted { name: budget.name };
        self.watch_few(BUDGETS, get, BudgetChange::Seen, gone).await
    }

    async fn volumes(&self) -> Result<Vec<String>, PodsError> {
        let Some(node) = &self.node else {
            return Err(unavailable("the volumes of no node in particular"));
        };
        let path = format!("/api/v1/nodes/{}", escape(node));
        let node: Attachments = self.get("get", "nodes", &path).await?;
        Ok(node
            .status
            .volumes_attached
            .into_iter()
            .map(|volume| volume.name)
            .collect())
    }

    async fn may_evict(&self, namespace: String) -> Option<bool> {
        let identity = &self.cluster.identity;
        let right = identity.right(self.node.as_deref(), "create");
        let review = review(&right, &namespace);
        let raw = self.cluster.call(review).await.ok()?;
        let answer: Value = serde_json::from_slice(&raw.body).ok()?;
        answer["status"]["allowed"].as_bool()
    }

    fn requests(&self) -> u64 {
        self.cluster.requests()
    }
}

fn change(event: WatchEvent<PodFacts>) -> Result<Watched, PodsError> {
    let seen = |pod: PodFacts, change: fn(PodFacts) -> Change| {
        Ok(Watched {
            version: pod.version.clone(),
            change: change(pod),
        })
    };
    match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => seen(pod, Change::Seen),
        WatchEvent::Deleted(pod) => seen(pod, Change::Deleted),
        WatchEvent::Bookmark(mark) => Ok(Watched {
            change: Change::Bookmark,
            version: mark.metadata.resource_version,
        }),
        WatchEvent::Error(status) => Err(watch_error(WATCHES, PODS, &kube::Error::Api(status))),
    }
}
