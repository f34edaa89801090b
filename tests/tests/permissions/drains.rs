//! With exactly the installed objects, and a pod's own arguments and token, a node is drained.

use std::{collections::BTreeSet, time::Duration};

use kube::{Api, api::ListParams};
use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{
    Result,
    cluster::{Cluster, Node, NodeSpec, Workload},
    deploy::{Manifests, NAME, installed::Installed},
    handler::Handler,
    metadata_sim::MetadataSim,
    plain_http,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);

/// The port that a handler says it listens on.
fn port(handler: &Handler) -> u16 {
    let lines = handler.log_lines();
    let listen = lines.iter().find_map(|line| line["listen"].as_str());
    listen.unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

/// Waits until the handler is ready: all links are proven then, by dry runs.
async fn is_armed(handler: &Handler) -> Result<()> {
    wait_until("the handler is ready", A_WHILE, async || {
        let answer = plain_http::request(port(handler), "GET", "/readyz", &[]).await;
        match answer.map_err(|error| error.to_string())? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("{status} {body}")),
        }
    })
    .await
}

async fn spot_node(installed: &Installed, name: &str) -> Result<(Cluster, Node)> {
    let cluster = Cluster::create(&installed.admin()?, name).await?;
    let node = cluster.add_node(&NodeSpec::spot("spot-1")).await?;
    cluster.add_node(&NodeSpec::on_demand("other")).await?;
    Ok((cluster, node))
}

async fn drains(manifests: Manifests) -> Result<()> {
    let installed = Installed::shared(manifests).await?;
    let (cluster, node) = spot_node(installed, "drained").await?;
    let web = Workload::new("web", 3);
    cluster.deploy_on(&node, &web).await?;
    let agent = installed.agent(&node).await?;
    let metadata = MetadataSim::of(&node.instance_id)?;
    let mark = installed.plane.audit().mark();
    let handler = Handler::start(&agent.flags(&metadata.url)?).await?;
    handler.hears_notices().await?;
    is_armed(&handler).await?;

    let notice = Announcement::spot(InstanceAction::Terminate);
    metadata
        .imds
        .announce(notice.left(Duration::from_secs(120)));
    let finished = handler
        .wait_for_log("the end of the drain", A_WHILE, |line| {
            line["message"] == "drain finished"
        })
        .await?;

    assert_eq!(finished["outcome"], "complete", "{finished}");
    cluster.wait_ready("web", 3).await?;
    assert!(cluster.pods_on(&node.name).await?.is_empty());
    let spec = cluster.node(&node.name).await?.spec.unwrap();
    assert_eq!(spec.unschedulable, Some(true));
    let keys: BTreeSet<String> = spec.taints.unwrap().into_iter().map(|t| t.key).collect();
    assert!(
        keys.contains("spot-interrupt-handler/interruption"),
        "{keys:?}"
    );
    let events: Api<k8s_openapi::api::core::v1::Event> =
        Api::namespaced(installed.admin()?, "default");
    wait_until("the drain's outcome as an event", A_WHILE, async || {
        let chosen = ListParams::default().fields(&format!("involvedObject.name={}", node.name));
        let events = events.list(&chosen).await.map_err(|e| e.to_string())?;
        let reasons: Vec<_> = events.items.into_iter().filter_map(|e| e.reason).collect();
        let done = reasons.iter().any(|reason| reason == "CordonAndDrain");
        done.then_some(()).ok_or_else(|| format!("{reasons:?}"))
    })
    .await?;
    let requests = installed.plane.audit().since(mark)?.into_iter();
    let refused = requests.filter(|r| r.code == 403 && r.bound_to.as_deref() == Some(&*node.name));
    let refused: Vec<_> = refused.collect();
    assert!(refused.is_empty(), "{refused:?}");
    cluster.delete().await
}

#[tokio::test]
async fn a_pods_own_token_drains_its_node_as_that_node() -> Result<()> {
    Box::pin(drains(Manifests::Current)).await
}

#[tokio::test]
async fn a_pods_own_token_drains_its_node_on_older_servers() -> Result<()> {
    Box::pin(drains(Manifests::Before136)).await
}

#[tokio::test]
async fn its_pods_are_on_spot_nodes_and_on_no_others() -> Result<()> {
    let installed = Installed::shared(Manifests::Current).await?;
    let cluster = Cluster::create(&installed.admin()?, "where").await?;
    let first = cluster.add_node(&NodeSpec::spot("spot-1")).await?;
    let tainted = NodeSpec::spot("spot-2").taint("dedicated", "batch", "NoExecute");
    let second = cluster.add_node(&tainted).await?;
    let other = cluster.add_node(&NodeSpec::on_demand("other")).await?;
    for node in [&first, &second] {
        installed.agent(node).await?;
    }
    installed.rolled_out().await?;
    let pods = installed.pods().await?;
    let nodes = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
    let nodes: BTreeSet<String> = nodes
        .filter(|n| n.starts_with(cluster.namespace()))
        .collect();
    assert_eq!(nodes, BTreeSet::from([first.name, second.name]));
    assert!(!nodes.contains(&other.name));
    let priorities = pods
        .iter()
        .map(|pod| pod.spec.as_ref()?.priority_class_name.clone());
    for class in priorities {
        assert_eq!(class.as_deref(), Some("system-node-critical"), "of {NAME}");
    }
    cluster.delete().await
}
