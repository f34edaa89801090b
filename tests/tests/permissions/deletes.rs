//! With `handler.pdb=delete-at` a pod that its budget holds is deleted, and no other node's.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::DeleteParams};
use spot_core::notice::InstanceAction;
use spot_imds::sim::Announcement;
use spot_tests::{
    Result,
    cluster::{Budget, Cluster, NodeSpec, Workload},
    deploy::{Manifests, agent::Agent, installed::Installed},
    error::Context as _,
    handler::Handler,
    metadata_sim::MetadataSim,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(90);

/// Pods as the agent's node has them.
fn pods_of(agent: &Agent, namespace: &str) -> Result<Api<Pod>> {
    let mut config = agent.config();
    let user = format!("system:node:{}", agent.node);
    let user = HeaderValue::from_str(&user).unwrap();
    let header = HeaderName::from_static("impersonate-user");
    config.headers.push((header, user));
    let client = Client::try_from(config).context("a client")?;
    Ok(Api::namespaced(client, namespace))
}

async fn deletes(manifests: Manifests) -> Result<()> {
    let values = "handler.pdb=\"delete-at\",handler.deleteAtGrace=\"8s\"";
    let installed = Installed::start_with(manifests, values).await?;
    let cluster = Cluster::create(&installed.admin()?, "deleted").await?;
    let node = cluster.add_node(&NodeSpec::spot("doomed")).await?;
    let other = cluster.add_node(&NodeSpec::on_demand("other")).await?;
    let held = Workload::new("held", 1);
    cluster.deploy_on(&node, &held).await?;
    let elsewhere = cluster.deploy_on(&other, &Workload::new("api", 1)).await?;
    cluster.budget(&held, Budget::MinAvailable(1)).await?;
    cluster.wait_budget("held", 0).await?;
    let agent = installed.agent(&node).await?;
    let metadata = MetadataSim::of(&node.instance_id)?;
    let mark = installed.plane.audit().mark();
    let handler = Handler::start(&agent.flags(&metadata.url)?).await?;
    handler.hears_notices().await?;
    let notice = Announcement::spot(InstanceAction::Terminate);
    metadata.imds.announce(notice.left(Duration::from_secs(30)));
    let finished = handler
        .wait_for_log("the end of the drain", A_WHILE, |line| {
            line["message"] == "drain finished"
        })
        .await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");

    let requests = installed.plane.audit().since(mark)?.into_iter();
    let ours = requests.filter(|r| r.bound_to.as_deref() == Some(&*node.name));
    let deletions = ours.filter(|r| r.kind() == "delete pods");
    let deletions: Vec<_> = deletions.map(|r| (r.code, r.impersonated)).collect();
    let as_node = format!("system:node:{}", node.name);
    let as_whom = (manifests == Manifests::Current).then_some(as_node);
    assert_eq!(deletions, [(200, as_whom)]);

    if manifests == Manifests::Current {
        let pods = pods_of(&agent, cluster.namespace())?;
        let name = elsewhere[0].metadata.name.as_deref().unwrap();
        let refused = pods.delete(name, &DeleteParams::default()).await;
        let refused = refused.unwrap_err().to_string();
        let words = "can only delete pods with spec.nodeName set to itself";
        assert!(refused.contains(words), "{refused}");
    }
    cluster.delete().await
}

#[tokio::test]
async fn a_pod_that_its_budget_holds_is_deleted_as_its_node_and_no_other_nodes() -> Result<()> {
    Box::pin(deletes(Manifests::Current)).await
}

#[tokio::test]
async fn a_pod_that_its_budget_holds_is_deleted_on_older_servers() -> Result<()> {
    Box::pin(deletes(Manifests::Before136)).await
}
