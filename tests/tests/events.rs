//! Events on a real API server: what it takes, and that they are there when the node is not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event as Stored;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use spot_core::{
    notice::{Notice, NoticeId, NoticeKind},
    observer::{Event, Observer as _, Occurrence},
    policy::Response,
};
use spot_drain::{cluster::Cluster as Connection, driver::NodeDrainer, events::node_events};
use spot_tests::{
    Result,
    cluster::{Budget, Cluster, NodeSpec, Workload},
    control_plane::ControlPlane,
    rbac::{self, Who},
    wait::wait_until,
};
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(30);

/// Events about an object, by reason, with their counts and messages.
async fn about(api: &Api<Stored>, uid: &str) -> BTreeMap<String, (i32, String)> {
    let chosen = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let events = api.list(&chosen).await.unwrap().items.into_iter();
    let ours = events.filter(|event| {
        let source = event.source.as_ref().and_then(|s| s.component.as_deref());
        source == Some("spot-interrupt-handler")
    });
    let row = |event: Stored| {
        let said = (event.count.unwrap(), event.message.unwrap());
        (event.reason.unwrap(), said)
    };
    ours.map(row).collect()
}

#[tokio::test]
async fn events_are_taken_counted_up_and_outlive_the_node() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let admin = plane.client("admin")?;
    let cluster = Cluster::create(&admin, "events").await?;
    let node = cluster.add_node(&NodeSpec::spot("doomed")).await?;
    let free = Workload::new("free", 1);
    let held = Workload::new("held", 1);
    cluster.deploy_on(&node, &free).await?;
    let pods = cluster.deploy_on(&node, &held).await?;
    cluster.budget(&held, Budget::MinAvailable(1)).await?;
    cluster.wait_budget("held", 0).await?;
    let user = plane.take_plain_user()?;
    rbac::allow(&admin, &user, Who::User(&user), rbac::handler_rules()?).await?;
    let connection = Connection::connect(plane.config(&user)?).unwrap();
    wait_until("rights", SOON, async || {
        let checked = connection.node(&node.name).cordon().await;
        checked.map_err(|error| error.describe())
    })
    .await?;

    let (events, writer) = node_events(&connection, &node.name);
    let tell = |what| events.on(&Event::new(Instant::now(), Timestamp::UNIX_EPOCH, what));
    let kind = NoticeKind::SpotInterruption;
    let notice = Notice::new(NoticeId::new("spot-interruption"), kind, Instant::now());
    let response = Response::Drain;
    tell(Occurrence::NoticeRaised { notice, response });
    let drainer = NodeDrainer::new(connection.pods(&node.name)).with_observer(events.clone());
    let report = drainer.drain_within(Duration::from_secs(15)).await;
    tell(Occurrence::DrainFinished(Arc::new(report.into())));
    tell(Occurrence::Released);
    tell(Occurrence::Released);
    drop(drainer);
    drop(events);
    writer.run().await;

    let at_once = DeleteParams::default().grace_period(0);
    cluster.nodes().delete(&node.name, &at_once).await.unwrap();
    let of_node = about(&Api::namespaced(admin.clone(), "default"), &node.name).await;
    let reasons: Vec<&str> = of_node.keys().map(String::as_str).collect();
    let expected = [
        "CordonAndDrainError",
        "DrainPlanned",
        "SpotInterruption",
        "Uncordon",
    ];
    assert_eq!(reasons, expected, "{of_node:?}");
    assert_eq!(of_node["Uncordon"].0, 2);
    assert!(
        of_node["CordonAndDrainError"].1.contains("held"),
        "{of_node:?}"
    );
    let uid = pods[0].metadata.uid.as_deref().unwrap();
    let of_pod = about(&Api::namespaced(admin, cluster.namespace()), uid).await;
    assert!(
        of_pod["LeftBehind"].1.contains("PodDisruptionBudget held"),
        "{of_pod:?}"
    );
    cluster.delete().await
}
