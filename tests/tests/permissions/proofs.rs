//! The self-check proves the links that the node's identity is lent for, and names the right that is
//! missing as it is granted.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use spot_core::{
    armed::{Finding, Link, SelfCheck as _, Verdict},
    notice::Instance,
};
use spot_drain::{cluster::Cluster as Connection, replacement::MakeBeforeBreak};
use spot_tests::{
    Result,
    cluster::{Cluster, Node, NodeSpec, Workload},
    deploy::{Manifests, NAME, installed::Installed, typed},
    error::Context as _,
    rbac::without,
    wait::wait_until,
};

/// Rights take a moment to be known to the server.
const SOON: Duration = Duration::from_secs(30);

async fn check(connection: &Connection, node: &Node) -> Vec<Finding> {
    let instance = Instance::new(&node.instance_id);
    // With as many links as there are.
    connection
        .self_check(&node.name)
        .with_make_before_break(MakeBeforeBreak::On)
        .check(Some(instance))
        .await
}

/// Checks until all links to the cluster hold.
async fn all_hold(connection: &Connection, node: &Node) -> Result<()> {
    wait_until("all links hold", SOON, async || {
        let found = check(connection, node).await;
        let hold = found
            .iter()
            .all(|finding| finding.verdict == Verdict::Holds);
        hold.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await
}

/// Checks until a link is broken; what mends it.
async fn remedy(connection: &Connection, node: &Node, link: Link) -> Result<String> {
    wait_until(format!("{link} is broken"), SOON, async || {
        let found = check(connection, node).await;
        let of_link = found.iter().find(|finding| finding.link == link);
        match of_link.map(|finding| &finding.verdict) {
            Some(Verdict::Broken { remedy, .. }) => Ok(remedy.to_string()),
            _ => Err(format!("{found:?}")),
        }
    })
    .await
}

async fn give(installed: &Installed, rules: &[PolicyRule]) -> Result<()> {
    let api: Api<ClusterRole> = Api::all(installed.admin()?);
    let patch = Patch::Merge(json!({"rules": rules}));
    let given = api.patch(NAME, &PatchParams::default(), &patch).await;
    given.map(drop).context("change the role")
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_named_as_it_is_granted() -> Result<()> {
    let installed = Installed::start_making_first(Manifests::Current).await?;
    let cluster = Cluster::create(&installed.admin()?, "proofs").await?;
    let node = cluster.add_node(&NodeSpec::spot("node")).await?;
    cluster.deploy_on(&node, &Workload::new("web", 1)).await?;
    let agent = installed.agent(&node).await?;
    let connection = Connection::connect(agent.config()).unwrap();
    let connection = connection.impersonating_nodes();
    all_hold(&connection, &node).await?;

    let role: ClusterRole = typed(installed.object("ClusterRole")?)?;
    let all = role.rules.unwrap_or_default();
    let table = [
        ("impersonate:associated-node", "nodes", Link::Identity),
        (
            "impersonate-on:associated-node:get",
            "nodes",
            Link::Identity,
        ),
        (
            "impersonate-on:associated-node:list",
            "pods",
            Link::Eviction,
        ),
        (
            "impersonate-on:associated-node:create",
            "pods/eviction",
            Link::Eviction,
        ),
        ("patch", "nodes", Link::Quarantine),
        ("patch", "pods", Link::Replacement),
        ("get", "replicasets", Link::Replacement),
        ("watch", "replicasets", Link::Replacement),
        ("get", "deployments", Link::Replacement),
    ];
    for (verb, resource, link) in table {
        give(&installed, &without(all.clone(), verb, resource)).await?;
        let remedy = remedy(&connection, &node, link).await?;
        for word in [verb, resource] {
            assert!(remedy.contains(&format!("`{word}`")), "{verb}: {remedy}");
        }
        give(&installed, &all).await?;
        all_hold(&connection, &node).await?;
    }
    cluster.delete().await
}

#[tokio::test]
async fn a_server_that_lends_no_identity_is_told_from_one_that_does() -> Result<()> {
    let installed = Installed::shared_making_first(Manifests::Before136).await?;
    let cluster = Cluster::create(&installed.admin()?, "lent").await?;
    let node = cluster.add_node(&NodeSpec::spot("node")).await?;
    let agent = installed.agent(&node).await?;
    let connection = Connection::connect(agent.config()).unwrap();
    all_hold(&connection, &node).await?;
    let connection = connection.impersonating_nodes();
    let remedy = remedy(&connection, &node, Link::Identity).await?;
    assert!(remedy.contains("leave out --impersonate-node"), "{remedy}");
    cluster.delete().await
}
