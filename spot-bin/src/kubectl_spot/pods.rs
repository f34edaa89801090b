//! `kubectl spot pods`.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};
use spot_drain::check::SpotLabel;
use spot_drain::cluster::Cluster;
use spot_drain::facts::{Phase, PodFacts};

use super::output::{OutputArgs, Table};
use super::unread;
use crate::exit::Exit;

#[derive(Args, Debug)]
pub(crate) struct PodsArgs {
    /// Only pods of this namespace
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// Pods of all namespaces, as without --namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Only pods with such labels, as for kubectl get
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Lists the pods on spot nodes, by node.
pub(crate) async fn list(
    cluster: &Cluster,
    label: &SpotLabel,
    args: &PodsArgs,
) -> Result<(), Exit> {
    let (namespace, selector) = (args.namespace.as_deref(), args.selector.as_deref());
    let nodes = cluster.nodes(None).await.map_err(|e| unread(&e))?;
    let spot = nodes.into_iter().filter(|node| label.is_on(node));
    let spot: BTreeSet<String> = spot.map(|node| node.name).collect();
    let pods = cluster.list_pods(namespace, selector).await;
    let mut pods = pods.map_err(|e| unread(&e))?;
    pods.retain(|pod| spot.contains(&pod.node));
    pods.sort_by(|a, b| {
        let key = |pod: &PodFacts| (pod.node.clone(), pod.namespace.clone(), pod.name.clone());
        key(a).cmp(&key(b))
    });
    let json = json!({ "spot_label": label, "pods": pods.iter().map(pod).collect::<Vec<_>>() });
    args.output.print(&json, || {
        let mut table = Table::new(&["NODE", "NAMESPACE", "POD", "STATUS", "GRACE", "OWNER"]);
        for pod in &pods {
            let owner = pod.owner.as_ref();
            let owner = owner.map(|owner| format!("{}/{}", owner.kind, owner.name));
            table.row([
                pod.node.clone(),
                pod.namespace.clone(),
                pod.name.clone(),
                status(pod).to_owned(),
                format!("{}s", pod.grace.as_secs()),
                owner.unwrap_or_else(|| "<none>".to_owned()),
            ]);
        }
        let (pods, nodes) = (pods.len(), spot.len());
        format!(
            "{}\n{pods} pods on {nodes} spot nodes (label {label})",
            table.text()
        )
    })
}

fn pod(pod: &PodFacts) -> Value {
    let owner = pod.owner.as_ref();
    json!({ "namespace": pod.namespace, "name": pod.name, "node": pod.node, "uid": pod.uid,
        "status": status(pod), "grace_seconds": pod.grace.as_secs(),
        "owner": owner.map(|owner| json!({ "kind": owner.kind, "name": owner.name })) })
}

fn status(pod: &PodFacts) -> &'static str {
    match pod.phase {
        _ if pod.terminating.is_some() => "Terminating",
        Phase::Completed => "Completed",
        Phase::Pending => "Pending",
        Phase::Running if pod.ready => "Ready",
        Phase::Running => "NotReady",
    }
}
