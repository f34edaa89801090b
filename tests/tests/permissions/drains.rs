//! With exactly the installed objects, and a pod's own arguments and token, a node is drained.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{
    Result,
    audit::Request,
    cluster::{Cluster, Node, NodeSpec, Workload},
    deploy::{Manifests, NAME, NAMESPACE, installed::Installed},
    handler::Handler,
    metadata_sim::MetadataSim,
    plain_http,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);

/// Waits until the handler is ready: all links are proven then, by dry runs.
async fn is_armed(handler: &Handler) -> Result<()> {
    let port = handler.port().await?;
    wait_until("the handler is ready", A_WHILE, async || {
        let answer = plain_http::request(port, "GET", "/readyz", &[]).await;
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

/// Waits for an event about a node.
async fn told(installed: &Installed, node: &Node, reason: &str) -> Result<()> {
    let events: Api<Event> = Api::namespaced(installed.admin()?, "default");
    let chosen = ListParams::default().fields(&format!("involvedObject.name={}", node.name));
    wait_until(format!("the event {reason}"), A_WHILE, async || {
        let events = events.list(&chosen).await.map_err(|e| e.to_string())?;
        let reasons: Vec<_> = events.items.into_iter().filter_map(|e| e.reason).collect();
        let done = reasons.iter().any(|said| said == reason);
        done.then_some(()).ok_or_else(|| format!("{reasons:?}"))
    })
    .await
}

/// Waits until it is said once of the workload that its three pods were replaced first.
async fn told_of_the_workload(cluster: &Cluster) -> Result<()> {
    let events = cluster.api::<Event>();
    let chosen =
        ListParams::default().fields("involvedObject.kind=ReplicaSet,reason=ReplacedFirst");
    wait_until("the event of the workload", A_WHILE, async || {
        let events = events.list(&chosen).await.map_err(|e| e.to_string())?;
        let counts: Vec<_> = events.items.iter().map(|e| e.count).collect();
        (counts == [Some(3)])
            .then_some(())
            .ok_or_else(|| format!("{counts:?}"))
    })
    .await
}

async fn drains(installed: &Installed) -> Result<()> {
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
    told(installed, &node, "CordonAndDrain").await?;
    if installed.makes_first() {
        told_of_the_workload(&cluster).await?;
    }
    let requests = installed.plane.audit().since(mark)?.into_iter();
    let ours = requests.filter(|r| r.bound_to.as_deref() == Some(&*node.name));
    let ours: Vec<_> = ours.collect();
    // 422: by a policy; or, of a node, where somebody else had written it.
    let is_refused = |r: &&Request| r.code == 403 || (r.code == 422 && r.resource != "nodes");
    let refused: Vec<_> = ours.iter().filter(is_refused).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let is_patch = |r: &&Request| r.kind() == "patch pods" && !r.uri.contains("dryRun");
    let detached: Vec<u16> = ours.iter().filter(is_patch).map(|r| r.code).collect();
    let expected: &[u16] = if installed.makes_first() {
        &[200; 3]
    } else {
        &[]
    };
    assert_eq!(detached, expected);

    // The machine goes, and all that is on it: what became of it can still be read.
    handler.process().kill()?;
    let at_once = DeleteParams::default().grace_period(0);
    let pods: Api<Pod> = Api::namespaced(installed.admin()?, NAMESPACE);
    let name = agent.pod.metadata.name.as_deref().unwrap();
    cluster.nodes().delete(&node.name, &at_once).await.unwrap();
    // It may have been collected as another's by now.
    let _ = pods.delete(name, &at_once).await;
    assert!(pods.get_opt(name).await.unwrap().is_none());
    told(installed, &node, "CordonAndDrain").await?;
    cluster.delete().await
}

#[tokio::test]
async fn a_pods_own_token_drains_its_node_as_that_node() -> Result<()> {
    Box::pin(drains(Installed::shared(Manifests::Current).await?)).await
}

#[tokio::test]
async fn a_pods_own_token_drains_its_node_on_older_servers() -> Result<()> {
    Box::pin(drains(Installed::shared(Manifests::Before136).await?)).await
}

#[tokio::test]
async fn a_pods_own_token_has_replacements_made_first() -> Result<()> {
    for manifests in Manifests::ALL {
        Box::pin(drains(Installed::shared_making_first(manifests).await?)).await?;
    }
    Ok(())
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
