//! How fast calls go out, and a server that is away.

use super::*;

fn many(count: usize) -> Vec<PodFacts> {
    (0..count).map(|n| pod(&format!("p{n:03}"))).collect()
}

fn lost() -> Reply {
    Reply::Lost {
        what: "connection refused".into(),
    }
}

#[test]
fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
    let limits = Limits::default().with_rate(10, 5);
    let mut bench = Bench::new(Settings::default().with_limits(limits), 120);
    bench.list(many(15));
    bench.run(secs(60), |effect, _| match effect {
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    let calls = bench.evictions("p");
    assert_eq!(calls.iter().filter(|at| at.is_zero()).count(), 5);
    assert_eq!(calls.last(), Some(&secs(1)), "{calls:?}");
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_server_that_is_away_is_asked_once_a_second_and_by_all_when_it_is_back() {
    let (mut bench, _) = Bench::of(many(110));
    let back = secs(20);
    bench.run(secs(100), |effect, at| match effect {
        Effect::Evict(call) if at >= back => accepts(call),
        Effect::Evict(call) => replies(call, lost()),
        _ => Vec::new(),
    });
    let calls = bench.evictions("p");
    let away = calls.iter().filter(|at| **at < back).count();
    assert!(away < 64 + 25, "the first round, and one a second: {away}");
    assert!(calls.last() < Some(&secs(22)), "{calls:?}");
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_call_that_hangs_does_not_keep_the_next_from_finding_the_server_back() {
    let (mut bench, _) = Bench::of(many(2));
    bench.answer("p000", lost());
    // The other one hangs.
    assert_eq!(evicted(&bench.wake_at(millis(200))), ["p000"]);
    assert_eq!(bench.wake_at(secs(5)), []);
    bench.on(Input::Seen(pod("p999")));
    assert_eq!(
        evicted(&bench.wake_at(secs(6))),
        [""; 0],
        "it was heard of, and all are asked"
    );
}

#[test]
fn what_the_watch_says_shows_that_the_server_is_back() {
    let (mut bench, _) = Bench::of(many(3));
    for name in ["p000", "p001", "p002"] {
        bench.answer(name, lost());
    }
    assert_eq!(evicted(&bench.wake_at(millis(200))).len(), 1);
    let effects = bench.on(Input::Seen(pod("p003")));
    assert_eq!(evicted(&effects).len(), 3);
}

#[test]
fn pods_that_cannot_be_seen_at_the_end_are_named_in_the_report() {
    let (mut bench, _) = Bench::of(many(1));
    let unseen = || Input::Unseen("connection refused".into());
    bench.on(unseen());
    let text = |bench: &Bench| bench.plan.report(bench.now).to_string();
    assert!(text(&bench).contains("could not be seen at the end (connection refused)"));
    bench.list(many(1));
    assert!(!text(&bench).contains("could not be seen"));
}

#[test]
fn what_is_set_is_what_is_used() {
    let settings = Settings::default()
        .with_budgets(BudgetPolicy::DeleteAt { grace: secs(7) })
        .with_ourselves("kube-system", "handler")
        .with_longest(secs(11))
        .with_detach(secs(13))
        .with_dry_run(true);
    let ourselves = Some(("kube-system".to_owned(), "handler".to_owned()));
    assert_eq!(settings.budgets, BudgetPolicy::DeleteAt { grace: secs(7) });
    assert_eq!(settings.ourselves, ourselves);
    let times = (settings.longest, settings.detach, settings.dry_run);
    assert_eq!(times, (secs(11), secs(13), true));
}
