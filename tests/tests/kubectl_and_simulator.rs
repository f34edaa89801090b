//! `kubectl` reads the simulated API server.

use std::{net::Ipv4Addr, time::Duration};

use spot_drain::sim::{Node, Sim, Workload, World};
use spot_tests::{
    Result,
    error::Context as _,
    process::{Process, Spec},
    scratch::Scratch,
    tools::{Tool, Tools},
};
use tokio::{net::TcpListener, time::Instant};

#[tokio::test]
async fn kubectl_lists_nodes_and_pods_of_the_simulator() -> Result<()> {
    let tools = Tools::ensure(&[Tool::Kubectl]).await?;
    let world = World::builder()
        .node(Node::new("spot-1"))
        .workload(Workload::deployment("web").replicas(2).on("spot-1"))
        .build(Instant::now());
    let sim = Sim::new(world);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("listen")?;
    let address = listener.local_addr().context("address")?;
    let scratch = Scratch::new("kubectl")?;
    let log = scratch.path().join("kubectl.log");
    let spec = Spec::new("kubectl", &tools.path(Tool::Kubectl), &log)
        .arg(format!("--server=http://{address}"))
        .args(["get", "nodes,pods", "--all-namespaces"]);
    let kubectl = Process::start(&spec)?;
    let status = tokio::select! {
        status = kubectl.wait(Duration::from_secs(60)) => status?,
        never = sim.serve(listener) => match never {},
    };
    let said = kubectl.log();
    assert!(status.success(), "{said}");
    assert!(said.contains("node/spot-1"), "{said}");
    assert_eq!(said.matches("pod/web-").count(), 2, "{said}");
    Ok(())
}
