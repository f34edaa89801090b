//! When a pod counts as gone, and what is done when the watch is silent.

use super::*;

fn is_gone(bench: &Bench, name: &str) -> bool {
    bench.became(name) == PodOutcome::Gone
}

#[test]
fn an_accepted_pod_is_not_gone_until_it_is_seen_to_be() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Accepted);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), None);
    assert_eq!(bench.became("a"), PodOutcome::Terminating);
    bench.on(Input::Deleted(uid("a")));
    assert!(is_gone(&bench, "a"));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_pod_that_a_list_no_longer_has_is_gone() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    bench.answer("a", Reply::Accepted);
    bench.list([pod("b")]);
    assert!(is_gone(&bench, "a") && !is_gone(&bench, "b"));
}

#[test]
fn a_pod_with_another_in_its_place_is_gone_and_the_other_is_drained_by_its_own_uid() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Accepted);
    let again = PodFacts {
        uid: uid("a-2"),
        ..pod("a")
    };
    let effects = bench.on(Input::Seen(again));
    assert!(matches!(&effects[..], [Effect::Evict(call)] if call.pod == uid("a-2")));
    let report = bench.plan.report(bench.now);
    assert_eq!(report.tally().get("gone"), Some(&1));
}

#[test]
fn a_pod_that_the_server_does_not_know_is_gone() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Gone);
    assert!(is_gone(&bench, "a"));
}

#[test]
fn a_conflict_asks_for_a_list_and_proves_nothing() {
    let (mut bench, _) = Bench::of([pod("a")]);
    assert_eq!(bench.answer("a", Reply::Conflict), [Effect::Relist]);
    assert!(!is_gone(&bench, "a"));
    // The list shows it still there: tried again after a pause.
    assert_eq!(bench.list([pod("a")]), []);
    let wake = bench.next_wake();
    bench.now = bench.start + wake;
    let again = bench.wake_at(secs(2));
    assert_eq!(evicted(&again), ["a"]);
}

#[test]
fn a_gone_pod_stays_gone_whatever_comes_late() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.on(Input::Deleted(uid("a")));
    for reply in [Reply::Accepted, closed("b"), unclear()] {
        assert_eq!(bench.answer("a", reply), []);
    }
    assert_eq!(bench.on(Input::Seen(pod("a"))), []);
    assert_eq!(bench.wake_at(secs(30)), []);
    assert!(is_gone(&bench, "a"));
}

#[test]
fn an_answer_about_a_pod_that_nobody_asked_for_is_ignored() {
    let (mut bench, _) = Bench::of([]);
    assert_eq!(bench.answer("stranger", Reply::Accepted), []);
    assert!(bench.plan.report(bench.now).pods.is_empty());
}

#[test]
fn a_pod_that_is_going_already_is_waited_for_and_not_evicted() {
    let (mut bench, effects) = Bench::of([terminating(pod("a"))]);
    assert_eq!(effects, []);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), None);
    bench.on(Input::Deleted(uid("a")));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
}

#[test]
fn a_completed_pod_holds_up_nothing() {
    let done = PodFacts {
        phase: Phase::Completed,
        ..pod("job")
    };
    let (mut bench, effects) = Bench::of([done]);
    assert_eq!(effects, []);
    bench.wake_at(secs(1));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
    assert_eq!(bench.became("job"), PodOutcome::Completed);
}

#[test]
fn what_is_seen_of_a_pod_during_a_call_counts_after_a_refusal() {
    let changes = [
        PodFacts {
            phase: Phase::Completed,
            ..pod("a")
        },
        PodFacts {
            wish: Some("skip".into()),
            ..pod("a")
        },
        terminating(pod("a")),
    ];
    for change in changes {
        for reply in [closed("b"), unclear(), Reply::Conflict] {
            let (mut bench, _) = Bench::of([pod("a")]);
            bench.on(Input::Seen(change.clone()));
            bench.answer("a", reply.clone());
            let again = bench.wake_at(secs(10));
            assert_eq!(evicted(&again), [""; 0], "{change:?} after {reply:?}");
        }
    }
}

#[test]
fn a_watch_that_does_not_tell_of_an_accepted_pods_deletion_is_suspect() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Accepted);
    assert_eq!(bench.next_wake(), secs(1));
    bench.wake_at(secs(1));
    assert_eq!(bench.next_wake(), secs(4));
    assert_eq!(bench.wake_at(secs(4)), [Effect::Relist]);
}

#[test]
fn a_pod_that_outlives_its_grace_makes_the_watch_suspect() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Accepted);
    bench.on(Input::Seen(terminating(pod("a"))));
    bench.now += secs(30);
    bench.on(Input::Seen(terminating(pod("a"))));
    assert_eq!(bench.wake_at(millis(31_999)), []);
    assert_eq!(bench.next_wake(), secs(32));
    assert_eq!(bench.wake_at(secs(32)), [Effect::Relist]);
}

#[test]
fn a_pod_that_goes_already_when_it_is_first_seen_makes_the_watch_suspect_after_its_grace() {
    let (mut bench, _) = Bench::of([terminating(graced("a", 5))]);
    bench.wake_at(millis(1_500));
    assert_eq!(bench.next_wake(), secs(7));
    assert_eq!(bench.wake_at(secs(7)), [Effect::Relist]);
}

#[test]
fn a_deletion_that_is_seen_before_its_eviction_is_answered_is_not_missed() {
    let (mut bench, _) = Bench::of([graced("a", 5)]);
    bench.on(Input::Seen(terminating(graced("a", 5))));
    bench.answer("a", Reply::Accepted);
    bench.wake_at(millis(1_500));
    assert_eq!(bench.next_wake(), secs(7));
}

#[test]
fn a_busy_server_may_be_as_late_with_the_deletion_as_it_was_with_the_answer() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.now = bench.start + secs(3);
    bench.answer("a", Reply::Accepted);
    assert_eq!(bench.next_wake(), secs(10));
}

#[test]
fn a_pod_that_is_gone_before_its_turn_comes_again_is_not_evicted() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    bench.answer("a", unclear());
    bench.on(Input::Deleted(uid("a")));
    assert_eq!(bench.wake_at(secs(10)), []);
    assert!(is_gone(&bench, "a"));
}

#[test]
fn a_watch_that_says_nothing_while_pods_go_is_suspect_and_then_less_so() {
    let (mut bench, _) = Bench::of([graced("a", 600), graced("b", 600)]);
    bench.answer("a", Reply::Accepted);
    bench.answer("b", Reply::Accepted);
    let going = || ["a", "b"].map(|name| terminating(graced(name, 600)));
    bench.list(going());
    bench.run(secs(100), |effect, _| match effect {
        Effect::Relist => vec![(millis(20), Input::Listed(going().into()))],
        _ => Vec::new(),
    });
    assert_eq!(bench.relists(), [secs(12), millis(36_020), millis(84_040)]);
}

#[test]
fn a_list_that_tells_of_an_end_that_the_watch_missed_is_followed_by_another() {
    for watch_speaks in [true, false] {
        let (mut bench, _) = Bench::of([pod("a"), graced("b", 90)]);
        bench.answer("a", Reply::Accepted);
        bench.answer("b", Reply::Accepted);
        bench.list([terminating(pod("a")), terminating(graced("b", 90))]);
        assert_eq!(bench.wake_at(secs(12)), [Effect::Relist]);
        bench.list([terminating(graced("b", 90))]);
        if watch_speaks {
            bench.on(Input::Deleted(uid("a")));
        }
        let next = bench.next_wake();
        assert_eq!(next == secs(17), !watch_speaks, "{next:?}");
        let relists = bench.wake_at(secs(17));
        assert_eq!(relists == [Effect::Relist], !watch_speaks, "{relists:?}");
    }
}

#[test]
fn lists_about_a_pod_that_hangs_become_rare() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", Reply::Accepted);
    let hung = || terminating(graced("a", 1));
    bench.list([hung()]);
    bench.run(secs(114), |effect, _| match effect {
        Effect::Relist => vec![(millis(20), Input::Listed(vec![hung()]))],
        _ => Vec::new(),
    });
    let relists = bench.relists();
    assert!((3..=6).contains(&relists.len()), "{relists:?}");
}

#[test]
fn a_watch_that_may_have_nothing_to_tell_is_asked_about_rarely() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.run(secs(114), |effect, _| match effect {
        Effect::Evict(call) => replies(call, closed("b")),
        Effect::Relist => vec![(millis(20), Input::Listed(vec![pod("a")]))],
        _ => Vec::new(),
    });
    assert_eq!(bench.relists(), [secs(36), millis(108_020)]);
}

#[test]
fn a_pod_that_only_a_list_tells_of_makes_another_follow() {
    let (mut bench, _) = Bench::of([pod("a")]);
    bench.answer("a", closed("b"));
    let relists = |effects: &[Effect]| effects.contains(&Effect::Relist);
    assert!(relists(&bench.wake_at(secs(36))));
    assert_eq!(evicted(&bench.list([pod("a"), pod("late")])), ["late"]);
    bench.answer("late", Reply::Accepted);
    assert!(relists(&bench.wake_at(secs(41))));
}

#[test]
fn lists_out_of_suspicion_keep_five_seconds_apart() {
    let (mut bench, _) = Bench::of((0..10).map(|n| graced(&format!("p{n}"), n)));
    bench.run(secs(60), |effect, _| match effect {
        Effect::Evict(call) => replies(call, Reply::Accepted),
        _ => Vec::new(),
    });
    let relists = bench.relists();
    assert!(relists.len() > 5, "{relists:?}");
    assert!(gaps(&relists).iter().all(|g| *g >= secs(5)), "{relists:?}");
}

#[test]
fn a_suspicion_that_had_to_wait_is_raised_when_the_pause_is_over() {
    let (mut bench, _) = Bench::of([pod("a"), pod("b")]);
    bench.answer("a", Reply::Accepted);
    bench.wake_at(secs(1));
    bench.answer("b", Reply::Accepted);
    assert_eq!(bench.wake_at(secs(4)), [Effect::Relist]);
    // The list was made before anything could be said of b, and tells of a alone.
    bench.list([pod("b")]);
    assert_eq!(bench.wake_at(secs(5)), []);
    assert_eq!(bench.next_wake(), secs(9));
    assert_eq!(bench.wake_at(secs(9)), [Effect::Relist]);
}

#[test]
fn absurd_graces_are_no_reason_to_panic() {
    for grace in [Duration::from_secs(i64::MAX.unsigned_abs()), Duration::MAX] {
        let absurd = PodFacts {
            grace,
            wish: Some("last".into()),
            ..pod("a")
        };
        let mut settings = delete_at(30);
        settings.longest = Duration::MAX;
        let mut plan = Plan::new(settings, None, Instant::now());
        let now = plan.window().start();
        let mut effects = Vec::new();
        let going = PodFacts {
            name: "b".into(),
            uid: uid("b"),
            ..terminating(absurd.clone())
        };
        let pods = vec![absurd.clone(), going];
        plan.on(Input::Listed(pods), now, &mut effects);
        assert_eq!(evicted(&effects), ["a"]);
        let pod = uid("a");
        let reply = Reply::Accepted;
        plan.on(Input::Seen(terminating(absurd)), now, &mut effects);
        plan.on(Input::Answered { pod, reply }, now, &mut effects);
        assert!(plan.next_wake(now) > now);
        assert!(plan.report(now).to_string().contains("terminating"));
    }
}

#[test]
fn pods_that_keep_coming_back_are_evicted_ever_more_slowly() {
    // Nothing keeps them away: the node could not be cordoned.
    let again = |n: u32| PodFacts {
        owner: owner("ReplicaSet", "rs"),
        ..pod(&format!("a-{n}"))
    };
    let (mut bench, _) = Bench::of([again(0)]);
    let mut evictions = 0;
    for n in 1..1_000 {
        let name = format!("a-{}", n - 1);
        while !matches!(bench.became(&name), PodOutcome::Terminating) {
            if bench.outcome().is_some() {
                break;
            }
            bench.answer(&name, Reply::Accepted);
            let wake = bench.next_wake();
            bench.wake_at(wake);
        }
        if bench.outcome().is_some() {
            break;
        }
        evictions += 1;
        bench.on(Input::Deleted(uid(&name)));
        bench.on(Input::Seen(again(n)));
    }
    assert!((5..12).contains(&evictions), "{evictions}");
}

/// One of the pods that come anew, as ever more of them do.
fn anew(n: u32) -> PodFacts {
    PodFacts {
        owner: owner("ReplicaSet", "rs"),
        ..pod(&format!("a-{n}"))
    }
}

#[test]
fn pods_that_go_already_are_not_taken_for_more_pods_of_their_owner() {
    // The third to come has come back twice, however many of those before it linger.
    let ways: [fn(&mut Bench, u32); 3] = [
        |bench, n| {
            bench.answer(&format!("a-{n}"), unclear());
            bench.on(Input::Deleted(uid(&format!("a-{n}"))));
        },
        |bench, n| {
            bench.answer(&format!("a-{n}"), Reply::Accepted);
        },
        |bench, n| {
            bench.answer(&format!("a-{n}"), unclear());
            bench.on(Input::Seen(terminating(anew(n))));
        },
    ];
    for (way, goes) in ways.into_iter().enumerate() {
        let (mut bench, effects) = Bench::of([anew(0)]);
        assert_eq!(evicted(&effects), ["a-0"]);
        goes(&mut bench, 0);
        bench.on(Input::Seen(anew(1)));
        goes(&mut bench, 1);
        assert_eq!(bench.on(Input::Seen(anew(2))), [], "way {way}");
        assert_eq!(evicted(&bench.wake_at(secs(1))), ["a-2"], "way {way}");
    }
}

#[test]
fn pods_that_are_there_together_have_not_come_back() {
    let (mut bench, _) = Bench::of([anew(0), anew(1)]);
    bench.answer("a-0", Reply::Accepted);
    bench.on(Input::Deleted(uid("a-0")));
    bench.answer("a-1", Reply::Accepted);
    assert_eq!(evicted(&bench.on(Input::Seen(anew(2)))), ["a-2"]);
}

#[test]
fn a_pod_that_came_back_is_not_left_past_the_time_that_its_grace_needs() {
    let (mut bench, _) = Bench::of([]);
    bench.now = bench.start + secs(70);
    for n in 0..9 {
        bench.on(Input::Seen(anew(n)));
        bench.answer(&format!("a-{n}"), unclear());
        bench.on(Input::Deleted(uid(&format!("a-{n}"))));
    }
    assert_eq!(bench.on(Input::Seen(anew(9))), []);
    let latest = bench.plan.window().latest_for(secs(30)) - bench.start;
    assert!(latest < secs(100), "{latest:?}");
    assert_eq!(
        evicted(&bench.wake_at(latest.saturating_sub(millis(1)))),
        [""; 0]
    );
    assert_eq!(evicted(&bench.wake_at(latest)), ["a-9"]);
}
