//! The chart's life on a real cluster: installed, upgraded, taken away.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{apps::v1::DaemonSet, rbac::v1::ClusterRole};
use kube::Api;
use spot_tests::{
    Result,
    cluster::{Cluster, NodeSpec},
    control_plane::ControlPlane,
    deploy::{Manifests, NAME, NAMESPACE, chart, typed},
    error::Context as _,
    wait::wait_until,
};

const SOON: Duration = Duration::from_secs(60);

async fn verbs(plane: &ControlPlane) -> Result<BTreeSet<String>> {
    let api: Api<ClusterRole> = Api::all(plane.client("admin")?);
    let role = api.get(NAME).await.context("the role")?;
    let rules = role.rules.into_iter().flatten();
    Ok(rules.flat_map(|rule| rule.verbs).collect())
}

#[tokio::test]
async fn it_is_installed_upgraded_and_taken_away() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let admin = plane.client("admin")?;
    let cluster = Cluster::create(&admin, "helm").await?;
    cluster.add_node(&NodeSpec::spot("spot-1")).await?;
    cluster.add_node(&NodeSpec::on_demand("other")).await?;
    let kubeconfig = plane.kubeconfig("admin")?;

    // It asks the server for its version, and has the node's identity lent.
    let said = chart::helm(&kubeconfig, "install", &["--wait", "--timeout=60s"]).await?;
    assert!(said.contains("lifecycle=Ec2Spot"), "{said}");
    assert!(!said.contains("steals"), "{said}");
    let current: ClusterRole = typed(Manifests::Current.object("ClusterRole")?)?;
    let rules = current.rules.into_iter().flatten();
    let expected: BTreeSet<String> = rules.flat_map(|rule| rule.verbs).collect();
    assert_eq!(verbs(&plane).await?, expected);
    let sets: Api<DaemonSet> = Api::namespaced(admin.clone(), NAMESPACE);
    let status = sets.get(NAME).await.unwrap().status.unwrap();
    assert_eq!(
        (status.desired_number_scheduled, status.number_ready),
        (1, 1)
    );

    // Without it, it says what is open.
    let wide = [
        "--set=handler.impersonateNode=false",
        "--set=admissionPolicy.create=false",
    ];
    let said = chart::helm(&kubeconfig, "upgrade", &wide).await?;
    assert!(said.contains("evict any of them"), "{said}");
    assert!(said.contains("patch any node"), "{said}");
    let verbs = verbs(&plane).await?;
    assert!(
        verbs.contains("get") && !verbs.iter().any(|v| v.contains("impersonate")),
        "{verbs:?}"
    );

    chart::helm(&kubeconfig, "uninstall", &["--wait", "--timeout=60s"]).await?;
    let kinds = "serviceaccounts,clusterroles,clusterrolebindings,daemonsets,configmaps,\
        validatingadmissionpolicies,validatingadmissionpolicybindings";
    let all = ["get", kinds, "--all-namespaces", "--output=name"];
    wait_until("nothing of it is left", SOON, async || {
        let kubectl = plane.kubectl(all).map_err(|error| error.to_string())?;
        let ended = kubectl
            .wait(SOON)
            .await
            .map_err(|error| error.to_string())?;
        let listed = kubectl.log();
        let left = !ended.success() || listed.contains(NAME);
        (!left).then_some(()).ok_or(listed)
    })
    .await
}
