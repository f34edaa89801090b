//! Make before break on the wire.

use futures_util::StreamExt as _;

use super::*;
use crate::facts::Uid;
use crate::plan::{Detach, Reattach};
use crate::pods::{Pods as _, ReplicaSetChange};
use crate::replacement::{DETACHED_ANNOTATION, Detachment, Workload};
use crate::reply::Reply as Said;

const ANNOTATION: &str = "/metadata/annotations/spot-interrupt-handler~1detached";
const LABEL: &str = "/metadata/labels/pod-template-hash";

fn detach(annotated: bool) -> Detach {
    Detach {
        pod: Uid("u-web".into()),
        namespace: "shop".into(),
        name: "web".into(),
        detachment: Detachment {
            hash: "abc".into(),
            replica_set: "web-abc".into(),
            uid: Uid("r".into()),
            notice: Some("spot-interruption".into()),
        },
        annotated,
    }
}

fn patched() -> Answer {
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}});
    says(200, &pod)
}

#[tokio::test]
async fn a_pod_is_detached_by_one_patch_that_names_its_uid_and_its_hash() {
    let wire = Wire::new([patched()]);
    let pods = wire.cluster().pods("spot-0");
    assert_eq!(pods.detach(detach(true)).await, Said::Accepted);
    let asked = wire.only();
    assert_eq!(
        asked.line,
        "PATCH /api/v1/namespaces/shop/pods/web?fieldManager=spot-interrupt-handler"
    );
    assert_eq!(asked.content_type, "application/json-patch+json");
    let written = r#"{"hash":"abc","notice":"spot-interruption","replicaSet":"web-abc","uid":"r"}"#;
    let expected = json!([
        {"op": "test", "path": "/metadata/uid", "value": "u-web"},
        {"op": "test", "path": LABEL, "value": "abc"},
        {"op": "remove", "path": LABEL},
        {"op": "add", "path": ANNOTATION, "value": written},
    ]);
    assert_eq!(asked.body, expected);
}

#[tokio::test]
async fn annotations_are_made_only_where_there_are_none() {
    let wire = Wire::new([patched()]);
    wire.cluster().pods("spot-0").detach(detach(false)).await;
    let body = wire.only().body;
    let expected = [
        json!({"op": "test", "path": "/metadata/annotations", "value": null}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
    ];
    let steps = body.as_array().map(|steps| &steps[3..5]);
    assert_eq!(steps, Some(&expected[..]));
}

#[tokio::test]
async fn a_pod_is_put_back_by_one_patch() {
    let wire = Wire::new([patched()]);
    let back = Reattach {
        pod: Uid("u-web".into()),
        namespace: "shop".into(),
        name: "web".into(),
        hash: "abc".into(),
    };
    let said = wire.cluster().pods("spot-0").reattach(back).await;
    assert_eq!(said, Said::Accepted);
    let expected = json!([
        {"op": "test", "path": "/metadata/uid", "value": "u-web"},
        {"op": "remove", "path": ANNOTATION},
        {"op": "add", "path": LABEL, "value": "abc"},
    ]);
    assert_eq!(wire.only().body, expected);
}

#[tokio::test]
async fn a_patch_that_does_not_apply_any_more_is_a_refusal() {
    let test = refusal(422, "Invalid", "the server rejected our request");
    let wire = Wire::new([says(422, &test)]);
    let said = wire.cluster().pods("spot-0").detach(detach(true)).await;
    assert!(matches!(said, Said::Denied { status: 422, .. }), "{said:?}");
}

fn replica_set(owner: &str) -> Value {
    json!({"kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {"namespace": "shop", "name": "web-abc", "uid": "r", "resourceVersion": "7",
            "ownerReferences": [{"kind": owner, "name": "web", "uid": "d", "controller": true}]},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"pod-template-hash": "abc"}}},
        "status": {"availableReplicas": 1}})
}

async fn look(wire: &Wire) -> Workload {
    let pods = wire.cluster().pods("spot-0");
    pods.workload("shop".into(), "web-abc".into()).await
}

#[tokio::test]
async fn a_workload_is_its_set_and_the_deployment_of_that() {
    let deployment = json!({"kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1}}},
        "status": {"replicas": 2, "updatedReplicas": 2}});
    let set = says(200, &replica_set("Deployment"));
    let wire = Wire::new([set, says(200, &deployment)]);
    let Workload::Known(set, Some(deployment)) = look(&wire).await else {
        panic!("not known");
    };
    assert_eq!((set.wanted, set.available, deployment.surge), (2, 1, 1));
    let expected = [
        "GET /apis/apps/v1/namespaces/shop/replicasets/web-abc",
        "GET /apis/apps/v1/namespaces/shop/deployments/web",
    ];
    assert_eq!(wire.lines(), expected);
    // Of another owner nothing is asked.
    let other = Wire::new([says(200, &replica_set("Rollout"))]);
    assert!(matches!(look(&other).await, Workload::Known(_, None)));
}

#[tokio::test]
async fn a_workload_that_is_gone_is_told_from_one_that_cannot_be_read() {
    let none = Wire::new([says(404, &refusal(404, "NotFound", "no such"))]);
    assert_eq!(look(&none).await, Workload::Gone);
    // The 404 of something before the API server says nothing.
    let proxy = Wire::new([plain(404, "page not found")]);
    assert!(matches!(look(&proxy).await, Workload::Unavailable(_)));
    let no = says(403, &refusal(403, "Forbidden", "no"));
    let denied = Wire::new([says(200, &replica_set("Deployment")), no]);
    assert!(matches!(look(&denied).await, Workload::Unavailable(why) if why.starts_with("403")));
}

#[tokio::test]
async fn an_empty_object_is_no_workload() {
    let empty = || says(200, &json!({}));
    let set = Wire::new([empty()]);
    assert!(matches!(look(&set).await, Workload::Unavailable(_)));
    let deployment = Wire::new([says(200, &replica_set("Deployment")), empty()]);
    assert!(matches!(look(&deployment).await, Workload::Unavailable(_)));
}

#[tokio::test]
async fn sets_are_watched_by_their_hashes() {
    let line = json!({"type": "ADDED", "object": replica_set("Deployment")});
    let gone = json!({"type": "DELETED", "object": replica_set("Deployment")});
    let body = format!("{line}\n{gone}\n");
    let wire = Wire::new([Answer::Says(reply(200, body))]);
    let pods = wire.cluster().pods("spot-0");
    let hashes = vec!["abc".to_owned(), "def".to_owned()];
    let watch = pods.watch_replica_sets("shop".into(), hashes).await;
    let seen: Vec<_> = watch.unwrap().collect().await;
    assert!(
        matches!(&seen[..], [Ok(ReplicaSetChange::Seen(a)), Ok(ReplicaSetChange::Deleted(b))]
            if a.available == 1 && b.uid == a.uid),
        "{seen:?}"
    );
    assert_eq!(
        wire.only().line,
        "GET /apis/apps/v1/namespaces/shop/replicasets?labelSelector=pod-template-hash%20in%20%28abc%2Cdef%29&watch=true&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion=0"
    );
}

#[test]
fn the_annotation_in_a_pointer_is_the_one_that_is_read() {
    let plain = ANNOTATION.replace("~1", "/");
    assert!(plain.ends_with(DETACHED_ANNOTATION));
}
