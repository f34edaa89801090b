//! Which PodDisruptionBudgets stand over a pod. Pure.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize;

use crate::facts::PodFacts;

/// A PodDisruptionBudget as a drain sees it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "wire::Budget")]
pub struct BudgetFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pods that it stands over; `None`: none of them.
    selector: Option<Selector>,
}

/// What is known of the budgets of the cluster.
#[derive(Clone, Default)]
pub enum Budgets {
    /// Nothing: they were not asked for, or could not be learnt.
    #[default]
    Unknown,
    /// These existed when they were asked for.
    Known(Vec<BudgetFacts>),
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("Unknown"),
            Self::Known(budgets) => write!(f, "Known({})", budgets.len()),
        }
    }
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
}

mod wire {
    use super::{BudgetFacts, Deserialize, LabelSelector, Selector};

    #[derive(Default, Deserialize)]
    #[serde(default)]
    pub(super) struct Budget {
        metadata: Metadata,
        spec: Spec,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        namespace: String,
        name: String,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        selector: Option<LabelSelector>,
    }

    impl From<Budget> for BudgetFacts {
        fn from(Budget { metadata, spec }: Budget) -> Self {
            Self {
                namespace: metadata.namespace,
                name: metadata.name,
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
    fn an_empty_selector_selects_all_and_a_missing_or_impossible_one_none() {
        assert!(budget("{}").covers(&pod("a", "web")));
        assert!(!budget("null").covers(&pod("a", "web")));
        let impossible = r#"{"matchExpressions": [{"key": "app", "operator": "Near"}]}"#;
        assert!(!budget(impossible).covers(&pod("a", "web")));
    }
}
