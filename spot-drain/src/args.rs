//! Arguments of the drain and of the check, for a binary that uses `clap`.

mod check;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use check::{CheckArgs, ClusterArgs};

use crate::cluster::{Cluster, ConnectError};
use crate::plan::{BudgetPolicy, Settings};
use crate::replacement::MakeBeforeBreak;
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

    /// Read the node, and read and evict its pods, as the node itself, so that no right is needed
    /// beyond it: with Kubernetes 1.36 and newer, in a pod of that node
    #[arg(long, env = "IMPERSONATE_NODE", help_heading = "Cluster", value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub impersonate_node: bool,

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

    /// How often it is proved that a notice would be acted on, with dry runs that change nothing;
    /// `0` or `off` is never. Values under 10m cost the API server more than the usual one check
    /// in ten minutes
    #[arg(long, env = "SELF_CHECK_INTERVAL", help_heading = "Cluster", value_name = "DURATION", default_value = "10m", value_parser = interval)]
    pub self_check_interval: Duration,

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

    /// For which workloads a replacement is made, and ready, before a pod is evicted: `on` is all
    /// that allow it but those annotated `off`, `annotated` those annotated `on`. Without a value,
    /// `on`
    #[arg(
        long,
        env = "MAKE_BEFORE_BREAK",
        help_heading = "Drain",
        value_name = "WHICH",
        default_value = "off",
        default_missing_value = "on",
        num_args = 0..=1,
        require_equals = true
    )]
    pub make_before_break: MakeBeforeBreak,

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
        // A kubeconfig that is named, or a context of one, wins over the pod's account.
        let ours = Config::incluster();
        let cluster = match ours {
            Ok(config) if self.kubeconfig.is_none() && self.context.is_none() => {
                Cluster::connect(config)?
            }
            _ => kubeconfig(self.kubeconfig.as_deref(), self.context.as_deref()).await?,
        };
        Ok(if self.impersonate_node {
            cluster.impersonating_nodes()
        } else {
            cluster
        })
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
            make_before_break: self.make_before_break,
            dry_run: self.dry_run,
            ..Settings::default()
        }
    }

    /// How often the links to the cluster are proved; `None` is never.
    pub fn self_check_every(&self) -> Option<Duration> {
        Some(self.self_check_interval).filter(|every| !every.is_zero())
    }

    /// The quarantine's settings.
    pub fn quarantine(&self) -> QuarantineSettings {
        QuarantineSettings {
            taint: self.taint.clone(),
            exclude_from_load_balancers: self.exclude_from_load_balancers,
        }
    }
}

/// The connection that a kubeconfig describes: the one that is named, or the usual one.
async fn kubeconfig(file: Option<&Path>, context: Option<&str>) -> Result<Cluster, ConnectError> {
    let choice = KubeConfigOptions {
        context: context.map(Into::into),
        ..Default::default()
    };
    let config = match file {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(ConnectError::new)?;
            Config::from_custom_kubeconfig(kubeconfig, &choice).await
        }
        None => Config::from_kubeconfig(&choice).await,
    };
    Cluster::connect(config.map_err(ConnectError::new)?)
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

/// A duration that may be none at all.
fn interval(text: &str) -> Result<Duration, &'static str> {
    if matches!(text, "0" | "off") {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() || time >= Duration::from_secs(1) => Ok(time),
        _ => Err("write a duration of at least 1s such as 10m, or off"),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 30s or 1m30s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_are_made_first_where_that_is_said() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            drain: DrainArgs,
        }
        let with = |args: &[&str]| {
            let all = ["program", "--node-name", "spot-1"].iter().chain(args);
            let program = <Program as clap::Parser>::try_parse_from(all);
            program.map(|p| p.drain.settings().make_before_break)
        };
        let flag = |value| with(&[&format!("--make-before-break={value}")]);
        assert_eq!(with(&[]).ok(), Some(MakeBeforeBreak::Off));
        assert_eq!(
            with(&["--make-before-break"]).ok(),
            Some(MakeBeforeBreak::On)
        );
        assert_eq!(flag("annotated").ok(), Some(MakeBeforeBreak::Annotated));
        assert_eq!(flag("off").ok(), Some(MakeBeforeBreak::Off));
        let said = flag("yes").unwrap_err().to_string();
        assert!(said.contains("off, annotated, on"), "{said}");
    }

    #[test]
    fn a_self_check_is_made_every_ten_minutes_at_an_interval_or_never() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            drain: DrainArgs,
        }
        let with = |args: &[&str]| {
            let all = ["program", "--node-name", "spot-1"].iter().chain(args);
            let program = <Program as clap::Parser>::try_parse_from(all);
            program.map(|p| p.drain.self_check_every())
        };
        assert_eq!(with(&[]).ok(), Some(Some(Duration::from_secs(600))));
        let of = |text| with(&["--self-check-interval", text]);
        assert_eq!(of("1s").ok(), Some(Some(Duration::from_secs(1))));
        for never in ["0", "off", "0s"] {
            assert_eq!(of(never).ok(), Some(None), "{never}");
        }
        for wrong in ["", "999ms", "ten", "10"] {
            let said = of(wrong).unwrap_err().to_string();
            assert!(said.contains("at least 1s"), "{wrong}: {said}");
        }
    }
}
