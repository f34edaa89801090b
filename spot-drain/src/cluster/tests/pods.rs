//! Lists, watches, evictions and deletions.

use futures_util::StreamExt as _;

use super::*;
use crate::classify::DaemonSets;
use crate::facts::Uid;
use crate::plan::Call;
use crate::pods::Freshness;
use crate::pods::{Change, Pods as _, PodsError};

fn pod(name: &str, version: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"namespace": "shop", "name": name, "uid": format!("u-{name}"),
            "resourceVersion": version}})
}

fn list(pods: &[Value], version: &str, more: &str) -> Answer {
    says(
        200,
        &json!({"kind": "PodList", "apiVersion": "v1",
        "metadata": {"resourceVersion": version, "continue": more}, "items": pods}),
    )
}

fn call(grace: Option<u32>) -> Call {
    Call {
        pod: Uid("u-web".into()),
        namespace: "shop".into(),
        name: "web".into(),
        grace,
        dry_run: false,
    }
}

fn dry(grace: Option<u32>) -> Call {
    Call {
        dry_run: true,
        ..call(grace)
    }
}

#[tokio::test]
async fn the_first_list_comes_from_the_cache() {
    let wire = Wire::new([list(&[pod("a", "4"), pod("b", "5")], "7", "")]);
    let listed = wire
        .cluster()
        .pods("spot-0")
        .list(Freshness::Any)
        .await
        .unwrap();
    assert_eq!(listed.version, "7");
    let names: Vec<String> = listed
        .pods
        .iter()
        .map(crate::facts::PodFacts::path)
        .collect();
    assert_eq!(names, ["shop/a", "shop/b"]);
    assert_eq!(
        wire.only().line,
        "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dspot-0&resourceVersion=0"
    );
}

#[tokio::test]
async fn a_fresh_list_comes_in_pages_and_not_from_the_cache() {
    let pages = [
        list(&[pod("a", "4")], "7", "to/ken=="),
        list(&[pod("b", "5")], "7", ""),
    ];
    let wire = Wire::new(pages);
    let listed = wire
        .cluster()
        .pods("spot-0")
        .list(Freshness::Latest)
        .await
        .unwrap();
    assert_eq!((listed.pods.len(), listed.version.as_str()), (2, "7"));
    let start = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dspot-0&limit=250";
    let next = format!("{start}&continue=to%2Fken%3D%3D");
    assert_eq!(wire.lines(), [start.to_owned(), next]);
}

#[tokio::test]
async fn names_cannot_change_the_address() {
    let wire = Wire::new([list(&[], "7", "")]);
    let odd = wire.cluster().pods("a&watch=true/../b c");
    odd.list(Freshness::Any).await.unwrap();
    let address = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Da%26watch%3Dtrue%2F..%2Fb%20c&resourceVersion=0";
    assert_eq!(wire.only().line, address);
}

#[tokio::test]
async fn a_list_that_is_refused_says_why() {
    let wire = Wire::new([
        says(403, &refusal(403, "Forbidden", "pods is forbidden")),
        says(410, &refusal(410, "Expired", "too old")),
        plain(401, ""),
        plain(200, "{\"items\": ["),
        cut_short(200),
        Answer::Breaks,
    ]);
    let pods = wire.cluster().pods("spot-0");
    let error = pods.list(Freshness::Any).await.unwrap_err();
    assert!(
        error.is_permission() && error.to_string().contains("list pods"),
        "{error}"
    );
    assert!(matches!(
        pods.list(Freshness::Latest).await,
        Err(PodsError::Expired)
    ));
    for _ in 0..4 {
        let error = pods.list(Freshness::Any).await.unwrap_err();
        assert!(matches!(error, PodsError::Unavailable(_)), "{error:?}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_watch_is_opened_from_a_version_with_bookmarks() {
    let wire = Wire::new([plain(200, "")]);
    let watch = wire
        .cluster()
        .pods("spot-0")
        .watch("7".into())
        .await
        .unwrap();
    assert_eq!(watch.count().await, 0);
    assert_eq!(
        wire.only().line,
        "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dspot-0&watch=true\
         &allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion=7"
    );
}

#[tokio::test]
async fn a_watch_tells_every_kind_of_change_and_outlives_what_it_cannot_read() {
    let lines = [
        json!({"type": "ADDED", "object": pod("a", "8")}).to_string(),
        json!({"type": "MODIFIED", "object": pod("a", "9")}).to_string(),
        "]garbage[".to_owned(),
        json!({"type": "MODIFIED", "object": {"metadata": {"uid": 7}}}).to_string(),
        json!({"type": "BOOKMARK", "object":
            {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "12"}}})
        .to_string(),
        json!({"type": "DELETED", "object": pod("a", "13")}).to_string(),
        json!({"type": "ERROR", "object": refusal(410, "Expired", "too old")}).to_string(),
    ];
    let wire = Wire::new([Answer::Says(reply(200, lines.join("\n") + "\n"))]);
    let watch = wire
        .cluster()
        .pods("spot-0")
        .watch("7".into())
        .await
        .unwrap();
    let said: Vec<String> = watch
        .map(|item| match item {
            Ok(watched) => {
                let change = match watched.change {
                    Change::Seen(pod) => format!("seen {}", pod.name),
                    Change::Deleted(pod) => format!("deleted {}", pod.uid),
                    Change::Bookmark => "bookmark".to_owned(),
                };
                format!("{change} {}", watched.version)
            }
            Err(error) => error.to_string(),
        })
        .collect()
        .await;
    let expected = [
        "seen a 8",
        "seen a 9",
        "bookmark 12",
        "deleted u-a 13",
        "the watch's version has expired",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_watch_that_cannot_be_opened_says_why() {
    let wire = Wire::new([
        says(410, &refusal(410, "Expired", "too old")),
        says(403, &refusal(403, "Forbidden", "no")),
        says(401, &refusal(401, "Unauthorized", "no")),
        plain(503, "busy"),
        Answer::Breaks,
    ]);
    let pods = wire.cluster().pods("spot-0");
    let mut said = Vec::new();
    for _ in 0..5 {
        let error = pods.watch("7".into()).await.map(|_| ()).unwrap_err();
        said.push(match error {
            PodsError::Expired => "expired",
            PodsError::Forbidden { verb, .. } => verb,
            PodsError::Unavailable(_) => "unavailable",
        });
    }
    assert_eq!(
        said,
        [
            "expired",
            "watch",
            "unavailable",
            "unavailable",
            "unavailable"
        ]
    );
}

#[tokio::test]
async fn a_watch_that_breaks_off_is_an_error_or_an_end_and_never_silence() {
    let wire = Wire::new([cut_short(200)]);
    let watch = wire
        .cluster()
        .pods("spot-0")
        .watch("7".into())
        .await
        .unwrap();
    let said: Vec<_> = watch.collect().await;
    assert!(
        matches!(&said[..], [Err(PodsError::Unavailable(_))]),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_and_a_watch_that_are_not_answered_are_given_up() {
    let wire = Wire::new([Answer::Never, Answer::Never]);
    let pods = wire.cluster().pods("spot-0");
    let start = Instant::now();
    assert!(pods.list(Freshness::Any).await.is_err());
    assert!(pods.watch("7".into()).await.is_err());
    // The second call knows that the server is slow.
    assert_eq!(start.elapsed(), QUIET + SLOWEST);
}

#[tokio::test(start_paused = true)]
async fn a_list_is_waited_for_while_others_are_answered() {
    let ok = || says(200, &json!({"kind": "Status", "status": "Success"}));
    let wire = Wire::new([Answer::Never, ok(), ok()]);
    let cluster = wire.cluster();
    let (pods, start) = (cluster.pods("spot-0"), Instant::now());
    let evictions = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            pods.evict(call(None)).await;
        }
    };
    let (listed, ()) = tokio::join!(pods.list(Freshness::Any), evictions);
    assert!(listed.is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(4) + QUIET);
}

#[tokio::test]
async fn an_eviction_is_written_as_the_api_reads_it() {
    let wire = Wire::new([says(201, &json!({"kind": "Status", "status": "Success"}))]);
    wire.cluster().pods("spot-0").evict(call(None)).await;
    let asked = wire.only();
    assert_eq!(asked.line, "POST /api/v1/namespaces/shop/pods/web/eviction");
    assert_eq!(asked.content_type, "application/json");
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"namespace": "shop", "name": "web"},
        "deleteOptions": {"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": "u-web"}},
    });
    assert_eq!(asked.body, body);
}

#[tokio::test]
async fn a_trimmed_grace_and_a_dry_run_are_in_the_delete_options() {
    let wire = Wire::new([says(201, &json!({"kind": "Status"}))]);
    let pods = wire.cluster().pods("spot-0");
    pods.evict(dry(Some(110))).await;
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": "u-web"}, "gracePeriodSeconds": 110, "dryRun": ["All"]});
    assert_eq!(wire.only().body["deleteOptions"], options);
}

#[tokio::test]
async fn the_bytes_of_an_eviction_are_read_by_kubernetes_own_type() {
    let wire = Wire::new([says(201, &json!({"kind": "Status"}))]);
    wire.cluster().pods("spot-0").evict(call(Some(7))).await;
    let body = wire.only().body;
    let read: k8s_openapi::api::policy::v1::Eviction = serde_json::from_value(body).unwrap();
    let options = read.delete_options.unwrap();
    assert_eq!(options.grace_period_seconds, Some(7));
    assert_eq!(options.preconditions.unwrap().uid.as_deref(), Some("u-web"));
    assert_eq!(options.dry_run, None);
}

#[tokio::test]
async fn a_deletion_names_the_uid_too() {
    let wire = Wire::new([plain(200, "{}"), plain(200, "{}")]);
    let pods = wire.cluster().pods("spot-0");
    pods.delete(call(Some(25))).await;
    pods.delete(dry(None)).await;
    let line = "DELETE /api/v1/namespaces/shop/pods/web";
    assert_eq!(wire.lines(), [line, line]);
    let options = |more: Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": "u-web"}});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        options
    };
    let bodies: Vec<Value> = wire.state().asked.iter().map(|a| a.body.clone()).collect();
    let expected = [
        options(json!({"gracePeriodSeconds": 25})),
        options(json!({"dryRun": ["All"]})),
    ];
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn daemon_sets_are_listed_by_their_metadata_from_the_cache() {
    let items = json!([{"metadata": {"uid": "d1", "name": "x"}}, {"metadata": {"uid": "d2"}}]);
    let wire = Wire::new([says(
        200,
        &json!({"metadata": {"resourceVersion": "7"}, "items": items}),
    )]);
    let known = wire.cluster().pods("spot-0").daemon_sets().await;
    assert_eq!(
        known,
        DaemonSets::Exist([Uid("d1".into()), Uid("d2".into())].into())
    );
    let asked = wire.only();
    assert_eq!(asked.line, "GET /apis/apps/v1/daemonsets?resourceVersion=0");
    assert_eq!(
        asked.accept,
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    );
}

#[tokio::test]
async fn where_there_is_no_daemon_set_the_list_is_null() {
    let wire = Wire::new([says(
        200,
        &json!({"metadata": {"resourceVersion": "7"}, "items": null}),
    )]);
    let known = wire.cluster().pods("spot-0").daemon_sets().await;
    assert_eq!(known, DaemonSets::Exist([].into()));
}

#[tokio::test]
async fn daemon_sets_that_cannot_be_listed_are_unavailable() {
    let answers = [
        plain(403, "no"),
        plain(500, ""),
        plain(200, "{\"items\": [{}]}"),
        Answer::Breaks,
    ];
    let wire = Wire::new(answers);
    let pods = wire.cluster().pods("spot-0");
    for _ in 0..4 {
        let known = pods.daemon_sets().await;
        assert!(
            matches!(&known, DaemonSets::Unavailable(why) if !why.is_empty()),
            "{known:?}"
        );
    }
}

#[tokio::test]
async fn whether_we_may_evict_is_asked_of_the_api_server() {
    let wire = Wire::new([
        says(201, &json!({"status": {"allowed": true}})),
        says(
            201,
            &json!({"status": {"allowed": false, "reason": "RBAC"}}),
        ),
        says(403, &refusal(403, "Forbidden", "not even that")),
        plain(201, "garbage"),
        Answer::Breaks,
    ]);
    let pods = wire.cluster().pods("spot-0");
    let mut said = Vec::new();
    for _ in 0..5 {
        said.push(pods.may_evict("shop".into()).await);
    }
    assert_eq!(said, [Some(true), Some(false), None, None, None]);
    let asked = &wire.state().asked[0];
    assert_eq!(
        asked.line,
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    );
    let attributes = json!({"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": "shop"});
    assert_eq!(
        asked.body["spec"],
        json!({"resourceAttributes": attributes})
    );
}

#[tokio::test]
async fn every_request_is_counted() {
    let wire = Wire::new([
        list(&[], "7", ""),
        plain(200, ""),
        plain(201, ""),
        Answer::Breaks,
    ]);
    let cluster = wire.cluster();
    let pods = cluster.pods("spot-0");
    pods.list(Freshness::Any).await.unwrap();
    drop(pods.watch("7".into()).await.unwrap());
    pods.evict(call(None)).await;
    pods.evict(call(None)).await;
    assert_eq!((pods.requests(), cluster.requests()), (4, 4));
}

#[tokio::test]
async fn an_answer_that_is_no_list_is_not_a_list_of_nothing() {
    for body in [
        "{}",
        r#"{"items": []}"#,
        r#"{"metadata": {}, "items": null}"#,
    ] {
        let wire = Wire::new([plain(200, body), plain(200, body)]);
        let pods = wire.cluster().pods("spot-0");
        let listed = pods.list(Freshness::Any).await;
        assert!(
            matches!(listed, Err(PodsError::Unavailable(_))),
            "{body}: {listed:?}"
        );
        let sets = pods.daemon_sets().await;
        assert!(
            matches!(sets, DaemonSets::Unavailable(_)),
            "{body}: {sets:?}"
        );
    }
}
