//! Which pods are taken, and in which order.

use super::*;

fn critical(name: &str, grace: u64) -> PodFacts {
    PodFacts {
        critical: true,
        ..graced(name, grace)
    }
}

fn wishing(name: &str, wish: &str) -> PodFacts {
    PodFacts {
        wish: Some(wish.into()),
        ..pod(name)
    }
}

fn exist(uids: &[&str]) -> Input {
    daemon_sets(DaemonSets::Exist(uids.iter().map(|u| uid(u)).collect()))
}

#[test]
fn pods_with_volumes_and_long_graces_go_first() {
    let claims = PodFacts {
        claims: true,
        ..graced("volume", 10)
    };
    let (_, effects) = Bench::of([graced("short", 10), claims, graced("long", 60)]);
    assert_eq!(evicted(&effects), ["volume", "long", "short"]);
}

#[test]
fn critical_pods_wait_until_the_ordinary_ones_are_gone() {
    let (mut bench, effects) = Bench::of([critical("dns", 30), pod("web")]);
    assert_eq!(evicted(&effects), ["web"]);
    assert_eq!(bench.answer("web", Reply::Accepted), []);
    assert_eq!(bench.wake_at(secs(1)), []);
    let effects = bench.on(Input::Deleted(uid("web")));
    assert_eq!(evicted(&effects), ["dns"]);
}

#[test]
fn critical_pods_go_in_time_even_where_ordinary_ones_remain() {
    let (mut bench, _) = Bench::of([critical("dns", 10), critical("net", 40), pod("web")]);
    bench.answer("web", Reply::Accepted);
    let mut going = terminating(pod("web"));
    going.terminating = Some(secs(110));
    bench.wake_at(secs(60));
    // The watch is not silent.
    bench.on(Input::Seen(going));
    // 115 s, less the tail of 5 s, less the longest critical grace, less a second.
    assert_eq!(bench.next_wake(), secs(69));
    assert_eq!(bench.wake_at(millis(68_900)), []);
    let effects = bench.wake_at(secs(69));
    assert_eq!(evicted(&effects), ["net", "dns"]);
}

#[test]
fn under_a_minute_all_pods_go_at_once() {
    let mut bench = Bench::new(Settings::default(), 59);
    let effects = bench.list([critical("dns", 30), pod("web")]);
    assert_eq!(evicted(&effects), ["web", "dns"]);
}

#[test]
fn pods_that_are_left_alone_do_not_hold_up_the_critical_ones() {
    let (_, effects) = Bench::of([critical("dns", 30), wishing("web", "skip")]);
    assert_eq!(evicted(&effects), ["dns"]);
}

#[test]
fn a_pod_that_opted_out_stays_and_holds_up_nothing() {
    let (mut bench, effects) = Bench::of([wishing("a", "skip")]);
    assert_eq!(effects, []);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert!(matches!(bench.became("a"), PodOutcome::Skipped { .. }));
}

#[test]
fn a_pod_that_wants_to_be_last_goes_as_late_as_its_grace_allows() {
    let (mut bench, effects) = Bench::of([wishing("a", "last")]);
    assert_eq!(effects, []);
    bench.wake_at(secs(78));
    bench.on(Input::Seen(wishing("a", "last")));
    assert_eq!(bench.wake_at(millis(78_999)), []);
    assert_eq!(bench.next_wake(), secs(79));
    // The timer is late.
    let effects = bench.wake_at(millis(79_800));
    assert!(matches!(&effects[..], [Effect::Evict(call)] if call.grace.is_none()));
}

#[test]
fn a_wish_that_nobody_knows_is_not_followed_and_is_named() {
    let (bench, effects) = Bench::of([wishing("a", "-1h")]);
    assert_eq!(evicted(&effects), ["a"]);
    let report = bench.plan.report(bench.now);
    assert_eq!(
        report.pods[0].warnings,
        ["unknown value of its drain annotation"]
    );
}

#[test]
fn a_wish_that_comes_later_is_followed() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", closed("b"));
    bench.on(Input::Seen(wishing("a", "skip")));
    assert_eq!(bench.wake_at(secs(60)), []);
    assert!(matches!(bench.became("a"), PodOutcome::Skipped { .. }));
}

#[test]
fn mirror_and_own_pods_are_never_touched() {
    let mut settings = delete_at(30);
    settings.ourselves = Some(("shop".into(), "us".into()));
    let mut bench = Bench::new(settings, 120);
    let mirror = PodFacts {
        mirror: true,
        ..pod("mirror")
    };
    bench.list([mirror, pod("us")]);
    bench.run(secs(200), |_, _| Vec::new());
    assert_eq!(bench.log, []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn daemon_sets_are_asked_for_once_and_their_pods_wait_meanwhile() {
    let pods = ["a", "b"].map(|n| owned(n, "DaemonSet", "ds"));
    let (mut bench, effects) = Bench::of(pods.clone());
    assert_eq!(effects, [Effect::ListDaemonSets]);
    assert_eq!(bench.list(pods), []);
    bench.wake_at(secs(2));
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.on(exist(&["ds"])), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn an_orphan_of_a_daemon_set_is_evicted_with_a_warning() {
    let (mut bench, _) = Bench::of([owned("a", "DaemonSet", "gone")]);
    assert_eq!(evicted(&bench.on(exist(&["other"]))), ["a"]);
    let report = bench.plan.report(bench.now);
    assert_eq!(
        report.pods[0].warnings,
        ["its DaemonSet is gone: nothing brings it back"]
    );
}

#[test]
fn a_daemon_set_that_cannot_be_looked_up_counts_as_live() {
    let (mut bench, _) = Bench::of([owned("a", "DaemonSet", "ds")]);
    let no_answer = || daemon_sets(DaemonSets::Unavailable("403".into()));
    // A moment's trouble decides nothing.
    for pause in [500, 1_500] {
        assert_eq!(bench.on(no_answer()), []);
        assert_eq!(bench.outcome(), None);
        assert_eq!(bench.plan.overview(bench.now), None, "undecided");
        assert!(bench.next_wake() <= Duration::from_millis(pause));
        let asked = bench.wake_at(Duration::from_millis(pause));
        assert_eq!(asked, [Effect::ListDaemonSets]);
    }
    assert_eq!(bench.on(no_answer()), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    let overview = bench.plan.overview(bench.now);
    assert_eq!(
        overview.map(|o| o.pods),
        Some(BTreeMap::from([("skip", 1)]))
    );
    assert!(matches!(bench.became("a"), PodOutcome::Skipped { .. }));
}

#[test]
fn what_could_not_be_looked_up_is_looked_up_again() {
    let (mut bench, _) = Bench::of([owned("a", "DaemonSet", "gone"), pod("web")]);
    bench.answer("web", Reply::Accepted);
    bench.run(secs(40), |effect, at| match effect {
        Effect::ListDaemonSets if at < secs(10) => {
            let why = "503".into();
            vec![(secs(0), daemon_sets(DaemonSets::Unavailable(why)))]
        }
        Effect::ListDaemonSets => vec![(secs(0), exist(&["other"]))],
        _ => Vec::new(),
    });
    let asked = |effect: &Effect| matches!(effect, Effect::ListDaemonSets);
    let times = bench.log.iter().filter(|(_, effect)| asked(effect));
    let times: Vec<u64> = times.map(|(at, _)| at.as_secs()).collect();
    // After half a second, and twice as long each time.
    assert_eq!(times, [0, 0, 1, 3, 7, 15]);
    let mut evicted = bench.log.iter().filter(|(_, effect)| named(effect) == "a");
    assert_eq!(evicted.next().map(|(at, _)| at.as_secs()), Some(15));
}

#[test]
fn a_pod_of_a_daemon_set_made_during_the_drain_is_not_taken_for_an_orphan() {
    let (mut bench, _) = Bench::of([owned("a", "DaemonSet", "old"), pod("web")]);
    bench.on(exist(&["old"]));
    let new = owned("b", "DaemonSet", "new");
    assert_eq!(bench.on(Input::Seen(new.clone())), [Effect::ListDaemonSets]);
    assert_eq!(bench.on(Input::Seen(new)), []);
    assert_eq!(bench.on(exist(&["old", "new"])), []);
    assert!(matches!(bench.became("b"), PodOutcome::Skipped { .. }));
}

#[test]
fn an_answer_that_is_older_than_a_pod_does_not_make_it_an_orphan() {
    let mut bench = Bench::new(Settings::default(), 120);
    let of = |name: &str, by: &str| owned(name, "DaemonSet", by);
    assert_eq!(bench.list([of("a", "ds-old")]), [Effect::ListDaemonSets]);
    // Asked for by then, and not answered.
    assert_eq!(bench.on(Input::Seen(of("b", "ds-new"))), []);
    assert_eq!(bench.on(exist(&["ds-old"])), [Effect::ListDaemonSets]);
    assert_eq!(bench.on(exist(&["ds-old", "ds-new"])), []);
    assert!(matches!(bench.became("b"), PodOutcome::Skipped { .. }));
}
