//! The arithmetic of PodDisruptionBudgets, as the disruption controller and the eviction
//! handler do it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::json::{
    controller, has, is_ready, is_terminating, key, number, set, set_condition, stamp, text,
};
use super::kind::Kind;
use super::selector::Labels;
use super::store::Store;

/// How long a pod whose eviction was granted counts as gone before its deletion is seen.
pub(crate) const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_mins(2);

/// A count or a percentage of a count.
pub(crate) fn scaled(value: &Value, of: i64) -> Option<i64> {
    match value {
        Value::Number(count) => count.as_i64(),
        Value::String(percent) => {
            let percent: i64 = percent.strip_suffix('%')?.parse().ok()?;
            // Budgets round up, whichever way they are written.
            Some((percent * of + 99).div_euclid(100))
        }
        _ => None,
    }
}

/// How many pods are expected, and how many must be healthy.
pub(crate) fn desired(spec: &Value, pods: i64, scale: i64) -> Option<(i64, i64)> {
    if has(spec, "/maxUnavailable") {
        let most = scaled(&spec["maxUnavailable"], scale)?;
        return Some((scale, (scale - most).max(0)));
    }
    match &spec["minAvailable"] {
        Value::Null => Some((0, 0)),
        percent @ Value::String(_) => Some((scale, scaled(percent, scale)?)),
        count => Some((pods, count.as_i64()?)),
    }
}

/// The disruptions that are allowed now.
pub(crate) fn allowed(expected: i64, healthy: i64, desired: i64) -> i64 {
    if expected <= 0 {
        return 0;
    }
    (healthy - desired).max(0)
}

/// The replicas that the controllers of these pods want; an error where one is unknown.
fn scale(store: &Store, pods: &[&Value]) -> Result<i64, String> {
    let mut scales: BTreeMap<&str, i64> = BTreeMap::new();
    for pod in pods {
        // Pods without a controller do not count.
        let Some(owner) = controller(pod) else {
            continue;
        };
        let name = key(text(pod, "/metadata/namespace"), text(owner, "/name"));
        let uid = text(owner, "/uid");
        let kind = match text(owner, "/kind") {
            "ReplicaSet" => Some(Kind::ReplicaSet),
            "StatefulSet" => Some(Kind::StatefulSet),
            "Deployment" => Some(Kind::Deployment),
            _ => None,
        };
        let found = kind
            .and_then(|kind| store.get(kind, &name))
            .filter(|object| text(object, "/metadata/uid") == uid);
        // The scale of a Deployment's ReplicaSet is the Deployment's.
        let deployment = found.and_then(|set| {
            let owner = controller(set).filter(|o| text(o, "/kind") == "Deployment")?;
            let name = key(text(pod, "/metadata/namespace"), text(owner, "/name"));
            let uid = text(owner, "/uid");
            let found = store.get(Kind::Deployment, &name);
            found.filter(|object| text(object, "/metadata/uid") == uid)
        });
        let (found, uid) = match deployment {
            Some(deployment) => (Some(deployment), text(deployment, "/metadata/uid")),
            None => (found, uid),
        };
        let Some(found) = found else {
            let pod = text(pod, "/metadata/name");
            return Err(format!("found no controllers for pod \"{pod}\""));
        };
        scales.insert(uid, number(found, "/spec/replicas").unwrap_or(1));
    }
    Ok(scales.values().sum())
}

/// Whether a budget selects a pod of its namespace.
pub(crate) fn selects(budget: &Value, pod: &Value) -> bool {
    Labels::of_object(budget["spec"].get("selector")).is_some_and(|s| s.matches(pod))
}

/// Brings a budget's status up to date; when it must be looked at again.
pub(crate) fn sync(store: &mut Store, name: &str, now: Timestamp) -> Option<Timestamp> {
    let mut budget = (**store.get(Kind::PodDisruptionBudget, name)?).clone();
    let namespace = text(&budget, "/metadata/namespace").to_owned();
    let labels = Labels::of_object(budget["spec"].get("selector"));
    let pods: Vec<_> = store
        .within(Kind::Pod, &namespace)
        .filter(|pod| labels.as_ref().is_some_and(|l| l.matches(pod)))
        .cloned()
        .collect();
    let pods: Vec<&Value> = pods.iter().map(|pod| &**pod).collect();
    let by_scale =
        has(&budget, "/spec/maxUnavailable") || budget["spec"]["minAvailable"].is_string();
    let scale = if by_scale { scale(store, &pods) } else { Ok(0) };
    let count = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let wanted = scale.and_then(|scale| {
        desired(&budget["spec"], count, scale)
            .ok_or_else(|| "invalid value for IntOrString".to_owned())
    });
    let (expected, desired) = match wanted {
        Ok(wanted) => wanted,
        Err(problem) => {
            set(&mut budget, &["status", "disruptionsAllowed"], 0);
            set_condition(
                &mut budget,
                "DisruptionAllowed",
                "False",
                ("SyncFailed", &problem),
                now,
            );
            store.replace(Kind::PodDisruptionBudget, budget);
            return None;
        }
    };
    let (disrupted, again) = disrupted(&budget, &pods, now);
    let healthy = pods
        .iter()
        .filter(|pod| {
            !is_terminating(pod)
                && !disrupted.contains_key(text(pod, "/metadata/name"))
                && is_ready(pod)
        })
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = allowed(expected, healthy, desired);
    let mut status = json!({
        "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "observedGeneration": number(&budget, "/metadata/generation").unwrap_or(1),
        "conditions": budget.pointer("/status/conditions").cloned().unwrap_or(json!([])),
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = disrupted.into_iter().collect();
    }
    budget["status"] = status;
    allow(&mut budget, now);
    store.replace(Kind::PodDisruptionBudget, budget);
    again
}

/// Makes the condition say what `disruptionsAllowed` says.
pub(crate) fn allow(budget: &mut Value, now: Timestamp) {
    let open = number(budget, "/status/disruptionsAllowed").unwrap_or(0) > 0;
    let (status, reason) = if open {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    set_condition(budget, "DisruptionAllowed", status, (reason, ""), now);
    let generation = budget["status"]["observedGeneration"].clone();
    let conditions = budget.pointer_mut("/status/conditions");
    if let Some(conditions) = conditions.and_then(Value::as_array_mut) {
        for condition in conditions {
            condition["message"] = "".into();
            condition["observedGeneration"] = generation.clone();
        }
    }
}

/// The evictions that were granted and whose deletion is still to be seen.
fn disrupted(
    budget: &Value,
    pods: &[&Value],
    now: Timestamp,
) -> (BTreeMap<String, Value>, Option<Timestamp>) {
    let mut kept = BTreeMap::new();
    let mut again: Option<Timestamp> = None;
    for pod in pods.iter().filter(|pod| !is_terminating(pod)) {
        let name = text(pod, "/metadata/name");
        let Some(time) = budget["status"]["disruptedPods"].get(name) else {
            continue;
        };
        let Some(expected) = time
            .as_str()
            .and_then(|t| t.parse::<Timestamp>().ok())
            .and_then(|t| t.checked_add(DELETION_TIMEOUT).ok())
        else {
            continue;
        };
        if expected >= now {
            again = Some(again.map_or(expected, |a| a.min(expected)));
            kept.insert(name.to_owned(), time.clone());
        }
    }
    (kept, again)
}

/// Takes one disruption from a budget on behalf of a pod.
pub(crate) fn take(budget: &mut Value, pod: &str, now: Timestamp) {
    let left = number(budget, "/status/disruptionsAllowed").unwrap_or(0) - 1;
    set(budget, &["status", "disruptionsAllowed"], left);
    if left == 0 {
        allow(budget, now);
    }
    set(budget, &["status", "disruptedPods", pod], stamp(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_up() {
        for (percent, of, is) in [
            ("50%", 3, 2),
            ("50%", 4, 2),
            ("0%", 9, 0),
            ("100%", 7, 7),
            ("1%", 10, 1),
            ("34%", 3, 2),
            ("33%", 3, 1),
            ("50%", 0, 0),
        ] {
            assert_eq!(scaled(&json!(percent), of), Some(is), "{percent} of {of}");
        }
        assert_eq!(scaled(&json!(4), 2), Some(4));
        assert_eq!(scaled(&json!("4"), 2), None);
    }

    #[test]
    fn what_is_desired() {
        for (spec, pods, scale, is) in [
            (json!({"minAvailable": 2}), 3, 9, (3, 2)),
            (json!({"minAvailable": "50%"}), 3, 5, (5, 3)),
            (json!({"maxUnavailable": 1}), 3, 5, (5, 4)),
            (json!({"maxUnavailable": "30%"}), 3, 10, (10, 7)),
            // Rounded up: more may be unavailable.
            (json!({"maxUnavailable": "25%"}), 3, 3, (3, 2)),
            (json!({"maxUnavailable": 9}), 3, 5, (5, 0)),
            (json!({}), 3, 5, (0, 0)),
        ] {
            assert_eq!(desired(&spec, pods, scale), Some(is), "{spec}");
        }
    }

    #[test]
    fn nothing_is_allowed_where_nothing_is_expected() {
        assert_eq!(allowed(0, 3, 0), 0);
        assert_eq!(allowed(3, 3, 2), 1);
        assert_eq!(allowed(3, 1, 2), 0);
        assert_eq!(allowed(1, 2, 0), 2);
    }
}
