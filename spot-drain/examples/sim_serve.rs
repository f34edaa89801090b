//! Serves a small simulated cluster on a port, for `kubectl` and for binaries as they ship.
//!
//! `cargo run -p spot-drain --features sim --example sim_serve -- 127.0.0.1:8001`, then
//! `kubectl --server http://127.0.0.1:8001 get nodes,pods,pdb -A`. With `bare` as a second
//! argument there are no kubelets: whoever asks plays them.

use spot_drain::sim::{Budget, Node, Sim, Workload, World};
use tokio::net::TcpListener;
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    println!("http://{}", listener.local_addr()?);
    let web = Workload::deployment("web")
        .namespace("shop")
        .replicas(4)
        .on("spot-1");
    let bare = std::env::args().nth(2).as_deref() == Some("bare");
    let world = World::builder()
        .pace(|pace| pace.kubelets = !bare)
        .node(Node::new("spot-1").provider_id("aws:///eu-west-1a/i-0123456789abcdef0"))
        .node(Node::new("other-1"))
        .workload(
            web.service()
                .ready_after("3")
                .budget(Budget::min_available("3")),
        )
        .workload(
            Workload::stateful_set("db")
                .namespace("shop")
                .on("spot-1")
                .grace(60),
        )
        .workload(Workload::daemon_set("agent").namespace("kube-system"))
        .build(Instant::now());
    match Sim::new(world).serve(listener).await {}
}
