//! One spot interruption of a small cluster, with the binary that is shipped: a real control
//! plane, AWS's mock of the metadata, and an account of what happened.

use std::{collections::BTreeMap, time::Duration};

use clap::Parser;
use k8s_openapi::api::core::v1::Node as KubeNode;
use spot_tests::{
    Result,
    audit::tally,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    figures::DrainFigures,
    handler::{self, Flags, Handler},
    metadata_mock::{Action, MetadataMock},
    rbac,
    tools::Tool,
};
use tokio::time::{Instant, sleep};

/// The workshop's services; their pods all start on the node that will be interrupted.
const SERVICES: [&str; 3] = ["frontend", "crystal", "nodejs"];
/// Between the handler's start and the notice.
const UNTIL_NOTICE: Duration = Duration::from_secs(3);

/// Starts a control plane, interrupts a spot node, and says what the handler makes of it.
#[derive(Parser)]
struct Lab {
    /// Pods of each of the three services
    #[arg(long, default_value_t = 10)]
    pods: usize,
    /// Seconds from the notice to the end of the instance
    #[arg(long, default_value_t = 120)]
    notice: u64,
    /// Seconds that a pod takes to end
    #[arg(long, default_value_t = 5.0)]
    exit_after: f64,
    /// Stay up afterwards, for trying things by hand
    #[arg(long)]
    stay: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let lab = Lab::parse();
    handler::binary().await?;
    println!("starting etcd, API server, controller manager, scheduler and kubelets ...");
    let plane = ControlPlane::start().await?;
    let admin = plane.client("admin")?;
    rbac::allow_handlers(&admin).await?;

    let cluster = Cluster::create(&admin, "lab").await?;
    let doomed = cluster.add_node(&NodeSpec::spot("spot-a")).await?;
    cluster.add_node(&NodeSpec::spot("spot-b")).await?;
    cluster.add_node(&NodeSpec::on_demand("on-demand")).await?;
    for name in SERVICES {
        let service = Workload::new(name, lab.pods)
            .exit_after(lab.exit_after)
            .ready_after(1.0);
        cluster.service(&service).await?;
        cluster.deploy_on(&doomed, &service).await?;
    }
    println!(
        "{} pods of {} run on {}",
        lab.pods * SERVICES.len(),
        SERVICES.join(", "),
        doomed.name
    );

    let mark = plane.audit().mark();
    let left = Duration::from_secs(lab.notice);
    let mock =
        MetadataMock::spot(&doomed.instance_id, Action::Terminate, left, UNTIL_NOTICE).await?;
    let flags = Flags::run(&doomed.name, &plane.kubeconfig("handler")?, &mock.url());
    let handler = Handler::start(&flags).await?;
    println!(
        "the handler runs; the notice shows in about {} s",
        UNTIL_NOTICE.as_secs()
    );
    let done = watch(&cluster, &doomed, &lab, &handler).await?;

    let requests = plane.audit().of_user(mark, "handler").await?;
    let figures = DrainFigures::of(&requests);
    println!(
        "\nwhat the handler asked of the API server: {:?}",
        tally(&requests)
    );
    if let (Some(notice), Some(cordoned)) = (mock.notice(), figures.cordoned) {
        let after = spot_tests::figures::between(notice.shows_at, cordoned);
        println!(
            "cordoned {} ms after the notice could be seen",
            after.as_millis()
        );
    }
    if let Some(took) = figures.cordon_to_last_eviction() {
        println!(
            "{} evictions accepted within {} ms of that",
            figures.evicted,
            took.as_millis()
        );
    }
    println!(
        "{}",
        if done {
            "all pods are back elsewhere, in time"
        } else {
            "NOT done by the deadline"
        }
    );
    if lab.stay {
        println!("\nstaying up; end it with Ctrl-C. For instance:");
        println!("export KUBECONFIG={}", plane.kubeconfig("admin")?.display());
        println!("{} get nodes", plane.tools().path(Tool::Kubectl).display());
        println!(
            "the handler's log: {}",
            handler.process().log_path().display()
        );
        println!("all other logs: {}", plane.dir().display());
        return std::future::pending().await;
    }
    handler.process().stop(Duration::from_secs(10)).await?;
    if done {
        Ok(())
    } else {
        Err(handler.process().problem("did not drain the node in time"))
    }
}

/// Says what changes, until the pods are ready elsewhere (true) or time is up (false).
async fn watch(cluster: &Cluster, doomed: &Node, lab: &Lab, handler: &Handler) -> Result<bool> {
    let start = Instant::now();
    let end = start + UNTIL_NOTICE + Duration::from_secs(lab.notice);
    let mut said = BTreeMap::new();
    let mut say = |topic: &'static str, text: String| {
        if said.get(topic) != Some(&text) {
            println!("{:>6.1} s  {topic}: {text}", start.elapsed().as_secs_f64());
            said.insert(topic, text);
        }
    };
    while Instant::now() < end {
        say("node", describe(&cluster.node(&doomed.name).await?));
        let on_node = cluster.pods_on(&doomed.name).await?;
        let (mut ready, mut endpoints) = (0, 0);
        for service in SERVICES {
            let pods = cluster.pods(service).await?;
            ready += pods
                .iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .filter(|pod| spot_tests::cluster::is_ready(pod))
                .count();
            let behind = cluster.endpoints(service).await?;
            endpoints += behind.iter().filter(|endpoint| endpoint.ready).count();
        }
        let leaving = on_node
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_some());
        say(
            "pods on the node",
            format!("{}, {} of them ending", on_node.len(), leaving.count()),
        );
        say("endpoints in use", endpoints.to_string());
        if on_node.is_empty() && ready == lab.pods * SERVICES.len() {
            return Ok(true);
        }
        if let Some(status) = handler.process().exit_status() {
            return Err(handler.process().problem(format!("ended with {status}")));
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(false)
}

fn describe(node: &KubeNode) -> String {
    let spec = node.spec.clone().unwrap_or_default();
    let cordoned = if spec.unschedulable == Some(true) {
        "cordoned"
    } else {
        "schedulable"
    };
    let taints = spec.taints.unwrap_or_default();
    let taints: Vec<String> = taints
        .into_iter()
        .map(|taint| {
            format!(
                "{}={}:{}",
                taint.key,
                taint.value.unwrap_or_default(),
                taint.effect
            )
        })
        .collect();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let balanced = !labels.contains_key("node.kubernetes.io/exclude-from-external-load-balancers");
    format!(
        "{cordoned}, {} load balancers, taints {}",
        if balanced { "behind" } else { "taken from" },
        taints.join(" ")
    )
}
