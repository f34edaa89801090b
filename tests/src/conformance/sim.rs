//! The simulator.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{Access, Api, Pace, Sim, World};
use tokio::time::Instant;

use super::target::{Target, User};
use crate::{Error, Result, error::Context as _};

/// What a user without rights is refused.
const REFUSED: [&str; 4] = ["pods", "pods/eviction", "nodes", "events"];
/// Controllers that do nothing for so long take no part.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The simulated API server, whose controllers sleep.
pub struct SimTarget {
    sim: Sim,
}

impl Default for SimTarget {
    fn default() -> Self {
        Self::new()
    }
}

impl SimTarget {
    /// An empty one. It belongs into a runtime whose time is paused.
    pub fn new() -> Self {
        let began = Now {
            instant: Instant::now(),
            wall: Timestamp::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let mut pace = Pace::default();
        for part in [
            &mut pace.controllers,
            &mut pace.budgets,
            &mut pace.scheduler,
            &mut pace.endpoints,
            &mut pace.node_lost,
        ] {
            *part = NEVER;
        }
        Self {
            sim: Sim::new(World::new(Api::new(1, began), began, pace)),
        }
    }
}

#[async_trait]
impl Target for SimTarget {
    /// One case runs at a time, so the simulator's rights are those of whoever asks next.
    fn client(&self, user: User) -> Result<Client> {
        let mut access = Access::default();
        if user == User::Nobody {
            "nobody".clone_into(&mut access.user);
            for resource in REFUSED {
                access.deny("*", resource);
            }
        }
        self.sim.with(|world| world.api_mut().access = access);
        Ok(self.sim.client())
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let request = http::Request::post("/api/v1/namespaces")
            .header("content-type", "application/json")
            .body(json!({"metadata": {"name": name}}).to_string().into_bytes())
            .map_err(|error| Error::Usage(error.to_string()))?;
        self.client(User::Admin)?
            .request::<Value>(request)
            .await
            .map(drop)
            .context("make a namespace")
    }

    async fn forget(&self) -> Result<()> {
        self.sim.with(|world| {
            let version = world.api().version();
            world.api_mut().compact(version);
        });
        Ok(())
    }

    fn width(&self) -> usize {
        1
    }
}
