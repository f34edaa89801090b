//! `kubectl spot check`.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::json;
use spot_drain::args::{CheckArgs, ClusterArgs};
use spot_drain::check::{
    Check, CheckSettings, NOT_CONSIDERED, ReasonKind, Severity, check, evictions,
};
use spot_drain::cluster::Cluster;
use spot_drain::replacement::MakeBeforeBreak;
use tokio::time::Instant;

use super::output::{OutputArgs, Table};
use super::unread;
use crate::exit::Exit;

/// What follows the options in `--help`.
pub(crate) fn after_help() -> String {
    format!(
        "\
Each spot node is looked at as if it alone were taken away now. Problems: the notice would not be
enough. Warnings: something would be lost or missed. Notes: worth knowing. With --namespace or
--ignore the verdicts are of the findings that are left.

Not considered: {NOT_CONSIDERED}.

Exit codes:
  0   nothing found that is as grave as --fail-on says
  1   findings, or budgets or DaemonSets that could not be read
  64  unusable arguments or configuration
  69  the cluster could not be read, or has no such spot node
  70  a bug"
    )
}

/// There are findings.
const FOUND: u8 = 1;

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    check: CheckArgs,

    /// Have the API server try every eviction as a dry run, which changes nothing
    #[arg(long)]
    dry_run_evictions: bool,

    /// Only findings of this namespace
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// Findings of all namespaces, as without --namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Exit with 1 where something is found that is so grave
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,

    /// Leave out findings of this reason, such as empty-dir (repeatable)
    #[arg(long, value_name = "REASON")]
    ignore: Vec<ReasonKind>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Note,
    Warning,
    Problem,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Note => Self::Note,
            FailOn::Warning => Self::Warning,
            FailOn::Problem => Self::Problem,
        }
    }
}

/// Checks the spot nodes, and says what was found.
pub(crate) async fn run(cluster: &Cluster, of: &ClusterArgs, args: &Args) -> Result<(), Exit> {
    let settings = args.check.settings(of);
    let (mut survey, now) = (
        cluster.survey().await.map_err(|e| unread(&e))?,
        Instant::now(),
    );
    if settings.drain.make_before_break != MakeBeforeBreak::Off {
        survey.deployments = cluster.deployments().await;
    }
    if args.dry_run_evictions {
        let calls = evictions(&survey, &settings, now);
        survey.tried = cluster.try_evictions(calls).await;
    }
    let mut found = check(&survey, &settings, now);
    are_there(&found, &settings)?;
    found.retain(|finding| {
        let ignored = args.ignore.contains(&finding.reason.kind());
        let namespace = args.namespace.as_ref();
        !ignored && namespace.is_none_or(|namespace| *namespace == finding.namespace)
    });
    let mut json = json!(found);
    json["not_considered"] = NOT_CONSIDERED.into();
    args.output.print(&json, || text(&found))?;
    if found.at_least(args.fail_on.into()).next().is_some() || !found.unknown.is_empty() {
        return Err(Exit::silent(FOUND));
    }
    Ok(())
}

/// A check of nothing proves nothing.
fn are_there(found: &Check, settings: &CheckSettings) -> Result<(), Exit> {
    let label = &settings.spot;
    let checked = |name: &&String| found.nodes.iter().any(|node| node.name == **name);
    if let Some(missing) = settings.nodes.iter().find(|name| !checked(name)) {
        let line =
            format!("{missing} is no spot node (label {label}); kubectl spot nodes lists them");
        return Err(Exit::unavailable(line));
    }
    if found.nodes.is_empty() {
        let line = format!("no node has the label {label}; write --spot-label KEY=VALUE");
        return Err(Exit::unavailable(line));
    }
    Ok(())
}

fn text(found: &Check) -> String {
    let mut nodes = Table::new(&["NODE", "ENOUGH", "PODS", "PROBLEMS", "WARNINGS", "NOTES"]);
    for node in &found.nodes {
        let of_it = found.findings.iter().filter(|f| f.node == node.name);
        let severities: Vec<Severity> = of_it.map(|f| f.severity).collect();
        let count = |wanted| {
            severities
                .iter()
                .filter(|s| **s == wanted)
                .count()
                .to_string()
        };
        nodes.row([
            node.name.clone(),
            node.enough.to_string(),
            node.evicted.to_string(),
            count(Severity::Problem),
            count(Severity::Warning),
            count(Severity::Note),
        ]);
    }
    let mut text = nodes.text();
    if !found.findings.is_empty() {
        let mut table = Table::new(&["SEVERITY", "NODE", "POD", "REASON", "MESSAGE"]);
        let mut remedies = BTreeMap::new();
        for finding in &found.findings {
            remedies.insert(finding.reason.as_str(), finding.reason.remedy());
            table.row([
                finding.severity.as_str().to_owned(),
                finding.node.clone(),
                finding.subject(),
                finding.reason.as_str().to_owned(),
                finding.to_string(),
            ]);
        }
        text += "\n";
        text += &table.text();
        text += "\nWhat helps:\n";
        let remedies = remedies.into_iter();
        text.extend(remedies.map(|(reason, remedy)| format!("  {reason}: {remedy}\n")));
    }
    let unknown = found.unknown.iter();
    text.extend(unknown.map(|what| format!("\nNot known: {what}\n")));
    let (notice, grace) = (found.notice.as_secs(), found.longest_grace_seconds);
    let label = &found.spot_label;
    text + &format!(
        "\nA notice of {notice} s has room for graces of {grace} s. Spot nodes: label {label}.\nNot considered: {NOT_CONSIDERED}.\n"
    )
}
