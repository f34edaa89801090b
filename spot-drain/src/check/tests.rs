use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::budget::BudgetFacts;
use crate::plan::BudgetPolicy;
use crate::replacement::DeploymentFacts;
use crate::reply::Refusal;

fn host(name: &str, life_cycle: &str, cpu: &str) -> Host {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"lifecycle": life_cycle}},
        "status": {"allocatable": {"cpu": cpu, "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

/// A ready pod of a workload, with whatever else its spec says.
fn pod(workload: &str, name: &str, node: &str, spec: &Value) -> SurveyedPod {
    let mut pod = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": name,
            "labels": {"app": workload, "pod-template-hash": "5d8f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{workload}-5d8f"),
                "uid": workload, "controller": true}]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    SurveyedPod {
        facts: serde_json::from_value(pod.clone()).unwrap(),
        demand: serde_json::from_value(pod).unwrap(),
    }
}

fn budget(app: &str, allowed: u32) -> BudgetFacts {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": app, "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": allowed},
    }))
    .unwrap()
}

fn survey(pods: Vec<SurveyedPod>, budgets: Vec<BudgetFacts>) -> Survey {
    Survey {
        nodes: vec![
            host("spot-1", "Ec2Spot", "4"),
            host("other", "OnDemand", "4"),
        ],
        pods,
        budgets: Budgets::Known(budgets),
        daemon_sets: DaemonSets::Exist(BTreeSet::new()),
        tried: BTreeMap::new(),
        deployments: Deployments::Unknown,
    }
}

fn found(survey: &Survey, settings: &CheckSettings) -> Vec<String> {
    let checked = check(survey, settings, Instant::now());
    let line = |f: &Finding| format!("{} {}: {f}", f.severity.as_str(), f.subject());
    checked.findings.iter().map(line).collect()
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"resources": {"requests": {"cpu": amount}}}]})
}

#[test]
fn a_replica_of_an_older_revision_elsewhere_is_a_replica() {
    let here = pod("web", "web-1", "spot-1", &json!({}));
    let mut older = pod("web", "web-2", "other", &json!({}));
    let hash = older.facts.labels.get_mut("pod-template-hash").unwrap();
    *hash = "77aa".into();
    let owner = older.facts.owner.as_mut().unwrap();
    owner.name = "web-77aa".into();
    let settings = CheckSettings::default();
    assert!(
        found(
            &survey(vec![here.clone(), older.clone()], Vec::new()),
            &settings
        )
        .is_empty()
    );
    older.facts.ready = false;
    let all = survey(vec![here.clone(), older], Vec::new());
    let sole = "warning shop/web-1: the only ready replica of Deployment/web";
    assert_eq!(found(&all, &settings), [sole]);
    let mut job = here;
    job.facts.owner.as_mut().unwrap().kind = "Job".into();
    assert!(found(&survey(vec![job], Vec::new()), &settings).is_empty());
}

#[test]
fn pods_that_fit_alone_and_not_together_are_told_apart_from_those_that_never_fit() {
    let spread = |app: &str, amount: &str| {
        let replica = format!("{app}-2");
        let mut elsewhere = pod(app, &replica, "other", &json!({}));
        elsewhere.demand = Demand::default();
        [pod(app, app, "spot-1", &cpu(amount)), elsewhere]
    };
    let pods = [spread("a", "3"), spread("b", "2"), spread("c", "5")].concat();
    let expected = [
        "problem shop/c: no room on 1 other nodes: 1 without enough cpu",
        "warning shop/b: other nodes may have too little room for all pods of the node",
    ];
    let all = survey(pods, Vec::new());
    assert_eq!(found(&all, &CheckSettings::default()), expected);
}

#[test]
fn the_api_servers_answer_counts_more_than_what_a_budget_was_seen_to_allow() {
    let pods = vec![
        pod("web", "web-1", "spot-1", &json!({})),
        pod("web", "web-2", "other", &json!({})),
    ];
    let mut all = survey(pods, vec![budget("web", 0)]);
    let settings = CheckSettings::default();
    let closed = "shop/web-1: PodDisruptionBudget web allows no disruption";
    assert_eq!(found(&all, &settings), [format!("problem {closed}")]);
    let delete_at = BudgetPolicy::DeleteAt {
        grace: Duration::from_secs(30),
    };
    let late = settings
        .clone()
        .with_drain(Settings::default().with_budgets(delete_at));
    assert_eq!(found(&all, &late), [format!("warning {closed}")]);

    let uid = all.pods[0].facts.uid.clone();
    all.tried.insert(uid.clone(), Reply::Accepted);
    assert!(found(&all, &settings).is_empty());
    let refusal = Refusal {
        words: "needs 2".into(),
        ..Refusal::default()
    };
    all.tried.insert(uid.clone(), Reply::BudgetClosed(refusal));
    assert_eq!(
        found(&all, &settings),
        [format!("problem {closed} (needs 2)")]
    );
    let words = "no".to_owned();
    all.tried
        .insert(uid.clone(), Reply::Denied { status: 403, words });
    let denied = "problem shop/web-1: its eviction is denied with 403 (no)";
    assert_eq!(found(&all, &settings), [denied]);
    let what = "no answer".to_owned();
    all.tried.insert(uid, Reply::Lost { what });
    let checked = check(&all, &settings, Instant::now());
    assert_eq!(checked.nodes[0].enough, Verdict::Unknown);
}

#[test]
fn dry_runs_are_asked_of_what_a_drain_would_evict_with_its_graces() {
    let mut skipped = pod("web", "web-2", "spot-1", &json!({}));
    skipped.facts.wish = Some("skip".into());
    let pods = vec![
        pod(
            "web",
            "web-1",
            "spot-1",
            &json!({"terminationGracePeriodSeconds": 600}),
        ),
        skipped,
        pod("web", "web-3", "other", &json!({})),
    ];
    let calls = evictions(
        &survey(pods, Vec::new()),
        &CheckSettings::default(),
        Instant::now(),
    );
    let brief: Vec<_> = calls
        .iter()
        .map(|c| (c.name.as_str(), c.grace, c.dry_run))
        .collect();
    assert_eq!(brief, [("web-1", Some(110), true)]);
}

#[test]
fn verdicts_are_of_the_findings_that_are_kept() {
    let long = json!({"terminationGracePeriodSeconds": 600});
    let mut all = survey(
        vec![
            pod("web", "web-1", "spot-1", &long),
            pod("web", "web-2", "other", &json!({})),
        ],
        Vec::new(),
    );
    let verdict = |all: &Survey, keep: fn(&Finding) -> bool| {
        let mut checked = check(all, &CheckSettings::default(), Instant::now());
        checked.retain(keep);
        checked.nodes[0].enough
    };
    let not_grace = |f: &Finding| f.reason.kind() != ReasonKind::Grace;
    assert_eq!(verdict(&all, |_| true), Verdict::No);
    assert_eq!(verdict(&all, not_grace), Verdict::Yes);
    // What is not known stays unknown, whatever is shown.
    all.budgets = Budgets::Unknown;
    assert_eq!(verdict(&all, not_grace), Verdict::Unknown);
}

#[test]
fn a_finding_says_as_json_where_what_and_what_helps() {
    let pods = vec![
        pod(
            "web",
            "web-1",
            "spot-1",
            &json!({"terminationGracePeriodSeconds": 600}),
        ),
        pod("web", "web-2", "other", &json!({})),
    ];
    let checked = check(
        &survey(pods, Vec::new()),
        &CheckSettings::default(),
        Instant::now(),
    );
    let mut json = serde_json::to_value(checked).unwrap();
    assert!(
        !json["findings"][0]["remedy"]
            .take()
            .as_str()
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        json,
        json!({
            "notice_seconds": 120.0, "longest_grace_seconds": 110,
            "spot_label": {"key": "lifecycle", "value": "Ec2Spot"},
            "nodes": [{"name": "spot-1", "enough": "no", "evicted": 1}],
            "findings": [{"severity": "problem", "node": "spot-1", "namespace": "shop",
                "pod": "web-1", "reason": "grace", "own_seconds": 600, "given_seconds": 110,
                "message": "its grace of 600 s is cut to 110 s", "remedy": null}],
            "unknown": [],
        })
    );
}

proptest! {
    /// A pod is said to be cut short exactly where the drain's own window cuts it, and held where
    /// its budget holds it.
    #[test]
    fn a_check_never_disagrees_with_the_drains_own_rules(
        notice in 0u64..400, grace in 0u64..800, allowed in 0u32..3, ready: bool, pending: bool,
        terminating: bool, wish in prop::sample::select(vec![None, Some("skip"), Some("last")]),
    ) {
        let now = Instant::now();
        let spec = json!({"terminationGracePeriodSeconds": grace});
        let mut here = pod("web", "web-1", "spot-1", &spec);
        here.facts.ready = ready;
        here.facts.wish = wish.map(Into::into);
        here.facts.terminating = terminating.then_some(Duration::from_secs(grace));
        if pending {
            here.facts.phase = Phase::Pending;
        }
        let budget = budget("web", allowed);
        let facts = here.facts.clone();
        let pods = vec![here, pod("web", "web-2", "other", &json!({}))];
        let all = survey(pods, vec![budget.clone()]);
        let settings = CheckSettings::default().with_notice(Duration::from_secs(notice));
        let checked = check(&all, &settings, now);
        let has = |name: &str| checked.findings.iter().any(|f| f.reason.as_str() == name);
        let evicted = matches!(settings.class(&facts, &all.daemon_sets), Class::Evict(_));
        let cut = Window::new(now, now + settings.notice).trimmed(facts.grace, now).is_some();
        prop_assert_eq!(checked.nodes[0].evicted, usize::from(evicted));
        prop_assert_eq!(has("grace"), evicted && cut);
        prop_assert_eq!(has("budget-closed"), evicted && allowed == 0 && !budget.exempts(&facts));
        prop_assert_eq!(checked.nodes[0].enough == Verdict::No, has("grace") || has("budget-closed"));
        prop_assert_eq!(evictions(&all, &settings, now).len(), usize::from(evicted));
    }
}

#[test]
fn where_replacements_are_made_first_it_is_told_whose_are_and_why_not() {
    let pods = vec![
        pod("one", "one", "spot-1", &json!({})),
        pod("guarded", "guarded", "spot-1", &json!({})),
        pod("recreate", "recreate", "spot-1", &json!({})),
        pod("sick", "sick", "spot-1", &json!({})),
        pod(
            "slow",
            "slow",
            "spot-1",
            &json!({"terminationGracePeriodSeconds": 108}),
        ),
    ];
    let mut closed = budget("guarded", 0);
    closed.healthy = true;
    // One that one more pod would not open.
    let mut all = survey(pods, vec![closed, budget("sick", 0)]);
    let rolls = DeploymentFacts {
        rolls: true,
        surge: 1,
        rolled_out: true,
        going: false,
    };
    let recreates = DeploymentFacts {
        rolls: false,
        ..rolls
    };
    let named = |name: &str, facts| (("shop".to_owned(), name.to_owned()), facts);
    let all_roll = ["one", "guarded", "sick", "slow"].map(|name| named(name, rolls));
    let known = all_roll.into_iter().chain([named("recreate", recreates)]);
    all.deployments = Deployments::Known(known.collect());
    let switched_on = Settings::default().with_make_before_break(MakeBeforeBreak::On);
    let settings = CheckSettings::default().with_drain(switched_on);
    let expected = [
        "problem shop/sick: PodDisruptionBudget sick allows no disruption",
        "warning shop/recreate: the only ready replica of Deployment/recreate",
        "warning shop/slow: the only ready replica of Deployment/slow",
        "note shop/guarded: its replacement is made first",
        "note shop/one: its replacement is made first",
        "note shop/recreate: no replacement is made first: its Deployment's strategy is not RollingUpdate",
        "note shop/sick: its replacement is made first",
        "note shop/slow: no replacement is made first: its grace leaves no time to wait",
    ];
    assert_eq!(found(&all, &settings), expected);
    // Without the Deployments nothing is said of it, and that is said.
    all.deployments = Deployments::Unknown;
    let checked = check(&all, &settings, Instant::now());
    assert_eq!(checked.unknown, ["Deployments"]);
}
