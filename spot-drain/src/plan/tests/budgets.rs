//! Pods that a budget holds, and those that it does not.

use super::*;

fn of_one_owner(count: usize) -> impl Iterator<Item = PodFacts> {
    (0..count).map(|n| owned(&format!("blocked{n}"), "ReplicaSet", "rs"))
}

/// Refuses pods whose name begins with `blocked`, by one budget.
fn holds_blocked(effect: &Effect, _: Duration) -> Vec<(Duration, Input)> {
    match effect {
        Effect::Evict(call) if call.name.starts_with("blocked") => replies(call, closed("b")),
        Effect::Evict(call) | Effect::Delete(call) => accepts(call),
        _ => Vec::new(),
    }
}

#[test]
fn ten_blocked_pods_hold_up_none_of_ten_free_ones() {
    let free = (0..10).map(|n| owned(&format!("free{n}"), "ReplicaSet", "rs-free"));
    let (mut bench, _) = Bench::of(of_one_owner(10).chain(free));
    bench.run(secs(120), holds_blocked);
    let free = bench.evictions("free");
    assert_eq!(free.len(), 10);
    // Five rounds of 20 ms: 1, 2, 4, 8, …
    assert!(
        free[0] == Duration::ZERO && free[9] <= millis(100),
        "{free:?}"
    );
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    assert_eq!(bench.plan.report(bench.now).tally().get("gone"), Some(&10));
}

#[test]
fn a_closed_budget_is_asked_fewer_than_thirty_times_in_two_minutes_by_one_pod_at_a_time() {
    let (mut bench, _) = Bench::of(of_one_owner(10));
    bench.run(secs(120), holds_blocked);
    let tries = bench.evictions("blocked");
    assert!((20..30).contains(&tries.len()), "{tries:?}");
    let pauses = gaps(&tries);
    assert!(
        pauses.iter().all(|p| (secs(1)..millis(5_600)).contains(p)),
        "{tries:?}"
    );
}

#[test]
fn pods_without_an_owner_share_a_probe_once_they_are_known_to_share_a_budget() {
    let pods = (0..10).map(|n| PodFacts {
        owner: None,
        ..pod(&format!("blocked{n}"))
    });
    let (mut bench, _) = Bench::of(pods);
    bench.run(secs(120), holds_blocked);
    let tries = bench.evictions("blocked");
    assert!(tries.len() < 40, "{tries:?}");
    assert!(
        gaps(&tries[10..]).iter().all(|p| *p >= secs(1)),
        "{tries:?}"
    );
}

#[test]
fn closed_budgets_do_not_wait_for_each_other() {
    let other = (0..3).map(|n| owned(&format!("other{n}"), "ReplicaSet", "rs-2"));
    let (mut bench, effects) = Bench::of(of_one_owner(3).chain(other));
    assert_eq!(evicted(&effects), ["blocked0", "other0"]);
    bench.answer("blocked0", closed("b"));
    bench.answer("other0", closed("c"));
    let effects = bench.wake_at(secs(2));
    assert_eq!(evicted(&effects), ["blocked1", "other1"]);
}

#[test]
fn a_budget_that_opens_lets_its_pods_go_one_after_the_other() {
    let (mut bench, _) = Bench::of(of_one_owner(4));
    bench.run(secs(120), |effect, at| match effect {
        Effect::Evict(call) if at < secs(20) => replies(call, closed("b")),
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    let open: Vec<_> = bench
        .evictions("blocked")
        .into_iter()
        .filter(|t| *t >= secs(20))
        .collect();
    assert_eq!(open.len(), 4);
    assert!(open[0] <= millis(25_500), "{open:?}");
    assert!(gaps(&open).iter().all(|g| *g == millis(20)), "{open:?}");
}

#[test]
fn pods_of_one_owner_under_different_budgets_are_all_asked_again() {
    let (mut bench, _) = Bench::of(of_one_owner(8));
    // Each pod has a budget of its own, and all stay closed after the first acceptance.
    bench.run(secs(60), |effect, _| match effect {
        Effect::Evict(call) if call.name == "blocked0" => accepts(call),
        Effect::Evict(call) => replies(call, closed(&format!("budget-of-{}", call.name))),
        _ => Vec::new(),
    });
    for n in 1..8 {
        let tries = bench.evictions(&format!("blocked{n}"));
        assert!(tries.len() >= 5, "blocked{n}: {tries:?}");
    }
}

#[test]
fn a_pod_that_a_budget_holds_does_not_keep_its_owners_free_pods() {
    // A database: its primary has a budget of its own, its replicas have none.
    let primary = of_one_owner(1);
    let replicas = (0..4).map(|n| owned(&format!("free{n}"), "ReplicaSet", "rs"));
    let (mut bench, _) = Bench::of(primary.chain(replicas));
    bench.run(secs(120), holds_blocked);
    let free = bench.evictions("free");
    assert_eq!(free.len(), 4, "{free:?}");
    assert!(free[3] < secs(5), "{free:?}");
}

#[test]
fn nodes_do_not_ask_the_same_budget_in_step() {
    let probe = |name: &str| {
        let (mut bench, _) = Bench::of([pod(name)]);
        bench.answer(name, closed("b"));
        bench.wake_at(secs(1));
        bench.next_wake()
    };
    assert_eq!(probe("a"), probe("a"), "it replays");
    let probes: BTreeSet<_> = ["a", "b", "c", "d"].map(probe).into();
    assert!(probes.len() > 1, "{probes:?}");
}

#[test]
fn a_stale_budget_is_asked_again_within_three_seconds_or_a_quarter_of_what_is_left() {
    let stale = || {
        Reply::BudgetClosed(Refusal {
            budget: Some("b".into()),
            stale: true,
            words: "still being processed".into(),
        })
    };
    for (at, longest) in [(0, 3_000), (107, 2_000)] {
        let (mut bench, _) = Bench::of([pod("a")]);
        bench.now = bench.start + secs(at);
        bench.answer("a", stale());
        bench.now += secs(1);
        let wait = bench.next_wake().abs_diff(secs(at));
        // A tenth is jitter.
        assert!(
            wait >= millis(longest) && wait <= millis(longest) * 11 / 10,
            "{wait:?}"
        );
    }
}

#[test]
fn a_blocked_pod_is_reported_with_its_budget() {
    let (mut bench, _) = Bench::of(of_one_owner(1));
    bench.run(secs(120), holds_blocked);
    let budget = Some("b".to_owned());
    let words = "no room".to_owned();
    assert_eq!(
        bench.became("blocked0"),
        PodOutcome::Blocked { budget, words }
    );
}

#[test]
fn respect_never_deletes() {
    let (mut bench, _) = Bench::of(of_one_owner(5));
    bench.run(secs(200), holds_blocked);
    assert_eq!(bench.deletions(), []);
    assert_eq!(bench.now, bench.start + secs(115));
}

#[test]
fn delete_at_deletes_what_is_held_when_its_grace_begins_to_run_out() {
    for (own, configured, at) in [(20, 30, 95), (600, 30, 85), (30, 10, 105)] {
        let mut bench = Bench::new(delete_at(configured), 120);
        bench.list([graced("blocked", own)]);
        bench.run(secs(200), holds_blocked);
        let deletions = bench.deletions();
        assert_eq!(deletions.len(), 1, "own {own} configured {configured}");
        assert_eq!(
            deletions[0].0,
            secs(at),
            "own {own} configured {configured}"
        );
        assert_eq!(deletions[0].1.pod, uid("blocked"));
        assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
        assert!(bench.plan.report(bench.now).pods[0].deleted);
    }
}

#[test]
fn delete_at_trims_the_grace_of_what_it_deletes() {
    let mut bench = Bench::new(delete_at(30), 120);
    bench.list([graced("blocked", 600)]);
    bench.run(secs(200), holds_blocked);
    assert_eq!(bench.deletions()[0].1.grace, Some(25));
}

#[test]
fn delete_at_evicts_what_no_budget_has_held_even_where_little_time_is_left() {
    let mut bench = Bench::new(delete_at(30), 30);
    bench.list((0..6).map(|n| owned(&format!("free{n}"), "ReplicaSet", "rs")));
    bench.run(secs(30), holds_blocked);
    assert_eq!(bench.deletions(), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn delete_at_deletes_at_once_what_is_refused_when_its_time_has_come() {
    let mut bench = Bench::new(delete_at(30), 30);
    bench.list(of_one_owner(6));
    bench.run(secs(30), holds_blocked);
    let deletions = bench.deletions();
    assert_eq!(deletions.len(), 6);
    assert!(
        deletions.iter().all(|(at, _)| *at < secs(1)),
        "{deletions:?}"
    );
}

#[test]
fn a_deletion_that_is_forbidden_is_not_tried_again() {
    let mut bench = Bench::new(delete_at(30), 120);
    bench.list(of_one_owner(1));
    bench.run(secs(200), |effect, _| match effect {
        Effect::Evict(call) => replies(call, closed("b")),
        Effect::Delete(call) => replies(call, forbidden()),
        _ => Vec::new(),
    });
    assert_eq!(bench.deletions().len(), 1);
    assert!(bench.evictions("blocked").iter().any(|t| *t > secs(86)));
}

#[test]
fn a_deletion_without_a_clear_answer_is_tried_again_with_pauses() {
    let refusals = [
        (unclear(), 12..30),
        (
            Reply::Denied {
                status: 400,
                words: "no".into(),
            },
            5..9,
        ),
    ];
    for (reply, tries) in refusals {
        let mut bench = Bench::new(delete_at(30), 120);
        bench.list(of_one_owner(1));
        bench.run(secs(200), |effect, _| match effect {
            Effect::Evict(call) => replies(call, closed("b")),
            Effect::Delete(call) => replies(call, reply.clone()),
            _ => Vec::new(),
        });
        let deletions = bench.deletions().len();
        assert!(tries.contains(&deletions), "{reply:?}: {deletions}");
    }
}

/// A budget `name` over pods labelled `app: name`, and a pod with that label.
fn budget(name: &str) -> BudgetFacts {
    budget_over(name, &format!(r#"{{"matchLabels": {{"app": "{name}"}}}}"#))
}

fn under(app: &str, name: &str) -> PodFacts {
    let mut pod = owned(name, "ReplicaSet", "one-owner");
    pod.labels.insert("app".into(), app.into());
    pod
}

#[test]
fn once_the_budgets_are_known_pods_under_none_go_at_once_and_others_one_at_a_time() {
    let names = |app: &str| (0..9).map(|n| format!("{app}-{n}")).collect::<Vec<_>>();
    let pods = ["web", "free"].map(|app| names(app).into_iter().map(move |n| under(app, &n)));
    let (mut bench, effects) = Bench::of(pods.into_iter().flatten());
    assert_eq!(evicted(&effects).len(), 1, "one owner, and nothing known");
    assert_eq!(
        bench
            .log
            .iter()
            .filter(|(_, e)| *e == Effect::ListBudgets)
            .count(),
        1
    );
    let first = evicted(&effects)[0].to_owned();

    let effects = bench.on(budgets(Budgets::Known(vec![budget("web")])));
    let free = evicted(&effects)
        .iter()
        .filter(|n| n.starts_with("free"))
        .count();
    let web = evicted(&effects)
        .iter()
        .filter(|n| n.starts_with("web"))
        .count();
    assert_eq!(free + usize::from(first.starts_with("free")), 9);
    assert_eq!(web + usize::from(first.starts_with("web")), 1);
}

#[test]
fn a_budget_that_is_younger_than_the_list_closes_its_own_lane_only() {
    let pods = (0..3)
        .map(|n| under("free", &format!("p{n}")))
        .chain([pod("other")]);
    let mut bench = Bench::new(Settings::default(), 120);
    bench.on(budgets(Budgets::Known(Vec::new())));
    let effects = bench.list(pods);
    assert_eq!(evicted(&effects).len(), 4, "nothing stands over them");
    let refusal = Refusal {
        budget: Some("new".into()),
        ..Refusal::default()
    };
    for n in 0..3 {
        assert_eq!(
            bench.answer(&format!("p{n}"), Reply::BudgetClosed(refusal.clone())),
            []
        );
    }
    // One of the three asks again, and nobody else.
    let effects = bench.wake_at(secs(2));
    assert_eq!(evicted(&effects).len(), 1);
}

#[test]
fn budgets_are_asked_for_where_there_is_more_than_one_pod_to_evict() {
    let asks = |bench: &Bench| bench.log.iter().any(|(_, e)| *e == Effect::ListBudgets);
    let (mut bench, _) = Bench::of([pod("a"), terminating(pod("goes"))]);
    assert!(!asks(&bench));
    bench.answer("a", unclear());
    bench.list([pod("a"), pod("b"), pod("c")]);
    assert!(asks(&bench));
}
