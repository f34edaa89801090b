//! An embedder's own rules.

use super::*;
use crate::rules::{Rules, Turn, Verdict};

/// Judges by the pod's name: `wave2-…`, `rank9-…`, `await-…`, `keep-…`.
#[derive(Debug)]
struct ByName;

impl Rules for ByName {
    fn judge(&self, pod: &PodFacts, usual: Turn) -> Verdict {
        match pod.name.split('-').next().unwrap_or_default() {
            "wave1" => Verdict::Evict(usual.in_wave(1)),
            "wave2" => Verdict::Evict(usual.in_wave(2)),
            "rank9" => Verdict::Evict(usual.ranked(9)),
            "await" => Verdict::Await,
            "keep" => Verdict::Leave("kept by rule"),
            _ => Verdict::Evict(usual),
        }
    }
}

fn ruled(pods: impl IntoIterator<Item = PodFacts>) -> (Bench, Vec<Effect>) {
    let settings = Settings::default().with_rules(ByName);
    let mut bench = Bench::new(settings, 120);
    let effects = bench.list(pods);
    (bench, effects)
}

#[test]
fn waves_follow_each_other_as_their_pods_go() {
    let (mut bench, effects) = ruled(["wave2-db", "wave1-cache", "web"].map(pod));
    for (name, next) in [("web", "wave1-cache"), ("wave1-cache", "wave2-db")] {
        assert!(effects.len() == 1);
        bench.answer(name, Reply::Accepted);
        assert_eq!(evicted(&bench.on(Input::Deleted(uid(name)))), [next]);
    }
}

#[test]
fn a_wave_starts_in_time_for_its_own_graces_and_those_of_the_waves_after_it() {
    let (mut bench, _) = ruled([
        pod("web"),
        graced("wave1-cache", 20),
        graced("wave2-db", 40),
    ]);
    bench.answer("web", closed("b"));
    // 115 s, less the tail of 5 s, less 40 s, less 20 s, less a second.
    bench.wake_at(millis(48_999));
    assert!(bench.evictions("wave").is_empty());
    assert!(evicted(&bench.wake_at(secs(49))).contains(&"wave1-cache"));
    assert!(evicted(&bench.wake_at(secs(69))).contains(&"wave2-db"));
}

#[test]
fn ranks_order_the_pods_of_a_wave() {
    let (_, effects) = ruled([graced("rank9-slow", 60), graced("quick", 1)]);
    assert_eq!(evicted(&effects), ["quick", "rank9-slow"]);
}

#[test]
fn an_awaited_pod_is_not_evicted_and_holds_the_drain_until_it_has_ended() {
    let (mut bench, effects) = ruled([pod("await-job")]);
    assert_eq!(effects, []);
    bench.wake_at(secs(60));
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.became("await-job"), PodOutcome::Awaited);
    let ended = PodFacts {
        phase: Phase::Completed,
        ..pod("await-job")
    };
    assert_eq!(bench.on(Input::Seen(ended)), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));

    let (mut bench, _) = ruled([pod("await-job")]);
    bench.wake_at(secs(115));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
}

#[test]
fn a_pod_that_is_left_alone_is_reported_with_the_rules_reason() {
    let (mut bench, effects) = ruled([pod("keep-me")]);
    assert_eq!(effects, []);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    let reason = "kept by rule".to_owned();
    assert_eq!(bench.became("keep-me"), PodOutcome::Skipped { reason });
}
