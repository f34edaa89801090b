use serde_json::json;

use super::*;

fn host(name: &str) -> Host {
    Host {
        name: name.into(),
        ready: true,
        allocatable: Resources::default().with("cpu", "2").with("pods", "10"),
        ..Host::default()
    }
}

fn pod(cpu: &str) -> Demand {
    Demand {
        requests: Resources::default().with("cpu", cpu).with("pods", "1"),
        ..Demand::default()
    }
}

fn taint(key: &str, value: &str, effect: &str) -> HostTaint {
    HostTaint {
        key: key.into(),
        value: value.into(),
        effect: effect.into(),
    }
}

/// The one obstacle between a pod and a node that is empty.
fn between(pod: &Demand, host: &Host) -> Option<Obstacle> {
    let room = Room::new([host], []);
    let obstacle = room.obstacles(pod).into_keys().next();
    assert_eq!(obstacle.is_none(), room.fits(pod));
    obstacle
}

#[test]
fn a_node_is_read_as_the_api_writes_it() {
    let read: Host = serde_json::from_value(json!({
        "metadata": {"name": "worker-1", "labels": {"zone": "a"}},
        "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "2", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap();
    let expected = Host {
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        taints: vec![taint("k", "", "NoSchedule")],
        cordoned: true,
        ..host("worker-1")
    };
    assert_eq!(read, expected);
    let empty: Host = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, Host::default());
}

#[test]
fn requests_are_counted_as_the_scheduler_counts_them() {
    let asks = |cpu: &str| json!({"requests": {"cpu": cpu}});
    let of = |spec: serde_json::Value| -> u64 {
        let demand: Demand = serde_json::from_value(json!({"spec": spec})).unwrap();
        demand.requests.of("cpu")
    };
    let two = json!([{"resources": asks("1")}, {"resources": asks("500m")}, {}]);
    assert_eq!(of(json!({"containers": two})), 1500);
    let init = json!([{"resources": asks("4")}]);
    assert_eq!(of(json!({"containers": two, "initContainers": init})), 4000);
    let sidecar = json!([{"resources": asks("1"), "restartPolicy": "Always"},
        {"resources": asks("1")}]);
    assert_eq!(
        of(json!({"containers": two, "initContainers": sidecar})),
        2500
    );
    let whole = json!({"containers": two, "resources": asks("3"), "overhead": {"cpu": "100m"}});
    assert_eq!(of(whole), 3100);
}

#[test]
fn what_keeps_a_pod_from_a_node_is_named() {
    assert_eq!(between(&pod("2"), &host("a")), None);
    let lacking = Obstacle::Resource("cpu".into());
    assert_eq!(between(&pod("2001m"), &host("a")), Some(lacking));
    let away = Host {
        ready: false,
        ..host("a")
    };
    assert_eq!(between(&pod("1"), &away), Some(Obstacle::NotReady));
    let cordoned = Host {
        cordoned: true,
        ..host("a")
    };
    assert_eq!(between(&pod("1"), &cordoned), Some(Obstacle::Cordoned));
    let choosy = Demand {
        node_selector: [("zone".to_owned(), "a".to_owned())].into(),
        ..pod("1")
    };
    assert_eq!(between(&choosy, &host("a")), Some(Obstacle::Selector));
    let mut gpu = Demand::default();
    gpu.requests = gpu.requests.with("nvidia.com/gpu", "1");
    let lacking = Obstacle::Resource("nvidia.com/gpu".into());
    assert_eq!(between(&gpu, &host("a")), Some(lacking));
}

#[test]
fn a_hard_taint_keeps_away_who_does_not_tolerate_it_and_a_soft_one_nobody() {
    let tainted = |effect: &str| Host {
        taints: vec![taint("dedicated", "db", effect)],
        ..host("a")
    };
    let kept = Some(Obstacle::Taint("dedicated".into()));
    assert_eq!(between(&pod("1"), &tainted("NoSchedule")), kept);
    assert_eq!(between(&pod("1"), &tainted("NoExecute")), kept);
    assert_eq!(between(&pod("1"), &tainted("PreferNoSchedule")), None);
    let table = [
        ("dedicated", "Equal", "db", "", true),
        ("dedicated", "", "db", "NoSchedule", true),
        ("dedicated", "Exists", "", "NoSchedule", true),
        ("", "Exists", "", "", true),
        ("", "", "", "", false),
        ("dedicated", "Equal", "web", "", false),
        ("dedicated", "Exists", "", "NoExecute", false),
        ("other", "Exists", "", "", false),
        ("dedicated", "Gt", "db", "", false),
    ];
    for (key, operator, value, effect, fits) in table {
        let tolerant = Demand {
            tolerations: vec![Toleration {
                key: key.into(),
                operator: operator.into(),
                value: value.into(),
                effect: effect.into(),
            }],
            ..pod("1")
        };
        let found = between(&tolerant, &tainted("NoSchedule"));
        assert_eq!(found.is_none(), fits, "{key} {operator} {value} {effect}");
    }
}

#[test]
fn what_others_request_is_not_free() {
    let (a, b) = (host("a"), host("b"));
    let (busy, small) = (pod("1500m"), pod("500m"));
    let room = Room::new([&a, &b], [("a", &busy), ("b", &busy), ("gone", &busy)]);
    assert!(room.fits(&small) && !room.fits(&pod("501m")));
    let mut elsewhere = room.without("a");
    assert_eq!(elsewhere.nodes(), 1);
    assert!(elsewhere.place(&small));
    assert!(!elsewhere.place(&small));
    assert!(room.fits(&small));
}

#[test]
fn a_whole_pod_comes_to_the_same_demand() {
    let pod = json!({"spec": {"nodeSelector": {"zone": "a"}, "containers": [{"name": "main",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
        "tolerations": [{"operator": "Exists"}]}});
    let whole: k8s_openapi::api::core::v1::Pod = serde_json::from_value(pod.clone()).unwrap();
    let narrow: Demand = serde_json::from_value(pod).unwrap();
    assert_eq!(Demand::from(&whole), narrow);
}
