//! Fixtures: a small cluster of a test's own on a control plane that others use too.

mod changes;
mod nodes;
mod observe;
mod workloads;

use std::time::Duration;

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ObjectMeta, PostParams},
};

pub use nodes::{Lifecycle, Node, NodeSpec};
pub use observe::{Endpoint, is_ready};
pub use workloads::{Budget, Workload};

use crate::{Result, error::Context as _, wait::wait_until};

/// Label of nodes, and node selector of pods: the cluster (that is, the namespace) that they
/// belong to. It keeps the pods of one test off the nodes of another.
pub const CLUSTER: &str = "spot-tests/cluster";

/// How long controllers may take for small things on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A namespace with nodes of its own.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Makes a namespace whose name starts with `name`, ready for pods.
    ///
    /// # Errors
    /// When the API server refuses or the controllers do not get to it.
    pub async fn create(admin: &Client, name: &str) -> Result<Self> {
        let cluster = Self::create_namespace(admin, name).await?;
        let accounts = cluster.api::<ServiceAccount>();
        wait_until(
            format!("service account of {}", cluster.namespace),
            SOON,
            async || {
                accounts
                    .get("default")
                    .await
                    .map(drop)
                    .map_err(|error| error.to_string())
            },
        )
        .await?;
        Ok(cluster)
    }

    /// The same where no pod needs a service account, as in the simulator.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_namespace(admin: &Client, name: &str) -> Result<Self> {
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}-")),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespace = Api::all(admin.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .context(format!("make a namespace {name}"))?;
        let namespace = namespace.metadata.name.unwrap_or_default();
        Ok(Self {
            client: admin.clone(),
            namespace,
        })
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The client that this was made with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Deletes nodes and namespace, without waiting for the end of it. Optional: the control
    /// plane dies with the test anyway.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(self) -> Result<()> {
        let what = format!("delete cluster {}", self.namespace);
        let nodes = Api::<k8s_openapi::api::core::v1::Node>::all(self.client.clone());
        let ours =
            kube::api::ListParams::default().labels(&format!("{CLUSTER}={}", self.namespace));
        nodes
            .delete_collection(&DeleteParams::default(), &ours)
            .await
            .context(what.clone())?;
        Api::<Namespace>::all(self.client)
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .context(what)?;
        Ok(())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
