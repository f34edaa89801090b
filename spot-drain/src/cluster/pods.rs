//! A node's pods, over the API.

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt as _};
use http::Method;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallError, Cluster, escape, request, unexpected};
use crate::budget::Budgets;
use crate::classify::DaemonSets;
use crate::facts::{PodFacts, Uid};
use crate::plan::Call;
use crate::pods::{Change, Listed, Pods, PodsError, Watched};
use crate::reply::{Raw, Reply, decode, quote};

/// The most pods in one page of a list that does not come from the cache.
const PAGE: u32 = 250;
/// How long the server may keep a watch open, in seconds.
const WATCH: u32 = 290;

/// The pods of one node.
#[derive(Clone)]
pub struct KubePods {
    cluster: Cluster,
    node: String,
    dry_run: bool,
}

/// The parts of a list that matter.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
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

impl KubePods {
    pub(super) fn new(cluster: Cluster, node: String) -> Self {
        Self {
            cluster,
            node,
            dry_run: false,
        }
    }

    /// The same pods, whose evictions the server checks and does not carry out.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    fn selector(&self) -> String {
        format!("fieldSelector=spec.nodeName%3D{}", escape(&self.node))
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Result<T, PodsError> {
        let get = request(Method::GET, path, "application/json", Vec::new());
        let raw = self.cluster.call(get).await.map_err(unavailable)?;
        match raw.status {
            200 => serde_json::from_slice(&raw.body).map_err(unavailable),
            _ => Err(refusal("list", &raw)),
        }
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
        Ok(page.items)
    }

    /// Evicts or deletes by name and UID.
    async fn end(&self, method: Method, path: String, body: Value) -> Reply {
        let body = body.to_string().into_bytes();
        let call = request(method, &path, "application/json", body);
        match self.cluster.call(call).await {
            Ok(raw) => decode(&raw),
            Err(error) => Reply::Unclear {
                what: error.to_string(),
            },
        }
    }

    fn options(&self, call: &Call) -> Value {
        let mut options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": call.pod },
        });
        if let Some(grace) = call.grace {
            options["gracePeriodSeconds"] = grace.into();
        }
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        options
    }
}

#[async_trait]
impl Pods for KubePods {
    async fn list(&self, fresh: bool) -> Result<Listed, PodsError> {
        let selector = self.selector();
        let mut query = if fresh {
            format!("{selector}&limit={PAGE}")
        } else {
            format!("{selector}&resourceVersion=0")
        };
        let mut pods = Vec::new();
        loop {
            let page: Page<PodFacts> = self.get(&format!("/api/v1/pods?{query}")).await?;
            pods.extend(page.items);
            if page.metadata.r#continue.is_empty() {
                return Ok(Listed {
                    pods,
                    version: page.metadata.resource_version,
                });
            }
            let token = escape(&page.metadata.r#continue);
            query = format!("{selector}&limit={PAGE}&continue={token}");
        }
    }

    async fn watch(
        &self,
        version: String,
    ) -> Result<BoxStream<'static, Result<Watched, PodsError>>, PodsError> {
        let path = format!(
            "/api/v1/pods?{}&watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={}",
            self.selector(),
            escape(&version)
        );
        let get = request(Method::GET, &path, "application/json", Vec::new());
        let client = self.cluster.client();
        let opened = self
            .cluster
            .within(client.request_events::<PodFacts>(get))
            .await;
        let events = opened.map_err(unavailable)?.map_err(|error| {
            if matches!(&error, kube::Error::Api(status) if status.code == 401) {
                self.cluster.renew();
            }
            watch_error(&error)
        })?;
        let changes = events.filter_map(|event| async {
            match event {
                Ok(event) => Some(change(event)),
                // One pod that cannot be read is no reason to stop looking at the rest.
                Err(error) if is_unreadable(&error) => {
                    tracing::warn!(%error, "a change of a pod cannot be read");
                    None
                }
                Err(error) => Some(Err(watch_error(&error))),
            }
        });
        Ok(changes.boxed())
    }

    async fn evict(&self, call: Call) -> Reply {
        let (namespace, name) = (escape(&call.namespace), escape(&call.name));
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": { "namespace": call.namespace, "name": call.name },
            "deleteOptions": self.options(&call),
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
        self.end(Method::POST, path, body).await
    }

    async fn delete(&self, call: Call) -> Reply {
        let (namespace, name) = (escape(&call.namespace), escape(&call.name));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        self.end(Method::DELETE, path, self.options(&call)).await
    }

    async fn daemon_sets(&self) -> DaemonSets {
        // Their specs are of no interest here.
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        match self
            .look_up::<Identified>("/apis/apps/v1/daemonsets", metadata)
            .await
        {
            Ok(sets) => DaemonSets::Exist(sets.into_iter().map(|d| d.metadata.uid).collect()),
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "DaemonSets cannot be looked up; their pods are left alone"
                );
                DaemonSets::Unavailable
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
                Budgets::Unknown
            }
        }
    }

    async fn may_evict(&self) -> Option<bool> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes":
                { "verb": "create", "resource": "pods", "subresource": "eviction" } },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let body = review.to_string().into_bytes();
        let raw = self
            .cluster
            .call(request(Method::POST, path, "application/json", body))
            .await
            .ok()?;
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
        WatchEvent::Error(status) => Err(watch_error(&kube::Error::Api(status))),
    }
}

/// Whether a line of a watch is not what it should be. The client takes any object for a
/// `Status` that it cannot take for an event; one that says nothing is none.
fn is_unreadable(error: &kube::Error) -> bool {
    match error {
        kube::Error::SerdeError(_) => true,
        kube::Error::Api(status) => status.code == 0 && status.reason.is_empty(),
        _ => false,
    }
}

fn watch_error(error: &kube::Error) -> PodsError {
    match error {
        kube::Error::Api(status) if status.code == 410 => PodsError::Expired,
        kube::Error::Api(status) if status.code == 403 => PodsError::Forbidden {
            verb: "watch",
            words: quote(&status.message),
        },
        kube::Error::Api(status) => unavailable(CallError::Status {
            status: status.code,
            words: quote(&status.message),
        }),
        other => unavailable(CallError::Transport(quote(&other.to_string()))),
    }
}

fn refusal(verb: &'static str, raw: &Raw) -> PodsError {
    match raw.status {
        403 => PodsError::Forbidden {
            verb,
            words: quote(&String::from_utf8_lossy(&raw.body)),
        },
        410 => PodsError::Expired,
        _ => unavailable(unexpected(raw)),
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PodsError {
    PodsError::Unavailable(error.into())
}
