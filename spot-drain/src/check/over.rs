//! Which budgets stand over a pod, without asking each of them.

use std::collections::BTreeMap;

use crate::budget::{BudgetFacts, Budgets};
use crate::facts::PodFacts;

/// Budgets, with their places in the list.
type Placed<'a> = Vec<(usize, &'a BudgetFacts)>;

/// The budgets by what their selectors ask for. A big cluster has hundreds of them, and nearly
/// each names a label of its own.
pub(super) struct Over<'a>(BTreeMap<&'a str, Namespace<'a>>);

/// Those of a namespace.
#[derive(Default)]
struct Namespace<'a> {
    /// Those that ask for a label, by one such label.
    by_label: BTreeMap<String, BTreeMap<String, Placed<'a>>>,
    /// Those that ask for none.
    others: Placed<'a>,
}

impl<'a> Over<'a> {
    pub(super) fn of(budgets: &'a Budgets) -> Self {
        let mut over: BTreeMap<&str, Namespace<'a>> = BTreeMap::new();
        let known = match budgets {
            Budgets::Known(budgets) => &budgets[..],
            Budgets::Unknown | Budgets::Unavailable(_) => &[],
        };
        for (place, budget) in known.iter().enumerate() {
            let namespace = over.entry(&budget.namespace).or_default();
            let same = match budget.label() {
                Some((key, value)) => {
                    let values = namespace.by_label.entry(key).or_default();
                    values.entry(value).or_default()
                }
                None => &mut namespace.others,
            };
            same.push((place, budget));
        }
        Self(over)
    }

    /// Those that stand over `pod`, in the order in which they were listed.
    pub(super) fn pod(&self, pod: &PodFacts) -> Vec<&'a BudgetFacts> {
        let Some(namespace) = self.0.get(pod.namespace.as_str()) else {
            return Vec::new();
        };
        let labels = pod.labels.iter();
        let asked = labels.filter_map(|(key, value)| namespace.by_label.get(key)?.get(value));
        let all = asked.flatten().chain(&namespace.others);
        let mut over: Placed<'a> = all.filter(|(_, b)| b.covers(pod)).copied().collect();
        over.sort_unstable_by_key(|(place, _)| *place);
        over.into_iter().map(|(_, budget)| budget).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn selector() -> impl Strategy<Value = Value> {
        let key = || prop::sample::select(vec!["a", "b"]);
        let value = || prop::sample::select(vec!["1", "2"]);
        let labels = prop::collection::btree_map(key(), value(), 0..3);
        let operator = prop::sample::select(vec!["In", "NotIn"]);
        let one = (key(), operator, value()).prop_map(
            |(key, operator, value)| json!({"key": key, "operator": operator, "values": [value]}),
        );
        let some = (labels, prop::collection::vec(one, 0..2));
        let some = some.prop_map(|(l, e)| json!({"matchLabels": l, "matchExpressions": e}));
        prop_oneof![1 => Just(Value::Null), 9 => some]
    }

    proptest! {
        #[test]
        fn the_same_are_found_as_when_each_is_asked(
            selectors in prop::collection::vec(selector(), 0..8), a: bool, b: bool, other: bool,
        ) {
            let budget = |(n, selector): (usize, Value)| -> BudgetFacts {
                let metadata = json!({"namespace": "shop", "name": format!("budget-{n}")});
                let budget = json!({"metadata": metadata, "spec": {"selector": selector}});
                serde_json::from_value(budget).unwrap()
            };
            let budgets: Vec<_> = selectors.into_iter().enumerate().map(budget).collect();
            let labels = [("a", a), ("b", b)].map(|(k, one)| (k, if one { "1" } else { "2" }));
            let pod = PodFacts {
                namespace: if other { "other" } else { "shop" }.into(),
                labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                ..PodFacts::default()
            };
            let names = |over: Vec<&BudgetFacts>| -> Vec<String> {
                over.into_iter().map(|b| b.name.clone()).collect()
            };
            let asked = names(budgets.iter().filter(|b| b.covers(&pod)).collect());
            let budgets = Budgets::Known(budgets);
            prop_assert_eq!(names(Over::of(&budgets).pod(&pod)), asked);
        }
    }
}
