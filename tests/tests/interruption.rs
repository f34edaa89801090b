//! One interruption, from AWS's metadata mock to the last evicted pod, with the shipping binary
//! on the real control plane.

use std::time::Duration;

use serde_json::Value;
use spot_tests::{
    Result,
    audit::tally,
    cluster::{Budget, Cluster, NodeSpec, Workload},
    control_plane::{ControlPlane, HANDLERS, Part},
    handler::{Flags, Handler},
    interruption::{Interruption, Workshop},
    kwok::KILLED_BY_GRACE,
    metadata_mock::MetadataMock,
    plain_http, rbac,
    trail::Trail,
    wait::wait_until,
};

/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);
/// Time for the handler to come up before the notice shows.
const SOON: Duration = Duration::from_secs(3);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn as_is(flags: Flags) -> Flags {
    flags
}

#[tokio::test]
async fn a_notice_empties_the_node_in_time_and_its_pods_come_back() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "interruption", 10, 2.0).await?;
    let cluster = &shop.cluster;
    let guarded = &shop.services[0];
    cluster.budget(guarded, Budget::MaxUnavailable(10)).await?;
    cluster.wait_budget(guarded.name(), 10).await?;
    cluster.daemon_set(&Workload::new("agent", 0)).await?;
    let trail = Trail::start(cluster).await?;

    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(60), as_is).await?;
    let finished = notice.finished(secs(90)).await?;

    assert_eq!(finished["outcome"], "complete", "{finished}");
    assert!(finished["slack"].as_f64() > Some(5.0), "{finished}");
    let node = cluster.node(&shop.doomed.name).await?;
    let spec = node.spec.unwrap_or_default();
    assert_eq!(spec.unschedulable, Some(true));
    let taint = spec.taints.unwrap_or_default();
    let ours: Vec<_> = taint
        .iter()
        .filter(|t| t.key == "spot-interrupt-handler/interruption")
        .collect();
    assert_eq!(ours.len(), 1, "{taint:?}");
    assert_eq!(ours[0].value.as_deref(), Some("spot-interruption"));
    assert_eq!(ours[0].effect, "NoSchedule");
    assert!(
        taint.iter().any(|t| t.key == "spotInstance"),
        "another's taint is kept"
    );
    let labels = node.metadata.labels.unwrap_or_default();
    let excluded = "node.kubernetes.io/exclude-from-external-load-balancers";
    assert_eq!(labels[excluded], "spot-interrupt-handler");
    let memory = &node.metadata.annotations.unwrap_or_default()["spot-interrupt-handler/memory"];
    let memory: Value = serde_json::from_str(memory).unwrap_or_default();
    assert_eq!(memory["instance"], shop.doomed.instance_id.as_str());
    assert_eq!(memory["boot"], shop.doomed.boot_id.as_str());

    for service in &shop.services {
        let pods = cluster.wait_ready(service.name(), 10).await?;
        let left = pods.iter().filter(|p| {
            p.spec.as_ref().and_then(|s| s.node_name.as_ref()) == Some(&shop.doomed.name)
        });
        assert_eq!(left.count(), 0, "{} is back on other nodes", service.name());
    }
    let left = cluster.pods_on(&shop.doomed.name).await?;
    let agents = |pod: &k8s_openapi::api::core::v1::Pod| {
        pod.metadata
            .owner_references
            .iter()
            .flatten()
            .any(|o| o.kind == "DaemonSet")
    };
    assert!(
        left.len() == 1 && left.iter().all(agents),
        "only the DaemonSet's pod stays"
    );
    assert_eq!(trail.gone(), 30);
    assert_eq!(
        trail.gone_too_early(),
        [""; 0],
        "endpoints leave before their pods do"
    );
    assert!(
        cluster.events(KILLED_BY_GRACE).await?.is_empty(),
        "no grace was cut"
    );

    let figures = notice.figures(plane).await?;
    assert_eq!((figures.evicted, figures.refused), (30, 0));
    let requests = notice.requests(plane).await?;
    // One look at start for the node, one when the instance is known.
    assert!(requests.len() <= 30 + 8 + 2, "{:?}", tally(&requests));
    shop.cluster.delete().await
}

#[tokio::test]
async fn a_blocked_pod_is_named_and_never_deleted_and_the_rest_goes() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "blocked", 2, 0.5).await?;
    let blocked = &shop.services[1];
    shop.cluster
        .budget(blocked, Budget::MinAvailable(2))
        .await?;
    shop.cluster.wait_budget(blocked.name(), 0).await?;

    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(20), as_is).await?;
    let finished = notice.finished(secs(60)).await?;

    assert_eq!(finished["outcome"], "incomplete", "{finished}");
    let report = finished["report"].as_str().unwrap_or_default();
    assert!(
        report.contains("blocked by PodDisruptionBudget crystal"),
        "{report}"
    );
    assert!(report.contains("2 blocked, 4 gone"), "{report}");
    assert!(
        finished["slack"].as_f64() > Some(0.0),
        "it returns before the deadline"
    );
    let requests = notice.requests(plane).await?;
    assert!(
        !requests.iter().any(|r| r.verb == "delete"),
        "{:?}",
        tally(&requests)
    );
    shop.cluster.delete().await
}

#[tokio::test]
async fn delete_at_gives_blocked_pods_their_signal() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "delete-at", 1, 0.5).await?;
    rbac::allow(
        shop.cluster.client(),
        "handlers-delete",
        rbac::Who::Group(HANDLERS),
        vec![rbac::delete_at_rule()],
    )
    .await?;
    let blocked = &shop.services[1];
    shop.cluster
        .budget(blocked, Budget::MinAvailable(1))
        .await?;
    shop.cluster.wait_budget(blocked.name(), 0).await?;

    let delete_at = |flags: Flags| {
        flags
            .with("--pdb", "delete-at")
            .with("--delete-at-grace", "8s")
    };
    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(20), delete_at).await?;
    let finished = notice.finished(secs(60)).await?;

    assert_eq!(finished["outcome"], "complete", "{finished}");
    let requests = notice.requests(plane).await?;
    let deleted: Vec<_> = requests.iter().filter(|r| r.verb == "delete").collect();
    assert_eq!(deleted.len(), 1, "{:?}", tally(&requests));
    // 20 s less a margin of 20/15 s less 8 s.
    let shown = notice.metadata.notice().map(|n| n.deadline);
    let before = shown.map(|d| d.duration_since(deleted[0].received).as_secs_f64());
    assert!(
        before.is_some_and(|s| (7.5..=11.0).contains(&s)),
        "{before:?} s before the end"
    );
    shop.cluster.delete().await
}

#[tokio::test]
async fn a_term_signal_lets_the_drain_finish_and_a_second_one_ends_at_once() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "signals", 2, 6.0).await?;
    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(60), as_is).await?;
    let started = |line: &Value| line["message"] == "drain started";
    notice
        .handler
        .wait_for_log("the start of the drain", A_WHILE, started)
        .await?;
    notice.handler.process().terminate()?;
    let finished = notice.finished(secs(60)).await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");
    let status = notice.handler.process().wait(secs(10)).await?;
    assert_eq!(status.code(), Some(0));

    // The same again, now with a pod that will not go.
    let shop = Workshop::create(plane, "signals", 1, 30.0).await?;
    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(60), as_is).await?;
    notice
        .handler
        .wait_for_log("the start of the drain", A_WHILE, started)
        .await?;
    notice.handler.process().terminate()?;
    let asked = |line: &Value| {
        line["message"]
            .as_str()
            .is_some_and(|m| m.contains("asked to end"))
    };
    notice
        .handler
        .wait_for_log("the first signal", A_WHILE, asked)
        .await?;
    notice.handler.process().terminate()?;
    let status = notice.handler.process().wait(secs(10)).await?;
    assert_eq!(status.code(), Some(143));
    shop.cluster.delete().await
}

#[tokio::test]
async fn a_killed_handler_is_carried_on_by_the_next() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "killed", 3, 4.0).await?;
    let blocked = &shop.services[2];
    shop.cluster
        .budget(blocked, Budget::MinAvailable(3))
        .await?;
    shop.cluster.wait_budget(blocked.name(), 0).await?;
    let first = Interruption::announce(plane, &shop.doomed, SOON, secs(40), as_is).await?;
    let cordoned = |line: &Value| line["message"] == "node cordoned and tainted";
    first
        .handler
        .wait_for_log("the cordon", A_WHILE, cordoned)
        .await?;
    first.handler.process().kill()?;

    let kubeconfig = plane.kubeconfig(&first.user)?;
    let flags = Flags::run(&shop.doomed.name, &kubeconfig, &first.metadata.url());
    let second = Handler::start(&flags).await?;
    let finished = |line: &Value| line["message"] == "drain finished";
    let line = second
        .wait_for_log("the end of the drain", secs(90), finished)
        .await?;
    let report = line["report"].as_str().unwrap_or_default();
    assert!(report.contains("PodDisruptionBudget nodejs"), "{report}");
    assert_eq!(
        shop.cluster.pods_on(&shop.doomed.name).await?.len(),
        3,
        "the guarded ones"
    );
    let node = shop.cluster.node(&shop.doomed.name).await?;
    let taints = node.spec.and_then(|s| s.taints).unwrap_or_default();
    let ours = taints
        .iter()
        .filter(|t| t.key == "spot-interrupt-handler/interruption");
    assert_eq!(ours.count(), 1, "{taints:?}");
    // No pod was evicted again once that had been accepted.
    let requests = first.requests(plane).await?;
    let accepted = requests
        .iter()
        .filter(|r| r.kind() == "create pods/eviction" && r.code == 201);
    let mut names: Vec<_> = accepted.map(|r| &r.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    shop.cluster.delete().await
}

#[tokio::test]
async fn a_dry_run_changes_nothing() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let shop = Workshop::create(plane, "dry-run", 2, 0.5).await?;
    let versions = async || -> Result<Vec<_>> {
        let pods = shop.cluster.pods_on(&shop.doomed.name).await?;
        Ok(pods
            .into_iter()
            .map(|p| p.metadata.resource_version)
            .collect())
    };
    let before = versions().await?;
    let dry = |flags: Flags| flags.switch("--dry-run");
    let notice = Interruption::announce(plane, &shop.doomed, SOON, secs(20), dry).await?;
    let finished = notice.finished(secs(60)).await?;
    let report = finished["report"].as_str().unwrap_or_default();
    assert!(report.contains("6 would-evict"), "{report}");
    assert_eq!(versions().await?, before);
    let node = shop.cluster.node(&shop.doomed.name).await?;
    assert_eq!(node.spec.and_then(|s| s.unschedulable), None);
    shop.cluster.delete().await
}

#[tokio::test]
async fn an_api_server_that_dies_under_the_drain_does_not_stop_it() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let shop = Workshop::create(&plane, "outage", 3, 3.0).await?;
    let guarded = &shop.services[0];
    shop.cluster
        .budget(guarded, Budget::MinAvailable(3))
        .await?;
    shop.cluster.wait_budget(guarded.name(), 0).await?;
    let notice = Interruption::announce(&plane, &shop.doomed, SOON, secs(60), as_is).await?;
    let cordoned = |line: &Value| line["message"] == "node cordoned and tainted";
    notice
        .handler
        .wait_for_log("the cordon", A_WHILE, cordoned)
        .await?;
    plane.kill(Part::ApiServer)?;
    // While it is away the guarded pods stay; then their budget goes.
    plane.restart(Part::ApiServer).await?;
    let budgets = shop
        .cluster
        .api::<k8s_openapi::api::policy::v1::PodDisruptionBudget>();
    wait_until("the budget's end", A_WHILE, async || {
        let gone = budgets
            .delete(guarded.name(), &kube::api::DeleteParams::default())
            .await;
        gone.map(drop).map_err(|e| e.to_string())
    })
    .await?;
    let finished = notice.finished(secs(90)).await?;
    assert_eq!(finished["outcome"], "complete", "{finished}");
    Ok(())
}

/// What happens where the arguments, the permissions or the place are wrong.
mod wrong {
    use super::*;

    async fn one_node(
        name: &str,
        spec: NodeSpec,
    ) -> Result<(&'static ControlPlane, Cluster, spot_tests::cluster::Node)> {
        let plane = ControlPlane::shared().await?;
        let admin = plane.client("admin")?;
        rbac::allow_handlers(&admin).await?;
        let cluster = Cluster::create(&admin, name).await?;
        let node = cluster.add_node(&spec).await?;
        Ok((plane, cluster, node))
    }

    async fn exits(flags: &Flags) -> Result<(Option<i32>, String)> {
        let handler = Handler::start(flags).await?;
        let status = handler.process().wait(A_WHILE).await?;
        Ok((status.code(), handler.process().log()))
    }

    #[tokio::test]
    async fn usage_is_64_and_one_line_that_says_what_to_write() -> Result<()> {
        for (args, says) in [
            (&["--nod-name", "n"][..], "'--node-name'"),
            (
                &["--node-name", "n", "--poll-interval", "soon"],
                "write a duration such as 500ms",
            ),
            (
                &["--node-name", "n", "--metadata-url", "nowhere"],
                "write an http URL such as",
            ),
            (
                &["--node-name", "n", "--taint", "a=b"],
                "write KEY:NoSchedule",
            ),
            (
                &["--node-name", "n", "--taint", "a:NoExecute"],
                "write NoSchedule",
            ),
            (&["--node-name", "N!"], "write a node's name"),
            (
                &["--node-name", "n", "--kubeconfig", "/nowhere"],
                "write --kubeconfig FILE",
            ),
        ] {
            let (code, log) = exits(&Flags::raw(["run"].iter().chain(args).copied())).await?;
            assert_eq!(code, Some(64), "{args:?}: {log}");
            assert_eq!(log.trim_end().lines().count(), 1, "{args:?}: {log}");
            assert!(log.contains(says), "{args:?}: {log}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_node_that_the_cluster_does_not_know_is_69_with_its_name() -> Result<()> {
        let plane = ControlPlane::shared().await?;
        rbac::allow_handlers(&plane.client("admin")?).await?;
        let metadata = MetadataMock::quiet("i-0").await?;
        let user = plane.take_handler_user()?;
        let flags = Flags::run("nobody", &plane.kubeconfig(&user)?, &metadata.url());
        let (code, log) = exits(&flags).await?;
        assert_eq!(code, Some(69), "{log}");
        assert!(log.contains("\"nobody\" does not exist"), "{log}");
        Ok(())
    }

    #[tokio::test]
    async fn another_instances_node_is_refused_and_not_touched() -> Result<()> {
        let spec = NodeSpec::spot("other").provider_id(Some("aws:///us-east-1a/i-0other"));
        let (plane, cluster, node) = one_node("identity", spec).await?;
        let web = Workload::new("web", 1);
        cluster.deploy_on(&node, &web).await?;
        let with = |flags: Flags| flags.with("--listen", "127.0.0.1:0");
        let notice = Interruption::announce(plane, &node, SOON, secs(20), with).await?;
        let refused = |line: &Value| {
            let error = line["error"].as_str().unwrap_or_default();
            error.contains("i-0other") && error.contains(&node.instance_id)
        };
        notice
            .handler
            .wait_for_log("both ids", A_WHILE, refused)
            .await?;
        let seen = |line: &Value| line["message"] == "notice";
        notice
            .handler
            .wait_for_log("the notice", A_WHILE, seen)
            .await?;
        let port = notice.handler.port().await?;
        let ready = plain_http::request(port, "GET", "/readyz", &[])
            .await
            .unwrap();
        assert_eq!(ready.0, 503, "{ready:?}");
        assert!(ready.1.contains("another instance"), "{ready:?}");
        let requests = notice.requests(plane).await?;
        let kinds = tally(&requests);
        assert!(kinds.keys().all(|kind| kind == "get nodes"), "{kinds:?}");
        cluster.delete().await
    }

    #[tokio::test]
    async fn a_missing_permission_is_named_and_the_drain_goes_on_without_it() -> Result<()> {
        let (plane, cluster, node) = one_node("permission", NodeSpec::spot("a")).await?;
        cluster.add_node(&NodeSpec::spot("b")).await?;
        cluster.deploy_on(&node, &Workload::new("web", 2)).await?;
        // Or its pods would come back to it.
        cluster.cordon(&node.name, true).await?;
        let user = "nobody";
        let rules = rbac::without(rbac::handler_rules()?, "patch", "nodes");
        rbac::allow(cluster.client(), "no-patch", rbac::Who::User(user), rules).await?;
        let metadata = MetadataMock::spot(
            &node.instance_id,
            spot_tests::metadata_mock::Action::Terminate,
            secs(20),
            SOON,
        )
        .await?;
        let flags = Flags::run(&node.name, &plane.kubeconfig(user)?, &metadata.url());
        let handler = Handler::start(&flags).await?;
        let denied = |line: &Value| {
            line["error"]
                .as_str()
                .is_some_and(|e| e.contains("not allowed to patch nodes"))
        };
        handler
            .wait_for_log("the missing permission", A_WHILE, denied)
            .await?;
        let finished = |line: &Value| line["message"] == "drain finished";
        let line = handler
            .wait_for_log("the end of the drain", secs(60), finished)
            .await?;
        assert!(
            line["report"]
                .as_str()
                .is_some_and(|r| r.contains("2 gone")),
            "{line}"
        );
        cluster.delete().await
    }

    #[tokio::test]
    async fn a_metadata_service_that_is_away_is_said_once_and_waited_for() -> Result<()> {
        let (plane, cluster, node) = one_node("away", NodeSpec::spot("a")).await?;
        let port = spot_tests::ports::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let user = plane.take_handler_user()?;
        let flags = Flags::run(&node.name, &plane.kubeconfig(&user)?, &url);
        let handler = Handler::start(&flags).await?;
        let away = |line: &Value| {
            line["message"]
                .as_str()
                .is_some_and(|m| m.contains("no usable answer from the metadata service"))
        };
        handler
            .wait_for_log("that it is away", A_WHILE, away)
            .await?;
        // It is asked again and again meanwhile, in silence.
        let second = wait_until("a second line", secs(4), async || {
            match handler.log_lines().iter().filter(|line| away(line)).count() {
                1 => Err("one".to_owned()),
                n => Ok(n),
            }
        });
        assert!(second.await.is_err(), "{}", handler.process().log());
        assert!(handler.process().is_running());
        cluster.delete().await
    }
}
