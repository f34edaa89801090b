//! What is heard between a detached pod's calls and their answers, and what changes nothing.

use super::*;

/// The workload's ReplicaSet while it is being deleted, and another one under its name.
fn going_and_made_anew() -> [ReplicaSetFacts; 2] {
    let going = ReplicaSetFacts {
        going: true,
        ..set(2, 1, "40")
    };
    let anew = ReplicaSetFacts {
        uid: Uid("another".into()),
        ..set(2, 1, "40")
    };
    [going, anew]
}

#[test]
fn a_pod_that_is_being_detached_is_not_detached_once_more() {
    let (mut bench, effects) = prepared(&["a"], 2);
    assert_eq!(detaches(&effects), ["a"]);
    assert_eq!(bench.wake_at(secs(3)), []);
    assert_eq!(bench.on(Input::Seen(web("a"))), []);
}

#[test]
fn what_becomes_of_a_pod_after_its_set_let_go_of_it_does_not_make_it_count_again() {
    let mut bench = waiting(&["a"], 2);
    bench.on(Input::Seen(detached("a", "50")));
    assert_eq!(evicted(&bench.on(seen(set(2, 2, "40")))), ["a"]);
}

#[test]
fn a_set_that_is_going_or_has_been_made_anew_replaces_nobody() {
    for set in going_and_made_anew() {
        let mut bench = waiting(&["a"], 2);
        assert_eq!(evicted(&bench.on(known(set, 1))), ["a"]);
        assert_eq!(not_first(&bench, "a"), "its workload is being deleted");
    }
}

#[test]
fn a_pod_whose_eviction_was_refused_before_is_not_detached_any_more() {
    let settings = Settings::default().with_make_before_break(MakeBeforeBreak::Annotated);
    let mut bench = Bench::new(settings, 120);
    assert_eq!(evicted(&bench.list([web("a")])), ["a"]);
    bench.answer("a", closed("web"));
    bench.on(Input::Cordoned);
    let wished = PodFacts {
        make: Some("on".into()),
        ..web("a")
    };
    bench.on(Input::Seen(wished));
    bench.on(known(set(2, 2, "10"), 1));
    assert_eq!(detaches(&bench.on(watched())), [""; 0]);
}

#[test]
fn pods_of_which_nothing_is_learnt_are_all_waited_for_as_long() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.list(["a", "b", "c"].map(web));
    assert_eq!(bench.wake_at(millis(14_999)), []);
    assert_eq!(evicted(&bench.wake_at(secs(15))), ["a"]);
}

#[test]
fn one_that_goes_when_the_drain_is_cancelled_is_not_to_be_put_back() {
    let mut bench = waiting(&["a"], 2);
    assert_eq!(evicted(&bench.on(seen(set(2, 2, "40")))), ["a"]);
    bench.on(Input::Seen(terminating(detached("a", "50"))));
    assert_eq!(bench.on(Input::Cancelled), []);
    assert_eq!(bench.outcome(), None);
    // Its call is waited for two seconds, and twenty where something is to be put back.
    bench.wake_at(secs(2));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
}

#[test]
fn a_pod_that_is_being_detached_when_evictions_turn_out_to_be_forbidden_is_waited_for() {
    let (mut bench, _) = prepared(&["a"], 2);
    bench.on(Input::Seen(pod("other")));
    bench.answer("other", forbidden());
    bench.on(access(Some(false)));
    bench.wake_at(secs(2));
    bench.answer("other", forbidden());
    bench.on(access(Some(false)));
    assert_eq!(bench.outcome(), None);
    bench.on(patched("a", Reply::Accepted));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    let why = "evictions are forbidden".to_owned();
    assert_eq!(replacement(&bench, "a"), Some(Replacement::Stuck { why }));
}

#[test]
fn only_workloads_of_pods_that_may_be_detached_are_looked_at() {
    let mut bench = Bench::new(switched_on(), 120);
    let bound = PodFacts {
        bound: true,
        ..web("bound")
    };
    let effects = bench.list([terminating(web("goes")), bound]);
    let looks = |e: &Effect| matches!(e, Effect::LookAtWorkload { .. });
    assert!(!effects.iter().any(looks), "{effects:?}");
}

#[test]
fn a_workload_that_the_rate_keeps_from_being_looked_at_is_as_soon_as_it_allows() {
    let mut settings = switched_on();
    settings.limits = settings.limits.with_rate(5, 1);
    let mut bench = Bench::new(settings, 120);
    let of = |name: &str| PodFacts {
        owner: owner("ReplicaSet", name),
        ..web(name)
    };
    let looked = |effects: &[Effect]| match effects {
        [Effect::LookAtWorkload { replica_set, .. }] => replica_set.clone(),
        other => panic!("{other:?}"),
    };
    let first = looked(&bench.list([of("a"), of("b")]));
    assert_eq!(bench.next_wake(), millis(200));
    assert_ne!(looked(&bench.wake_at(millis(200))), first);
}

#[test]
fn patches_under_way_are_calls_under_way() {
    let mut settings = switched_on();
    settings.limits = settings.limits.with_in_flight(1);
    let mut bench = Bench::new(settings, 120);
    bench.list(["a", "b"].map(web));
    bench.on(Input::Cordoned);
    bench.on(known(set(2, 2, "10"), 1));
    assert_eq!(detaches(&bench.on(watched())), ["a"]);
    assert_eq!(bench.wake_at(secs(5)), []);
    assert_eq!(detaches(&bench.on(patched("a", Reply::Accepted))), ["b"]);
}

#[test]
fn a_patch_that_is_answered_with_a_no_is_tried_three_times_and_one_that_nobody_knows_of_longer() {
    let tries = |reply: Reply| {
        let (mut bench, _) = prepared(&["a"], 2);
        let mut tries = 1;
        for again in 1..10 {
            bench.on(patched("a", reply.clone()));
            tries += detaches(&bench.wake_at(secs(again))).len();
        }
        tries
    };
    let denied = |status| Reply::Denied {
        status,
        words: "no".into(),
    };
    for counts in [denied(422), Reply::Conflict, unclear()] {
        assert_eq!(tries(counts.clone()), 3, "{counts:?}");
    }
    // A gateway that has lost its way to the API server.
    assert_eq!(tries(denied(404)), 10);
    assert_eq!(tries(Reply::Unauthorized), 10);
}

#[test]
fn a_pod_whose_set_is_going_or_has_been_made_anew_is_not_put_back_but_evicted() {
    for set in going_and_made_anew() {
        let mut bench = waiting(&["a"], 2);
        bench.now = bench.start + secs(5);
        bench.on(Input::Cancelled);
        assert_eq!(evicted(&bench.on(known(set, 1))), ["a"]);
    }
}
