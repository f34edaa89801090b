//! An API server that refuses, is overloaded, or cannot be understood.

use super::*;

fn check() -> Effect {
    let namespace = "shop".into();
    Effect::CheckAccess { namespace }
}

#[test]
fn an_overloaded_server_is_left_alone_by_all_pods() {
    let cap = 8;
    let limits = Limits::default().with_in_flight(cap);
    let mut bench = Bench::new(Settings::default().with_limits(limits), 120);
    let effects = bench.list((0..cap + 4).map(|n| pod(&format!("p{n:02}"))));
    assert_eq!(evicted(&effects).len(), cap);
    let retry_after = Some(secs(7));
    assert_eq!(bench.answer("p00", Reply::Overloaded { retry_after }), []);
    assert_eq!(bench.answer("p01", Reply::Gone), []);
    assert_eq!(bench.wake_at(millis(6_900)), []);
    let wake = bench.next_wake();
    assert!(wake >= secs(7) && wake <= millis(7_700), "{wake:?}");
    assert_eq!(evicted(&bench.wake_at(wake)).len(), 2);
}

#[test]
fn an_overloaded_server_gets_no_deletions_either() {
    let mut bench = Bench::new(delete_at(30), 120);
    bench.list([pod("a")]);
    bench.answer("a", closed("b"));
    assert_eq!(deleted(&bench.wake_at(secs(85))), ["a"]);
    let retry_after = Some(secs(3));
    assert_eq!(bench.answer("a", Reply::Overloaded { retry_after }), []);
    assert_eq!(bench.wake_at(millis(87_900)), []);
    let wake = bench.next_wake();
    assert_eq!(deleted(&bench.wake_at(wake)), ["a"]);
}

#[test]
fn an_absurd_retry_after_takes_a_quarter_of_what_is_left() {
    let (mut bench, _) = Bench::of([pod("a")]);
    let retry_after = Some(secs(u64::MAX));
    bench.answer("a", Reply::Overloaded { retry_after });
    bench.wake_at(secs(1));
    let wake = bench.next_wake();
    let quarter = secs(115) / 4;
    assert!(wake >= quarter && wake <= quarter * 11 / 10, "{wake:?}");
}

#[test]
fn an_overloaded_server_is_not_called_a_budget() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Overloaded { retry_after: None });
    assert!(matches!(bench.became("a"), PodOutcome::Unreachable { .. }));
}

#[test]
fn evictions_that_are_said_to_be_forbidden_twice_end_the_drain() {
    let (mut bench, effects) = Bench::of([pod("a"), pod("b")]);
    assert_eq!(evicted(&effects), ["a", "b"]);
    assert_eq!(bench.answer("a", forbidden()), [check()]);
    assert_eq!(bench.answer("b", forbidden()), []);
    // A server that has just started knows nobody's rights.
    assert_eq!(bench.on(access(Some(false))), []);
    assert_eq!(evicted(&bench.wake_at(millis(300))), ["a", "b"]);
    bench.answer("a", forbidden());
    bench.answer("b", forbidden());
    assert_eq!(bench.next_wake(), secs(1));
    assert_eq!(bench.wake_at(secs(1)), [check()]);
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.on(access(Some(false))), []);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    for name in ["a", "b"] {
        let words = "not allowed to create pods/eviction in shop".to_owned();
        assert_eq!(bench.became(name), PodOutcome::Forbidden { words });
    }
}

/// Found by seed 17343 of the simulation: asked again and again within the same moment.
#[test]
fn a_question_about_rights_that_has_no_answer_is_asked_once_a_second() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    assert_eq!(bench.answer("a", forbidden()), [check()]);
    assert_eq!(bench.on(access(None)), []);
    assert_eq!(bench.answer("b", forbidden()), []);
    bench.wake_at(millis(300));
    bench.answer("a", forbidden());
    bench.answer("b", forbidden());
    bench.wake_at(millis(1_300));
    assert_eq!(bench.answer("a", forbidden()), [check()]);
    bench.answer("b", forbidden());
    bench.on(access(Some(false)));
    // Once evictions were said to be forbidden it is asked without a refusal.
    assert_eq!(bench.next_wake(), millis(2_300));
    for at in [2_300, 3_300] {
        assert_eq!(bench.wake_at(millis(at)), [check()]);
        assert_eq!(bench.on(access(None)), []);
        assert_eq!(bench.next_wake(), millis(at + 1_000));
    }
}

#[test]
fn rights_that_are_missing_in_one_namespace_do_not_stop_the_others() {
    let foreign = PodFacts {
        namespace: "vault".into(),
        ..pod("key")
    };
    let (mut bench, _) = Bench::of([pod("a"), foreign]);
    bench.answer("a", closed("b"));
    let namespace = || "vault".to_owned();
    assert_eq!(
        bench.answer("key", forbidden()),
        [Effect::CheckAccess {
            namespace: namespace()
        }]
    );
    for at in [0, 1_000] {
        bench.wake_at(millis(at));
        let (namespace, allowed) = (namespace(), Some(false));
        bench.on(Learnt::Access { namespace, allowed }.into());
        bench.answer("key", forbidden());
    }
    assert_eq!(evicted(&bench.wake_at(secs(40))), ["a"]);
    bench.answer("a", Reply::Accepted);
    bench.on(Input::Deleted(uid("a")));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    assert!(matches!(bench.became("key"), PodOutcome::Forbidden { .. }));
}

#[test]
fn rights_that_come_late_are_used() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    assert_eq!(evicted(&bench.wake_at(millis(300))), ["a"]);
    bench.on(access(Some(true)));
    bench.answer("a", Reply::Accepted);
    bench.on(Input::Deleted(uid("a")));
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn rights_that_were_used_meanwhile_have_to_be_denied_twice_anew() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    assert_eq!(evicted(&bench.wake_at(millis(300))), ["a"]);
    bench.answer("a", Reply::Accepted);
    bench.wake_at(millis(1_500));
    assert_eq!(bench.answer("b", forbidden()), [check()]);
    bench.on(access(Some(false)));
    assert_eq!(evicted(&bench.wake_at(secs(2))), ["b"]);
}

#[test]
fn a_webhooks_403_is_tried_again_soon_and_then_slowly() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", forbidden());
    bench.on(access(Some(true)));
    // Not at the first word: a server that has just started may have said it.
    for at in [300, 1_300, 6_300] {
        assert_eq!(bench.wake_at(millis(at - 100)), []);
        assert_eq!(bench.outcome(), None);
        assert_eq!(evicted(&bench.wake_at(millis(at))), ["a"]);
        assert_eq!(bench.answer("a", forbidden()), []);
    }
}

#[test]
fn where_evictions_are_forbidden_delete_at_still_deletes() {
    let mut bench = Bench::new(delete_at(30), 120);
    bench.list([pod("a")]);
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    bench.wake_at(secs(1));
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    bench.wake_at(secs(60));
    bench.on(Input::Seen(pod("a")));
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.next_wake(), secs(85));
    assert_eq!(deleted(&bench.wake_at(secs(85))), ["a"]);
}

#[test]
fn refusals_that_do_not_mend_themselves_are_tried_again_slowly_and_kept() {
    let words = || "because".to_owned();
    let status = 422;
    let misconfigured = PodOutcome::Misconfigured { words: words() };
    let denied = PodOutcome::Denied {
        status,
        words: words(),
    };
    let cases = [
        (Reply::Misconfigured { words: words() }, misconfigured),
        (
            Reply::Denied {
                status,
                words: words(),
            },
            denied,
        ),
        // It goes with its namespace.
        (Reply::NamespaceTerminating, PodOutcome::Terminating),
    ];
    for (reply, outcome) in cases {
        let pause = match reply {
            Reply::NamespaceTerminating => secs(30),
            _ => secs(5),
        };
        let (mut bench, _) = Bench::of([pod("a")]);
        bench.answer("a", reply.clone());
        assert_eq!(
            bench.wake_at(pause.saturating_sub(millis(1))),
            [],
            "{reply:?}"
        );
        assert_eq!(evicted(&bench.wake_at(pause)), ["a"], "{reply:?}");
        bench.answer("a", reply);
        assert_eq!(bench.became("a"), outcome);
    }
}

#[test]
fn an_unclear_outcome_is_tried_again_with_growing_pauses() {
    for reply in [unclear(), Reply::Unauthorized] {
        let (mut bench, _) = Bench::of([pod("a")]);
        bench.run(secs(60), |effect, _| match effect {
            Effect::Evict(call) => replies(call, reply.clone()),
            _ => Vec::new(),
        });
        let tries = bench.evictions("a");
        let pauses = gaps(&tries);
        assert!(pauses[0] < secs(1) && pauses.is_sorted(), "{pauses:?}");
        assert_eq!(pauses.last(), Some(&millis(2_020)));
        assert!(matches!(bench.became("a"), PodOutcome::Unreachable { .. }));
    }
}

#[test]
fn one_pod_in_trouble_does_not_stop_the_rest() {
    let (mut bench, _) = Bench::of(["a", "b", "c"].map(pod));
    bench.run(secs(200), |effect, _| match effect {
        Effect::Evict(call) if call.name == "a" => replies(
            call,
            Reply::Misconfigured {
                words: "two".into(),
            },
        ),
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    assert_eq!(bench.plan.report(bench.now).tally().get("gone"), Some(&2));
}

#[test]
fn a_pod_that_is_left_no_grace_is_deleted_a_second_before_the_end() {
    for (own, policy) in [(30, 0), (0, 30)] {
        let mut bench = Bench::new(delete_at(policy), 120);
        bench.list([graced("a", own)]);
        bench.answer("a", closed("b"));
        assert_eq!(deleted(&bench.wake_at(millis(113_900))), [""; 0]);
        // It was asked once more.
        assert_eq!(bench.answer("a", closed("b")), []);
        assert_eq!(deleted(&bench.wake_at(secs(114))), ["a"]);
    }
}

/// When the pod is evicted again each time that its eviction gets lost; the server is heard of
/// meanwhile.
#[test]
fn calls_of_one_pod_that_get_lost_are_tried_at_once_three_times_and_then_once_a_second() {
    let (mut bench, _) = Bench::of([pod("a")]);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let from = bench.now - bench.start;
        let what = "reset".into();
        bench.answer("a", Reply::Lost { what });
        let mut again = bench.on(Input::Seen(pod("a")));
        if again.is_empty() {
            let wake = bench.next_wake();
            again = bench.wake_at(wake);
        }
        assert_eq!(evicted(&again), ["a"]);
        pauses.push((bench.now - bench.start).abs_diff(from).as_millis());
    }
    assert_eq!(pauses, [0, 0, 0, 1_000, 1_000, 1_000]);
}

#[test]
fn a_deletion_that_got_lost_is_tried_again_within_a_quarter_of_what_is_left() {
    for (left, pause) in [(2, 500), (30, 2_000)] {
        let mut bench = Bench::new(delete_at(left), 120);
        bench.list([pod("a")]);
        bench.answer("a", closed("b"));
        // 115 s are the drain's, and it ends before `left`.
        let at = secs(115 - left);
        assert_eq!(deleted(&bench.wake_at(at)), ["a"]);
        let what = "reset".into();
        bench.answer("a", Reply::Lost { what });
        assert_eq!(bench.on(Input::Seen(pod("a"))), []);
        assert_eq!(bench.next_wake(), at + millis(pause));
        assert_eq!(deleted(&bench.wake_at(at + millis(pause))), ["a"]);
    }
}

#[test]
fn what_anything_has_kept_from_being_evicted_is_deleted_when_its_time_has_come() {
    let mut tried = Bench::new(delete_at(30), 120);
    tried.list([pod("a")]);
    tried.now = tried.start + millis(84_900);
    tried.answer("a", unclear());
    assert_eq!(deleted(&tried.wake_at(millis(85_500))), ["a"]);

    let mut barred = Bench::new(delete_at(30), 120);
    barred.list([pod("a")]);
    barred.answer("a", forbidden());
    barred.on(access(Some(false)));
    barred.wake_at(secs(1));
    barred.on(access(Some(false)));
    assert_eq!(barred.on(Input::Seen(pod("late"))), []);
    barred.answer("a", forbidden());
    assert_eq!(deleted(&barred.wake_at(secs(85))), ["late", "a"]);
}
