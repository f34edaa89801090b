//! As whom the API server is asked.

use spot_core::armed::SelfCheck as _;

use super::*;
use crate::facts::Uid;
use crate::plan::Call;
use crate::pods::{Freshness, Pods as _};

fn call() -> Call {
    Call {
        pod: Uid("u-web".into()),
        namespace: "shop".into(),
        name: "web".into(),
        grace: None,
        dry_run: false,
    }
}

fn empty() -> Answer {
    says(
        200,
        &json!({"metadata": {"resourceVersion": "7"}, "items": []}),
    )
}

/// Each request's method, path and the user it was made for.
fn asked(wire: &Wire) -> Vec<(String, String)> {
    let path = |line: &str| line.split('?').next().unwrap_or_default().to_owned();
    let state = wire.state();
    let all = state.asked.iter();
    all.map(|a| (path(&a.line), a.user.clone())).collect()
}

#[tokio::test]
async fn a_node_and_its_pods_are_asked_about_as_the_node_and_the_rest_as_ourselves() {
    let node =
        json!({"metadata": {"name": "spot-0", "uid": "u"}, "status": {"volumesAttached": []}});
    let wire = Wire::new([
        empty(),
        plain(200, ""),
        says(201, &json!({})),
        says(200, &json!({})),
        empty(),
        empty(),
        says(200, &node),
        says(201, &json!({"status": {"allowed": true}})),
    ]);
    let pods = wire.cluster().impersonating_nodes().pods("spot-0");
    pods.list(Freshness::Any).await.unwrap();
    drop(pods.watch("7".into()).await.unwrap());
    pods.evict(call()).await;
    pods.delete(call()).await;
    pods.daemon_sets().await;
    pods.budgets().await;
    pods.volumes().await.unwrap();
    assert_eq!(pods.may_evict("shop".into()).await, Some(true));
    let users: Vec<_> = asked(&wire);
    let (node, ours) = ("system:node:spot-0", "");
    let expected = [
        ("GET /api/v1/pods", node),
        ("GET /api/v1/pods", node),
        ("POST /api/v1/namespaces/shop/pods/web/eviction", node),
        ("DELETE /api/v1/namespaces/shop/pods/web", node),
        ("GET /apis/apps/v1/daemonsets", ours),
        ("GET /apis/policy/v1/poddisruptionbudgets", ours),
        ("GET /api/v1/nodes/spot-0", node),
        (
            "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ours,
        ),
    ];
    let expected = expected.map(|(line, user)| (line.to_owned(), user.to_owned()));
    assert_eq!(users, expected);
    let review = &wire.state().asked[7].body["spec"]["resourceAttributes"];
    assert_eq!(review["verb"], "impersonate-on:associated-node:create");
}

#[tokio::test]
async fn the_self_check_proves_the_same_way() {
    let node = json!({"metadata": {"name": "spot-0", "uid": "u", "resourceVersion": "1"}});
    let pod = json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u-web"}});
    let wire = Wire::new([
        says(200, &node),
        says(200, &node),
        says(
            200,
            &json!({"metadata": {"resourceVersion": "7"}, "items": [pod]}),
        ),
        says(201, &json!({})),
    ]);
    let cluster = wire.cluster().impersonating_nodes();
    cluster.self_check("spot-0").check(None).await;
    let users: Vec<_> = asked(&wire).into_iter().map(|(_, user)| user).collect();
    let node = "system:node:spot-0";
    assert_eq!(users, [node, "", node, node], "only the patch is ours");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_as_it_is_granted() {
    let refused = || {
        says(
            403,
            &json!({"kind": "Status", "reason": "Forbidden", "code": 403}),
        )
    };
    let node = json!({"metadata": {"name": "spot-0", "uid": "u", "resourceVersion": "1"}});
    let taken = || says(200, &node);
    let reviewed = |allowed: bool| says(201, &json!({"status": {"allowed": allowed}}));
    let table = [
        (
            vec![refused(), plain(200, "{}"), empty(), reviewed(true)],
            "associated-node:get` on `nodes`",
        ),
        (
            vec![taken(), taken(), refused()],
            "associated-node:list` and `impersonate-on:associated-node:watch` on `pods`",
        ),
        (
            vec![taken(), taken(), empty(), reviewed(false)],
            "associated-node:create` on `pods/eviction`",
        ),
    ];
    for (answers, right) in table {
        let wire = Wire::new(answers);
        let cluster = wire.cluster().impersonating_nodes();
        let found = cluster.self_check("spot-0").check(None).await;
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        let named = said.iter().any(|said| {
            said.contains(&format!("grant `impersonate-on:{right}"))
                && said.contains("`impersonate:associated-node` on `nodes`")
        });
        assert!(named, "{right}: {said:?}");
    }
}

#[tokio::test]
async fn an_error_names_the_right_that_was_missing() {
    let refused = || {
        says(
            403,
            &json!({"kind": "Status", "reason": "Forbidden", "code": 403}),
        )
    };
    let wire = Wire::new([refused()]);
    let pods = wire.cluster().impersonating_nodes().pods("spot-0");
    let error = pods.list(Freshness::Any).await.unwrap_err();
    assert_eq!(
        error.remedy(),
        "grant impersonate-on:associated-node:list on pods to the handler's account"
    );
    let wire = Wire::new([refused()]);
    let pods = wire.cluster().impersonating_nodes().pods("spot-0");
    let watch = pods.watch("1".to_owned()).await.err();
    assert_eq!(
        watch.map(|error| error.remedy()).as_deref(),
        Some("grant impersonate-on:associated-node:watch on pods to the handler's account")
    );
    let wire = Wire::new([refused()]);
    let pods = wire.cluster().pods("spot-0");
    let error = pods.list(Freshness::Any).await.unwrap_err();
    assert_eq!(
        error.remedy(),
        "grant list on pods to the handler's account"
    );
}

#[tokio::test]
async fn unless_told_nobody_is_impersonated() {
    let wire = Wire::new([empty()]);
    let pods = wire.cluster().pods("spot-0");
    pods.list(Freshness::Any).await.unwrap();
    assert_eq!(wire.only().user, "");
}
