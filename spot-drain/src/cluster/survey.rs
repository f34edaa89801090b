//! A whole cluster, read once and narrowly: its nodes and pods in pages, its budgets and DaemonSets.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use http::Method;
use serde::de::DeserializeOwned;

use super::pods::{PAGE, Page};
use super::watch::{refusal, unavailable};
use super::{Cluster, escape, request};
use crate::check::{Survey, SurveyedPod};
use crate::facts::{PodFacts, Uid};
use crate::feed::words;
use crate::placement::{Demand, Host};
use crate::plan::Call;
use crate::pods::{Pods as _, PodsError};
use crate::replacement::{Deployments, NamedDeployment};
use crate::reply::Reply;

/// How many evictions are tried at once.
const AT_ONCE: usize = 16;
const NODES: (&str, &str) = ("nodes", "/api/v1/nodes");

impl Cluster {
    /// Reads what a [check](crate::check) needs to know. Budgets and DaemonSets that cannot be
    /// read are unknown there, and no error.
    ///
    /// Nodes and pods are read in pages of 250, so that a big cluster takes little memory. API
    /// servers from 1.31 on take them from their cache, after one small read of etcd; older ones
    /// ask etcd.
    ///
    /// # Errors
    /// [`PodsError`] of nodes and pods; nothing is tried again, but for a list that expired.
    pub async fn survey(&self) -> Result<Survey, PodsError> {
        let all = self.all_pods();
        let (nodes, pods, budgets, daemon_sets) = tokio::join!(
            self.nodes(None),
            self.surveyed_pods(),
            all.budgets(),
            all.daemon_sets(),
        );
        Ok(Survey {
            nodes: nodes?,
            pods: pods?,
            budgets,
            daemon_sets,
            tried: BTreeMap::new(),
            deployments: Deployments::Unknown,
        })
    }

    /// The Deployments, of which a check needs to know where replacements are made first. What
    /// cannot be read is unknown there, and no error.
    pub async fn deployments(&self) -> Deployments {
        let path = "/apis/apps/v1/deployments";
        let read = read_page::<NamedDeployment>;
        match self.listed("deployments", path, None, read).await {
            Ok(all) => {
                let facts = |d: NamedDeployment| ((d.namespace, d.name), d.facts);
                Deployments::Known(all.into_iter().map(facts).collect())
            }
            Err(error) => Deployments::Unavailable(words(&error)),
        }
    }

    /// The nodes that a label selector selects, such as `zone=a,!gpu`, or all.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn nodes(&self, selector: Option<&str>) -> Result<Vec<Host>, PodsError> {
        self.listed(NODES.0, NODES.1, selector, read_page).await
    }

    /// The pods of all nodes, of one namespace or of all, that a label selector selects, or all.
    ///
    /// # Errors
    /// [`PodsError`].
    pub async fn list_pods(
        &self,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<PodFacts>, PodsError> {
        let path = match namespace {
            Some(namespace) => format!("/api/v1/namespaces/{}/pods", escape(namespace)),
            None => "/api/v1/pods".to_owned(),
        };
        self.listed("pods", &path, selector, read_page).await
    }

    /// Tries evictions as dry runs, whatever the calls say, a few at once. One that is not
    /// answered is [`Reply::Lost`].
    pub async fn try_evictions(&self, calls: Vec<Call>) -> BTreeMap<Uid, Reply> {
        let tries = calls.into_iter().map(|mut call| {
            call.dry_run = true;
            let (pods, uid) = (self.all_pods(), call.pod.clone());
            async move { (uid, pods.evict(call).await) }
        });
        stream::iter(tries)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await
    }

    async fn surveyed_pods(&self) -> Result<Vec<SurveyedPod>, PodsError> {
        // Each page is read twice: once as a drain reads it, once as a scheduler does.
        let read = |body: &[u8]| {
            let (pods, token) = read_page::<PodFacts>(body)?;
            let (demands, _) = read_page::<Demand>(body)?;
            let both = pods.into_iter().zip(demands);
            let pods = both.map(|(facts, demand)| SurveyedPod { facts, demand });
            Ok((pods.collect(), token))
        };
        self.listed("pods", "/api/v1/pods", None, read).await
    }

    /// A list, page by page. Where it expires on the way, once more from the beginning.
    async fn listed<T>(
        &self,
        resource: &'static str,
        path: &str,
        selector: Option<&str>,
        read: impl Fn(&[u8]) -> serde_json::Result<(Vec<T>, String)>,
    ) -> Result<Vec<T>, PodsError> {
        match self.pages(resource, path, selector, &read).await {
            Err(PodsError::Expired) => self.pages(resource, path, selector, &read).await,
            listed => listed,
        }
    }

    async fn pages<T>(
        &self,
        resource: &'static str,
        path: &str,
        selector: Option<&str>,
        read: impl Fn(&[u8]) -> serde_json::Result<(Vec<T>, String)>,
    ) -> Result<Vec<T>, PodsError> {
        let selector = selector.map(|s| format!("&labelSelector={}", escape(s)));
        let query = format!("{path}?limit={PAGE}{}", selector.unwrap_or_default());
        let mut path = query.clone();
        let mut all = Vec::new();
        loop {
            let get = request(Method::GET, &path, "application/json", Vec::new());
            let raw = self.call(get).await.map_err(unavailable)?;
            if raw.status != 200 {
                return Err(refusal("list", resource, &raw));
            }
            let (items, token) = read(&raw.body).map_err(unavailable)?;
            all.extend(items);
            if token.is_empty() {
                return Ok(all);
            }
            path = format!("{query}&continue={}", escape(&token));
        }
    }
}

/// The items of a page, and the token of the next one.
fn read_page<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<(Vec<T>, String)> {
    let page: Page<T> = serde_json::from_slice(body)?;
    Ok(page.into_parts())
}
