//! What is in a call, how many are under way, and what ends a drain.

use super::*;

fn grace_on_the_call(effects: &[Effect]) -> Option<u32> {
    match effects {
        [Effect::Evict(call)] => call.grace,
        other => panic!("not one eviction: {other:?}"),
    }
}

#[test]
fn a_grace_that_does_not_fit_is_trimmed_to_what_is_left() {
    let (mut bench, effects) = Bench::of([graced("a", 600)]);
    assert_eq!(grace_on_the_call(&effects), Some(110));
    bench.answer("a", Reply::Accepted);
    let report = bench.plan.report(bench.now);
    assert_eq!(report.trimmed().count(), 1);
}

#[test]
fn a_grace_that_fits_is_not_sent() {
    for own in [5, 110] {
        let (_, effects) = Bench::of([graced("a", own)]);
        assert_eq!(grace_on_the_call(&effects), None, "own grace {own}");
    }
}

#[test]
fn a_grace_of_zero_is_never_sent() {
    let (_, effects) = Bench::of([graced("a", 0)]);
    assert_eq!(grace_on_the_call(&effects), None);
    let mut late = Bench::new(Settings::default(), 1);
    late.list([]);
    late.now = late.start + millis(1900);
    let effects = late.on(Input::Seen(graced("a", 600)));
    assert_eq!(grace_on_the_call(&effects), Some(1));
}

#[test]
fn a_grace_is_fitted_anew_at_each_try() {
    let (mut bench, _) = Bench::of([graced("a", 600)]);
    bench.now = bench.start + secs(50);
    bench.answer("a", unclear());
    let wake = bench.next_wake();
    let effects = bench.wake_at(wake);
    let left = secs(110).abs_diff(wake).as_secs();
    assert_eq!(grace_on_the_call(&effects).map(u64::from), Some(left));
}

#[test]
fn a_call_names_the_uid_that_was_observed() {
    let seen = PodFacts {
        uid: uid("u-7"),
        ..pod("a")
    };
    let (_, effects) = Bench::of([seen]);
    let expected = Call {
        pod: uid("u-7"),
        namespace: "shop".into(),
        name: "a".into(),
        grace: None,
        dry_run: false,
    };
    assert_eq!(effects, [Effect::Evict(expected)]);
}

#[test]
fn there_is_one_call_per_pod_at_a_time() {
    let (mut bench, effects) = Bench::of([pod("a")]);
    assert_eq!(evicted(&effects), ["a"]);
    assert_eq!(bench.on(Input::Seen(pod("a"))), []);
    assert_eq!(bench.list([pod("a")]), []);
    assert_eq!(bench.wake_at(secs(20)), []);
}

#[test]
fn no_more_calls_than_the_cap_are_under_way() {
    let cap = 8;
    let limits = Limits::default().with_in_flight(cap);
    let mut bench = Bench::new(Settings::default().with_limits(limits), 120);
    let names: Vec<String> = (0..cap + 24).map(|n| format!("p{n:02}")).collect();
    let effects = bench.list(names.iter().map(|n| pod(n)));
    assert_eq!(evicted(&effects).len(), cap);
    for n in 0..24 {
        let next = bench.answer(&names[n], Reply::Accepted);
        assert_eq!(evicted(&next), [names[n + cap].as_str()], "answer {n}");
    }
    assert_eq!(bench.answer(&names[24], Reply::Accepted), []);
}

#[test]
fn a_slow_server_has_fewer_calls_under_way_until_it_is_quick_again() {
    let names: Vec<String> = (0..200).map(|n| format!("p{n:03}")).collect();
    let (mut bench, effects) = Bench::of(names.iter().map(|n| pod(n)));
    assert_eq!(evicted(&effects).len(), 64);
    bench.now += secs(2);
    let mut answer = |name: &str| evicted(&bench.answer(name, Reply::Accepted)).len();
    for name in &names[..32] {
        assert_eq!(answer(name), 0, "{name}: 32 may be under way");
    }
    assert_eq!(answer(&names[32]), 1);
    bench.now += millis(100);
    assert_eq!(evicted(&bench.answer(&names[64], Reply::Accepted)).len(), 2);
}

#[test]
fn deletions_count_under_the_cap_too() {
    let mut settings = delete_at(30);
    settings.limits.in_flight = 3;
    let mut bench = Bench::new(settings, 120);
    bench.list((0..10).map(|n| owned(&format!("p{n}"), "ReplicaSet", "rs")));
    bench.answer("p0", closed("b"));
    let effects = bench.wake_at(secs(86));
    assert_eq!(deleted(&effects).len(), 3);
}

#[test]
fn pods_of_one_owner_go_in_widening_steps() {
    let (mut bench, effects) =
        Bench::of((0..8).map(|n| owned(&format!("p{n}"), "ReplicaSet", "rs")));
    assert_eq!(evicted(&effects), ["p0"]);
    let effects = bench.answer("p0", Reply::Accepted);
    assert_eq!(evicted(&effects), ["p1", "p2"]);
    let effects = bench.answer("p1", Reply::Accepted);
    assert_eq!(evicted(&effects), ["p3", "p4", "p5"]);
}

#[test]
fn an_acceptance_that_took_long_makes_the_owners_pods_go_one_by_one() {
    let (mut bench, _) = Bench::of((0..8).map(|n| owned(&format!("p{n}"), "ReplicaSet", "rs")));
    bench.answer("p0", Reply::Accepted);
    bench.now += millis(600);
    assert_eq!(bench.answer("p1", Reply::Accepted), []);
    assert_eq!(evicted(&bench.answer("p2", Reply::Accepted)), ["p3"]);
}

#[test]
fn a_drain_of_an_empty_node_lingers_for_a_pod_bound_before_the_cordon() {
    let (mut bench, _) = Bench::of([]);
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.next_wake(), secs(1));
    assert_eq!(evicted(&bench.on(Input::Seen(pod("late")))), ["late"]);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), None);

    let (mut bench, _) = Bench::of([]);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_pod_that_is_bound_late_makes_the_drain_stay_for_another() {
    let (mut bench, _) = Bench::of([]);
    bench.now += millis(900);
    bench.on(Input::Seen(pod("late")));
    bench.answer("late", Reply::Accepted);
    bench.on(Input::Deleted(uid("late")));
    bench.wake_at(millis(1_800));
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.next_wake(), millis(1_900));
    bench.wake_at(millis(1_900));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_node_that_was_never_listed_is_not_complete() {
    let mut bench = Bench::new(Settings::default(), 120);
    bench.wake_at(secs(60));
    assert_eq!(bench.outcome(), None);
    bench.wake_at(secs(115));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    assert!(!bench.plan.report(bench.now).listed);
}

#[test]
fn a_drain_without_a_deadline_has_a_longest_time() {
    let start = Instant::now();
    let settings = Settings {
        longest: secs(300),
        ..Settings::default()
    };
    let plan = Plan::new(settings, None, start);
    assert_eq!(plan.window().end(), start + secs(295));
    assert_eq!(plan.report(start).slack, None);
}

#[test]
fn a_nearer_deadline_shortens_the_drain_and_its_graces() {
    let (mut bench, _) = Bench::of([]);
    bench.on(Input::Nearer(bench.start + secs(45)));
    assert_eq!(bench.plan.window().end(), bench.start + secs(42));
    let effects = bench.on(Input::Seen(graced("a", 60)));
    assert_eq!(grace_on_the_call(&effects), Some(39));
    bench.wake_at(secs(42));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
}

#[test]
fn a_later_deadline_changes_nothing() {
    let (mut bench, _) = Bench::of([]);
    bench.on(Input::Nearer(bench.start + secs(500)));
    assert_eq!(bench.plan.window().end(), bench.start + secs(115));
}

#[test]
fn a_cancelled_drain_starts_nothing_more_and_is_over_when_its_calls_are_answered() {
    let (mut bench, _) = Bench::of((0..4).map(|n| owned(&format!("p{n}"), "ReplicaSet", "rs")));
    assert_eq!(bench.on(Input::Cancelled), []);
    assert_eq!(bench.on(Input::Seen(pod("new"))), []);
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.answer("p0", Reply::Accepted), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
    assert_eq!(bench.became("p0"), PodOutcome::Terminating);
    assert_eq!(bench.became("p1"), PodOutcome::NotReached);
}

#[test]
fn a_cancelled_drain_waits_two_seconds_for_answers_and_no_longer() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.now += secs(5);
    bench.on(Input::Cancelled);
    assert_eq!(bench.next_wake(), secs(7));
    bench.wake_at(millis(6_900));
    assert_eq!(bench.outcome(), None);
    bench.on(Input::Cancelled);
    bench.wake_at(secs(7));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
}

#[test]
fn nothing_is_started_once_the_window_has_ended() {
    let (mut bench, _) = Bench::of([]);
    bench.now = bench.start + secs(115);
    assert_eq!(bench.on(Input::Seen(pod("late"))), []);
}

#[test]
fn a_dry_run_waits_for_nobody_to_go() {
    let settings = Settings {
        dry_run: true,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, 120);
    bench.list([pod("a"), terminating(pod("going"))]);
    bench.answer("a", Reply::Accepted);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert_eq!(bench.became("a"), PodOutcome::WouldEvict);
    let report = bench.plan.report(bench.now);
    assert!(report.dry_run && report.to_string().contains("nothing was changed"));
}

#[test]
fn what_a_call_under_way_is_told_of_is_its_last_refusal_or_that_there_is_no_answer() {
    let (mut bench, _) = Bench::of([pod("a")]);
    assert!(matches!(bench.became("a"), PodOutcome::Unreachable { .. }));
    bench.answer("a", closed("web"));
    let wake = bench.next_wake();
    bench.wake_at(wake);
    let wake = bench.next_wake().max(secs(2));
    bench.wake_at(wake);
    assert_eq!(bench.evictions("a").len(), 2);
    assert!(matches!(bench.became("a"), PodOutcome::Blocked { .. }));
}

#[test]
fn what_is_to_be_done_is_told_once_it_is_known() {
    let settings = Settings {
        dry_run: true,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, 120);
    assert_eq!(bench.plan.overview(bench.now), None);
    let done = PodFacts {
        phase: Phase::Completed,
        ..graced("done", 600)
    };
    let of_a_set = owned("agent", "DaemonSet", "ds");
    bench.list([pod("a"), graced("b", 600), graced("c", 700), done, of_a_set]);
    assert_eq!(bench.plan.overview(bench.now), None, "one is undecided");
    bench.on(daemon_sets(DaemonSets::Exist([uid("ds")].into())));
    let overview = bench.plan.overview(bench.now).unwrap();
    let pods = BTreeMap::from([("evict", 3), ("completed", 1), ("skip", 1)]);
    assert_eq!(
        (overview.pods, overview.trimmed, overview.dry_run),
        (pods, 2, true)
    );
}

#[test]
fn every_observed_pod_is_in_the_report_once() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    bench.on(Input::Seen(pod("b")));
    bench.on(Input::Seen(pod("c")));
    bench.on(Input::Deleted(uid("a")));
    bench.list([pod("c"), pod("b")]);
    let again = PodFacts {
        uid: uid("b-2"),
        ..pod("b")
    };
    bench.on(Input::Seen(again));
    let report = bench.plan.report(bench.now);
    let uids: Vec<&str> = report.pods.iter().map(|p| p.uid.0.as_str()).collect();
    assert_eq!(uids, ["a", "b", "b-2", "c"]);
}
