//! A budget that is spent on an eviction which was cut off.
//!
//! The API server takes an eviction off the budget first and deletes the pod then. A client that
//! goes in between (killed, or tired of waiting) ends the request there: the pod lives on, and
//! the budget stays spent on it until the disruption controller gives up on it after two minutes,
//! which is longer than a round. Nothing that a handler does afterwards can help.

use k8s_openapi::api::{core::v1::Pod, policy::v1::PodDisruptionBudget};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{Result, clock::wall_now, cluster::Cluster, error::Context as _};

/// How long a pod's deletion may take to follow when nothing was cut off, in seconds.
const FOLLOWS: i64 = 3;

/// Does now what the disruption controller does after two minutes: takes pods that are not being
/// deleted out of what the budget is spent on. Returns their names.
///
/// # Errors
/// When the API server refuses.
pub(super) async fn relieve(cluster: &Cluster, budget: &str) -> Result<Vec<String>> {
    let what = || format!("budget {budget}");
    let budgets = cluster.api::<PodDisruptionBudget>();
    let status = budgets.get(budget).await.context(what())?.status;
    let disrupted = status.and_then(|status| status.disrupted_pods);
    let mut relieved = Vec::new();
    for (name, since) in disrupted.unwrap_or_default() {
        let pod = cluster.api::<Pod>().get_opt(&name).await.context(what())?;
        let lives = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
        if !lives || wall_now().as_second() - since.0.as_second() < FOLLOWS {
            continue;
        }
        let patch = Patch::Merge(json!({"status": {"disruptedPods": {&name: null}}}));
        budgets
            .patch_status(budget, &PatchParams::default(), &patch)
            .await
            .context(what())?;
        relieved.push(name);
    }
    Ok(relieved)
}
