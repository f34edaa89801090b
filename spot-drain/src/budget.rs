//! Which PodDisruptionBudgets stand over a pod, and what room they have. Pure.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize;

use crate::facts::{Phase, PodFacts};

/// A PodDisruptionBudget as a drain sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "wire::Budget")]
pub struct BudgetFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many more pods it lets go (`status.disruptionsAllowed`); `None` where that is not up
    /// to date with its `spec`.
    pub allowed: Option<u32>,
    /// Whether as many pods are healthy as it wants.
    pub healthy: bool,
    /// Whether it lets pods that are not ready go at any time (`AlwaysAllow`).
    pub unhealthy_always: bool,
    /// The pods that it stands over; `None`: none of them.
    selector: Option<Selector>,
}

/// What is known of the budgets of the cluster.
#[derive(Clone, Debug, Default)]
pub enum Budgets {
    /// Nothing yet.
    #[default]
    Unknown,
    /// They could not be learnt, and why.
    Unavailable(String),
    /// These existed when they were asked for.
    Known(Vec<BudgetFacts>),
}

impl BudgetFacts {
    /// Whether the budget stands over `pod`.
    ///
    /// An empty selector selects every pod of the namespace (`policy/v1`); one that cannot be
    /// read selects none, and is told by the API server's refusal where it does after all.
    pub fn covers(&self, pod: &PodFacts) -> bool {
        self.namespace == pod.namespace
            && self
                .selector
                .as_ref()
                .is_some_and(|s| s.matches(&pod.labels))
    }

    /// A label that every pod has over which it stands; `None` where its selector names none.
    pub(crate) fn label(&self) -> Option<(String, String)> {
        let selector = LabelSelector::from(self.selector.clone()?);
        selector.match_labels?.into_iter().next()
    }

    /// Whether the API server lets `pod` go however many disruptions are allowed: it has not
    /// started, or it is not ready and the budget's `unhealthyPodEvictionPolicy` says so
    /// (`IfHealthyBudget` where it says nothing; Kubernetes, "Unhealthy Pod Eviction Policy").
    pub fn exempts(&self, pod: &PodFacts) -> bool {
        pod.phase == Phase::Pending || !pod.ready && (self.unhealthy_always || self.healthy)
    }

    /// Whether it is the same budget, by name.
    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// Whether it stands over the same pods and exempts the same ones.
    pub(crate) fn rules_as(&self, other: &Self) -> bool {
        self.selector == other.selector
            && self.healthy == other.healthy
            && self.unhealthy_always == other.unhealthy_always
    }
}

impl From<&PodDisruptionBudget> for BudgetFacts {
    /// For those who have whole budgets already, such as a reflector's.
    fn from(budget: &PodDisruptionBudget) -> Self {
        // A budget that has been read can be written, and what is written can be read.
        let facts = serde_json::to_value(budget).and_then(serde_json::from_value);
        facts.unwrap_or_default()
    }
}

mod wire {
    use super::{BudgetFacts, Deserialize, LabelSelector, Selector};

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Budget {
        metadata: Metadata,
        spec: Spec,
        status: Status,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        namespace: String,
        name: String,
        generation: i64,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Spec {
        selector: Option<LabelSelector>,
        unhealthy_pod_eviction_policy: String,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Status {
        observed_generation: i64,
        disruptions_allowed: Option<i64>,
        current_healthy: i64,
        desired_healthy: i64,
    }

    impl From<Budget> for BudgetFacts {
        fn from(
            Budget {
                metadata,
                spec,
                status,
            }: Budget,
        ) -> Self {
            let fresh = status.observed_generation >= metadata.generation;
            let allowed = status.disruptions_allowed.filter(|_| fresh);
            Self {
                namespace: metadata.namespace,
                name: metadata.name,
                allowed: allowed.map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
                healthy: fresh
                    && status.desired_healthy > 0
                    && status.current_healthy >= status.desired_healthy,
                unhealthy_always: spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
                selector: spec.selector.and_then(|s| Selector::try_from(s).ok()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(selector: &str) -> BudgetFacts {
        let text = format!(
            r#"{{"metadata": {{"namespace": "a", "name": "b"}}, "spec": {{"selector": {selector}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn pod(namespace: &str, app: &str) -> PodFacts {
        PodFacts {
            namespace: namespace.into(),
            labels: [("app".to_owned(), app.to_owned())].into(),
            ..PodFacts::default()
        }
    }

    #[test]
    fn a_budget_stands_over_the_pods_that_it_selects_in_its_namespace() {
        let web = budget(r#"{"matchLabels": {"app": "web"}}"#);
        assert!(web.covers(&pod("a", "web")));
        assert!(!web.covers(&pod("a", "db")));
        assert!(!web.covers(&pod("other", "web")));
        let not_web =
            r#"{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}"#;
        assert!(budget(not_web).covers(&pod("a", "db")));
        assert!(!budget(not_web).covers(&pod("a", "web")));
    }

    #[test]
    fn a_reflectors_budget_is_read_like_one_from_the_wire() {
        let text = r#"{"metadata": {"namespace": "a", "name": "b", "generation": 2},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"observedGeneration": 2, "disruptionsAllowed": 1, "currentHealthy": 3,
                "desiredHealthy": 2, "expectedPods": 3}}"#;
        let whole: PodDisruptionBudget = serde_json::from_str(text).unwrap();
        let (facts, read) = (
            BudgetFacts::from(&whole),
            serde_json::from_str(text).unwrap(),
        );
        let read: BudgetFacts = read;
        assert_eq!((facts.allowed, facts.healthy), (Some(1), true));
        assert!(facts.rules_as(&read) && facts.covers(&pod("a", "web")));
    }

    #[test]
    fn an_empty_selector_selects_all_and_a_missing_or_impossible_one_none() {
        assert!(budget("{}").covers(&pod("a", "web")));
        assert!(!budget("null").covers(&pod("a", "web")));
        let impossible = r#"{"matchExpressions": [{"key": "app", "operator": "Near"}]}"#;
        assert!(!budget(impossible).covers(&pod("a", "web")));
    }

    #[test]
    fn the_room_counts_only_where_the_status_is_up_to_date() {
        let with = |generation: u32, observed: u32| -> BudgetFacts {
            serde_json::from_value(serde_json::json!({
                "metadata": {"generation": generation},
                "status": {"observedGeneration": observed, "disruptionsAllowed": 2,
                    "currentHealthy": 5, "desiredHealthy": 3},
            }))
            .unwrap()
        };
        assert_eq!((with(3, 3).allowed, with(3, 3).healthy), (Some(2), true));
        assert_eq!((with(3, 2).allowed, with(3, 2).healthy), (None, false));
        assert_eq!(budget("{}").allowed, None);
    }

    #[test]
    fn pods_that_serve_nobody_are_exempt_as_the_policy_has_it() {
        let unready = pod("a", "web");
        let ready = PodFacts {
            ready: true,
            ..unready.clone()
        };
        let pending = PodFacts {
            phase: Phase::Pending,
            ..unready.clone()
        };
        let strict = BudgetFacts::default();
        let healthy = BudgetFacts {
            healthy: true,
            ..strict.clone()
        };
        let always = BudgetFacts {
            unhealthy_always: true,
            ..strict.clone()
        };
        for (budget, exempts) in [(&strict, false), (&healthy, true), (&always, true)] {
            assert_eq!(budget.exempts(&unready), exempts, "{budget:?}");
            assert!(!budget.exempts(&ready) && budget.exempts(&pending));
        }
    }
}
