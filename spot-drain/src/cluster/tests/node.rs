//! The node: read, quarantined and released.

use jiff::Timestamp;
use spot_core::node::{NodeControl as _, NodeError, Phase, Quarantine, Release};
use spot_core::notice::{Instance, Notice, NoticeId, NoticeKind};

use super::*;
use crate::taint::MEMORY_ANNOTATION;

const GET: &str = "GET /api/v1/nodes/spot-0";
const PATCH: &str = "PATCH /api/v1/nodes/spot-0?fieldManager=spot-interrupt-handler";
const FOREIGN: &str = r#"{"key": "x", "effect": "NoSchedule"}"#;
const OURS: &str = r#"{"key": "spot-interrupt-handler/interruption", "effect": "NoSchedule", "value": "spot-interruption"}"#;

fn wish() -> Quarantine {
    let id = NoticeId::new("spot");
    let notice = Notice::new(id, NoticeKind::SpotInterruption, Instant::now());
    Quarantine::new(&notice, Phase::Draining, Timestamp::UNIX_EPOCH).on_instance("i-1")
}

/// The node with these taints, and annotations.
fn node_with(taints: &[&str], annotations: &Value) -> Value {
    let taints: Vec<Value> = taints
        .iter()
        .map(|t| serde_json::from_str(t).unwrap())
        .collect();
    json!({"kind": "Node", "metadata": {"name": "spot-0", "uid": "n", "resourceVersion": "5",
        "labels": {"a": "b"}, "annotations": annotations},
        "spec": {"providerID": "aws:///us-east-1a/i-1", "taints": taints},
        "status": {"nodeInfo": {"bootID": "boot"}}})
}

fn node(taints: &[&str]) -> Value {
    node_with(taints, &json!({"c": "d"}))
}

fn conflict() -> Answer {
    says(
        409,
        &refusal(409, "Conflict", "the object has been modified"),
    )
}

fn ours() -> Instance {
    Instance::new("i-1")
}

#[tokio::test]
async fn a_node_is_compared_with_our_instance() {
    let wire = Wire::new([says(200, &node(&[])), says(200, &node(&[]))]);
    let known = wire
        .cluster()
        .node("spot-0")
        .recall(Some(ours()))
        .await
        .unwrap();
    assert!(known.verified && known.memory.is_none());
    assert_eq!(known.boot.as_deref(), Some("boot"));
    let unknown = wire.cluster().node("spot-0").recall(None).await.unwrap();
    assert!(!unknown.verified);
    assert_eq!(wire.lines(), [GET, GET]);
}

#[tokio::test]
async fn another_machines_node_is_refused_by_name_and_never_written() {
    let wire = Wire::new((0..4).map(|_| says(200, &node(&[FOREIGN]))));
    let control = wire.cluster().node("spot-0");
    let other = || Instance::new("i-9");
    let errors = [
        control.recall(Some(other())).await.map(|_| ()),
        control.quarantine(wish().on_instance("i-9")).await,
        control.release(Release::of(Some("i-9".into()))).await,
        control
            .release(Release::default().settling(wish().on_instance("i-9")))
            .await,
    ];
    for error in errors {
        let said = error.unwrap_err().to_string();
        assert!(said.contains("i-1") && said.contains("i-9"), "{said}");
    }
    assert_eq!(wire.lines(), [GET, GET, GET, GET]);
}

fn forbidden() -> Answer {
    says(403, &refusal(403, "Forbidden", "nodes is forbidden"))
}

#[tokio::test(start_paused = true)]
async fn a_403_is_believed_when_it_is_said_again() {
    // An API server that has just started knows nobody's rights.
    let wire = Wire::new([forbidden(), forbidden(), says(200, &node(&[]))]);
    let node = wire.cluster().node("spot-0");
    let known = node.recall(Some(ours())).await.unwrap();
    assert!(known.verified);
}

#[tokio::test(start_paused = true)]
async fn failures_to_read_are_told_apart() {
    let wire = Wire::new([
        says(404, &refusal(404, "NotFound", "nodes \"spot-0\" not found")),
        forbidden(),
        forbidden(),
        forbidden(),
        says(401, &refusal(401, "Unauthorized", "no")),
        plain(429, "slow down"),
        plain(500, ""),
        plain(200, "]garbage["),
        cut_short(200),
        Answer::Breaks,
        plain(418, "a teapot"),
    ]);
    let control = wire.cluster().node("spot-0");
    let mut said = Vec::new();
    for _ in 0..9 {
        said.push(match control.recall(None).await.unwrap_err() {
            NodeError::NotFound { node } => node,
            NodeError::Forbidden { verb, resource, .. } => format!("{verb} {resource}"),
            NodeError::Unavailable(_) => "away".to_owned(),
            NodeError::Refused(_) => "refused".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    let away = "away";
    let expected = [
        "spot-0",
        "get nodes",
        away,
        away,
        away,
        away,
        away,
        away,
        "refused",
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_is_none() {
    let memory = json!({ MEMORY_ANNOTATION: r#"{"v": 2, "new": "things"}"# });
    let wire = Wire::new([says(200, &node_with(&[], &memory))]);
    let known = wire
        .cluster()
        .node("spot-0")
        .recall(Some(ours()))
        .await
        .unwrap();
    assert_eq!(known.memory, None);
}

#[tokio::test]
async fn a_node_with_taints_gets_one_json_patch() {
    let wire = Wire::new([says(200, &node(&[FOREIGN])), says(200, &node(&[]))]);
    wire.cluster()
        .node("spot-0")
        .quarantine(wish())
        .await
        .unwrap();
    assert_eq!(wire.lines(), [GET, PATCH]);
    let asked = &wire.state().asked[1];
    assert_eq!(asked.content_type, "application/json-patch+json");
    let ops = asked.body.as_array().unwrap();
    let paths: Vec<&str> = ops.iter().map(|o| o["path"].as_str().unwrap()).collect();
    assert!(
        paths.contains(&"/spec/taints/-") && paths.contains(&"/spec/unschedulable"),
        "{paths:?}"
    );
}

#[tokio::test]
async fn a_node_without_taints_gets_one_merge_patch_under_its_version() {
    let wire = Wire::new([says(200, &node(&[])), says(200, &node(&[]))]);
    wire.cluster()
        .node("spot-0")
        .quarantine(wish())
        .await
        .unwrap();
    assert_eq!(wire.lines(), [GET, PATCH]);
    let asked = &wire.state().asked[1];
    assert_eq!(asked.content_type, "application/merge-patch+json");
    assert_eq!(asked.body["metadata"]["resourceVersion"], "5");
    let taint: Value = serde_json::from_str(OURS).unwrap();
    assert_eq!(
        asked.body["spec"],
        json!({"unschedulable": true, "taints": [taint]})
    );
}

#[tokio::test]
async fn a_dry_run_patches_nothing_for_good() {
    let wire = Wire::new([says(200, &node(&[])), says(200, &node(&[]))]);
    let control = wire.cluster().node("spot-0").with_dry_run(true);
    control.quarantine(wish()).await.unwrap();
    assert_eq!(
        wire.lines(),
        [GET.to_owned(), format!("{PATCH}&dryRun=All")]
    );
}

#[tokio::test]
async fn a_conflict_reads_again_and_finds_it_done() {
    let mut done = node(&[FOREIGN, OURS]);
    done["spec"]["unschedulable"] = true.into();
    // Somebody else's handler wrote the same.
    let before: crate::taint::NodeFacts = serde_json::from_value(node(&[FOREIGN])).unwrap();
    let Some(crate::taint::NodePatch::Json(ops)) = crate::taint::quarantine(
        &before,
        &wish(),
        &crate::taint::QuarantineSettings::default(),
    ) else {
        panic!("no JSON patch")
    };
    for op in ops.as_array().unwrap() {
        let path = op["path"].as_str().unwrap();
        if let Some(key) = path.strip_prefix("/metadata/annotations/") {
            done["metadata"]["annotations"][key.replace("~1", "/")] = op["value"].clone();
        }
        if let Some(key) = path.strip_prefix("/metadata/labels/") {
            done["metadata"]["labels"][key.replace("~1", "/")] = op["value"].clone();
        }
    }
    for status in [409, 422] {
        let refused = says(status, &refusal(status, "", "no"));
        let wire = Wire::new([says(200, &node(&[FOREIGN])), refused, says(200, &done)]);
        wire.cluster()
            .node("spot-0")
            .quarantine(wish())
            .await
            .unwrap();
        assert_eq!(wire.lines(), [GET, PATCH, GET]);
    }
}

#[tokio::test]
async fn a_node_that_others_write_all_the_time_is_given_up_for_now() {
    let rounds = (0..100).flat_map(|_| [says(200, &node(&[])), conflict()]);
    let wire = Wire::new(rounds);
    let error = wire
        .cluster()
        .node("spot-0")
        .quarantine(wish())
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(wire.lines().len() <= 40);
}

#[tokio::test]
async fn a_policy_that_calls_the_patch_invalid_is_not_asked_again_and_again() {
    let wire = Wire::new([
        says(200, &node(&[FOREIGN])),
        says(422, &refusal(422, "Invalid", "denied by policy")),
        says(200, &node(&[FOREIGN])),
    ]);
    let control = wire.cluster().node("spot-0");
    let error = control.quarantine(wish()).await.unwrap_err();
    assert!(matches!(&error, NodeError::Refused(_)), "{error:?}");
    assert_eq!(wire.lines(), [GET, PATCH, GET]);
}

#[tokio::test]
async fn a_patch_that_is_not_allowed_names_verb_and_resource() {
    let wire = Wire::new([
        says(200, &node(&[])),
        says(403, &refusal(403, "Forbidden", "no")),
    ]);
    let error = wire
        .cluster()
        .node("spot-0")
        .quarantine(wish())
        .await
        .unwrap_err();
    assert!(error.is_permission());
    assert_eq!(error.to_string(), "not allowed to patch nodes");
}

#[tokio::test]
async fn nothing_of_ours_is_nothing_to_release() {
    let wire = Wire::new([says(200, &node(&[FOREIGN]))]);
    wire.cluster()
        .node("spot-0")
        .release(Release::of(Some("i-1".into())))
        .await
        .unwrap();
    assert_eq!(wire.lines(), [GET]);
}

#[tokio::test]
async fn what_is_ours_is_released_in_one_patch_under_the_version_that_was_read() {
    let wire = Wire::new([says(200, &node(&[FOREIGN, OURS])), says(200, &node(&[]))]);
    wire.cluster()
        .node("spot-0")
        .release(Release::of(Some("i-1".into())))
        .await
        .unwrap();
    assert_eq!(wire.lines(), [GET, PATCH]);
    let body = wire.state().asked[1].body.clone();
    assert_eq!(body["metadata"]["resourceVersion"], "5");
    let foreign: Value = serde_json::from_str(FOREIGN).unwrap();
    assert_eq!(body["spec"], json!({"taints": [foreign]}));
}

#[tokio::test]
async fn a_release_that_settles_writes_it_down_once() {
    // Of the second answer it is not seen whose node it is, so that the node is read again.
    let mut nobodys = node(&[]);
    nobodys["spec"]["providerID"] = Value::Null;
    let wire = Wire::new([says(200, &node(&[FOREIGN, OURS])), says(200, &nobodys)]);
    let control = wire.cluster().node("spot-0");
    let release = Release::of(Some("i-1".into())).settling(wish());
    control.release(release.clone()).await.unwrap();
    assert_eq!(wire.lines(), [GET, PATCH]);
    let body = wire.state().asked[1].body.clone();
    let text = body["metadata"]["annotations"][MEMORY_ANNOTATION].clone();
    let memory: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(memory["phase"], "settled");
    assert_eq!(memory["cordoned"], false);
    assert_eq!(memory["boot"], "boot");

    let so = node_with(&[FOREIGN], &json!({ MEMORY_ANNOTATION: text }));
    wire.state().answers.push_back(says(200, &so));
    control.release(release).await.unwrap();
    assert_eq!(wire.lines(), [GET, PATCH, GET]);
}

#[tokio::test]
async fn a_node_that_was_seen_is_not_read_again_unless_it_has_changed() {
    let mut after = node(&[FOREIGN, OURS]);
    after["spec"]["unschedulable"] = true.into();
    let mut changed = node(&[FOREIGN]);
    changed["metadata"]["resourceVersion"] = "6".into();
    let wire = Wire::new([
        says(200, &node(&[FOREIGN])),
        says(422, &refusal(422, "Invalid", "a test failed")),
        says(200, &changed),
        says(200, &after),
        says(200, &after),
    ]);
    let control = wire.cluster().node("spot-0");
    control.recall(Some(ours())).await.unwrap();
    control.quarantine(wish()).await.unwrap();
    let mut later = wish();
    later.phase = Phase::Drained;
    control.quarantine(later).await.unwrap();
    assert_eq!(wire.lines(), [GET, PATCH, GET, PATCH, PATCH]);
}

#[tokio::test]
async fn cordoning_touches_nothing_but_that() {
    let answers = || [says(200, &node(&[])), plain(403, "no")];
    for cordon in [true, false] {
        let wire = Wire::new(answers());
        let node = wire.cluster().node("spot-0");
        let done = if cordon {
            node.cordon().await
        } else {
            node.uncordon().await
        };
        done.unwrap();
        assert!(node.cordon().await.unwrap_err().is_permission());
        let state = wire.state();
        let asked = &state.asked[0];
        assert_eq!(
            (asked.line.as_str(), asked.content_type.as_str()),
            (PATCH, "application/merge-patch+json")
        );
        assert_eq!(asked.body, json!({"spec": {"unschedulable": cordon}}));
    }
}

#[tokio::test]
async fn a_404_or_a_200_of_something_before_the_api_server_says_nothing_of_the_node() {
    for answer in [plain(404, "404 page not found"), plain(200, "{}")] {
        let wire = Wire::new([answer]);
        let read = wire.cluster().node("spot-0").recall(Some(ours())).await;
        let error = read.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    let wire = Wire::new([says(200, &node(&[])), plain(200, "{}")]);
    let error = wire.cluster().node("spot-0").quarantine(wish()).await;
    assert!(error.unwrap_err().is_transient());
}
