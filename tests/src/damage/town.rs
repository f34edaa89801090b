//! The workloads, and the node that they stand on.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::{
    Result,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    error::Context as _,
};

/// How a workload is, and what becomes of it where replacements are made first.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// How many of its pods are on the node.
    pub here: usize,
    /// And elsewhere.
    pub elsewhere: usize,
    /// What its budget says, where it has one.
    budget: Option<(&'static str, Value)>,
    /// Whether it has a Service.
    pub service: bool,
    /// Its grace, and how long its processes take to end.
    pub grace: u32,
    exit: f64,
    /// What is merged into its Deployment.
    spec: Value,
    stateful: bool,
    /// Whether the rules of make before break allow it.
    pub allowed: bool,
}

impl Kind {
    fn new(name: &'static str, here: usize, elsewhere: usize) -> Self {
        Self {
            name,
            here,
            elsewhere,
            budget: None,
            service: true,
            grace: 30,
            exit: 3.0,
            spec: json!({}),
            stateful: false,
            allowed: true,
        }
    }

    fn guarded(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.budget = Some((field, value.into()));
        self
    }

    fn without_a_service(mut self) -> Self {
        self.service = false;
        self
    }

    fn exits(mut self, exit: f64, grace: u32) -> Self {
        (self.exit, self.grace) = (exit, grace);
        self
    }

    fn with_spec(mut self, spec: Value) -> Self {
        self.spec = spec;
        self.forbidden()
    }

    fn forbidden(mut self) -> Self {
        self.allowed = false;
        self
    }

    /// How many pods it wants.
    pub fn wanted(&self) -> usize {
        self.here + self.elsewhere
    }

    /// All twelve.
    pub fn all() -> Vec<Self> {
        let recreate = json!({"strategy": {"type": "Recreate", "rollingUpdate": null}});
        let no_surge = json!({"strategy": {"rollingUpdate":
            {"maxSurge": 0, "maxUnavailable": 1}}});
        let mut database = Self::new("stateful", 2, 0).forbidden();
        database.stateful = true;
        vec![
            Self::new("one", 1, 0),
            Self::new("one-guarded", 1, 0).guarded("minAvailable", 1),
            Self::new("two-together", 2, 0),
            Self::new("three-spread", 1, 2),
            Self::new("ten-percent", 4, 6).guarded("maxUnavailable", "25%"),
            Self::new("all-guarded", 3, 0).guarded("maxUnavailable", 0),
            Self::new("slow-to-exit", 2, 0).exits(50.0, 60),
            Self::new("too-slow", 1, 0).exits(300.0, 600).forbidden(),
            database,
            Self::new("recreate", 1, 0).with_spec(recreate),
            Self::new("no-surge", 2, 0).with_spec(no_surge),
            Self::new("no-service", 2, 0).without_a_service(),
        ]
    }

    fn workload(&self, ready: Duration) -> Workload {
        Workload::new(self.name, self.here)
            .grace(self.grace)
            .exit_after(self.exit)
            .ready_after(ready.as_secs_f64())
    }
}

/// A node full of workloads, and others with room.
pub struct Town {
    /// Its namespace.
    pub cluster: Cluster,
    /// The node whose machine will die.
    pub doomed: Node,
    /// The workloads.
    pub kinds: Vec<Kind>,
}

impl Town {
    /// Makes it; pods are ready so long after they run.
    ///
    /// # Errors
    /// When the control plane does not get there.
    pub async fn create(plane: &ControlPlane, name: &str, ready: Duration) -> Result<Self> {
        let cluster = Cluster::create(&plane.client("admin")?, name).await?;
        let doomed = cluster.add_node(&NodeSpec::spot("doomed")).await?;
        let kinds = Kind::all();
        for kind in &kinds {
            let workload = kind.workload(ready);
            if kind.stateful {
                cluster.make_stateful_set(&workload).await?;
            } else {
                cluster.deploy(&workload).await?;
                let spec = json!({"spec": kind.spec});
                cluster.merge::<Deployment>(kind.name, spec).await?;
            }
            if kind.service {
                cluster.service(&workload).await?;
            }
            if let Some((field, value)) = &kind.budget {
                let labels = json!({"matchLabels": {"app": kind.name}});
                let budget = json!({"metadata": {"name": kind.name},
                    "spec": {"selector": labels, *field: value}});
                cluster.make::<PodDisruptionBudget>(budget).await?;
            }
        }
        for kind in &kinds {
            cluster.wait_ready(kind.name, kind.here).await?;
        }
        cluster.cordon(&doomed.name, true).await?;
        for other in ["a", "b", "c"] {
            cluster.add_node(&NodeSpec::on_demand(other)).await?;
        }
        for kind in kinds.iter().filter(|kind| kind.elsewhere > 0) {
            let more = json!({"spec": {"replicas": kind.wanted()}});
            cluster.merge::<Deployment>(kind.name, more).await?;
        }
        for kind in &kinds {
            cluster.wait_ready(kind.name, kind.wanted()).await?;
        }
        cluster.cordon(&doomed.name, false).await?;
        Ok(Self {
            cluster,
            doomed,
            kinds,
        })
    }

    /// The machine dies: what still runs there is lost, and the cluster's cloud controller removes
    /// node and pods. The pods that were lost, by the names of their workloads.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn die(&self) -> Result<Vec<String>> {
        let left = self.cluster.pods_on(&self.doomed.name).await?;
        self.cluster.remove_node(&self.doomed.name).await?;
        let mut lost = Vec::new();
        for pod in left {
            let labels = pod.metadata.labels.unwrap_or_default();
            let name = pod.metadata.name.unwrap_or_default();
            let now = DeleteParams::default().grace_period(0);
            // It may have ended in this very moment.
            let deleted = self.cluster.api::<Pod>().delete(&name, &now).await;
            if !matches!(&deleted, Err(kube::Error::Api(status)) if status.code == 404) {
                deleted.map(drop).context(format!("remove {name}"))?;
                lost.extend(labels.get("app").cloned());
            }
        }
        Ok(lost)
    }
}
