//! A zone's worth of nodes, reclaimed at one moment: one handler and one of AWS's metadata
//! mocks for each, room for all pods elsewhere.

use std::{collections::BTreeSet, time::Duration};

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use spot_tests::{
    Result,
    audit::{Request, tally},
    clock::{after, sleep_until_wall, wall_now, whole_second_in},
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    figures::{DrainFigures, between, median_and_max},
    interruption::Interruption,
    metadata_mock::TWO_MINUTES,
    resources,
};
use tokio::time::{Instant, sleep};

use crate::{
    bystander::Bystander,
    fixture::{Drained, complaints, drained, invalid, statuses},
    sheet::{self, MIB, size},
};

/// What is made or started at the same time.
const AT_ONCE: usize = 4;
/// How long the bystander reads before the notice.
const CALM: Duration = Duration::from_secs(10);
/// The time it takes for calm to come after the last handler's start.
const SETTLE: Duration = Duration::from_secs(2);
/// Requests beside the pods' evictions that a node may cost.
const BESIDE: usize = 8;
/// The lists that a zone of handlers must take from the API server's cache.
const CACHED: [&str; 3] = ["list pods", "list poddisruptionbudgets", "list daemonsets"];

#[derive(Args)]
pub(crate) struct Options {
    /// How many nodes are reclaimed
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=60))]
    nodes: u16,
    /// How many pods run on each
    #[arg(long, default_value_t = 30)]
    pods: u32,
    /// Seconds that a pod takes to end
    #[arg(long, default_value_t = 10.0)]
    exit_after: f64,
    /// Seconds that all handlers have to come up
    #[arg(long, default_value_t = 30)]
    up_in: u64,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let (cluster, nodes) = zone(plane, options).await?;
    let up_by = Instant::now() + Duration::from_secs(options.up_in);
    let shows_at = whole_second_in(Duration::from_secs(options.up_in) + SETTLE + CALM);
    let mark = plane.audit().mark();
    let notices: Vec<Interruption> = stream::iter(&nodes)
        .map(|node| Interruption::announce_at(plane, node, shows_at, TWO_MINUTES))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    if Instant::now() > up_by {
        return Err(invalid("not all handlers were up in time: --up-in more"));
    }
    let bystander = Bystander::start(plane.client("admin")?, &cluster);
    sleep_until_wall(shows_at).await;

    let ends: Vec<Drained> = stream::iter(&notices)
        .map(drained)
        .buffered(nodes.len())
        .try_collect()
        .await?;
    let done = wall_now();
    sleep(Duration::from_secs(1)).await; // for the last lines of the audit log
    let users: BTreeSet<&str> = notices.iter().map(|notice| notice.user.as_str()).collect();
    let mut requests = plane.audit().since(mark)?;
    requests.retain(|request| users.contains(request.user.as_str()));

    sheet::begin(format_args!(
        "{} nodes of {} pods that take {} s to end, reclaimed at once",
        options.nodes, options.pods, options.exit_after
    ));
    drains(options, &notices, &ends, &requests, shows_at);
    cost(options, &requests);
    memory(&notices)?;
    let calm_since = after(shows_at, Duration::ZERO)
        .saturating_sub(CALM)
        .unwrap_or(Timestamp::MIN);
    sheet::fact(
        "a bystander's GET, before",
        bystander.latency(calm_since, shows_at),
    );
    let last = DrainFigures::of(&requests).last_eviction.unwrap_or(done);
    sheet::fact(
        "a bystander's GET, to the last eviction",
        bystander.latency(shows_at, last),
    );
    sheet::fact(
        "a bystander's GET, from there to the end",
        bystander.latency(last, done),
    );
    println!("\n{:?}", tally(&requests));
    println!("what handlers complained of: {:?}", complaints(&notices));
    cluster.delete().await
}

/// The nodes with exactly as many pods on each as asked for; and then the room elsewhere.
async fn zone(plane: &ControlPlane, options: &Options) -> Result<(Cluster, Vec<Node>)> {
    let cluster = Cluster::create(&plane.client("admin")?, "zone").await?;
    let (cluster_, nodes) = (&cluster, usize::from(options.nodes));
    let add = |name: &str, count: usize, pods: u32| {
        let specs: Vec<NodeSpec> = (0..count)
            .map(|n| NodeSpec::spot(&format!("{name}-{n}")).max_pods(pods))
            .collect();
        async move {
            stream::iter(&specs)
                .map(|spec| cluster_.add_node(spec))
                .buffered(AT_ONCE)
                .try_collect::<Vec<Node>>()
                .await
        }
    };
    let doomed = add("full", nodes, options.pods).await?;
    // As many pods as there is room for, so that each node gets its share.
    for owner in 0..options.pods {
        let workload = Workload::new(&format!("app-{owner}"), nodes).exit_after(options.exit_after);
        cluster.deploy(&workload).await?;
    }
    for owner in 0..options.pods {
        cluster.wait_ready(&format!("app-{owner}"), nodes).await?;
    }
    add("empty", nodes.div_ceil(2), 3 * options.pods).await?;
    Ok((cluster, doomed))
}

/// What became of the nodes.
fn drains(
    options: &Options,
    notices: &[Interruption],
    ends: &[Drained],
    requests: &[Request],
    shows_at: Timestamp,
) {
    let of_user = |user: &str| {
        let own: Vec<Request> = requests
            .iter()
            .filter(|request| request.user == user)
            .cloned()
            .collect();
        DrainFigures::of(&own)
    };
    let figures: Vec<DrainFigures> = notices.iter().map(|n| of_user(&n.user)).collect();
    let pods = usize::try_from(options.pods).unwrap_or(usize::MAX);
    // More where an answer was lost and an eviction repeated.
    let other: Vec<String> = figures
        .iter()
        .filter(|f| f.evicted != pods)
        .map(|f| f.evicted.to_string())
        .collect();
    sheet::held(
        format_args!("nodes with other than {pods} accepted evictions"),
        format_args!("{} ({})", other.len(), other.join(", ")),
        "none",
        other.is_empty(),
    );
    let cordons: Vec<Duration> = figures
        .iter()
        .filter_map(|f| f.cordoned)
        .map(|at| between(shows_at, at))
        .collect();
    let complete = ends.iter().filter(|end| end.complete).count();
    sheet::held(
        "nodes cordoned; drained",
        format_args!("{}; {complete}", cordons.len()),
        "all",
        cordons.len() == ends.len() && complete == ends.len(),
    );
    let (median, last) = median_and_max(&cordons).unwrap_or_default();
    sheet::fact("notice to cordon, median", sheet::time(Some(median)));
    sheet::fact("notice to cordon, last", sheet::time(Some(last)));
    let last = figures.iter().filter_map(|f| f.last_eviction).max();
    let last = last.map(|at| between(shows_at, at));
    sheet::fact("notice to last eviction", sheet::time(last));
    sheet::fact(
        "evictions by status",
        format_args!("{:?}", statuses(requests)),
    );
    // The looks at the node when the process started are not the drain's.
    let since = |user: &str| {
        let own = |r: &&Request| r.user == user && r.received >= shows_at;
        requests.iter().filter(own).count()
    };
    let most = notices.iter().map(|n| since(&n.user)).max();
    sheet::at_most_count(
        "API requests of one node since the notice, at most",
        most.unwrap_or_default(),
        pods + BESIDE,
    );
    let done = ends
        .iter()
        .map(|end| TWO_MINUTES.saturating_sub(end.slack))
        .max();
    sheet::fact("notice to the end of the last drain", sheet::time(done));
}

/// What it cost the API server.
fn cost(options: &Options, requests: &[Request]) {
    let pods = usize::try_from(options.pods).unwrap_or(usize::MAX);
    let bound = usize::from(options.nodes) * (pods + BESIDE);
    sheet::at_most_count(
        "API requests in all since the handlers started",
        requests.len(),
        bound,
    );
    let lists = requests
        .iter()
        .filter(|request| CACHED.contains(&request.kind().as_str()));
    let (mut all, mut missed) = (0, Vec::new());
    for list in lists {
        all += 1;
        let cached = list
            .uri
            .split(['?', '&'])
            .any(|part| part == "resourceVersion=0" || part == "resourceVersionMatch=NotOlderThan");
        if !cached {
            missed.push(&list.uri);
        }
    }
    sheet::held(
        "LISTs, and those that miss the cache",
        format_args!("{all}, {}", missed.len()),
        "none that misses",
        missed.is_empty(),
    );
    for uri in missed.iter().take(3) {
        sheet::fact("such a LIST", uri);
    }
}

/// What the handlers take, all of them still running.
fn memory(notices: &[Interruption]) -> Result<()> {
    let pids: Vec<u32> = notices.iter().map(|n| n.handler.process().pid()).collect();
    let each = |read: fn(u32) -> Result<u64>| -> Result<Vec<u64>> {
        let mut sizes = pids
            .iter()
            .map(|pid| read(*pid))
            .collect::<Result<Vec<_>>>()?;
        sizes.sort_unstable();
        Ok(sizes)
    };
    let told = |sizes: &[u64]| {
        let median = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
        let most = sizes.last().copied().unwrap_or_default();
        format!(
            "median {:.1} MiB, most {:.1} MiB",
            size(median, MIB),
            size(most, MIB)
        )
    };
    let peaks = each(resources::peak_resident_bytes)?;
    sheet::fact("resident at most, per handler", told(&peaks));
    let shares = each(resources::proportional_bytes)?;
    sheet::fact("proportional set at the end, per handler", told(&shares));
    Ok(())
}
