//! Figures of the shipping binary on the real control plane, each beside what it is held to.
//!
//! `cargo run -p spot-tests --bin bench -- drain|cordon|footprint`; compare ratios of one run,
//! not seconds of two machines.

use std::time::Duration;

use clap::{Parser, Subcommand};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use spot_tests::{
    Error, Result,
    audit::Request,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    error::Context as _,
    figures::{DrainFigures, between, median_and_max},
    handler::{self, Flags, Handler},
    interruption::Interruption,
    metadata_mock::MetadataMock,
    rbac, resources,
};
use tokio::time::{Instant, sleep};

/// Deployments that share the pods.
const OWNERS: usize = 10;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures the handler.
#[derive(Parser)]
struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A node's drain, side by side with `kubectl drain`
    Drain {
        /// How many pods
        #[arg(default_values_t = [30, 110, 250])]
        pods: Vec<usize>,
        /// Seconds that a pod takes to end
        #[arg(long, default_value_t = 10.0)]
        exit_after: f64,
    },
    /// The floor: a bare client that posts the same evictions, and ours, by turns
    Floor {
        /// How many pods
        #[arg(default_values_t = [110, 250])]
        pods: Vec<usize>,
        /// How many runs of each
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// How many connections the bare client uses; as many as our drain
        #[arg(long, default_value_t = 16)]
        connections: usize,
    },
    /// From a notice to the cordon, with default polling
    Cordon {
        /// How many notices
        #[arg(default_value_t = 50)]
        notices: usize,
    },
    /// Size, memory and idle CPU
    Footprint {
        /// Seconds for which idleness is watched
        #[arg(long, default_value_t = 60)]
        idle: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let bench = Bench::parse();
    handler::binary().await?;
    let plane = ControlPlane::start().await?;
    rbac::allow_handlers(&plane.client("admin")?).await?;
    match bench.what {
        What::Drain { pods, exit_after } => drain(&plane, &pods, exit_after).await,
        What::Floor {
            pods,
            runs,
            connections,
        } => floor(&plane, &pods, runs, connections).await,
        What::Cordon { notices } => cordon(&plane, notices).await,
        What::Footprint { idle } => footprint(&plane, Duration::from_secs(idle)).await,
    }
}

/// A node with `pods` pods, and another one with room for all of them.
async fn full_node(plane: &ControlPlane, pods: usize, exit: f64) -> Result<(Cluster, Node)> {
    let cluster = Cluster::create(&plane.client("admin")?, "bench").await?;
    let full = cluster.add_node(&NodeSpec::spot("full")).await?;
    cluster
        .add_node(&NodeSpec::spot("empty").max_pods(500))
        .await?;
    for owner in 0..OWNERS {
        let share = pods / OWNERS + usize::from(owner < pods % OWNERS);
        let workload = Workload::new(&format!("app-{owner}"), share).exit_after(exit);
        cluster.deploy_on(&full, &workload).await?;
    }
    Ok((cluster, full))
}

async fn drain(plane: &ControlPlane, sizes: &[usize], exit_after: f64) -> Result<()> {
    println!("pods that take {exit_after} s to end, of {OWNERS} deployments, no budgets");
    println!("| pods | who | cordon to last accepted eviction | to the end | API requests |");
    println!("|---|---|---|---|---|");
    for &pods in sizes {
        let (cluster, node) = full_node(plane, pods, exit_after).await?;
        let (delay, left) = (Duration::from_secs(3), Duration::from_secs(120));
        let notice = Interruption::announce(plane, &node, delay, left, |flags| flags).await?;
        let finished = notice.finished(Duration::from_secs(150)).await?;
        let end = Duration::from_secs_f64(finished["elapsed"].as_f64().unwrap_or_default());
        let figures = notice.figures(plane).await?;
        row("ours", pods, &figures, end)?;
        println!(
            "|  | | | | {:?} |",
            spot_tests::audit::tally(&notice.requests(plane).await?)
        );
        cluster.delete().await?;

        let (cluster, node) = full_node(plane, pods, exit_after).await?;
        let mark = plane.audit().mark();
        let start = Instant::now();
        let kubectl = plane.kubectl(["drain", "--ignore-daemonsets", &node.name])?;
        kubectl.wait(Duration::from_secs(300)).await?;
        let end = start.elapsed();
        let figures = DrainFigures::of(&plane.audit().of_user(mark, "kubectl").await?);
        row("kubectl drain", pods, &figures, end)?;
        cluster.delete().await?;
    }
    println!("held to: requests at most pods + 8; 110 pods accepted within 1 s of the cordon");
    Ok(())
}

/// Both measured from their first eviction's arrival to their last one's acceptance.
async fn floor(
    plane: &ControlPlane,
    sizes: &[usize],
    runs: usize,
    connections: usize,
) -> Result<()> {
    println!("| pods | bare client, {connections} connections | ours | ratio |");
    println!("|---|---|---|---|");
    for &pods in sizes {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (cluster, node) = full_node(plane, pods, 10.0).await?;
            cluster.cordon(&node.name, true).await?;
            let (user, mark) = (plane.take_handler_user()?, plane.audit().mark());
            let client = plane.client(&user)?;
            let targets = cluster.pods_on(&node.name).await?;
            let posts = targets.iter().map(|pod| evict(&client, pod));
            let replies = stream::iter(posts).buffer_unordered(connections);
            replies.try_collect::<Vec<()>>().await?;
            bare.push(evictions(&plane.audit().of_user(mark, &user).await?));
            cluster.delete().await?;

            let (cluster, node) = full_node(plane, pods, 10.0).await?;
            let (delay, left) = (Duration::from_secs(3), Duration::from_secs(120));
            let notice = Interruption::announce(plane, &node, delay, left, |flags| flags).await?;
            notice.finished(Duration::from_secs(150)).await?;
            ours.push(evictions(&notice.requests(plane).await?));
            cluster.delete().await?;
        }
        let median = |times: &[Duration]| median_and_max(times).unwrap_or_default().0.as_secs_f64();
        let (bare, ours) = (median(&bare), median(&ours));
        println!(
            "| {pods} | {bare:.3} s | {ours:.3} s | {:.2} |",
            ours / bare
        );
    }
    println!("medians of {runs} interleaved runs; held to: ratio at most 1.3");
    Ok(())
}

async fn evict(client: &kube::Client, pod: &Pod) -> Result<()> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
        "deleteOptions": {"preconditions": {"uid": pod.metadata.uid}},
    });
    let post = http::Request::post(format!(
        "/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    ))
    .header("content-type", "application/json")
    .body(eviction.to_string().into_bytes());
    let post = post.map_err(|error| Error::Usage(error.to_string()))?;
    client
        .request_text(post)
        .await
        .map(drop)
        .context(format!("evict {name}"))
}

fn evictions(requests: &[Request]) -> Duration {
    let evictions = || {
        requests
            .iter()
            .filter(|r| r.kind() == "create pods/eviction")
    };
    match (
        evictions().map(|r| r.received).min(),
        evictions().map(|r| r.answered).max(),
    ) {
        (Some(first), Some(last)) => between(first, last),
        _ => Duration::ZERO,
    }
}

fn row(who: &str, pods: usize, figures: &DrainFigures, end: Duration) -> Result<()> {
    if figures.evicted != pods {
        return Err(Error::Usage(format!(
            "{who}: {} of {pods} pods evicted",
            figures.evicted
        )));
    }
    println!(
        "| {pods} | {who} | {:.3} s | {:.1} s | {} |",
        figures
            .cordon_to_last_eviction()
            .unwrap_or_default()
            .as_secs_f64(),
        end.as_secs_f64(),
        figures.requests,
    );
    Ok(())
}

async fn cordon(plane: &ControlPlane, notices: usize) -> Result<()> {
    let cluster = Cluster::create(&plane.client("admin")?, "bench").await?;
    let mut took = Vec::new();
    for n in 0..notices {
        let node = cluster.add_node(&NodeSpec::spot(&format!("n{n}"))).await?;
        // Handlers start at any moment of a second, notices show at its beginning.
        sleep(Duration::from_millis(37 * (n as u64 % 27))).await;
        let (delay, left) = (Duration::from_secs(2), Duration::from_secs(120));
        let notice = Interruption::announce(plane, &node, delay, left, |flags| flags).await?;
        notice.finished(Duration::from_secs(30)).await?;
        let shown = notice.metadata.notice().map(|n| n.shows_at);
        let cordoned = notice.figures(plane).await?.cordoned;
        if let (Some(shown), Some(cordoned)) = (shown, cordoned) {
            took.push(between(shown, cordoned));
        }
    }
    let (median, max) = median_and_max(&took).unwrap_or_default();
    println!("| notices | median notice to cordon | maximum |");
    println!("|---|---|---|");
    println!(
        "| {} | {:.3} s | {:.3} s |",
        took.len(),
        median.as_secs_f64(),
        max.as_secs_f64()
    );
    println!("held to: median at most 0.35 s, maximum at most 0.8 s");
    cluster.delete().await
}

async fn footprint(plane: &ControlPlane, idle: Duration) -> Result<()> {
    let binary = handler::binary().await?;
    let size = std::fs::metadata(binary)
        .context("size of the binary")?
        .len();
    println!("binary: {:.2} MB (held to: 9)", mega(size, 1e6));

    let (cluster, node) = full_node(plane, 110, 10.0).await?;
    let metadata = MetadataMock::quiet(&node.instance_id).await?;
    let user = plane.take_handler_user()?;
    let flags = Flags::run(&node.name, &plane.kubeconfig(&user)?, &metadata.url());
    let handler = Handler::start(&flags).await?;
    sleep(Duration::from_secs(5)).await;
    let pid = handler.process().pid();
    let cpu = resources::cpu_share(pid, idle).await?;
    let resident = resources::resident_bytes(pid)?;
    println!(
        "idle: {:.2} MiB resident (held to: 10)",
        mega(resident, MIB)
    );
    println!(
        "idle: {:.3} % of one CPU over {} s (held to: 0.3)",
        cpu * 100.0,
        idle.as_secs()
    );
    drop(handler);

    let (delay, left) = (Duration::from_secs(3), Duration::from_secs(120));
    let notice = Interruption::announce(plane, &node, delay, left, |flags| flags).await?;
    notice.finished(Duration::from_secs(150)).await?;
    let peak = resources::peak_resident_bytes(notice.handler.process().pid())?;
    println!(
        "draining 110 pods: {:.2} MiB resident at most (held to: 16)",
        mega(peak, MIB)
    );
    cluster.delete().await
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
fn mega(bytes: u64, unit: f64) -> f64 {
    bytes as f64 / unit
}
