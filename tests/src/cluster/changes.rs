//! Changes to what is there.

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Cluster;
use crate::{Result, error::Context as _};

impl Cluster {
    /// Changes an object of the namespace by a merge patch.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn merge<K>(&self, name: &str, patch: Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let what = format!("change {name}: {patch}");
        let api: Api<K> = self.api();
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map(drop).context(what)
    }

    /// Deletes an object of the namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api();
        let removed = api.delete(name, &DeleteParams::default()).await;
        removed.map(drop).context(format!("delete {name}"))
    }

    /// Deletes a node, not its pods.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn remove_node(&self, name: &str) -> Result<()> {
        let removed = self.nodes().delete(name, &DeleteParams::default()).await;
        removed.map(drop).context(format!("delete node {name}"))
    }

    /// Gives a pod another phase, as its kubelet does when its containers have ended.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn set_phase(&self, pod: &str, phase: &str) -> Result<()> {
        let status = Patch::Merge(json!({"status": {"phase": phase}}));
        let api: Api<Pod> = self.api();
        let set = api
            .patch_status(pod, &PatchParams::default(), &status)
            .await;
        set.map(drop).context(format!("{pod}: {phase}"))
    }
}
