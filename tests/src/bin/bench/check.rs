//! `kubectl spot check` of a big cluster: time and memory.
//!
//! The cluster is the simulator's, served by this process: a control plane with 6,000 pods of its
//! own would be measured more than the check. Its objects are as big as real ones, each service has a
//! budget, nodes are nearly full, and there is something to find on each of them. With `--release`, or
//! the simulator is what takes the time.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use spot_drain::sim::{Kind, Node, Sim, World};
use spot_tests::{
    Error, Result,
    error::Context as _,
    handler,
    process::{Process, Spec},
    resources,
    scratch::Scratch,
};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::sheet::{self, MIB, size};

#[derive(Args)]
pub(crate) struct Options {
    /// How many spot nodes
    #[arg(long, default_value_t = 200)]
    nodes: usize,

    /// How many pods on each
    #[arg(long, default_value_t = 30)]
    pods: usize,

    /// How often it is measured
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    let plugin = handler::plugin().await?;
    let sim = Sim::new(world(options));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.context("listen")?;
    let port = listener.local_addr().context("address")?.port();
    let (nodes, pods) = (options.nodes, options.pods);
    sheet::begin(format!(
        "kubectl spot check: {nodes} nodes with {pods} pods each"
    ));
    let measure = async {
        for run in 1..=options.runs {
            let (took, cpu, peak) = measured(plugin, port).await?;
            let time = format!("run {run}, time");
            sheet::at_most(time, Some(took), Duration::from_secs(3));
            let used = format!("run {run}, processor time of the plugin");
            sheet::fact(used, sheet::time(Some(cpu)));
            let mib = size(peak, MIB);
            let memory = format!("run {run}, resident at most");
            sheet::held(
                memory,
                format!("{mib:.1} MiB"),
                "at most 50 MiB",
                mib <= 50.0,
            );
        }
        Ok(())
    };
    tokio::select! {
        measured = measure => measured,
        never = sim.serve(listener) => match never {},
    }
}

/// How long one check took, its processor time, and its peak of resident memory.
async fn measured(plugin: &Path, port: u16) -> Result<(Duration, Duration, u64)> {
    let scratch = Scratch::new("check")?;
    let kubeconfig = scratch.path().join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "sim",
        "clusters": [{"name": "sim", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "users": [{"name": "sim", "user": {}}],
        "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}]});
    std::fs::write(&kubeconfig, config.to_string()).context("write a kubeconfig")?;
    let spec = Spec::new("kubectl-spot", plugin, &scratch.path().join("check.log"))
        .args(["check", "--kubeconfig"])
        .arg(&kubeconfig);
    let start = Instant::now();
    let process = Process::start(&spec)?;
    // The kernel forgets both with the process: they are read until then.
    let (mut peak, mut cpu) = (0, Duration::ZERO);
    let status = loop {
        if let Some(status) = process.exit_status() {
            break status;
        }
        peak = resources::peak_resident_bytes(process.pid())
            .unwrap_or(peak)
            .max(peak);
        cpu = resources::cpu_time(process.pid()).unwrap_or(cpu).max(cpu);
        sleep(Duration::from_millis(2)).await;
    };
    let took = start.elapsed();
    match status.code() {
        Some(0 | 1) if peak > 0 => Ok((took, cpu, peak)),
        _ => Err(Error::Usage(process.log())),
    }
}

/// How many nodes the pods of one service are on.
const SPREAD: usize = 10;
/// How many namespaces there are.
const NAMESPACES: usize = 5;

/// Pods of services with replicas on other nodes, a budget for each service, and nodes that have hardly
/// any room for those of another.
fn world(options: &Options) -> World {
    let node = |n: usize| format!("spot-{n:03}");
    let mut world = World::builder();
    for n in 0..options.nodes {
        let spot = Node::new(node(n)).label("lifecycle", "Ec2Spot");
        // What its pods request, and a little more.
        let millis = 100 * options.pods + 250;
        let spot = spot.allocatable("cpu", &format!("{millis}m"));
        let spot = spot.allocatable("memory", "16Gi");
        world = world.node(spot.taint("spotInstance", "true", "PreferNoSchedule"));
        for p in 0..options.pods {
            world = world.object(Kind::Pod, pod(&node(n), n, p));
            if n % SPREAD == 0 {
                world = world.object(Kind::PodDisruptionBudget, budget(n, p));
            }
        }
    }
    world.build(Instant::now())
}

fn service(n: usize, p: usize) -> String {
    format!("service-{p:02}-{}", n / SPREAD)
}

fn namespace(p: usize) -> String {
    format!("shop-{}", p % NAMESPACES)
}

/// The budget of the service that pod `p` of node `n` belongs to. One in thirty is closed.
fn budget(n: usize, p: usize) -> Value {
    let app = service(n, p);
    let least = SPREAD - usize::from(p != 0);
    json!({
        "metadata": {"namespace": namespace(p), "name": app},
        "spec": {"selector": {"matchLabels": {"app": app}}, "minAvailable": least},
    })
}

/// A pod as big as one that a Deployment made on EKS: about 7 kB of JSON.
fn pod(node: &str, n: usize, p: usize) -> Value {
    let app = service(n, p);
    let variables =
        (0..40).map(|v| json!({"name": format!("SETTING_{v}"), "value": "x".repeat(80)}));
    let managed = "f:spec f:containers k:{\"name\":\"app\"} ".repeat(40);
    json!({
        "metadata": {"namespace": namespace(p), "name": format!("{app}-5d8f77c9b-{n:03}"),
            "labels": {"app": app, "pod-template-hash": "5d8f77c9b"},
            "annotations": {"kubernetes.io/config.seen": managed},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": format!("{app}-5d8f77c9b"), "uid": app, "controller": true}]},
        // One in thirty has a grace that does not fit, one keeps data, one selects this node alone.
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": if p == 1 { 300 } else { 30 },
            "volumes": if p == 2 { json!([{"name": "scratch", "emptyDir": {}}]) } else { json!([]) },
            "nodeSelector": if p == 3 { json!({"kubernetes.io/hostname": node}) } else { json!({}) },
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                    "effect": "NoExecute", "tolerationSeconds": 300}],
            "containers": [{"name": "app", "image": "registry.example/app:1.2.3",
                "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                "env": variables.collect::<Vec<_>>()}]},
        "status": {},
    })
}
