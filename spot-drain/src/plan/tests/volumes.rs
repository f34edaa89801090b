//! Volumes of pods that have left.

use super::*;

fn with_volume(name: &str) -> PodFacts {
    PodFacts {
        claims: true,
        ..pod(name)
    }
}

fn attached(names: &[&str]) -> Input {
    Input::Attached(Ok(names.iter().map(|n| (*n).to_owned()).collect()))
}

fn looks(bench: &Bench) -> usize {
    let look = |(_, e): &&(Duration, Effect)| *e == Effect::LookAtVolumes;
    bench.log.iter().filter(look).count()
}

/// A drain whose one pod, which has a volume, is gone after ten seconds.
fn left_behind(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings, 120);
    bench.list([with_volume("db")]);
    bench.answer("db", Reply::Accepted);
    bench.now = bench.start + secs(10);
    bench.on(Input::Deleted(uid("db")));
    bench
}

#[test]
fn the_drain_stays_until_the_volumes_are_detached() {
    let mut bench = left_behind(Settings::default());
    assert_eq!((bench.outcome(), bench.next_wake()), (None, secs(11)));
    assert_eq!(bench.wake_at(secs(11)), [Effect::LookAtVolumes]);
    bench.on(attached(&["csi^vol-1"]));
    assert_eq!((bench.outcome(), bench.next_wake()), (None, secs(14)));
    assert_eq!(bench.wake_at(secs(14)), [Effect::LookAtVolumes]);
    bench.on(attached(&[]));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn volumes_that_stay_attached_are_named_and_not_waited_for_without_end() {
    let mut bench = left_behind(Settings::default());
    bench.run(secs(115), |effect, _| match effect {
        Effect::LookAtVolumes => vec![(millis(20), attached(&["csi^vol-1"]))],
        _ => Vec::new(),
    });
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert_eq!(bench.now - bench.start, secs(40));
    assert!(looks(&bench) <= 11);
    let report = bench.plan.report(bench.now);
    assert_eq!(report.attached, ["csi^vol-1"]);
    assert!(report.to_string().contains("still attached: csi^vol-1"));
}

#[test]
fn nobody_looks_where_no_pod_with_a_volume_leaves() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.run(secs(10), |effect, _| match effect {
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert_eq!(looks(&bench), 0);
}

#[test]
fn where_a_pod_keeps_its_volume_one_look_is_enough() {
    let mut bench = Bench::new(Settings::default(), 120);
    let stays = PodFacts {
        wish: Some("skip".into()),
        ..with_volume("stays")
    };
    bench.list([with_volume("db"), stays]);
    bench.on(Input::Deleted(uid("db")));
    bench.wake_at(secs(1));
    bench.on(attached(&["csi^vol-of-stays"]));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn what_is_attached_is_learnt_in_time_where_pods_never_leave() {
    let mut bench = Bench::new(Settings::default(), 120);
    bench.list([with_volume("db")]);
    bench.run(secs(120), |effect, _| match effect {
        Effect::Evict(call) => replies(call, closed("b")),
        Effect::LookAtVolumes => vec![(millis(20), attached(&["csi^vol-1"]))],
        _ => Vec::new(),
    });
    assert_eq!(looks(&bench), 1);
    assert_eq!(bench.plan.report(bench.now).attached, ["csi^vol-1"]);
}

#[test]
fn a_look_that_fails_ends_the_wait_and_is_named() {
    let mut bench = left_behind(Settings::default());
    bench.wake_at(secs(11));
    bench.on(Input::Attached(Err("403 no".into())));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    let report = bench.plan.report(bench.now).to_string();
    assert!(
        report.contains("attached volumes unknown (403 no)"),
        "{report}"
    );
}

#[test]
fn waiting_for_volumes_can_be_switched_off_and_a_dry_run_never_does() {
    let none = Settings::default().with_detach(Duration::ZERO);
    let dry = Settings::default().with_dry_run(true);
    for settings in [none, dry] {
        let bench = left_behind(settings);
        assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    }
}

#[test]
fn pods_that_stay_and_have_no_volume_keep_none_attached() {
    let mut bench = Bench::new(Settings::default(), 120);
    let mirror = PodFacts {
        mirror: true,
        ..pod("mirror")
    };
    bench.list([with_volume("db"), mirror]);
    bench.answer("db", Reply::Accepted);
    bench.now = bench.start + secs(10);
    bench.on(Input::Deleted(uid("db")));
    bench.wake_at(secs(11));
    bench.on(attached(&["csi^vol-1"]));
    assert_eq!(bench.outcome(), None);
}
