//! A stage on the real control plane.

use spot_drain::sim::Recorded;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use serde_json::json;
use spot_core::clock::{SystemClock, WallClock};
use spot_drain::{cluster::Cluster as Connection, sim::Faults};
use tokio::sync::{Mutex, OnceCell};

use super::{Ground, Rights};
use crate::{
    Error, Result,
    cluster::{Cluster, Node},
    control_plane::ControlPlane,
    kwok::{DEAD, KUBELET},
    proxy::Proxy,
    rbac,
    scenario::secs,
    wait::wait_until,
};

/// What a handler lists.
const LISTED: [(&str, &str); 3] = [
    ("/api/v1", "pods"),
    ("/apis/apps/v1", "daemonsets"),
    ("/apis/policy/v1", "poddisruptionbudgets"),
];

/// A proxy before the control plane that is shared.
pub(super) struct Real {
    plane: &'static ControlPlane,
    admin: Client,
    proxy: Proxy,
    /// One for all who have the same rights.
    users: Mutex<Vec<(Rights, String)>>,
}

impl Real {
    pub(super) async fn new(name: &str) -> Result<(Self, Cluster)> {
        static HANDLERS_ALLOWED: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared().await?;
        let admin = plane.client("admin")?;
        HANDLERS_ALLOWED
            .get_or_try_init(async || rbac::allow_handlers(&admin).await)
            .await?;
        let cluster = Cluster::create(&admin, name).await?;
        let proxy = Proxy::start(&plane.config("admin")?).await?;
        let real = Self {
            plane,
            admin,
            proxy,
            users: Mutex::default(),
        };
        Ok((real, cluster))
    }

    async fn user(&self, rights: &Rights) -> Result<String> {
        let mut users = self.users.lock().await;
        if let Some((_, user)) = users.iter().find(|(known, _)| known == rights) {
            return Ok(user.clone());
        }
        let user = self.new_user(rights).await?;
        self.is_known(&user, rights).await?;
        users.push((rights.clone(), user.clone()));
        Ok(user)
    }

    async fn new_user(&self, rights: &Rights) -> Result<String> {
        if *rights == Rights::all() {
            return self.plane.take_handler_user();
        }
        let user = self.plane.take_plain_user()?;
        let mut rules = rbac::handler_rules()?;
        if rights.make_before_break {
            rules.extend(rbac::make_before_break_rules());
        }
        for (verb, resource) in &rights.without {
            rules = rbac::without(rules, verb, resource);
        }
        if rights.delete {
            rules.push(rbac::delete_at_rule());
        }
        rbac::allow(&self.admin, &user, rbac::Who::User(&user), rules).await?;
        Ok(user)
    }
}

impl Real {
    /// Waits until the server serves the user what it may list: rights take a moment to be
    /// known to it, and after its own start so do objects.
    async fn is_known(&self, user: &str, rights: &Rights) -> Result<()> {
        let client = self.plane.client(user)?;
        for (group, resource) in LISTED {
            if rights.without.contains(&("list", resource)) {
                continue;
            }
            let path = format!("{group}/{resource}?resourceVersion=0&limit=1");
            wait_until(format!("{user} lists {resource}"), secs(30), async || {
                let get = http::Request::get(&path).body(Vec::new());
                let get = get.map_err(|error| error.to_string())?;
                let listed = client.request_text(get).await;
                listed.map(drop).map_err(|error| error.to_string())
            })
            .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Ground for Real {
    async fn connect(&self, rights: &Rights) -> Result<Connection> {
        let user = self.user(rights).await?;
        let config = self.proxy.towards(&self.plane.config(&user)?)?;
        Connection::connect(config).map_err(|error| Error::Usage(format!("{user}: {error}")))
    }

    fn set_faults(&self, mut faults: Box<dyn Faults>) {
        self.proxy.set_faults(
            move |number: u64, request: &http::Request<bytes::Bytes>, now| {
                faults.decide(number, request, now)
            },
        );
    }

    fn requests(&self) -> Vec<Recorded> {
        self.proxy.requests()
    }

    /// All nodes have the same kubelet here: it is told to leave these pods alone.
    async fn stop_kubelet(&self, cluster: &Cluster, node: &Node) -> Result<()> {
        let dead = json!({"metadata": {"annotations": {KUBELET: DEAD}}});
        for pod in cluster.pods_on(&node.name).await? {
            let name = pod.metadata.name.unwrap_or_default();
            cluster.merge::<Pod>(&name, dead.clone()).await?;
        }
        Ok(())
    }

    fn clock(&self) -> Arc<dyn WallClock> {
        Arc::new(SystemClock)
    }

    fn real(&self) -> Option<(&'static ControlPlane, &Proxy)> {
        Some((self.plane, &self.proxy))
    }
}
