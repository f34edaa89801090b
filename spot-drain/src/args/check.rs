//! Arguments of the check.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::Config;

use super::{Pdb, duration, kubeconfig, name};
use crate::check::{CheckSettings, SpotLabel};
use crate::cluster::{Cluster, ConnectError};
use crate::plan::{BudgetPolicy, Settings};
use crate::replacement::MakeBeforeBreak;

/// Which cluster, as `kubectl` chooses it.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// A kubeconfig file [default: $KUBECONFIG, then ~/.kube/config, then the pod's account]
    #[arg(long, help_heading = "Cluster", value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig [default: its current one]
    #[arg(long, help_heading = "Cluster", value_name = "NAME", global = true)]
    pub context: Option<String>,

    /// The label of spot nodes. Others use eks.amazonaws.com/capacityType=SPOT or
    /// karpenter.sh/capacity-type=spot
    #[arg(long, help_heading = "Cluster", value_name = "KEY=VALUE", global = true,
        default_value_t = SpotLabel::default())]
    pub spot_label: SpotLabel,
}

/// What is checked, and against which notice.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Only these spot nodes
    #[arg(value_name = "NODE", value_parser = name)]
    pub nodes: Vec<String>,

    /// From the notice to the end of the machine
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub notice: Duration,

    /// What the handler does about pods that a PodDisruptionBudget holds
    #[arg(long, value_name = "POLICY", default_value = "respect")]
    pub pdb: Pdb,

    /// For which workloads the handler makes replacements first; this asks for Deployments too
    #[arg(
        long,
        value_name = "WHICH",
        default_value = "off",
        default_missing_value = "on",
        num_args = 0..=1,
        require_equals = true
    )]
    pub make_before_break: MakeBeforeBreak,
}

impl ClusterArgs {
    /// The connection that the arguments ask for.
    ///
    /// # Errors
    /// Where there is no usable configuration. The API server is not asked yet.
    pub async fn cluster(&self) -> Result<Cluster, ConnectError> {
        match (&self.kubeconfig, &self.context) {
            (None, None) => {
                let config = Config::infer().await;
                Cluster::connect(config.map_err(ConnectError::new)?)
            }
            (file, context) => kubeconfig(file.as_deref(), context.as_deref()).await,
        }
    }
}

impl CheckArgs {
    /// The settings of the check.
    pub fn settings(&self, cluster: &ClusterArgs) -> CheckSettings {
        let budgets = match self.pdb {
            Pdb::Respect => BudgetPolicy::Respect,
            // How late it is makes no difference to the check.
            Pdb::DeleteAt => BudgetPolicy::DeleteAt {
                grace: crate::facts::DEFAULT_GRACE,
            },
        };
        CheckSettings::default()
            .with_notice(self.notice)
            .with_spot(cluster.spot_label.clone())
            .with_nodes(self.nodes.iter().cloned())
            .with_drain(
                Settings::default()
                    .with_budgets(budgets)
                    .with_make_before_break(self.make_before_break),
            )
    }
}
