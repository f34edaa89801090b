use serde_json::json;

use super::*;
use crate::classify::{Class, DaemonSets, classify};
use crate::rules::{Rules, Turn, Verdict};

fn pod() -> PodFacts {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web-abc-1", "uid": "p",
            "labels": {"app": "web", "pod-template-hash": "abc"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-abc", "uid": "r",
                "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

fn set() -> serde_json::Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web-abc", "uid": "r", "resourceVersion": "7",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d",
                "controller": true}]},
        "spec": {"replicas": 3, "selector": {"matchLabels":
            {"app": "web", "pod-template-hash": "abc"}}},
        "status": {"replicas": 3, "readyReplicas": 3, "availableReplicas": 2},
    })
}

fn deployment() -> serde_json::Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "d", "generation": 4},
        "spec": {"replicas": 3, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
        "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3},
    })
}

fn workload(set: serde_json::Value, deployment: serde_json::Value) -> Workload {
    let set = serde_json::from_value(set).unwrap();
    Workload::Known(set, Some(serde_json::from_value(deployment).unwrap()))
}

#[test]
fn a_pod_of_a_deployment_that_may_surge_has_no_obstacle() {
    assert_eq!(MakeBeforeBreak::On.obstacle(&pod()), None);
    assert_eq!(workload(set(), deployment()).obstacle(&pod()), None);
}

#[test]
fn what_the_pod_itself_says_against_it() {
    let with = |change: fn(&mut PodFacts)| {
        let mut pod = pod();
        change(&mut pod);
        MakeBeforeBreak::On.obstacle(&pod)
    };
    let said = [
        with(|p| p.make = Some("off".into())),
        with(|p| p.make = Some("yes".into())),
        with(|p| p.owner = None),
        with(|p| drop(p.labels.remove(HASH_LABEL))),
        with(|p| p.bound = true),
        with(|p| p.tolerates_cordon = true),
        with(|p| p.ready = false),
        with(|p| p.make = Some("on".into())),
    ];
    let expected = [
        Some(Obstacle::OptedOut),
        Some(Obstacle::Annotation),
        Some(Obstacle::NoReplicaSet),
        Some(Obstacle::NoDeployment),
        Some(Obstacle::Volume),
        Some(Obstacle::ToleratesCordon),
        Some(Obstacle::NotReady),
        None,
    ];
    assert_eq!(said, expected);
}

#[test]
fn the_switch_decides_whose_pods_are_considered() {
    let annotated = |value: Option<&str>| PodFacts {
        make: value.map(str::to_owned),
        ..pod()
    };
    let considers = |switch: MakeBeforeBreak| {
        [None, Some("on"), Some("off")].map(|value| switch.considers(&annotated(value)))
    };
    assert_eq!(considers(MakeBeforeBreak::Off), [false; 3]);
    assert_eq!(considers(MakeBeforeBreak::Annotated), [false, true, false]);
    // One that says off is considered, so that the report tells why it was not done.
    assert_eq!(considers(MakeBeforeBreak::On), [true; 3]);
}

#[test]
fn what_the_workload_says_against_it() {
    let obstacle = |path: &str, value: serde_json::Value| {
        let mut deployment = deployment();
        *deployment.pointer_mut(path).unwrap() = value;
        workload(set(), deployment).obstacle(&pod())
    };
    let surge = "/spec/strategy/rollingUpdate/maxSurge";
    let kind = obstacle("/spec/strategy/type", "Recreate".into());
    assert_eq!(kind, Some(Obstacle::Recreate));
    for none in [json!(0), json!("0%")] {
        assert_eq!(obstacle(surge, none), Some(Obstacle::NoSurge));
    }
    for some in [json!(1), json!("1%")] {
        assert_eq!(obstacle(surge, some), None);
    }
    let behind = obstacle("/status/observedGeneration", 3.into());
    assert_eq!(behind, Some(Obstacle::RollingOut));
    for (path, count) in [("/status/updatedReplicas", 2), ("/status/replicas", 4)] {
        assert_eq!(
            obstacle(path, count.into()),
            Some(Obstacle::RollingOut),
            "{path}"
        );
    }
    // Fewer than are wanted are no rollout: one is detached elsewhere, was lost, or is yet to be made.
    for (replicas, updated, wanted) in [(2, 2, 3), (3, 3, 5), (0, 0, 3)] {
        let mut missed = deployment();
        missed["spec"]["replicas"] = wanted.into();
        missed["status"]["replicas"] = replicas.into();
        missed["status"]["updatedReplicas"] = updated.into();
        assert_eq!(workload(set(), missed).obstacle(&pod()), None, "{wanted}");
    }
    let mut going = set();
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let going = workload(going, deployment()).obstacle(&pod());
    assert_eq!(going, Some(Obstacle::Deleted));
    let another = serde_json::from_value(set()).unwrap();
    let own = Workload::Known(another, None).obstacle(&pod());
    assert_eq!(own, Some(Obstacle::NoDeployment));
}

#[test]
fn a_set_that_selects_without_the_hash_lets_go_of_nothing() {
    let mut by_app = set();
    by_app["spec"]["selector"]["matchLabels"] = json!({"app": "web"});
    let obstacle = workload(by_app, deployment()).obstacle(&pod());
    assert_eq!(obstacle, Some(Obstacle::NoDeployment));
}

#[test]
fn a_set_of_another_uid_is_not_the_pods() {
    let mut another = set();
    another["metadata"]["uid"] = "r2".into();
    let obstacle = workload(another, deployment()).obstacle(&pod());
    assert_eq!(obstacle, Some(Obstacle::Deleted));
}

#[test]
fn a_set_is_read_as_the_api_writes_it() {
    let facts: ReplicaSetFacts = serde_json::from_value(set()).unwrap();
    assert_eq!((facts.wanted, facts.available), (3, 2));
    assert_eq!(facts.hash.as_deref(), Some("abc"));
    assert_eq!(facts.owner.map(|o| o.name).as_deref(), Some("web"));
    assert_eq!((facts.made, facts.failure), (3, None));
    let failure = |kind: &str, status: &str, reason: &str| {
        let mut set = set();
        set["status"]["conditions"] = json!([{"type": kind, "status": status, "reason": reason,
            "message": "exceeded quota"}]);
        let facts: ReplicaSetFacts = serde_json::from_value(set).unwrap();
        facts.failure
    };
    let said = failure("ReplicaFailure", "True", "FailedCreate");
    assert_eq!(said.as_deref(), Some("exceeded quota"));
    assert_eq!(failure("ReplicaFailure", "False", "FailedCreate"), None);
    assert_eq!(failure("ReplicaFailure", "True", "FailedDelete"), None);
    assert_eq!(failure("Other", "True", "FailedCreate"), None);
    let nothing: ReplicaSetFacts = serde_json::from_str("{}").unwrap();
    assert_eq!((nothing.wanted, nothing.available), (1, 0));
}

#[test]
fn a_pod_is_detached_until_its_label_is_back() {
    let detachment = Detachment {
        hash: "abc".into(),
        replica_set: "web-abc".into(),
        uid: Uid("r".into()),
        notice: Some("spot-interruption".into()),
    };
    let written = serde_json::to_string(&detachment).unwrap();
    let mut pod: PodFacts = serde_json::from_value(json!({
        "metadata": {"labels": {"app": "web"}, "annotations": {DETACHED_ANNOTATION: written}},
    }))
    .unwrap();
    assert_eq!(pod.detached, Some(detachment));
    assert!(pod.is_detached());
    pod.labels.insert(HASH_LABEL.to_owned(), "abc".into());
    assert!(!pod.is_detached());
}

#[test]
fn rules_see_a_detached_pod_as_it_was() {
    /// Leaves what no controller makes again.
    #[derive(Debug)]
    struct Owned;

    impl Rules for Owned {
        fn judge(&self, pod: &PodFacts, usual: Turn) -> Verdict {
            match &pod.owner {
                Some(owner) if owner.kind == "ReplicaSet" => Verdict::Evict(usual),
                _ => Verdict::Leave("unmanaged"),
            }
        }
    }

    let class = |pod: &PodFacts| classify(pod, None, &DaemonSets::Unknown, &Owned);
    let bare = PodFacts::default();
    assert!(matches!(class(&bare), Class::Skip(_)));
    let detached = PodFacts {
        detached: Some(Detachment::default()),
        ..bare
    };
    assert!(matches!(class(&detached), Class::Evict(_)));
}
