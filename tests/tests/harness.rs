//! The harness itself: what end-to-end tests rely on.

use std::time::Duration;

use spot_tests::{
    Result,
    audit::tally,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::{ControlPlane, Part},
    handler, kwok,
    metadata_mock::{Action, MetadataMock},
    rbac, resources,
    wait::wait_until,
};
use tokio::time::Instant;

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);

async fn cluster(name: &str) -> Result<(&'static ControlPlane, Cluster)> {
    let plane = ControlPlane::shared().await?;
    Ok((plane, Cluster::create(&plane.client("admin")?, name).await?))
}

#[tokio::test]
async fn a_deployment_runs_with_addresses_and_endpoints() -> Result<()> {
    let (_, cluster) = cluster("running").await?;
    let first = cluster.add_node(&NodeSpec::spot("first")).await?;
    cluster.add_node(&NodeSpec::on_demand("second")).await?;
    let web = Workload::new("web", 3);
    cluster.service(&web).await?;
    let pods = cluster.deploy_on(&first, &web).await?;
    for pod in &pods {
        assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some(first.name.as_str()));
    }
    let endpoints = wait_until("three ready endpoints", A_WHILE, async || {
        let endpoints = cluster.endpoints("web").await.map_err(|error| error.to_string())?;
        let ready = endpoints.iter().filter(|endpoint| endpoint.ready).count();
        if ready == 3 { Ok(endpoints) } else { Err(format!("{endpoints:?}")) }
    })
    .await?;
    let addresses: std::collections::BTreeSet<_> =
        endpoints.iter().map(|endpoint| &endpoint.address).collect();
    assert_eq!(addresses.len(), 3, "{endpoints:?}");
    cluster.delete().await
}
