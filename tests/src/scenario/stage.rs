//! Where a scenario plays: on a real control plane or in the simulator, told apart by nothing
//! but what it stands on.

mod admin;
mod real;
mod sim;

use spot_drain::sim::Recorded;
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use spot_core::clock::WallClock;
use spot_drain::{cluster::Cluster as Connection, sim::Faults};

use super::drain::DrainOf;
use crate::{
    Error, Result,
    cluster::{Cluster, Node, NodeSpec},
    control_plane::ControlPlane,
    proxy::Proxy,
    wait::wait_until,
};

/// What a scenario plays on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A real control plane, seen through a [proxy](crate::proxy).
    Real,
    /// The simulator, under paused time.
    Simulator,
}

/// What the drainer's user may do: all that a handler needs, but for what is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    without: Vec<(&'static str, &'static str)>,
    delete: bool,
    make_before_break: bool,
}

impl Rights {
    /// A handler's rights.
    pub fn all() -> Self {
        Self::default()
    }

    /// Not this verb on this resource (`pods/eviction` is one of its own).
    #[must_use]
    pub fn without(mut self, verb: &'static str, resource: &'static str) -> Self {
        self.without.push((verb, resource));
        self
    }

    /// And the deletion of pods, which a handler has only where it is told to go past budgets.
    #[must_use]
    pub fn with_delete(mut self) -> Self {
        self.delete = true;
        self
    }

    /// And what make before break needs.
    #[must_use]
    pub fn with_make_before_break(mut self) -> Self {
        self.make_before_break = true;
        self
    }
}

/// What a stage stands on.
#[async_trait]
pub(super) trait Ground: Send + Sync {
    /// A connection of a user with such rights, through what breaks.
    async fn connect(&self, rights: &Rights) -> Result<Connection>;

    /// Who decides what goes wrong with that user's requests.
    fn set_faults(&self, faults: Box<dyn Faults>);

    /// That user's requests so far.
    fn requests(&self) -> Vec<Recorded>;

    /// The kubelet of this node does nothing any more about pods that are there.
    async fn stop_kubelet(&self, cluster: &Cluster, node: &Node) -> Result<()>;

    /// The wall clock.
    fn clock(&self) -> Arc<dyn WallClock>;

    /// What only a real stage has.
    fn real(&self) -> Option<(&'static ControlPlane, &Proxy)> {
        None
    }
}

/// A cluster of the scenario's own, and the way of a handler to it.
pub struct Stage {
    /// The cluster, as its administrator sees and changes it: nothing goes wrong there.
    pub cluster: Cluster,
    kind: Kind,
    ground: Box<dyn Ground>,
}

impl Stage {
    /// A stage on the control plane that all scenarios of the process share.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn real(name: &str) -> Result<Self> {
        let (ground, cluster) = real::Real::new(name).await?;
        Ok(Self {
            cluster,
            kind: Kind::Real,
            ground: Box::new(ground),
        })
    }

    /// A stage in a simulator of its own. It belongs into a runtime whose time is paused.
    ///
    /// # Errors
    /// When its API refuses the fixture.
    pub async fn simulator(name: &str) -> Result<Self> {
        let (ground, cluster) = sim::Simulated::new(name).await?;
        Ok(Self {
            cluster,
            kind: Kind::Simulator,
            ground: Box::new(ground),
        })
    }

    /// What it plays on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How much later than it should something may be: a real machine is busy with others.
    pub fn noise(&self) -> Duration {
        match self.kind {
            Kind::Real => Duration::from_secs(3),
            Kind::Simulator => Duration::ZERO,
        }
    }

    /// A control plane and a proxy.
    ///
    /// # Errors
    /// Where the scenario plays in the simulator.
    pub fn real_parts(&self) -> Result<(&'static ControlPlane, &Proxy)> {
        let parts = self.ground.real();
        parts.ok_or_else(|| Error::Usage("there is no control plane in the simulator".to_owned()))
    }

    /// The node that will be drained, and another that has room.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn two_nodes(&self) -> Result<(Node, Node)> {
        let doomed = self.cluster.add_node(&NodeSpec::spot("doomed")).await?;
        let other = self.cluster.add_node(&NodeSpec::on_demand("other")).await?;
        Ok((doomed, other))
    }

    /// A drain of `node`, to be told more of and started.
    pub fn drain<'a>(&'a self, node: &'a Node) -> DrainOf<'a> {
        DrainOf::new(self, node)
    }

    /// A connection of a user with such rights.
    ///
    /// # Errors
    /// When the user cannot be made.
    pub async fn connect(&self, rights: &Rights) -> Result<Connection> {
        self.ground.connect(rights).await
    }

    /// What goes wrong with the handler's requests from now on.
    pub fn set_faults(&self, faults: impl Faults + 'static) {
        self.ground.set_faults(Box::new(faults));
    }

    /// The handler's requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.ground.requests()
    }

    /// Waits for a request of the handler that is as wanted.
    ///
    /// # Errors
    /// When there is none within the time.
    pub async fn request(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Recorded) -> bool,
    ) -> Result<Recorded> {
        wait_until(what, within, async || {
            let all = self.requests();
            let count = all.len();
            let found = all.into_iter().find(&wanted);
            found.ok_or_else(|| format!("{count} others"))
        })
        .await
    }

    /// The kubelet of this node does nothing any more about pods that are there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn stop_kubelet(&self, node: &Node) -> Result<()> {
        self.ground.stop_kubelet(&self.cluster, node).await
    }

    /// The wall clock.
    pub fn clock(&self) -> Arc<dyn WallClock> {
        self.ground.clock()
    }

    /// The UIDs of `app`'s pods that are on `node` and not going.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn staying(&self, node: &Node, app: &str) -> Result<Vec<String>> {
        let stays = |pod: &Pod| {
            let spec = pod.spec.as_ref();
            pod.metadata.deletion_timestamp.is_none()
                && spec.and_then(|s| s.node_name.as_ref()) == Some(&node.name)
        };
        let pods = self.cluster.pods(app).await?;
        let staying = pods.into_iter().filter(stays);
        Ok(staying.filter_map(|pod| pod.metadata.uid).collect())
    }
}
