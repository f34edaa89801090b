//! A control plane of one's own on which the manifests are installed, as an operator would.

use std::{path::Path, time::Duration};

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::{Api, Client, api::ListParams};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Manifests, NAME, NAMESPACE, agent::Agent, chart};
use crate::{
    Error, Result, cluster::Node, control_plane::ControlPlane, error::Context as _,
    scratch::Scratch, wait::wait_until,
};

/// How long controllers may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A control plane with one of the manifests applied.
#[derive(Debug)]
pub struct Installed {
    /// The control plane.
    pub plane: ControlPlane,
    /// What is installed.
    pub manifests: Manifests,
    /// The same, object by object.
    pub objects: Vec<Value>,
}

impl Installed {
    /// The one that all tests of a binary share, for each of the manifests.
    ///
    /// # Errors
    /// When the control plane does not start, or refuses an object.
    pub async fn shared(manifests: Manifests) -> Result<&'static Self> {
        static CURRENT: OnceCell<Installed> = OnceCell::const_new();
        static BEFORE: OnceCell<Installed> = OnceCell::const_new();
        let cell = match manifests {
            Manifests::Current => &CURRENT,
            Manifests::Before136 => &BEFORE,
        };
        cell.get_or_try_init(|| Self::start(manifests)).await
    }

    /// A control plane that nobody else uses.
    ///
    /// # Errors
    /// As [`Installed::shared`].
    pub async fn start(manifests: Manifests) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        apply(&plane, &manifests.path(), &[]).await?;
        let objects = manifests.objects()?;
        Ok(Self {
            plane,
            manifests,
            objects,
        })
    }

    /// As [`Installed::shared`], with make before break for all workloads.
    ///
    /// # Errors
    /// As [`Installed::shared`].
    pub async fn shared_making_first(manifests: Manifests) -> Result<&'static Self> {
        static CURRENT: OnceCell<Installed> = OnceCell::const_new();
        static BEFORE: OnceCell<Installed> = OnceCell::const_new();
        let cell = match manifests {
            Manifests::Current => &CURRENT,
            Manifests::Before136 => &BEFORE,
        };
        cell.get_or_try_init(|| Self::start_making_first(manifests))
            .await
    }

    /// As [`Installed::start`], with make before break for all workloads: what the chart renders.
    ///
    /// # Errors
    /// As [`Installed::shared`], and when Helm refuses.
    pub async fn start_making_first(manifests: Manifests) -> Result<Self> {
        Self::start_with(manifests, "handler.makeBeforeBreak=\"on\"").await
    }

    /// As [`Installed::start`], with values besides, as Helm's `--set-json` takes it.
    ///
    /// # Errors
    /// As [`Installed::shared`], and when Helm refuses.
    pub async fn start_with(manifests: Manifests, values: &str) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let render = chart::Render::of(chart::version(manifests));
        let text = render.set(values).text().await?;
        let scratch = Scratch::new("installed")?;
        let file = scratch.path().join("rendered.yaml");
        std::fs::write(&file, &text).context("write what was rendered")?;
        apply(&plane, &file, &[]).await?;
        Ok(Self {
            plane,
            manifests,
            objects: super::objects(&text)?,
        })
    }

    /// The one object of a kind that is installed.
    ///
    /// # Errors
    /// When there is none.
    pub fn object(&self, kind: &str) -> Result<Value> {
        let found = self.objects.iter().find(|object| object["kind"] == kind);
        let found = found.cloned();
        found.ok_or_else(|| Error::Usage(format!("no {kind} is installed")))
    }

    /// Whether it makes replacements first for any workload.
    pub fn makes_first(&self) -> bool {
        chart::arguments(&self.objects).contains(&"--make-before-break=on".to_owned())
    }

    /// A client that may do everything.
    ///
    /// # Errors
    /// When none can be made.
    pub fn admin(&self) -> Result<Client> {
        self.plane.client("admin")
    }

    /// The DaemonSet's pods, on all nodes.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods: Api<Pod> = Api::namespaced(self.admin()?, NAMESPACE);
        let chosen = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
        Ok(pods
            .list(&chosen)
            .await
            .context("the handler's pods")?
            .items)
    }

    /// Waits until the DaemonSet has a running pod for each node that it wants one on; how many
    /// it wants.
    ///
    /// # Errors
    /// When it does not get there.
    pub async fn rolled_out(&self) -> Result<i32> {
        let sets: Api<DaemonSet> = Api::namespaced(self.admin()?, NAMESPACE);
        wait_until("the DaemonSet's pods", SOON, async || {
            let set = sets.get(NAME).await.map_err(|error| error.to_string())?;
            let status = set.status.unwrap_or_default();
            let seen = status.observed_generation.is_some();
            let wanted = status.desired_number_scheduled;
            if seen && wanted > 0 && status.number_ready == wanted {
                Ok(wanted)
            } else {
                Err(format!("{} of {wanted} are ready", status.number_ready))
            }
        })
        .await
    }

    /// The DaemonSet's pod on a node, with a token that is bound to it.
    ///
    /// # Errors
    /// When there is no such pod soon, or no token for it.
    pub async fn agent(&self, node: &Node) -> Result<Agent> {
        let what = format!("the handler's pod on {}", node.name);
        let pod = wait_until(what, SOON, async || {
            let pods = self.pods().await.map_err(|error| error.to_string())?;
            let on_it = |pod: &Pod| {
                let spec = pod.spec.as_ref();
                let ends = pod.metadata.deletion_timestamp.is_some();
                !ends && spec.and_then(|s| s.node_name.as_ref()) == Some(&node.name)
            };
            let found = pods.into_iter().find(on_it);
            found.ok_or_else(|| "none is there".to_owned())
        })
        .await?;
        Agent::of(self, pod).await
    }
}

/// Applies a file as an operator would, on the server's side, with further arguments.
///
/// # Errors
/// When `kubectl` cannot be started, or the API server refuses something; with all it said.
pub async fn apply(plane: &ControlPlane, file: &Path, more: &[&str]) -> Result<String> {
    let mut arguments: Vec<std::ffi::OsString> = ["apply", "--server-side", "--filename"]
        .map(Into::into)
        .into();
    arguments.push(file.into());
    arguments.extend(more.iter().map(Into::into));
    let kubectl = plane.kubectl(arguments)?;
    let status = kubectl.wait(SOON).await?;
    if status.success() {
        Ok(kubectl.log())
    } else {
        Err(Error::Tool(format!("kubectl apply: {}", kubectl.log())))
    }
}
