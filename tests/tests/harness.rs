//! The harness itself: clusters, kubelets, users and figures that end-to-end tests rely on.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use spot_tests::{
    Result,
    audit::tally,
    cluster::{Budget, Cluster, Endpoint, NodeSpec, Workload, is_ready},
    control_plane::ControlPlane,
    figures::DrainFigures,
    kwok::KILLED_BY_GRACE,
    rbac::{self, Who},
    wait::wait_until,
};
use tokio::time::Instant;

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);
/// What a busy machine may add to a death that takes two seconds.
const LATE: Duration = Duration::from_secs(12);

async fn cluster(name: &str) -> Result<(&'static ControlPlane, Cluster)> {
    let plane = ControlPlane::shared().await?;
    Ok((plane, Cluster::create(&plane.client("admin")?, name).await?))
}

async fn wait_endpoints(
    cluster: &Cluster,
    service: &str,
    wanted: impl Fn(&[Endpoint]) -> bool,
) -> Result<Vec<Endpoint>> {
    wait_until(format!("endpoints of {service}"), A_WHILE, async || {
        let endpoints = cluster
            .endpoints(service)
            .await
            .map_err(|error| error.to_string())?;
        if wanted(&endpoints) {
            Ok(endpoints)
        } else {
            Err(format!("{endpoints:?}"))
        }
    })
    .await
}

fn node_of(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn status_code(error: &spot_tests::Error) -> Option<u16> {
    match error {
        spot_tests::Error::Kube { source, .. } => match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test]
async fn a_deployment_runs_with_addresses_and_endpoints() -> Result<()> {
    let (_, cluster) = cluster("running").await?;
    let first = cluster.add_node(&NodeSpec::spot("first")).await?;
    cluster.add_node(&NodeSpec::on_demand("second")).await?;
    let web = Workload::new("web", 3);
    cluster.service(&web).await?;
    let pods = cluster.deploy_on(&first, &web).await?;
    assert!(
        pods.iter().all(|pod| node_of(pod) == first.name),
        "{pods:?}"
    );
    let endpoints = wait_endpoints(&cluster, "web", |endpoints| {
        endpoints.iter().filter(|endpoint| endpoint.ready).count() == 3
    })
    .await?;
    let addresses: BTreeSet<_> = endpoints.iter().map(|endpoint| &endpoint.address).collect();
    assert_eq!(addresses.len(), 3, "{endpoints:?}");
    cluster.delete().await
}

#[tokio::test]
async fn a_node_is_what_ec2_and_the_workshop_make_of_it() -> Result<()> {
    let (_, cluster) = cluster("nodes").await?;
    let spot = cluster.add_node(&NodeSpec::spot("spot")).await?;
    let node = cluster.node(&spot.name).await?;
    let (spec, info) = (node.spec.unwrap(), node.status.unwrap().node_info.unwrap());
    assert_eq!(
        spec.provider_id,
        Some(format!("aws:///us-east-1a/{}", spot.instance_id))
    );
    assert_eq!(info.boot_id, spot.boot_id);
    assert_eq!(node.metadata.labels.unwrap()["lifecycle"], "Ec2Spot");
    let taints = spec.taints.unwrap();
    assert_eq!(taints.len(), 1, "{taints:?}");
    assert_eq!(
        (taints[0].key.as_str(), taints[0].effect.as_str()),
        ("spotInstance", "PreferNoSchedule")
    );
    cluster.delete().await
}

#[tokio::test]
async fn an_evicted_pod_takes_its_time_and_comes_back_elsewhere() -> Result<()> {
    let (_, cluster) = cluster("exits").await?;
    let first = cluster.add_node(&NodeSpec::spot("first")).await?;
    let second = cluster.add_node(&NodeSpec::spot("second")).await?;
    let web = Workload::new("web", 1).grace(30).exit_after(2.0);
    cluster.service(&web).await?;
    let pod = cluster.deploy_on(&first, &web).await?.remove(0);
    wait_endpoints(&cluster, "web", |endpoints| {
        endpoints.iter().any(|one| one.ready)
    })
    .await?;
    cluster.cordon(&first.name, true).await?;

    let start = Instant::now();
    cluster.evict(&pod, None).await?;
    // The pod is there for two seconds; its endpoint must be out of use before it is gone.
    let endpoints = wait_endpoints(&cluster, "web", |endpoints| {
        endpoints
            .iter()
            .all(|one| one.pod != name_of(&pod) || !one.ready)
    })
    .await?;
    let draining = endpoints.iter().find(|one| one.pod == name_of(&pod));
    assert!(draining.is_some_and(|one| one.terminating), "{endpoints:?}");
    assert!(
        cluster
            .api::<Pod>()
            .get_opt(name_of(&pod))
            .await
            .is_ok_and(|pod| pod.is_some())
    );
    cluster.wait_gone(&pod, A_WHILE).await?;
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2) && took < LATE, "{took:?}");
    assert!(cluster.events(KILLED_BY_GRACE).await?.is_empty());

    let replacement = cluster.wait_ready("web", 1).await?.remove(0);
    assert_eq!(node_of(&replacement), second.name);
    cluster.delete().await
}

#[tokio::test]
async fn a_pod_that_outlives_its_grace_is_killed_then_and_an_event_says_so() -> Result<()> {
    let (_, cluster) = cluster("killed").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    let stubborn = Workload::new("stubborn", 1).grace(60).exit_after(30.0);
    let pod = cluster.deploy_on(&node, &stubborn).await?.remove(0);
    let start = Instant::now();
    cluster.evict(&pod, Some(2)).await?;
    cluster.wait_gone(&pod, A_WHILE).await?;
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(2) && took < LATE, "{took:?}");
    let event = wait_until("event", A_WHILE, async || {
        let events = cluster
            .events(KILLED_BY_GRACE)
            .await
            .map_err(|error| error.to_string())?;
        events.into_iter().next().ok_or_else(|| "none".to_owned())
    })
    .await?;
    assert_eq!(event.involved_object.uid, pod.metadata.uid);
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    cluster.delete().await
}

#[tokio::test]
async fn a_shorter_grace_that_comes_later_is_ignored_as_kubelets_do() -> Result<()> {
    let (_, cluster) = cluster("shorter").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    let slow = Workload::new("slow", 1).grace(60).exit_after(5.0);
    let pod = cluster.deploy_on(&node, &slow).await?.remove(0);
    let start = Instant::now();
    cluster.evict(&pod, None).await?;
    wait_until("the kubelet's first look", A_WHILE, async || {
        let now = cluster
            .api::<Pod>()
            .get(name_of(&pod))
            .await
            .map_err(|e| e.to_string())?;
        let seen = now
            .metadata
            .annotations
            .unwrap_or_default()
            .contains_key("spot-tests/ends-at");
        if seen {
            Ok(())
        } else {
            Err("not seen".to_owned())
        }
    })
    .await?;
    cluster.evict(&pod, Some(1)).await?;
    cluster.wait_gone(&pod, A_WHILE).await?;
    assert!(
        start.elapsed() >= Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(cluster.events(KILLED_BY_GRACE).await?.is_empty());
    cluster.delete().await
}

#[tokio::test]
async fn a_pod_is_not_ready_before_its_delay() -> Result<()> {
    let (_, cluster) = cluster("ready").await?;
    cluster.add_node(&NodeSpec::on_demand("only")).await?;
    let slow = Workload::new("slow", 1).ready_after(2.0);
    cluster.service(&slow).await?;
    cluster.deploy(&slow).await?;
    let running = wait_until("a running pod", A_WHILE, async || {
        let pods = cluster
            .pods("slow")
            .await
            .map_err(|error| error.to_string())?;
        pods.into_iter()
            .find(|pod| pod.status.as_ref().is_some_and(|s| s.pod_ip.is_some()))
            .ok_or_else(|| "none".to_owned())
    })
    .await?;
    assert!(!is_ready(&running));
    let start = Instant::now();
    let endpoints = wait_endpoints(&cluster, "slow", |all| !all.is_empty()).await?;
    assert!(
        endpoints.iter().all(|endpoint| !endpoint.ready),
        "{endpoints:?}"
    );
    cluster.wait_ready("slow", 1).await?;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1200) && took < LATE,
        "{took:?}"
    );
    wait_endpoints(&cluster, "slow", |all| {
        all.iter().all(|endpoint| endpoint.ready)
    })
    .await?;
    cluster.delete().await
}

#[tokio::test]
async fn daemon_sets_budgets_bare_and_mirror_pods_can_be_made() -> Result<()> {
    let (_, cluster) = cluster("kinds").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    cluster.daemon_set(&Workload::new("agent", 1)).await?;
    cluster.wait_ready("agent", 1).await?;
    cluster.bare_pod(&node, &Workload::new("bare", 1)).await?;
    cluster.wait_ready("bare", 1).await?;
    cluster
        .mirror_pod(&node, &Workload::new("static", 1))
        .await?;
    cluster.wait_ready("static", 1).await?;
    assert_eq!(cluster.pods_on(&node.name).await?.len(), 3);

    let web = Workload::new("web", 2);
    let pods = cluster.deploy_on(&node, &web).await?;
    cluster.budget(&web, Budget::MinAvailable(2)).await?;
    cluster.wait_budget("web", 0).await?;
    let refused = cluster.evict(&pods[0], None).await.unwrap_err();
    assert_eq!(status_code(&refused), Some(429), "{refused:?}");
    cluster.delete().await
}

#[tokio::test]
async fn the_audit_log_tells_users_apart() -> Result<()> {
    let (plane, cluster) = cluster("audit").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    let user = plane.take_handler_user()?;
    assert_ne!(user, plane.take_handler_user()?);
    rbac::allow_handlers(cluster.client()).await?;

    let mark = plane.audit().mark();
    let client = plane.client(&user)?;
    let nodes = Api::<Node>::all(client.clone());
    wait_until("rights", A_WHILE, async || {
        nodes
            .get(&node.name)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .await?;
    let pods = Api::<Pod>::namespaced(client, cluster.namespace());
    for _ in 0..3 {
        pods.list(&kube::api::ListParams::default()).await.unwrap();
    }
    let watch = pods
        .watch(&kube::api::WatchParams::default(), "0")
        .await
        .unwrap();
    let requests = plane.audit().of_user(mark, &user).await?;
    drop(watch);
    let tally = tally(&requests);
    assert_eq!(tally["list pods"], 3, "{tally:?}");
    assert_eq!(tally["watch pods"], 1, "{tally:?}");
    let list = requests
        .iter()
        .find(|request| request.verb == "list")
        .unwrap();
    assert_eq!(
        (list.code, list.namespace.as_str()),
        (200, cluster.namespace())
    );
    assert!(list.answered >= list.received);
    cluster.delete().await
}

#[tokio::test]
async fn a_right_that_was_taken_out_is_missing() -> Result<()> {
    let (plane, cluster) = cluster("rights").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    let rules = rbac::without(rbac::handler_rules()?, "list", "pods");
    let user = plane.take_plain_user()?;
    rbac::allow(cluster.client(), &user, Who::User(&user), rules).await?;
    let nobody = plane.client(&user)?;
    let nodes = Api::<Node>::all(nobody.clone());
    wait_until("rights", A_WHILE, async || {
        nodes
            .get(&node.name)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .await?;
    let pods = Api::<Pod>::namespaced(nobody, cluster.namespace());
    let refused = pods
        .list(&kube::api::ListParams::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 403),
        "{refused:?}"
    );
    cluster.delete().await
}

#[tokio::test]
async fn kubectl_runs_as_its_own_user() -> Result<()> {
    let (plane, cluster) = cluster("kubectl").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    cluster.deploy_on(&node, &Workload::new("web", 3)).await?;
    let mark = plane.audit().mark();
    let drain = plane.kubectl(["drain", "--ignore-daemonsets", &node.name])?;
    let status = drain.wait(A_WHILE).await?;
    assert!(status.success(), "{}", drain.log());
    let figures = DrainFigures::of(&plane.audit().of_user(mark, "kubectl").await?);
    assert_eq!((figures.evicted, figures.refused), (3, 0), "{figures:?}");
    assert!(
        figures.requests >= 6 && figures.cordon_to_last_eviction().is_some(),
        "{figures:?}"
    );
    cluster.delete().await
}

#[tokio::test]
async fn many_pods_die_together_as_each_alone_would() -> Result<()> {
    const PODS: usize = 110;
    let (_, cluster) = cluster("many").await?;
    let node = cluster.add_node(&NodeSpec::spot("only")).await?;
    let started = Instant::now();
    let pods = cluster
        .deploy_on(&node, &Workload::new("web", PODS).exit_after(3.0))
        .await?;
    eprintln!("{PODS} pods ready in {:?}", started.elapsed());
    cluster.cordon(&node.name, true).await?;
    let start = Instant::now();
    for evicted in
        futures_util::future::join_all(pods.iter().map(|pod| cluster.evict(pod, None))).await
    {
        evicted?;
    }
    let accepted = start.elapsed();
    for pod in &pods {
        cluster.wait_gone(pod, A_WHILE).await?;
    }
    let took = start.elapsed();
    eprintln!("{PODS} evictions in {accepted:?}, all gone in {took:?}");
    assert!(
        took >= Duration::from_secs(3) && took < 2 * LATE,
        "{took:?}"
    );
    cluster.delete().await
}
