//! A node with a pod on it, room elsewhere, and a handler that hears what a test says.

use std::time::Duration;

use serde_json::Value;
use spot_tests::{
    Result,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    handler::{Flags, Handler},
    rbac,
};

/// Loose: the machine may be busy with other tests.
pub(crate) const A_WHILE: Duration = Duration::from_secs(60);

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A cluster of one node that matters, with one pod, and another node for its pod to go to.
pub(crate) struct Stage {
    pub(crate) plane: &'static ControlPlane,
    pub(crate) cluster: Cluster,
    pub(crate) node: Node,
    user: String,
}

impl Stage {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        Self::with(name, NodeSpec::spot("doomed")).await
    }

    pub(crate) async fn with(name: &str, spec: NodeSpec) -> Result<Self> {
        let plane = ControlPlane::shared().await?;
        let admin = plane.client("admin")?;
        rbac::allow_handlers(&admin).await?;
        let cluster = Cluster::create(&admin, name).await?;
        let node = cluster.add_node(&spec).await?;
        cluster.add_node(&NodeSpec::on_demand("refuge")).await?;
        cluster.deploy_on(&node, &Workload::new("web", 1)).await?;
        Ok(Self {
            user: plane.take_handler_user()?,
            plane,
            cluster,
            node,
        })
    }

    /// A handler of the node that asks this metadata service, with more flags.
    pub(crate) async fn handler(&self, url: &str, flags: &[(&str, &str)]) -> Result<Handler> {
        let kubeconfig = self.plane.kubeconfig(&self.user)?;
        let run = Flags::run(&self.node.name, &kubeconfig, url);
        let run = flags
            .iter()
            .fold(run, |run, (flag, value)| run.with(flag, value));
        Handler::start(&run).await
    }

    /// Who the handler is to the API server.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// How many pods, but DaemonSets', are on the node.
    pub(crate) async fn pods_left(&self) -> Result<usize> {
        Ok(self.cluster.pods_on(&self.node.name).await?.len())
    }
}

/// Waits for a line of the log with this message.
pub(crate) async fn says(handler: &Handler, message: &str) -> Result<Value> {
    let wanted = |line: &Value| line["message"] == message;
    handler.wait_for_log(message, A_WHILE, wanted).await
}

/// How many lines of the log have this message.
pub(crate) fn said(handler: &Handler, message: &str) -> usize {
    let lines = handler.log_lines();
    lines
        .iter()
        .filter(|line| line["message"] == message)
        .count()
}
