//! What a request to the API server is, read from its method, path and body.

use serde_json::Value;

use spot_drain::sim::Recorded;

/// The kinds of requests that a handler makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Pods are listed.
    ListPods,
    /// Pods are watched.
    WatchPods,
    /// A pod is evicted.
    Evict,
    /// A pod is deleted.
    Delete,
    /// Budgets are listed.
    ListBudgets,
    /// Budgets are watched.
    WatchBudgets,
    /// DaemonSets are listed.
    ListDaemonSets,
    /// The node is read.
    GetNode,
    /// The node is changed.
    PatchNode,
    /// A pod is changed.
    PatchPod,
    /// A ReplicaSet or a Deployment is read.
    GetWorkload,
    /// ReplicaSets are watched.
    WatchReplicaSets,
    /// The user's own rights are asked for.
    Review,
    /// Anything else.
    Other,
}

impl Call {
    /// What a request of this method, path and query is.
    pub fn of(method: &str, path: &str, query: &str) -> Self {
        let watch = query.split('&').any(|pair| pair == "watch=true");
        let last = path.rsplit('/').next().unwrap_or_default();
        match (method, last) {
            ("POST", "eviction") => Self::Evict,
            ("POST", "selfsubjectaccessreviews") => Self::Review,
            ("GET", "pods") if watch => Self::WatchPods,
            ("GET", "pods") => Self::ListPods,
            ("GET", "poddisruptionbudgets") if watch => Self::WatchBudgets,
            ("GET", "poddisruptionbudgets") => Self::ListBudgets,
            ("GET", "daemonsets") => Self::ListDaemonSets,
            ("GET", "replicasets") if watch => Self::WatchReplicaSets,
            ("GET", _) if path.contains("/replicasets/") || path.contains("/deployments/") => {
                Self::GetWorkload
            }
            ("GET", _) if path.starts_with("/api/v1/nodes/") => Self::GetNode,
            ("PATCH", _) if path.starts_with("/api/v1/nodes/") => Self::PatchNode,
            ("PATCH", _) if path.contains("/pods/") => Self::PatchPod,
            ("DELETE", _) if path.contains("/pods/") => Self::Delete,
            _ => Self::Other,
        }
    }

    /// What a request is.
    pub fn of_request<T>(request: &http::Request<T>) -> Self {
        let uri = request.uri();
        Self::of(
            request.method().as_str(),
            uri.path(),
            uri.query().unwrap_or_default(),
        )
    }
}

/// What is asked for when a pod is evicted or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The UID that the pod must have.
    pub uid: Option<String>,
    /// `gracePeriodSeconds`, where it is sent.
    pub grace: Option<i64>,
    /// Whether nothing is to be changed.
    pub dry_run: bool,
}

/// What a request that was written down means.
pub trait OnTheWire {
    /// What was asked.
    fn call(&self) -> Call;

    /// The name of the pod that it is about; empty where it is about none.
    fn pod(&self) -> &str;

    /// Whether it was answered with success.
    fn succeeded(&self) -> bool;

    /// The options of an eviction or a deletion, where they can be read.
    fn ending(&self) -> Option<Ending>;
}

impl OnTheWire for Recorded {
    fn call(&self) -> Call {
        Call::of(&self.method, &self.path, &self.query)
    }

    fn pod(&self) -> &str {
        let rest = self.path.split("/pods/").nth(1).unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    fn succeeded(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    fn ending(&self) -> Option<Ending> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let options = match self.call() {
            Call::Evict => &body["deleteOptions"],
            Call::Delete => &body,
            _ => return None,
        };
        Some(Ending {
            uid: options["preconditions"]["uid"].as_str().map(String::from),
            grace: options["gracePeriodSeconds"].as_i64(),
            dry_run: options["dryRun"] == serde_json::json!(["All"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let eviction = "/api/v1/namespaces/n/pods/p/eviction";
        assert_eq!(Call::of("POST", eviction, ""), Call::Evict);
        assert_eq!(
            Call::of("GET", "/api/v1/pods", "a=b&watch=true"),
            Call::WatchPods
        );
        assert_eq!(
            Call::of("GET", "/api/v1/pods", "resourceVersion=0"),
            Call::ListPods
        );
        assert_eq!(
            Call::of("DELETE", "/api/v1/namespaces/n/pods/p", ""),
            Call::Delete
        );
        assert_eq!(Call::of("PATCH", "/api/v1/nodes/n", ""), Call::PatchNode);
        let sets = "/apis/apps/v1/namespaces/n/replicasets";
        assert_eq!(Call::of("GET", sets, "watch=true"), Call::WatchReplicaSets);
        assert_eq!(Call::of("GET", &format!("{sets}/s"), ""), Call::GetWorkload);
    }
}
