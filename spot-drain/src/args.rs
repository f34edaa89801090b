//! Arguments of the drain for a binary that uses `clap`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::cluster::{Cluster, ConnectError};
use crate::plan::{BudgetPolicy, Settings};
use crate::taint::{QuarantineSettings, Taint};

/// Which cluster, which node, and how it is drained.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// The node to look after, by its name in the cluster
    #[arg(long, env = "NODE_NAME", help_heading = "Cluster", value_parser = name)]
    pub node_name: String,

    /// A kubeconfig file [default: the pod's service account; outside a pod $KUBECONFIG, then
    /// ~/.kube/config]
    #[arg(long, help_heading = "Cluster", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig [default: its current one]
    #[arg(long, env = "CONTEXT", help_heading = "Cluster", value_name = "NAME")]
    pub context: Option<String>,

    /// The pod that this runs in, which is never evicted
    #[arg(long, env = "POD_NAME", help_heading = "Cluster", value_name = "NAME")]
    pub pod_name: Option<String>,

    /// That pod's namespace
    #[arg(
        long,
        env = "POD_NAMESPACE",
        help_heading = "Cluster",
        value_name = "NAME",
        default_value = "kube-system"
    )]
    pub pod_namespace: String,

    /// What is done about pods that a PodDisruptionBudget holds: `respect` never deletes them,
    /// so that they may be lost with the machine; `delete-at` deletes them as late as leaves
    /// them time to end
    #[arg(
        long,
        env = "PDB",
        help_heading = "Drain",
        value_name = "POLICY",
        default_value = "respect"
    )]
    pub pdb: Pdb,

    /// With `--pdb delete-at`: the longest grace that is waited for before the deadline
    #[arg(long, env = "DELETE_AT_GRACE", help_heading = "Drain", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub delete_at_grace: Duration,

    /// The taint, KEY:EFFECT; its value is the kind of notice
    #[arg(long, env = "TAINT", help_heading = "Drain", default_value_t = Taint::default())]
    pub taint: Taint,

    /// Whether load balancers are told to leave the node out
    #[arg(long, env = "EXCLUDE_FROM_LOAD_BALANCERS", help_heading = "Drain", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub exclude_from_load_balancers: bool,

    /// Have the API server check every change and keep none
    #[arg(long, env = "DRY_RUN", help_heading = "Drain")]
    pub dry_run: bool,
}

/// What is done about pods that a budget holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pdb {
    /// Never delete them.
    Respect,
    /// Delete them as late as leaves them time to end.
    DeleteAt,
}

impl DrainArgs {
    /// The connection that the arguments ask for.
    ///
    /// # Errors
    /// Where there is no usable configuration. The API server is not asked yet.
    pub async fn cluster(&self) -> Result<Cluster, ConnectError> {
        let choice = KubeConfigOptions {
            context: self.context.clone(),
            ..Default::default()
        };
        let config = match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(ConnectError::new)?;
                Config::from_custom_kubeconfig(kubeconfig, &choice).await
            }
            None if self.context.is_some() => Config::from_kubeconfig(&choice).await,
            None => match Config::incluster() {
                Ok(config) => Ok(config),
                Err(_) => Config::from_kubeconfig(&choice).await,
            },
        };
        Cluster::connect(config.map_err(ConnectError::new)?)
    }

    /// The plan's settings.
    pub fn settings(&self) -> Settings {
        Settings {
            budgets: match self.pdb {
                Pdb::Respect => BudgetPolicy::Respect,
                Pdb::DeleteAt => BudgetPolicy::DeleteAt {
                    grace: self.delete_at_grace,
                },
            },
            ourselves: self
                .pod_name
                .clone()
                .map(|name| (self.pod_namespace.clone(), name)),
            dry_run: self.dry_run,
            ..Settings::default()
        }
    }

    /// The quarantine's settings.
    pub fn quarantine(&self) -> QuarantineSettings {
        QuarantineSettings {
            taint: self.taint.clone(),
            exclude_from_load_balancers: self.exclude_from_load_balancers,
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("write a node's name, as `kubectl get nodes` shows it")
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 30s or 1m30s")
}
