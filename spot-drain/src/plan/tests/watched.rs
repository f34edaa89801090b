//! Budgets whose room is known, and watched where they hold a pod.

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(30);

fn under(app: &str, name: &str) -> PodFacts {
    let mut pod = owned(name, "ReplicaSet", "one-owner");
    pod.labels.insert("app".into(), app.into());
    pod.ready = true;
    pod
}

fn web(count: usize) -> Vec<PodFacts> {
    (0..count)
        .map(|n| under("web", &format!("web{n}")))
        .collect()
}

/// The budget `web` over the pods of that app, which allows so many disruptions.
fn allowing(allowed: u32) -> BudgetFacts {
    let mut budget = budget_over("web", r#"{"matchLabels": {"app": "web"}}"#);
    budget.allowed = Some(allowed);
    budget
}

fn seen(budget: BudgetFacts) -> Input {
    Learnt::Budget(budget).into()
}

fn watched() -> Input {
    let namespace = "shop".into();
    Learnt::BudgetsWatched { namespace }.into()
}

fn unwatched() -> Input {
    let (namespace, why) = ("shop".into(), "403 no".into());
    Learnt::BudgetsUnwatched { namespace, why }.into()
}

fn knowing(allowed: u32, pods: Vec<PodFacts>) -> (Bench, Vec<Effect>) {
    let mut bench = Bench::new(Settings::default(), 120);
    bench.on(budgets(Budgets::Known(vec![allowing(allowed)])));
    let effects = bench.list(pods);
    (bench, effects)
}

fn watches(bench: &Bench) -> usize {
    let watch = |e: &Effect| matches!(e, Effect::WatchBudgets { namespace } if namespace == "shop");
    bench.log.iter().filter(|(_, e)| watch(e)).count()
}

/// One refused pod under a watched budget, at the start.
fn held(count: usize) -> Bench {
    let (mut bench, _) = knowing(0, web(count));
    bench.answer("web0", closed("web"));
    bench.on(watched());
    bench.on(seen(allowing(0)));
    bench
}

#[test]
fn the_first_round_is_no_larger_than_what_the_budget_allows() {
    let (mut bench, _) = knowing(3, web(6));
    bench.run(millis(900), |effect, _| match effect {
        Effect::Evict(call) => replies(call, Reply::Accepted),
        _ => Vec::new(),
    });
    assert_eq!(bench.evictions("web").len(), 3);
    assert_eq!(watches(&bench), 1);
    let PodOutcome::Blocked { budget, .. } = bench.became("web5") else {
        panic!("{:?}", bench.became("web5"));
    };
    assert_eq!(budget.as_deref(), Some("web"));
}

#[test]
fn a_budget_that_is_seen_to_allow_nothing_is_asked_once_for_its_words() {
    let (mut bench, effects) = knowing(0, web(3));
    assert_eq!(evicted(&effects), ["web0"]);
    assert_eq!(bench.answer("web0", closed("web")), []);
    assert_eq!(watches(&bench), 1);
}

#[test]
fn budgets_that_hold_nothing_back_are_not_watched() {
    let (mut bench, _) = knowing(6, web(6));
    bench.run(secs(10), |effect, _| match effect {
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert_eq!(watches(&bench), 0);
}

#[test]
fn a_budget_that_is_seen_to_open_is_used_at_once() {
    let mut bench = held(3);
    assert_eq!(bench.wake_at(secs(20)), []);
    assert_eq!(evicted(&bench.on(seen(allowing(1)))), ["web1"]);
    bench.now += millis(5);
    let accepted = bench.answer("web1", Reply::Accepted);
    assert_eq!(evicted(&accepted), [""; 0], "its room is used up");
    bench.now += secs(2);
    assert_eq!(evicted(&bench.on(seen(allowing(0)))), [""; 0]);
    assert_eq!(evicted(&bench.on(seen(allowing(2)))), ["web2"]);
}

#[test]
fn a_watched_budget_is_asked_every_half_minute_all_the_same() {
    let mut bench = held(3);
    bench.run(secs(114), |effect, _| match effect {
        Effect::Evict(call) => replies(call, closed("web")),
        _ => Vec::new(),
    });
    let tries = bench.evictions("web");
    assert!((4..=5).contains(&tries.len()), "{tries:?}");
    assert!(gaps(&tries).iter().all(|g| *g >= HEARTBEAT), "{tries:?}");
}

#[test]
fn without_a_watch_a_budget_is_asked_every_few_seconds_and_the_report_says_why() {
    let mut bench = held(3);
    bench.on(unwatched());
    bench.run(secs(114), |effect, _| match effect {
        Effect::Evict(call) => replies(call, closed("web")),
        _ => Vec::new(),
    });
    let tries = bench.evictions("web").len();
    assert!((20..30).contains(&tries), "{tries}");
    let report = bench.plan.report(bench.now).to_string();
    assert!(
        report.contains("budgets of shop could not be watched") && report.contains("403 no"),
        "{report}"
    );
}

#[test]
fn a_budget_that_others_use_up_at_once_does_not_make_a_storm() {
    let mut bench = held(2);
    // Another node's pods take each disruption as soon as it is there.
    let mut tries = 0;
    for step in 1..200 {
        let allowed = step % 2;
        bench.now = bench.start + millis(20 * step);
        let effects = bench.on(seen(allowing(u32::try_from(allowed).unwrap())));
        tries += evicted(&effects).len();
        for name in evicted(&effects) {
            bench.answer(name, closed("web"));
        }
    }
    // Four seconds.
    assert!((5..=20).contains(&tries), "{tries}");
}

#[test]
fn an_acceptance_that_the_watch_knew_of_first_leaves_the_budget_closed() {
    let mut bench = held(3);
    bench.now += secs(5);
    assert_eq!(evicted(&bench.on(seen(allowing(1)))), ["web1"]);
    bench.now += millis(3);
    assert_eq!(bench.on(seen(allowing(0))), []);
    bench.now += millis(3);
    assert_eq!(bench.answer("web1", Reply::Accepted), []);
}

#[test]
fn an_acceptance_against_what_the_watch_says_opens_the_budget() {
    let mut bench = held(4);
    // The watch has said nothing for half a minute, and is wrong.
    let asked = evicted(&bench.wake_at(secs(34))).concat();
    assert_eq!(asked, "web1");
    bench.now += millis(5);
    assert_eq!(evicted(&bench.answer("web1", Reply::Accepted)), ["web2"]);
}

#[test]
fn a_budget_that_is_deleted_holds_nothing_any_more() {
    let mut bench = held(3);
    let (namespace, name) = ("shop".into(), "web".into());
    let effects = bench.on(Learnt::BudgetGone { namespace, name }.into());
    assert!(!evicted(&effects).is_empty(), "{effects:?}");
}

#[test]
fn a_budget_that_is_narrowed_lets_the_others_go() {
    let mut bench = held(3);
    let mut narrowed = budget_over("web", r#"{"matchLabels": {"app": "other"}}"#);
    narrowed.allowed = Some(0);
    let effects = bench.on(seen(narrowed));
    assert_eq!(evicted(&effects), ["web1", "web2"]);
}

#[test]
fn pods_that_serve_nobody_are_not_held_by_a_budget_that_exempts_them() {
    let unready = |name: &str| PodFacts {
        ready: false,
        ..under("web", name)
    };
    let pods = || vec![under("web", "ready"), unready("sick")];
    for (healthy, always, exempt) in [
        (false, false, false),
        (true, false, true),
        (false, true, true),
    ] {
        let mut budget = allowing(0);
        (budget.healthy, budget.unhealthy_always) = (healthy, always);
        let mut bench = Bench::new(Settings::default(), 120);
        bench.on(budgets(Budgets::Known(vec![budget])));
        let effects = bench.list(pods());
        let expected: &[&str] = if exempt {
            &["sick", "ready"]
        } else {
            &["sick"]
        };
        assert_eq!(
            evicted(&effects),
            expected,
            "healthy {healthy}, always {always}"
        );
    }
    // And where that comes true later.
    let mut bench = held(1);
    bench.list(web(1).into_iter().chain([unready("sick")]));
    let mut healthy = allowing(0);
    healthy.healthy = true;
    assert_eq!(evicted(&bench.on(seen(healthy))), ["sick"]);
}

#[test]
fn a_pod_that_has_not_started_asks_no_budget() {
    let mut bench = held(1);
    let pending = PodFacts {
        phase: Phase::Pending,
        ready: false,
        ..under("web", "pending")
    };
    assert_eq!(evicted(&bench.on(Input::Seen(pending))), ["pending"]);
}

#[test]
fn budgets_that_cannot_be_listed_are_named_in_the_report() {
    let (mut bench, _) = Bench::of(web(3));
    bench.on(budgets(Budgets::Unavailable("403 no".into())));
    let report = bench.plan.report(bench.now).to_string();
    assert!(
        report.contains("budgets unknown") && report.contains("403 no"),
        "{report}"
    );
}

#[test]
fn a_refusal_that_the_watch_has_overtaken_does_not_close_the_budget() {
    let mut bench = held(3);
    // Asked at the heartbeat; it opens after it refused, and the watch tells that first.
    let asked = evicted(&bench.wake_at(secs(34))).concat();
    assert_eq!(asked, "web1");
    bench.now += millis(20);
    assert_eq!(evicted(&bench.on(seen(allowing(1)))), [""; 0]);
    bench.now += millis(5);
    bench.answer("web1", closed("web"));
    let next = bench.next_wake();
    assert!(next < secs(35), "{next:?}");
    assert_eq!(evicted(&bench.wake_at(next)).len(), 1);
}

#[test]
fn a_call_that_was_made_before_its_budget_was_known_counts_under_it() {
    let mut bench = Bench::new(Settings::default(), 120);
    assert_eq!(evicted(&bench.list(web(3))), ["web0"]);
    let known = bench.on(budgets(Budgets::Known(vec![allowing(3)])));
    assert_eq!(evicted(&known), [""; 0], "one at a time");
    assert_eq!(evicted(&bench.answer("web0", Reply::Accepted)), ["web1"]);
}

#[test]
fn a_refusal_that_names_no_budget_is_told_with_the_one_that_selects_the_pod() {
    let (mut bench, _) = knowing(1, web(1));
    let nameless = crate::reply::Refusal {
        budget: None,
        stale: false,
        words: "Cannot evict pod".into(),
    };
    bench.answer("web0", Reply::BudgetClosed(nameless));
    let outcome = bench.became("web0").to_string();
    assert!(outcome.contains("PodDisruptionBudget web"), "{outcome}");
}
