//! What several benches start from.

use std::{collections::BTreeMap, time::Duration};

use spot_tests::{
    Error, Result,
    audit::Request,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    interruption::Interruption,
    metadata_mock::TWO_MINUTES,
    rbac,
};

/// Deployments that share the pods.
pub(crate) const OWNERS: usize = 10;
/// From the handler's start to the notice.
const UNTIL_NOTICE: Duration = Duration::from_secs(3);
/// How long after the deadline a drain that has not said so is taken not to end.
const LATE: Duration = Duration::from_secs(30);

/// A control plane on which handlers may do what they need.
pub(crate) async fn plane() -> Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    rbac::allow_handlers(&plane.client("admin")?).await?;
    Ok(plane)
}

/// A node that will be drained, and another one with room for all of its pods.
pub(crate) async fn two_nodes(plane: &ControlPlane) -> Result<(Cluster, Node)> {
    let cluster = Cluster::create(&plane.client("admin")?, "bench").await?;
    let full = cluster.add_node(&NodeSpec::spot("full")).await?;
    let empty = NodeSpec::spot("empty").max_pods(500);
    cluster.add_node(&empty).await?;
    Ok((cluster, full))
}

/// The same with `pods` pods on the first node, which take `exit` seconds to end.
pub(crate) async fn full_node(
    plane: &ControlPlane,
    pods: usize,
    exit: f64,
) -> Result<(Cluster, Node)> {
    let (cluster, full) = two_nodes(plane).await?;
    for (owner, share) in shares(pods, OWNERS).enumerate() {
        let workload = Workload::new(&format!("app-{owner}"), share).exit_after(exit);
        cluster.deploy_on(&full, &workload).await?;
    }
    Ok((cluster, full))
}

/// `pods` in `parts` nearly equal parts.
pub(crate) fn shares(pods: usize, parts: usize) -> impl Iterator<Item = usize> {
    (0..parts).map(move |part| pods / parts + usize::from(part < pods % parts))
}

/// Two minutes' notice for a node, and a handler that hears of it.
pub(crate) async fn notice(plane: &ControlPlane, node: &Node) -> Result<Interruption> {
    Interruption::announce(plane, node, UNTIL_NOTICE, TWO_MINUTES, |flags| flags).await
}

/// How a drain ended.
pub(crate) struct Drained {
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// What was left to the deadline then; zero if it was past.
    pub(crate) slack: Duration,
    /// Whether no pod was left behind.
    pub(crate) complete: bool,
}

/// Waits for the end of the drain.
pub(crate) async fn drained(notice: &Interruption) -> Result<Drained> {
    let line = notice.finished(TWO_MINUTES + LATE).await?;
    let seconds = |key: &str| {
        line[key]
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or_default()
    };
    Ok(Drained {
        elapsed: seconds("elapsed"),
        slack: seconds("slack"),
        complete: line["outcome"] == "complete",
    })
}

/// How many evictions were answered with each status.
pub(crate) fn statuses(requests: &[Request]) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for request in requests.iter().filter(|request| request.is_eviction()) {
        *statuses.entry(request.code).or_default() += 1;
    }
    statuses
}

/// What the handlers' logs hold beside the course of things, and how often.
pub(crate) fn complaints<'a>(
    notices: impl IntoIterator<Item = &'a Interruption>,
) -> BTreeMap<String, usize> {
    let mut complaints = BTreeMap::new();
    let lines = notices
        .into_iter()
        .flat_map(|notice| notice.handler.log_lines());
    for line in lines.filter(|line| line["level"] != "INFO" && line["message"] != "notice") {
        let why = ["error", "why"].map(|field| line[field].as_str().unwrap_or_default());
        let said = format!("{} {}", line["message"], why.concat());
        *complaints.entry(said).or_default() += 1;
    }
    complaints
}

/// A bench that did not go as it must, so that its figures say nothing.
pub(crate) fn invalid(what: impl Into<String>) -> Error {
    Error::Usage(what.into())
}
