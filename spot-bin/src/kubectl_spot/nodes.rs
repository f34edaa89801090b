//! `kubectl spot nodes`.

use clap::Args;
use serde_json::json;
use spot_drain::check::SpotLabel;
use spot_drain::cluster::Cluster;
use spot_drain::placement::Host;

use super::output::{OutputArgs, Table};
use super::unread;
use crate::exit::Exit;

#[derive(Args, Debug)]
pub(crate) struct NodesArgs {
    /// Only nodes with such labels, as for kubectl get
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Lists the nodes, those of one life cycle together.
pub(crate) async fn list(
    cluster: &Cluster,
    label: &SpotLabel,
    args: &NodesArgs,
) -> Result<(), Exit> {
    let nodes = cluster.nodes(args.selector.as_deref()).await;
    let mut nodes = nodes.map_err(|e| unread(&e))?;
    nodes.sort_by(|a, b| {
        let key = |node| (label.life_cycle(node).is_none(), label.life_cycle(node));
        (key(a), &a.name).cmp(&(key(b), &b.name))
    });
    let listed = nodes.iter().map(|node| {
        json!({ "name": node.name, "life_cycle": label.life_cycle(node),
            "spot": label.is_on(node), "ready": node.ready, "cordoned": node.cordoned,
            "taints": node.taints })
    });
    let json = json!({ "spot_label": label, "nodes": listed.collect::<Vec<_>>() });
    args.output.print(&json, || {
        let mut table = Table::new(&["NODE", "LIFECYCLE", "STATUS", "TAINTS"]);
        for node in &nodes {
            let life_cycle = label.life_cycle(node).unwrap_or("<none>").to_owned();
            table.row([node.name.clone(), life_cycle, status(node), taints(node)]);
        }
        let spot = nodes.iter().filter(|node| label.is_on(node)).count();
        let all = nodes.len();
        format!(
            "{}\n{spot} of {all} nodes are spot nodes (label {label})",
            table.text()
        )
    })
}

fn status(node: &Host) -> String {
    let ready = if node.ready { "Ready" } else { "NotReady" };
    let cordoned = if node.cordoned {
        ",SchedulingDisabled"
    } else {
        ""
    };
    format!("{ready}{cordoned}")
}

fn taints(node: &Host) -> String {
    if node.taints.is_empty() {
        return "<none>".to_owned();
    }
    let taints: Vec<String> = node.taints.iter().map(ToString::to_string).collect();
    taints.join(",")
}
