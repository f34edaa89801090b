//! Measures what a two-minute drain of thirty pods costs on the simulator: the real client and
//! the real driver, under paused time.
//!
//! `cargo run --release -p spot-drain --features sim --example sim_cpu`

use std::time::Duration;

use spot_core::deadline::Deadline;
use spot_core::drainer::Order;
use spot_core::notice::{Notice, NoticeId, NoticeKind};
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_drain::sim::{Budget, Kind, Node, Sim, Workload, World};
use tokio::time::Instant;

/// How often the drain is run; the first is left out.
const RUNS: u32 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut costs = Vec::new();
    for _ in 0..RUNS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let (took, requests, cost) = runtime.block_on(drain())?;
        println!(
            "{:.1} s of the cluster's time, {requests} requests, {:.2} ms of CPU",
            took.as_secs_f64(),
            cost.as_secs_f64() * 1e3
        );
        costs.push(cost);
    }
    costs.remove(0);
    costs.sort();
    println!(
        "median {:.2} ms, worst {:.2} ms",
        costs[costs.len() / 2].as_secs_f64() * 1e3,
        costs[costs.len() - 1].as_secs_f64() * 1e3
    );
    Ok(())
}

async fn drain() -> Result<(Duration, usize, Duration), Box<dyn std::error::Error>> {
    let before = cpu()?;
    let web = Workload::deployment("web").replicas(10).on("spot-1");
    let api = Workload::deployment("api").replicas(10).on("spot-1");
    let slow = Workload::deployment("slow").replicas(9).on("spot-1");
    let stuck = Workload::deployment("stuck").on("spot-1");
    let world = World::builder()
        .node(Node::new("spot-1"))
        .node(Node::new("other-1"))
        .node(Node::new("other-2"))
        .workload(
            web.exit_after("3")
                .ready_after("5")
                .budget(Budget::max_unavailable("20%")),
        )
        .workload(api.exit_after("8").ready_after("10").service())
        .workload(slow.grace(300).exit_after("never"))
        // Keeps the drain busy to its end.
        .workload(stuck.budget(Budget::max_unavailable("0")))
        .build(Instant::now());
    let sim = Sim::new(world);
    sim.with(|world| {
        let now = world.at(Instant::now());
        if let Some(node) = world.api().object(Kind::Node, "spot-1") {
            // Or the replacements would come back, and be evicted again, and again.
            let mut node = (*node).clone();
            node["spec"]["unschedulable"] = true.into();
            world.api_mut().put(Kind::Node, node, now);
        }
    });
    let cluster = Cluster::from_client(sim.client());
    let (began, wall) = (Instant::now(), jiff::Timestamp::UNIX_EPOCH);
    let deadline = wall + jiff::SignedDuration::from_mins(2);
    let notice = Notice::new(NoticeId::new("n"), NoticeKind::ScheduledMaintenance, began)
        .with_deadline(Deadline::anchored(deadline, wall, began));
    let (_order, orders) = tokio::sync::watch::channel(Order::from_notice(&notice));
    let drainer = NodeDrainer::new(cluster.pods("spot-1"));
    tokio::select! {
        never = sim.run() => match never {},
        _ = drainer.drain(orders) => {}
    }
    let requests = sim.requests().len();
    Ok((began.elapsed(), requests, cpu()?.saturating_sub(before)))
}

/// The time that this process has been on a CPU (Linux).
fn cpu() -> std::io::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok());
    Ok(Duration::from_nanos(nanos.unwrap_or(0)))
}
