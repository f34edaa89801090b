//! The self-check: what it asks, to the byte, and what each answer comes to.

use spot_core::armed::{Armed, Finding, Link, SelfCheck as _};
use spot_core::notice::Instance;

use super::*;
use crate::replacement::MakeBeforeBreak;
use crate::taint::{MEMORY_ANNOTATION, QuarantineSettings};

const GET: &str = "GET /api/v1/nodes/spot-0";
const PATCH: &str = "PATCH /api/v1/nodes/spot-0?fieldManager=spot-interrupt-handler&dryRun=All";
const LIST: &str = "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dspot-0&limit=1";
const EVICT: &str = "POST /api/v1/namespaces/shop/pods/web/eviction";
const REVIEW: &str = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

fn node() -> Value {
    json!({"kind": "Node", "metadata": {"name": "spot-0", "uid": "n", "resourceVersion": "5",
        "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"providerID": "aws:///us-east-1a/i-1",
            "taints": [{"key": "x", "effect": "NoSchedule"}]},
        "status": {"nodeInfo": {"bootID": "boot"}}})
}

fn pods(annotations: &Value) -> Answer {
    let pod = json!({"kind": "PartialObjectMetadata", "metadata":
        {"namespace": "shop", "name": "web", "uid": "u", "annotations": annotations,
        "labels": {"pod-template-hash": "abc"}}});
    says(
        200,
        &json!({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "7"}, "items": [pod]}),
    )
}

fn no_pods() -> Answer {
    says(
        200,
        &json!({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "7"}, "items": null}),
    )
}

fn taken() -> Answer {
    says(201, &json!({"kind": "Status", "status": "Success"}))
}

fn reviewed(allowed: bool) -> Answer {
    says(201, &json!({"status": {"allowed": allowed}}))
}

async fn check(wire: &Wire) -> Vec<Finding> {
    let instance = Some(Instance::new("i-1"));
    wire.cluster().self_check("spot-0").check(instance).await
}

/// What is found where the server answers so, but for the links that hold.
async fn found(answers: impl IntoIterator<Item = Answer>) -> Vec<String> {
    let wire = Wire::new(answers);
    let found = check(&wire).await;
    assert!(wire.state().answers.is_empty(), "all was asked: {found:?}");
    let links: Vec<Link> = found.iter().map(|f| f.link).collect();
    assert_eq!(links, Link::ALL[2..9], "one finding about each");
    let bad = found.iter().map(ToString::to_string);
    bad.filter(|said| !said.ends_with(" holds")).collect()
}

/// The only thing that is found.
async fn only(answers: impl IntoIterator<Item = Answer>) -> String {
    let mut found = found(answers).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn forbidden(words: &str) -> Answer {
    says(403, &refusal(403, "Forbidden", words))
}

#[tokio::test]
async fn four_requests_prove_all_links_and_none_of_them_is_kept() {
    let wire = Wire::new([
        says(200, &node()),
        plain(200, "{}"),
        pods(&json!({})),
        taken(),
    ]);
    let cluster = wire.cluster();
    let instance = Some(Instance::new("i-1"));
    let found = cluster.self_check("spot-0").check(instance).await;
    let expected: Vec<Finding> = Link::ALL[2..9]
        .iter()
        .copied()
        .map(Finding::holds)
        .collect();
    assert_eq!(found, expected);
    assert_eq!(wire.lines(), [GET, PATCH, LIST, EVICT]);
    assert_eq!(cluster.requests(), 4);
    let state = wire.state();
    let [_, patch, list, evict] = state.asked.as_slice() else {
        panic!("{:?}", state.asked)
    };
    assert_eq!(patch.content_type, "application/json-patch+json");
    let taint = patch.body.as_array().unwrap().last().unwrap();
    assert_eq!(taint["value"]["value"], "spot-interruption");
    assert!(list.accept.contains("as=PartialObjectMetadataList"));
    assert_eq!(
        evict.body["deleteOptions"],
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"],
            "preconditions": {"uid": "u"}})
    );
}

#[tokio::test]
async fn the_patch_is_made_with_the_settings_of_the_quarantine() {
    let wire = Wire::new([says(200, &node()), Answer::Breaks]);
    let settings = QuarantineSettings {
        taint: "mine:PreferNoSchedule".parse().unwrap(),
        exclude_from_load_balancers: false,
    };
    let check = wire.cluster().self_check("spot-0").with_settings(settings);
    check.check(None).await;
    let state = wire.state();
    let patch = state.asked[1].body.to_string();
    assert!(
        patch.contains(r#""key":"mine""#) && patch.contains("PreferNoSchedule"),
        "{patch}"
    );
    assert!(!patch.contains("load-balancers"), "{patch}");
}

#[tokio::test]
async fn where_nothing_is_to_be_changed_the_permission_is_tried_all_the_same() {
    // Quarantined, by a version whose memory is left alone.
    let mut done = node();
    done["metadata"]["annotations"][MEMORY_ANNOTATION] = r#"{"v":2}"#.into();
    done["metadata"]["labels"][crate::taint::EXCLUDE_LABEL] = "true".into();
    done["spec"]["unschedulable"] = true.into();
    done["spec"]["taints"] = json!([{"key": "spot-interrupt-handler/interruption",
        "value": "spot-interruption", "effect": "NoSchedule"}]);
    let wire = Wire::new([
        says(200, &done),
        plain(200, "{}"),
        no_pods(),
        reviewed(true),
    ]);
    assert!(
        check(&wire)
            .await
            .iter()
            .all(|f| *f == Finding::holds(f.link))
    );
    assert_eq!(wire.lines(), [GET, PATCH, LIST, REVIEW]);
    let patch = &wire.state().asked[1];
    assert_eq!(
        (patch.content_type.as_str(), &patch.body),
        ("application/merge-patch+json", &json!({}))
    );
}

#[tokio::test]
async fn a_node_that_is_not_seen_to_be_ours_is_not_proven_and_another_machines_is_left_alone() {
    let rest = || [plain(200, "{}"), pods(&json!({})), taken()];
    let mut nameless = node();
    nameless["spec"]["providerID"] = Value::Null;
    let said = only([says(200, &nameless)].into_iter().chain(rest())).await;
    assert_eq!(
        said,
        "identity is not proven: the node has no spec.providerID"
    );

    let wire = Wire::new([says(200, &node())].into_iter().chain(rest()));
    let unknown = wire.cluster().self_check("spot-0").check(None).await;
    assert_eq!(
        unknown[4].to_string(),
        "identity is not proven: the instance that we run on is not known"
    );

    let mut other = node();
    other["spec"]["providerID"] = "aws:///us-east-1a/i-9".into();
    let said = found([says(200, &other)]).await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].contains("i-9") && said[0].contains("i-1"),
        "{said:?}"
    );
    assert_eq!(
        said[1],
        "quarantine is not proven: not tried: identity is broken"
    );
}

#[tokio::test]
async fn a_node_that_may_not_be_read_is_named_and_the_rest_is_still_tried() {
    let answers = [
        forbidden("nodes \"spot-0\" is forbidden: User \"u\" cannot get resource"),
        plain(200, "{}"),
        pods(&json!({})),
        taken(),
    ];
    let said = found(answers).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("identity is broken: not allowed to get nodes: 403 nodes"),
        "{said:?}"
    );
    assert!(said[0].ends_with("grant `get` on `nodes` to the handler's account"));
    assert!(
        said[1].starts_with("quarantine is not proven: the node cannot be read"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_node_that_does_not_exist_is_not_patched() {
    let missing = refusal(404, "NotFound", "nodes \"spot-0\" not found");
    let wire = Wire::new([says(404, &missing), no_pods(), reviewed(true)]);
    let found = Armed::new(jiff::Timestamp::UNIX_EPOCH, check(&wire).await);
    assert_eq!(wire.lines(), [GET, LIST, REVIEW]);
    let broken: Vec<Link> = found.broken().map(|f| f.link).collect();
    assert_eq!(broken, [Link::Identity]);
}

#[tokio::test]
async fn what_is_no_usable_answer_from_an_api_server_ends_the_check() {
    let not_found = "404 page not found";
    let table = [
        (
            says(401, &refusal(401, "Unauthorized", "Unauthorized")),
            "credentials",
        ),
        (
            forbidden("User \"system:anonymous\" cannot get resource"),
            "credentials",
        ),
        (plain(503, "no backend"), "connection"),
        (
            says(500, &refusal(500, "InternalError", "etcd")),
            "connection",
        ),
        (plain(404, not_found), "connection"),
        (plain(302, ""), "connection"),
        (plain(200, "<html>"), "connection"),
        (plain(200, "{}"), "connection"),
        (cut_short(200), "connection"),
        (Answer::Breaks, "connection"),
    ];
    for (answer, link) in table {
        let said = found([answer]).await;
        let broken: Vec<&String> = said.iter().filter(|s| s.contains(" is broken: ")).collect();
        assert_eq!(broken.len(), 1, "{said:?}");
        assert!(
            broken[0].starts_with(&format!("{link} is broken: ")),
            "{said:?}"
        );
        let last = format!("eviction is not proven: not tried: {link} is broken");
        assert_eq!(said.last(), Some(&last));
    }
    let busy = found([plain(429, "slow down")]).await;
    assert_eq!(busy.len(), 4);
    assert!(
        busy.iter()
            .all(|s| s.contains("not proven: not tried: the API server is too busy"))
    );
}

#[tokio::test]
async fn each_answer_to_the_patch_is_what_it_would_be_to_the_quarantine() {
    let of = async |answer| only([says(200, &node()), answer, pods(&json!({})), taken()]).await;
    let broken = "quarantine is broken: ";
    let unproven = "quarantine is not proven: ";

    let said = of(forbidden("User \"u\" cannot patch resource \"nodes\"")).await;
    assert!(
        said.starts_with(&format!("{broken}not allowed to patch nodes: 403 User")),
        "{said}"
    );
    assert!(said.contains("grant `patch` on `nodes`"), "{said}");

    let mut policy = refusal(
        422,
        "Invalid",
        "ValidatingAdmissionPolicy 'p' denied request: no",
    );
    policy["details"] = json!({"name": "spot-0", "kind": "nodes"});
    assert!(of(says(422, &policy)).await.starts_with(broken));
    let mut race = refusal(
        422,
        "Invalid",
        "the server rejected our request due to an error",
    );
    race["details"] = json!({});
    assert!(of(says(422, &race)).await.starts_with(unproven));
    assert!(
        of(says(409, &refusal(409, "Conflict", "modified")))
            .await
            .starts_with(unproven)
    );

    let hook = "admission webhook \"w.example\" does not support dry run";
    let said = of(says(400, &refusal(400, "BadRequest", hook))).await;
    assert_eq!(said, format!("{unproven}400 {hook}"));
    let denied = "admission webhook \"w.example\" denied the request: no";
    assert!(
        of(says(400, &refusal(400, "BadRequest", denied)))
            .await
            .starts_with(broken)
    );
    let fails = "Internal error occurred: failed calling webhook \"w.example\"";
    let said = of(says(500, &refusal(500, "InternalError", fails))).await;
    assert!(
        said.starts_with(broken) && said.contains("webhooks"),
        "{said}"
    );
    for busy in [429, 503, 504] {
        assert!(of(plain(busy, "busy")).await.starts_with(unproven));
    }
}

#[tokio::test]
async fn each_answer_to_the_eviction_is_judged_by_what_it_shows_of_our_rights() {
    let first = || {
        [
            says(200, &node()),
            says(200, &json!({"kind": "Status"})),
            pods(&json!({})),
        ]
    };
    let of = async |answer| found(first().into_iter().chain([answer])).await;
    let mut budget = refusal(429, "TooManyRequests", "Cannot evict pod");
    budget["details"] = json!({"causes": [{"reason": "DisruptionBudget", "message": "full"}]});
    let mut going = refusal(403, "Forbidden", "is being terminated");
    going["details"] = json!({"causes": [{"reason": "NamespaceTerminating"}]});
    let two =
        json!({"kind": "Status", "message": "This pod has more than one PodDisruptionBudget"});
    let behind = [
        says(200, &json!({"kind": "Status"})),
        says(429, &budget),
        says(403, &going),
        says(500, &two),
        says(404, &refusal(404, "NotFound", "pods \"web\" not found")),
        says(
            409,
            &refusal(409, "Conflict", "the UID in the precondition"),
        ),
    ];
    for answer in behind {
        assert_eq!(of(answer).await, [] as [String; 0]);
    }
    // A 403 is a missing right, or a policy about this pod: a review tells.
    let refused = || forbidden("cannot create resource \"pods/eviction\"");
    let then = async |review| found(first().into_iter().chain([refused(), review])).await;
    let said = then(reviewed(true)).await.remove(0);
    assert!(
        said.starts_with("eviction is not proven: the eviction of shop/web was refused: 403"),
        "{said}"
    );
    let unclear = then(plain(503, "")).await.remove(0);
    let said = then(reviewed(false)).await.remove(0);
    assert_eq!(said, unclear);
    assert!(
        said.starts_with("eviction is broken: not allowed to create pods/eviction"),
        "{said}"
    );
    assert!(said.ends_with("grant `create` on `pods/eviction` to the handler's account"));
    let fails = refusal(500, "InternalError", "failed calling webhook");
    assert!(of(says(500, &fails)).await[0].starts_with("eviction is broken: "));
    let about_one_pod = [
        plain(429, "too many requests"),
        // As a webhook denies that names a status and no reason.
        says(
            500,
            &json!({"kind": "Status", "code": 500, "message": "rolled by its operator"}),
        ),
        says(
            400,
            &refusal(
                400,
                "BadRequest",
                "admission webhook \"w\" does not support dry run",
            ),
        ),
        says(
            400,
            &refusal(
                400,
                "BadRequest",
                "admission webhook \"w\" denied the request",
            ),
        ),
        plain(503, "busy"),
    ];
    for answer in about_one_pod {
        let said = of(answer).await;
        assert!(said[0].starts_with("eviction is not proven: "), "{said:?}");
    }
}

#[tokio::test]
async fn without_a_pod_to_try_an_access_review_is_asked() {
    let mirror = || pods(&json!({"kubernetes.io/config.mirror": "x"}));
    for list in [no_pods, mirror] {
        let of = async |answer| found([says(200, &node()), plain(200, "{}"), list(), answer]).await;
        assert_eq!(of(reviewed(true)).await, [] as [String; 0]);
        let said = of(reviewed(false)).await.remove(0);
        assert!(
            said.starts_with("eviction is broken: not allowed to create"),
            "{said}"
        );
        for no_review in [forbidden("cannot create"), plain(503, ""), plain(201, "{}")] {
            let said = of(no_review).await.remove(0);
            assert!(said.starts_with("eviction is not proven: no pod"), "{said}");
        }
    }
}

#[tokio::test]
async fn pods_that_cannot_be_listed_are_no_proof_unless_it_is_not_allowed() {
    let of = async |list| only([says(200, &node()), plain(200, "{}"), list]).await;
    let said = of(forbidden("cannot list resource \"pods\"")).await;
    assert!(
        said.starts_with("eviction is broken: not allowed to list pods: 403"),
        "{said}"
    );
    for answer in [plain(500, ""), plain(200, "no JSON")] {
        assert!(of(answer).await.starts_with("eviction is not proven: "));
    }
}

#[tokio::test]
async fn a_token_or_a_connection_that_goes_in_between_is_found() {
    let unauthorized = || says(401, &refusal(401, "Unauthorized", "Unauthorized"));
    let said = found([says(200, &node()), unauthorized()]).await;
    assert!(
        said[0].starts_with("credentials is broken: 401"),
        "{said:?}"
    );
    assert_eq!(said.len(), 3);
    let said = found([says(200, &node()), plain(200, "{}"), Answer::Breaks]).await;
    assert!(said[0].starts_with("connection is broken: "), "{said:?}");
    assert_eq!(said.len(), 2, "the quarantine was proven: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_left_within_a_minute() {
    let before = |n: usize| {
        let answers = [says(200, &node()), plain(200, "{}"), pods(&json!({}))];
        answers.into_iter().take(n).chain([Answer::Never])
    };
    let table = [
        (
            before(0).collect::<Vec<_>>(),
            "connection is broken: no answer within 5 s",
        ),
        (
            before(1).chain([pods(&json!({})), taken()]).collect(),
            "quarantine is broken: no answer",
        ),
        (
            before(2).collect(),
            "eviction is not proven: the node's pods could not be listed: no",
        ),
        (before(3).collect(), "eviction is broken: no answer within"),
    ];
    for (answers, expected) in table {
        let start = Instant::now();
        let said = found(answers).await;
        assert!(said.iter().any(|s| s.starts_with(expected)), "{said:?}");
        assert!(start.elapsed() < Duration::from_secs(60));
    }
    let wire = Wire::new([says(200, &node()), Answer::Never, Answer::Never]);
    let start = Instant::now();
    check(&wire).await;
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_silence_is_told_from_a_name_that_leads_nowhere() {
    let cluster = |url: &str| Cluster::connect(Config::new(url.parse().unwrap())).unwrap();
    let nowhere = cluster("https://api.nowhere.invalid:6443");
    let said = nowhere.look_up().await.unwrap().unwrap_err();
    assert!(said.starts_with("\"api.nowhere.invalid\": "), "{said}");
    for address in ["https://127.0.0.1:1", "https://[::1]", "https://localhost"] {
        assert_eq!(cluster(address).look_up().await, Some(Ok(())), "{address}");
    }
    assert_eq!(Wire::default().cluster().look_up().await, None);
    let with_user = cluster("https://user:secret@127.0.0.1:1");
    assert_eq!(with_user.server().as_deref(), Some("127.0.0.1:1"));
}

const DETACH: &str = "PATCH /api/v1/namespaces/shop/pods/web?fieldManager=spot-interrupt-handler\
    &dryRun=All";

/// What is said of replacements, after all else holds.
async fn of_replacements(answers: impl IntoIterator<Item = Answer>) -> (Wire, String) {
    let node = says(200, &node());
    let rest = [node, plain(200, "{}"), pods(&json!({})), taken()];
    let wire = Wire::new(rest.into_iter().chain(answers));
    let check = wire.cluster().self_check("spot-0");
    let check = check.with_make_before_break(MakeBeforeBreak::Annotated);
    let found = check.check(Some(Instance::new("i-1"))).await;
    assert!(wire.state().answers.is_empty(), "all was asked: {found:?}");
    let links: Vec<Link> = found.iter().map(|f| f.link).collect();
    assert_eq!(links, Link::ALL[2..], "one finding about each");
    (wire, found[7].to_string())
}

#[tokio::test]
async fn where_replacements_are_made_first_each_right_is_asked_about_and_the_patch_is_tried() {
    let rights = [true; 4].map(reviewed);
    let answers = rights.into_iter().chain([plain(200, "{}")]);
    let (wire, said) = of_replacements(answers).await;
    assert_eq!(said, "replacement holds");
    assert_eq!(wire.lines()[4..], [REVIEW, REVIEW, REVIEW, REVIEW, DETACH]);
    let state = wire.state();
    let asked = state.asked[4..8].iter().map(|asked| {
        let right = &asked.body["spec"]["resourceAttributes"];
        assert_eq!(right["namespace"], "shop");
        let of = |field: &str| right[field].as_str().unwrap().to_owned();
        [of("verb"), of("group"), of("resource")].join(" ")
    });
    let asked: Vec<String> = asked.collect();
    let expected = [
        "patch  pods",
        "get apps replicasets",
        "watch apps replicasets",
        "get apps deployments",
    ];
    assert_eq!(asked, expected);
    let patch = &state.asked[8];
    assert_eq!(patch.content_type, "application/merge-patch+json");
    let metadata = &patch.body["metadata"];
    assert_eq!(metadata["uid"], "u");
    assert_eq!(metadata["labels"], json!({"pod-template-hash": null}));
    let annotations = metadata["annotations"].as_object().unwrap();
    let keys: Vec<&String> = annotations.keys().collect();
    assert_eq!(keys, ["spot-interrupt-handler/detached"]);
    // As a policy wants it: what is written begins with what is removed.
    let written = annotations["spot-interrupt-handler/detached"].as_str();
    assert!(
        written.unwrap().starts_with(r#"{"hash":"abc""#),
        "{written:?}"
    );
}

#[tokio::test]
async fn all_rights_that_make_before_break_lacks_are_named_and_nothing_is_tried_then() {
    let (_, said) = of_replacements([false, true, false, true].map(reviewed)).await;
    assert_eq!(
        said,
        "replacement is broken: not allowed to patch pods, watch replicasets; grant `patch` on \
         `pods`, `watch` on `replicasets` to the handler's account, or switch \
         --make-before-break off"
    );
}

#[tokio::test]
async fn what_a_policy_refuses_of_one_pods_label_proves_nothing_of_others() {
    let refused = says(
        422,
        &refusal(422, "Invalid", "pods \"web\" is forbidden: no"),
    );
    let rights = [true; 4].map(reviewed);
    let (_, said) = of_replacements(rights.into_iter().chain([refused])).await;
    assert_eq!(
        said,
        "replacement is not proven: the patch of shop/web was refused: 422 pods \"web\" is \
         forbidden: no"
    );
}

#[tokio::test]
async fn a_review_that_is_not_answered_leaves_replacements_unproven() {
    let busy = says(429, &refusal(429, "TooManyRequests", "later"));
    let answers = [reviewed(true), busy, reviewed(true), reviewed(true)];
    let answers = answers.into_iter().chain([plain(200, "{}")]);
    let (_, said) = of_replacements(answers).await;
    assert_eq!(
        said,
        "replacement is not proven: no access review: 429 later"
    );
    // What is missing counts more.
    let busy = says(429, &refusal(429, "TooManyRequests", "later"));
    let answers = [busy, reviewed(false), reviewed(true), reviewed(true)];
    let (_, said) = of_replacements(answers).await;
    assert!(
        said.starts_with("replacement is broken: not allowed to get replicasets"),
        "{said}"
    );
}
