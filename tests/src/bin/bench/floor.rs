//! The floor: a bare client that posts the same evictions, and ours, by turns. Both measured
//! from their first eviction's arrival to their last one's acceptance.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use spot_tests::{
    Error, Result,
    audit::Request,
    control_plane::ControlPlane,
    error::Context as _,
    figures::{between, median_and_max},
};

use crate::fixture::{drained, full_node, notice};

/// How much longer than the bare client's time ours may be.
const HELD_TO: f64 = 1.3;

#[derive(Args)]
pub(crate) struct Options {
    /// How many pods
    #[arg(default_values_t = [110, 250])]
    pods: Vec<usize>,
    /// How many runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many connections the bare client uses; as many as our drain
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let Options {
        pods,
        runs,
        connections,
    } = options;
    println!("| pods | bare client, {connections} connections | ours | ratio | held to | met |");
    println!("|---|---|---|---|---|---|");
    for &pods in pods {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..*runs {
            bare.push(bare_client(plane, pods, *connections).await?);

            let (cluster, node) = full_node(plane, pods, 10.0).await?;
            let notice = notice(plane, &node).await?;
            drained(&notice).await?;
            ours.push(evictions(&notice.requests(plane).await?));
            cluster.delete().await?;
        }
        let median = |times: &[Duration]| median_and_max(times).unwrap_or_default().0.as_secs_f64();
        let (bare, ours) = (median(&bare), median(&ours));
        let ratio = ours / bare;
        let met = if ratio <= HELD_TO { "yes" } else { "NO" };
        println!("| {pods} | {bare:.3} s | {ours:.3} s | {ratio:.2} | at most {HELD_TO} | {met} |");
    }
    println!("medians of {runs} interleaved runs");
    Ok(())
}

async fn bare_client(plane: &ControlPlane, pods: usize, connections: usize) -> Result<Duration> {
    let (cluster, node) = full_node(plane, pods, 10.0).await?;
    cluster.cordon(&node.name, true).await?;
    let (user, mark) = (plane.take_handler_user()?, plane.audit().mark());
    let client = plane.client(&user)?;
    let targets = cluster.pods_on(&node.name).await?;
    let posts = targets.iter().map(|pod| evict(&client, pod));
    let replies = stream::iter(posts).buffer_unordered(connections);
    replies.try_collect::<Vec<()>>().await?;
    let took = evictions(&plane.audit().of_user(mark, &user).await?);
    cluster.delete().await?;
    Ok(took)
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
    let evictions = || requests.iter().filter(|request| request.is_eviction());
    match (
        evictions().map(|request| request.received).min(),
        evictions().map(|request| request.answered).max(),
    ) {
        (Some(first), Some(last)) => between(first, last),
        _ => Duration::ZERO,
    }
}
