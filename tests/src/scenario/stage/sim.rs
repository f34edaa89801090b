//! A stage in the simulator.

use spot_drain::sim::Recorded;
use std::sync::Arc;

use async_trait::async_trait;
use kube::Client;
use spot_core::{clock::WallClock, sim::VirtualClock};
use spot_drain::{
    cluster::Cluster as Connection,
    sim::{Faults, Sim, World},
};
use tokio::{task::JoinSet, time::Instant};

use super::{Ground, Rights, admin::Admin};
use crate::{
    Result,
    cluster::{Cluster, Node},
};

/// A simulator that lives as long as this does.
pub(super) struct Simulated {
    sim: Sim,
    clock: VirtualClock,
    _life: JoinSet<()>,
}

impl Simulated {
    pub(super) async fn new(name: &str) -> Result<(Self, Cluster)> {
        let now = Instant::now();
        let world = World::builder().build(now);
        let clock = VirtualClock::new(world.at(now).wall, now);
        let sim = Sim::new(world);
        let mut life = JoinSet::new();
        let living = sim.clone();
        life.spawn(async move { match living.run().await {} });
        let admin = Client::new(Admin(sim.clone()), "default");
        let cluster = Cluster::create_namespace(&admin, name).await?;
        let simulated = Self {
            sim,
            clock,
            _life: life,
        };
        Ok((simulated, cluster))
    }
}

#[async_trait]
impl Ground for Simulated {
    /// The simulator knows one user beside its administrator.
    async fn connect(&self, rights: &Rights) -> Result<Connection> {
        self.sim.with(|world| {
            let access = &mut world.api_mut().access;
            access.allow_all();
            for (verb, resource) in &rights.without {
                access.deny(*verb, *resource);
            }
            if !rights.delete {
                access.deny("delete", "pods");
            }
        });
        Ok(Connection::from_client(self.sim.client()))
    }

    fn set_faults(&self, mut faults: Box<dyn Faults>) {
        self.sim.set_faults(
            move |number: u64, request: &http::Request<bytes::Bytes>, now| {
                faults.decide(number, request, now)
            },
        );
    }

    fn requests(&self) -> Vec<Recorded> {
        self.sim.requests()
    }

    async fn stop_kubelet(&self, _: &Cluster, node: &Node) -> Result<()> {
        let now = Instant::now();
        self.sim.with(|world| world.stop_kubelet(&node.name, now));
        Ok(())
    }

    fn clock(&self) -> Arc<dyn WallClock> {
        Arc::new(self.clock)
    }
}
