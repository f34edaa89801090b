//! One interruption: AWS's mock gives notice, the shipping binary acts, the audit log counts.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Result,
    audit::{Mark, Request},
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    figures::DrainFigures,
    handler::{Flags, Handler},
    metadata_mock::{Action, MetadataMock},
    rbac,
};

/// The workshop's small cluster: its three services on a spot node that will be interrupted,
/// and room for them on another spot node and on an On-Demand one.
pub struct Workshop {
    /// Its namespace and nodes.
    pub cluster: Cluster,
    /// The node that will be interrupted.
    pub doomed: Node,
    /// The services' deployments.
    pub services: Vec<Workload>,
}

impl Workshop {
    /// Makes it, `replicas` pods for each service, all running on the doomed node. Pods take
    /// `exit_after` seconds to end.
    ///
    /// # Errors
    /// When the control plane does not get there.
    pub async fn create(
        plane: &ControlPlane,
        name: &str,
        replicas: usize,
        exit_after: f64,
    ) -> Result<Self> {
        let admin = plane.client("admin")?;
        rbac::allow_handlers(&admin).await?;
        let cluster = Cluster::create(&admin, name).await?;
        let doomed = cluster.add_node(&NodeSpec::spot("spot-1")).await?;
        cluster.add_node(&NodeSpec::spot("spot-2")).await?;
        cluster
            .add_node(&NodeSpec::on_demand("on-demand-1"))
            .await?;
        let service = |name| {
            Workload::new(name, replicas)
                .grace(30)
                .exit_after(exit_after)
        };
        let services = ["frontend", "crystal", "nodejs"].map(service).to_vec();
        for service in &services {
            cluster.service(service).await?;
            cluster.deploy_on(&doomed, service).await?;
        }
        Ok(Self {
            cluster,
            doomed,
            services,
        })
    }
}

/// A handler that runs for a node whose instance will get a notice.
pub struct Interruption {
    /// The metadata service of the instance.
    pub metadata: MetadataMock,
    /// The shipping binary.
    pub handler: Handler,
    /// The user that it is to the API server.
    pub user: String,
    mark: Mark,
}

impl Interruption {
    /// Starts both; the notice shows after `delay` and leaves `left`. Returns when the
    /// handler hears the metadata service.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn announce(
        plane: &ControlPlane,
        node: &Node,
        delay: Duration,
        left: Duration,
        more: impl Fn(Flags) -> Flags,
    ) -> Result<Self> {
        crate::handler::binary().await?; // built before the clock runs
        let id = &node.instance_id;
        let metadata = MetadataMock::spot(id, Action::Terminate, left, delay).await?;
        Self::hear(plane, node, metadata, more).await
    }

    /// The same with a notice that shows at a whole second of the wall clock, which many nodes
    /// may share. Whether the handler was up by then is for the caller to see.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn announce_at(
        plane: &ControlPlane,
        node: &Node,
        shows_at: Timestamp,
        left: Duration,
    ) -> Result<Self> {
        let id = &node.instance_id;
        let metadata = MetadataMock::spot_at(id, Action::Terminate, left, shows_at).await?;
        Self::hear(plane, node, metadata, |flags| flags).await
    }

    async fn hear(
        plane: &ControlPlane,
        node: &Node,
        metadata: MetadataMock,
        more: impl Fn(Flags) -> Flags,
    ) -> Result<Self> {
        let user = plane.take_handler_user()?;
        let mark = plane.audit().mark();
        let flags = Flags::run(&node.name, &plane.kubeconfig(&user)?, &metadata.url());
        let handler = Handler::start(&more(flags)).await?;
        handler.hears_notices().await?;
        Ok(Self {
            metadata,
            handler,
            user,
            mark,
        })
    }

    /// Waits for the end of the drain; the log's line about it.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub async fn finished(&self, within: Duration) -> Result<Value> {
        let finished = |line: &Value| line["message"] == "drain finished";
        self.handler
            .wait_for_log("the end of the drain", within, finished)
            .await
    }

    /// What the API server was asked by the handler, so far.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub async fn requests(&self, plane: &ControlPlane) -> Result<Vec<Request>> {
        plane.audit().of_user(self.mark, &self.user).await
    }

    /// The figures of the drain.
    ///
    /// # Errors
    /// When the audit log cannot be read.
    pub async fn figures(&self, plane: &ControlPlane) -> Result<DrainFigures> {
        Ok(DrainFigures::of(&self.requests(plane).await?))
    }
}
