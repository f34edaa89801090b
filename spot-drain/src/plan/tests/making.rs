//! Make before break: detached, waited for, evicted; or put back.

mod between;

use super::*;
use crate::replacement::{
    DeploymentFacts, Detachment, HASH_LABEL, MakeBeforeBreak, ReplicaSetFacts, Workload,
};
use crate::report::Replacement;

/// 115 s, less the grace of 30 s, the margin of 5 s and one for a late timer.
const LATEST: Duration = Duration::from_secs(79);

pub(super) fn web(name: &str) -> PodFacts {
    PodFacts {
        labels: [("app", "web"), (HASH_LABEL, "abc")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        version: "10".into(),
        ready: true,
        ..owned(name, "ReplicaSet", "web-abc")
    }
}

fn detachment() -> Detachment {
    Detachment {
        hash: "abc".into(),
        replica_set: "web-abc".into(),
        uid: Uid("web-abc".into()),
        notice: None,
    }
}

/// The same pod, detached and let go of at a version.
pub(super) fn detached(name: &str, version: &str) -> PodFacts {
    let mut pod = web(name);
    pod.labels.remove(HASH_LABEL);
    PodFacts {
        owner: None,
        detached: Some(detachment()),
        version: version.into(),
        ..pod
    }
}

pub(super) fn set(wanted: u32, available: u32, version: &str) -> ReplicaSetFacts {
    ReplicaSetFacts {
        namespace: "shop".into(),
        name: "web-abc".into(),
        uid: Uid("web-abc".into()),
        version: version.into(),
        hash: Some("abc".into()),
        owner: owner("Deployment", "web"),
        wanted,
        available,
        made: wanted,
        failure: None,
        going: false,
    }
}

/// The same, which has made so many and cannot make the rest.
fn failing(wanted: u32, made: u32, version: &str) -> ReplicaSetFacts {
    ReplicaSetFacts {
        made,
        failure: Some("exceeded quota: full".into()),
        ..set(wanted, 0, version)
    }
}

/// The same pod, put back and taken back at a version.
fn adopted(name: &str, version: &str) -> Input {
    Input::Seen(PodFacts {
        version: version.into(),
        ..web(name)
    })
}

fn put_back(effects: &[Effect]) -> Vec<&str> {
    let mut names = Vec::new();
    for effect in effects {
        if let Effect::Reattach(back) = effect {
            names.push(back.name.as_str());
        }
    }
    names
}

pub(super) fn known(set: ReplicaSetFacts, surge: u32) -> Input {
    let deployment = DeploymentFacts {
        rolls: true,
        surge,
        rolled_out: true,
        going: false,
    };
    workload(Workload::Known(set, Some(deployment)))
}

fn workload(workload: Workload) -> Input {
    let (namespace, replica_set) = ("shop".to_owned(), "web-abc".to_owned());
    Learnt::Workload {
        namespace,
        replica_set,
        workload,
    }
    .into()
}

pub(super) fn watched() -> Input {
    let namespace = "shop".into();
    Learnt::ReplicaSetsWatched { namespace }.into()
}

pub(super) fn seen(set: ReplicaSetFacts) -> Input {
    Learnt::ReplicaSet(set).into()
}

pub(super) fn patched(name: &str, reply: Reply) -> Input {
    Input::Patched {
        pod: uid(name),
        reply,
    }
}

pub(super) fn switched_on() -> Settings {
    Settings::default().with_make_before_break(MakeBeforeBreak::On)
}

fn detaches(effects: &[Effect]) -> Vec<&str> {
    let mut names = Vec::new();
    for effect in effects {
        if let Effect::Detach(detach) = effect {
            names.push(detach.name.as_str());
        }
    }
    names
}

/// These pods of one workload, of which `wanted` are wanted and available; all is known, and the
/// node is cordoned.
fn prepared(names: &[&str], wanted: u32) -> (Bench, Vec<Effect>) {
    let mut bench = Bench::new(switched_on(), 120);
    bench.list(names.iter().map(|name| web(name)));
    bench.on(Input::Cordoned);
    bench.on(known(set(wanted, wanted, "10"), 1));
    let effects = bench.on(watched());
    (bench, effects)
}

/// The same, detached, and let go of by their ReplicaSet, which was seen to count without them.
fn waiting(names: &[&str], wanted: u32) -> Bench {
    let (mut bench, effects) = prepared(names, wanted);
    assert_eq!(detaches(&effects), names);
    for name in names {
        bench.on(patched(name, Reply::Accepted));
        bench.on(Input::Seen(detached(name, "20")));
    }
    let left = wanted - u32::try_from(names.len()).unwrap();
    assert_eq!(bench.on(seen(set(wanted, left, "30"))), vec![]);
    bench
}

fn replacement(bench: &Bench, name: &str) -> Option<Replacement> {
    let report = bench.plan.report(bench.now);
    let pod = report.pods.into_iter().find(|p| p.name == name);
    pod.expect("in the report").replacement
}

fn not_first(bench: &Bench, name: &str) -> String {
    match replacement(bench, name) {
        Some(Replacement::NotFirst { why }) => why,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_pod_is_detached_and_evicted_when_its_replacement_is_ready() {
    let mut bench = waiting(&["a"], 3);
    assert_eq!(bench.wake_at(secs(15)), vec![]);
    let effects = bench.on(seen(set(3, 3, "40")));
    assert_eq!(evicted(&effects), ["a"]);
    bench.answer("a", Reply::Accepted);
    assert_eq!(replacement(&bench, "a"), Some(Replacement::First));
}

#[test]
fn what_is_written_on_a_pod_lets_another_process_carry_on() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.plan.drain.settings.notice = Some("spot-interruption".into());
    bench.list([web("a")]);
    bench.on(known(set(1, 1, "10"), 1));
    bench.on(watched());
    let effects = bench.on(Input::Cordoned);
    let [Effect::Detach(detach)] = &effects[..] else {
        panic!("{effects:?}");
    };
    let expected = Detachment {
        notice: Some("spot-interruption".into()),
        ..detachment()
    };
    assert_eq!(detach.detachment, expected);
    assert_eq!((&detach.pod, detach.annotated), (&uid("a"), false));
}

#[test]
fn nothing_is_detached_before_the_node_is_cordoned_and_the_workload_watched() {
    let mut bench = Bench::new(switched_on(), 120);
    let asked = bench.list([web("a")]);
    assert!(
        matches!(&asked[..], [Effect::LookAtWorkload { .. }]),
        "{asked:?}"
    );
    let watch = bench.on(known(set(1, 1, "10"), 1));
    assert!(
        matches!(&watch[..], [Effect::WatchReplicaSets { .. }]),
        "{watch:?}"
    );
    assert_eq!(bench.on(watched()), vec![]);
    assert_eq!(detaches(&bench.on(Input::Cordoned)), ["a"]);
}

#[test]
fn a_replacement_that_is_never_ready_is_waited_for_as_long_as_the_grace_allows() {
    let mut bench = waiting(&["a"], 1);
    let early = bench.wake_at(LATEST.saturating_sub(millis(1)));
    assert_eq!(evicted(&early), Vec::<&str>::new());
    assert_eq!(bench.next_wake(), LATEST);
    assert_eq!(evicted(&bench.wake_at(LATEST)), ["a"]);
    assert_eq!(replacement(&bench, "a"), Some(Replacement::Late));
}

#[test]
fn of_several_pods_of_a_workload_as_many_go_as_there_are_too_many() {
    let mut bench = waiting(&["a", "b", "c"], 3);
    let mut gone = Vec::new();
    for (available, version) in [(1, "41"), (2, "42"), (2, "43"), (3, "44")] {
        let effects = bench.on(seen(set(3, available, version)));
        for name in evicted(&effects) {
            gone.push((available, name.to_owned()));
        }
        for name in evicted(&effects) {
            bench.answer(name, Reply::Accepted);
        }
    }
    let expected = [(1, "a"), (2, "b"), (3, "c")].map(|(n, name)| (n, name.to_owned()));
    assert_eq!(gone, expected);
}

#[test]
fn a_set_that_has_not_counted_without_the_pod_yet_says_nothing_of_its_replacement() {
    let (mut bench, _) = prepared(&["a"], 3);
    bench.on(patched("a", Reply::Accepted));
    // It is let go of at 20, and the set is seen as it was at 15: it counts the pod still.
    assert_eq!(bench.on(Input::Seen(detached("a", "20"))), vec![]);
    assert_eq!(bench.on(seen(set(3, 3, "15"))), vec![]);
    assert_eq!(bench.on(seen(set(3, 2, "21"))), vec![]);
    assert_eq!(evicted(&bench.on(seen(set(3, 3, "22")))), ["a"]);
}

#[test]
fn a_workload_that_grows_meanwhile_is_served_in_full_first() {
    let mut bench = waiting(&["a"], 2);
    assert_eq!(bench.on(seen(set(5, 2, "40"))), vec![]);
    assert_eq!(evicted(&bench.on(seen(set(5, 5, "41")))), ["a"]);
    let mut shrunk = waiting(&["a"], 2);
    assert_eq!(evicted(&shrunk.on(seen(set(1, 1, "40")))), ["a"]);
}

#[test]
fn a_detached_pod_whose_set_is_gone_is_evicted_at_once() {
    let mut bench = waiting(&["a"], 2);
    let effects = bench.on(Learnt::ReplicaSetGone(set(2, 1, "40")).into());
    assert_eq!(evicted(&effects), ["a"]);
    assert_eq!(not_first(&bench, "a"), "its workload is being deleted");
}

#[test]
fn a_detached_pod_that_serves_nobody_any_more_is_evicted_at_once() {
    let mut bench = waiting(&["a"], 2);
    let sick = PodFacts {
        ready: false,
        ..detached("a", "25")
    };
    assert_eq!(evicted(&bench.on(Input::Seen(sick))), ["a"]);
}

const CANNOT: &str = "its ReplicaSet cannot make another (exceeded quota: full)";

#[test]
fn pods_whose_replacements_cannot_be_made_are_put_back_and_evicted_as_ever() {
    let mut bench = waiting(&["a", "b", "c"], 3);
    let effects = bench.on(seen(failing(3, 0, "40")));
    assert_eq!(put_back(&effects), ["a", "b", "c"]);
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        // Not before its set hears of its end.
        assert_eq!(bench.on(patched(name, Reply::Accepted)), vec![]);
        let effects = bench.on(adopted(name, &format!("5{n}")));
        // One of an owner at a time, as long as nothing is known of budgets.
        let expected: &[&str] = if n == 0 { &["a"] } else { &[] };
        assert_eq!(evicted(&effects), expected);
    }
    assert_eq!(evicted(&bench.answer("a", Reply::Accepted)), ["b", "c"]);
    for name in ["a", "b", "c"] {
        assert_eq!(not_first(&bench, name), CANNOT);
    }
}

#[test]
fn of_those_whose_replacements_are_made_in_part_the_rest_waits() {
    let mut bench = waiting(&["a", "b", "c"], 3);
    assert_eq!(put_back(&bench.on(seen(failing(3, 2, "40")))), ["a"]);
    // As long as it does not count the one that is coming back it lacks no other.
    assert_eq!(bench.on(seen(failing(3, 2, "41"))), vec![]);
    bench.on(patched("a", Reply::Accepted));
    assert_eq!(bench.on(seen(failing(3, 2, "42"))), vec![]);
    assert_eq!(evicted(&bench.on(adopted("a", "50"))), ["a"]);
    bench.answer("a", Reply::Accepted);
    // It fails to make one for the pod that goes now: that is none of theirs.
    assert_eq!(bench.on(seen(failing(3, 2, "60"))), vec![]);
    let effects = bench.on(seen(set(3, 3, "70")));
    assert_eq!(evicted(&effects), ["b", "c"]);
}

#[test]
fn a_failure_of_before_the_pod_was_let_go_of_says_nothing() {
    let (mut bench, _) = prepared(&["a"], 3);
    bench.on(patched("a", Reply::Accepted));
    bench.on(Input::Seen(detached("a", "20")));
    assert_eq!(bench.on(seen(failing(3, 2, "15"))), vec![]);
}

#[test]
fn a_pod_that_cannot_be_put_back_either_is_evicted_within_its_budget() {
    let mut bench = waiting(&["a"], 1);
    let mut effects = bench.on(seen(failing(1, 0, "40")));
    for again in 1..3u64 {
        assert_eq!(put_back(&effects), ["a"]);
        bench.on(patched("a", forbidden()));
        effects = bench.wake_at(secs(again));
    }
    assert_eq!(put_back(&effects), ["a"]);
    assert_eq!(evicted(&bench.on(patched("a", forbidden()))), ["a"]);
    assert_eq!(not_first(&bench, "a"), CANNOT);
}

#[test]
fn one_that_is_put_back_and_not_taken_back_is_not_waited_for_for_long() {
    let mut bench = waiting(&["a"], 1);
    bench.on(seen(failing(1, 0, "40")));
    assert_eq!(bench.on(patched("a", Reply::Accepted)), vec![]);
    bench.wake_at(secs(1));
    assert_eq!(bench.next_wake(), secs(2));
    assert_eq!(evicted(&bench.wake_at(secs(2))), ["a"]);
}

#[test]
fn pods_of_a_set_that_cannot_make_others_are_not_detached() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.list([web("a")]);
    bench.on(Input::Cordoned);
    let effects = bench.on(known(failing(3, 2, "10"), 1));
    assert_eq!(evicted(&effects), ["a"]);
    assert_eq!(not_first(&bench, "a"), CANNOT);
}

#[test]
fn pods_that_the_rate_keeps_from_being_detached_need_no_news() {
    let mut settings = switched_on();
    settings.limits = settings.limits.with_rate(5, 3);
    let mut bench = Bench::new(settings, 120);
    let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
    bench.list(names.iter().map(|name| web(name)));
    bench.on(Input::Cordoned);
    bench.on(known(set(10, 10, "10"), 1));
    bench.on(watched());
    bench.run(secs(5), |effect, _| match effect {
        Effect::Detach(detach) => vec![(secs(60), patched(&detach.name, Reply::Accepted))],
        _ => Vec::new(),
    });
    let detaches = bench
        .log
        .iter()
        .filter(|(_, e)| matches!(e, Effect::Detach(_)));
    assert_eq!(detaches.count(), 10);
}

#[test]
fn many_workloads_are_looked_at_at_the_rate() {
    let mut settings = switched_on();
    settings.limits = settings.limits.with_rate(5, 3).with_in_flight(4);
    let mut bench = Bench::new(settings, 120);
    let of = |n: u32| PodFacts {
        owner: owner("ReplicaSet", &format!("rs-{n:02}")),
        ..web(&format!("p{n:02}"))
    };
    let looks = |effects: &[Effect]| {
        let looks = |e: &&Effect| matches!(e, Effect::LookAtWorkload { .. });
        effects.iter().filter(looks).count()
    };
    assert_eq!(looks(&bench.list((0..20).map(of))), 3);
    let mut most = 0;
    bench.run(secs(14), |effect, _| match effect {
        Effect::LookAtWorkload { replica_set, .. } => {
            most += 1;
            let learnt = Learnt::Workload {
                namespace: "shop".into(),
                replica_set: replica_set.clone(),
                workload: Workload::Known(set(2, 2, "10"), None),
            };
            vec![(secs(1), learnt.into())]
        }
        Effect::Evict(call) => accepts(call),
        _ => Vec::new(),
    });
    assert_eq!(most, 20);
    let at: Vec<Duration> = bench
        .log
        .iter()
        .filter(|(_, e)| matches!(e, Effect::LookAtWorkload { .. }))
        .map(|(at, _)| *at)
        .collect();
    for (n, from) in at.iter().enumerate() {
        let at_once = at[n..].iter().filter(|to| **to < *from + secs(1)).count();
        assert!(at_once <= 4, "{at:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_asked_of_each_workload_every_second() {
    let mut bench = Bench::new(switched_on(), 120);
    let of = |n: u32| PodFacts {
        owner: owner("ReplicaSet", &format!("rs-{n:02}")),
        ..web(&format!("p{n:02}"))
    };
    bench.list((0..20).map(of));
    bench.run(secs(10), |effect, _| match effect {
        Effect::LookAtWorkload { replica_set, .. } => {
            let learnt = Learnt::Workload {
                namespace: "shop".into(),
                replica_set: replica_set.clone(),
                workload: Workload::Unanswered("reset".into()),
            };
            vec![(millis(1), learnt.into())]
        }
        _ => Vec::new(),
    });
    let looks =
        |(at, e): &&(Duration, Effect)| *at > secs(2) && matches!(e, Effect::LookAtWorkload { .. });
    assert!(bench.log.iter().filter(looks).count() <= 9);
}

#[test]
fn an_overloaded_server_is_left_alone_by_patches_as_it_asks() {
    let (mut bench, _) = prepared(&["a"], 2);
    let retry_after = Some(secs(7));
    bench.on(patched("a", Reply::Overloaded { retry_after }));
    let early = bench.wake_at(secs(6));
    assert_eq!(detaches(&early), Vec::<&str>::new());
    assert_eq!(detaches(&bench.wake_at(secs(8))), ["a"]);
}

#[test]
fn nothing_is_detached_where_evictions_are_forbidden() {
    let (mut bench, _) = prepared(&["a"], 1);
    bench.on(patched("a", forbidden()));
    bench.on(access(Some(false)));
    bench.on(access(Some(false)));
    assert_eq!(detaches(&bench.wake_at(secs(1))), Vec::<&str>::new());
    assert_eq!(not_first(&bench, "a"), "evictions are forbidden");
}

#[test]
fn what_is_detached_when_evictions_are_found_to_be_forbidden_is_told() {
    let mut bench = waiting(&["a", "b"], 2);
    assert_eq!(evicted(&bench.on(seen(set(2, 1, "40")))), ["a"]);
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    bench.wake_at(secs(2));
    bench.answer("a", forbidden());
    bench.on(access(Some(false)));
    let why = "evictions are forbidden".to_owned();
    for name in ["a", "b"] {
        let stuck = Replacement::Stuck { why: why.clone() };
        assert_eq!(replacement(&bench, name), Some(stuck), "{name}");
    }
    // Called off after all, they are put back.
    assert_eq!(bench.outcome(), Some(DrainOutcome::Incomplete));
    bench.on(Input::Cancelled);
    let effects = bench.on(known(set(2, 1, "50"), 1));
    assert_eq!(put_back(&effects), ["a", "b"]);
}

#[test]
fn pods_that_go_one_after_the_other_leave_time_for_each_other() {
    let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = waiting(&names, 10);
    let mut budget = budget_over("web", r#"{"matchLabels": {"app": "web"}}"#);
    budget.allowed = Some(10);
    bench.on(budgets(Budgets::Known(vec![budget])));
    bench.run(secs(110), |effect, _| match effect {
        Effect::Evict(call) => {
            assert_eq!(call.grace, None, "{}", call.name);
            let pod = call.pod.clone();
            let reply = Reply::Accepted;
            let answered = Input::Answered { pod, reply };
            vec![(millis(300), answered)]
        }
        _ => Vec::new(),
    });
    let evictions = bench.evictions("p");
    assert_eq!(evictions.len(), 10);
    assert!(
        evictions[0] >= LATEST.saturating_sub(secs(3)),
        "{evictions:?}"
    );
}

#[test]
fn a_set_that_ended_between_two_watches_is_missed() {
    let mut bench = waiting(&["a"], 2);
    bench.now = bench.start + secs(5);
    let (namespace, why) = ("shop".to_owned(), "reset".to_owned());
    bench.on(Learnt::ReplicaSetsUnwatched { namespace, why }.into());
    bench.now = bench.start + secs(6);
    let asked = bench.on(watched());
    assert!(
        matches!(&asked[..], [Effect::LookAtWorkload { .. }]),
        "{asked:?}"
    );
    // What was known holds until there is an answer.
    assert_eq!(bench.on(seen(set(2, 1, "40"))), vec![]);
    assert_eq!(evicted(&bench.on(workload(Workload::Gone))), ["a"]);
}

#[test]
fn what_an_earlier_drain_of_a_fleet_knew_of_a_set_does_not_count_for_what_it_detached() {
    let (mut fleet, now) = (Fleet::new(Limits::default()), Instant::now());
    let mut effects = Vec::new();
    let on_it = |pod: PodFacts| PodFacts {
        node: "n".into(),
        ..pod
    };
    let looks = |effects: &[(String, Effect)]| {
        let looks = |e: &Effect| matches!(e, Effect::LookAtWorkload { .. });
        effects.iter().filter(|(_, e)| looks(e)).count()
    };
    fleet.start("n", switched_on(), Some(now + secs(120)), now);
    let pods = vec![on_it(web("a"))];
    fleet.on("n", Input::Listed(pods), now, &mut effects);
    assert_eq!(looks(&effects), 1);
    fleet.see(known(set(1, 1, "10"), 1), now, &mut effects);
    fleet.see(watched(), now, &mut effects);
    let later = now + secs(2);
    effects.clear();
    fleet.start("n", switched_on(), Some(later + secs(120)), later);
    let pods = vec![on_it(detached("a", "20"))];
    fleet.on("n", Input::Listed(pods), later, &mut effects);
    let evicts =
        |effects: &[(String, Effect)]| effects.iter().any(|(_, e)| matches!(e, Effect::Evict(_)));
    assert_eq!((looks(&effects), evicts(&effects)), (1, false));
    fleet.see(known(set(1, 1, "30"), 1), later, &mut effects);
    assert!(evicts(&effects));
}

#[test]
fn obstacles_have_pods_evicted_at_once_and_are_told() {
    let refused = |pod: PodFacts, surge| {
        let mut bench = Bench::new(switched_on(), 120);
        let name = pod.name.clone();
        let mut effects = bench.list([pod]);
        bench.on(Input::Cordoned);
        effects.extend(bench.on(known(set(1, 1, "10"), surge)));
        assert_eq!(evicted(&effects), [name.as_str()], "{effects:?}");
        not_first(&bench, &name)
    };
    let long = PodFacts {
        grace: secs(105),
        ..web("a")
    };
    let said = [
        refused(web("a"), 0),
        refused(long, 1),
        refused(owned("db-0", "StatefulSet", "db"), 1),
    ];
    let expected = [
        "its Deployment allows no surge",
        "its grace leaves no time to wait",
        "no ReplicaSet owns it",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_cordon_that_does_not_come_is_not_waited_for_for_long() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.list([web("a")]);
    bench.on(known(set(1, 1, "10"), 1));
    assert_eq!(bench.on(watched()), vec![]);
    assert_eq!(bench.next_wake(), secs(1)); // the drain's own shortest stay
    bench.wake_at(secs(1));
    assert_eq!(bench.next_wake(), secs(15));
    assert_eq!(evicted(&bench.wake_at(secs(15))), ["a"]);
    assert_eq!(
        not_first(&bench, "a"),
        "the node was not known to be cordoned"
    );
}

#[test]
fn a_workload_that_cannot_be_looked_at_is_asked_again_and_not_waited_for_for_long() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.list([web("a")]);
    bench.on(Input::Cordoned);
    let looks = |bench: &Bench| {
        let looks = |e: &&(Duration, Effect)| matches!(e.1, Effect::LookAtWorkload { .. });
        bench.log.iter().filter(looks).count()
    };
    for second in 1..=15 {
        bench.on(workload(Workload::Unavailable("403 no".into())));
        assert_eq!(looks(&bench), second);
        bench.wake_at(secs(second as u64));
    }
    assert_eq!(bench.evictions("a"), [secs(15)]);
    assert_eq!(
        not_first(&bench, "a"),
        "its workload is unknown (no answer in time)"
    );
}

/// A Deployment that is being rolled out, as far as its numbers say.
fn rolling() -> Input {
    let deployment = DeploymentFacts {
        rolls: true,
        surge: 1,
        rolled_out: false,
        going: false,
    };
    workload(Workload::Known(set(2, 2, "10"), Some(deployment)))
}

#[test]
fn a_rollout_is_believed_when_it_is_seen_twice() {
    let begun = || {
        let mut bench = Bench::new(switched_on(), 120);
        bench.list([web("a")]);
        bench.on(Input::Cordoned);
        assert_eq!(bench.on(rolling()), vec![]);
        let asked = bench.wake_at(secs(1));
        assert!(
            matches!(&asked[..], [Effect::LookAtWorkload { .. }]),
            "{asked:?}"
        );
        bench
    };
    let mut over = begun();
    over.on(known(set(2, 2, "11"), 1));
    assert_eq!(detaches(&over.on(watched())), ["a"]);
    let mut lasting = begun();
    assert_eq!(evicted(&lasting.on(rolling())), ["a"]);
    assert_eq!(
        not_first(&lasting, "a"),
        "its Deployment is being rolled out"
    );
}

#[test]
fn a_patch_that_is_refused_is_tried_three_times() {
    let (mut bench, _) = prepared(&["a"], 2);
    for again in 1..3u64 {
        bench.on(patched("a", forbidden()));
        assert_eq!(bench.next_wake(), secs(again));
        assert_eq!(detaches(&bench.wake_at(secs(again))), ["a"]);
    }
    assert_eq!(evicted(&bench.on(patched("a", forbidden()))), ["a"]);
    assert_eq!(not_first(&bench, "a"), "it could not be detached (no)");
}

#[test]
fn a_patch_that_gets_no_answer_is_tried_as_long_as_it_is_worth_the_while() {
    let (mut bench, _) = prepared(&["a"], 2);
    for again in 1..30u64 {
        let what = "reset".to_owned();
        assert_eq!(bench.on(patched("a", Reply::Lost { what })), vec![]);
        assert_eq!(detaches(&bench.wake_at(secs(again))), ["a"]);
    }
    bench.on(patched("a", Reply::Accepted));
    assert_eq!(replacement(&bench, "a"), Some(Replacement::Awaited));
}

#[test]
fn a_patch_that_got_lost_and_took_effect_is_waited_for_all_the_same() {
    let (mut bench, _) = prepared(&["a"], 2);
    let lost = Reply::Lost {
        what: "reset".into(),
    };
    bench.on(patched("a", lost));
    assert_eq!(bench.on(Input::Seen(detached("a", "20"))), vec![]);
    assert_eq!(detaches(&bench.wake_at(secs(2))), Vec::<&str>::new());
    bench.on(seen(set(2, 1, "30")));
    assert_eq!(evicted(&bench.on(seen(set(2, 2, "40")))), ["a"]);
}

#[test]
fn what_an_earlier_process_has_detached_is_carried_on() {
    let mut bench = Bench::new(switched_on(), 120);
    let asked = bench.list([detached("a", "20")]);
    assert!(
        matches!(&asked[..], [Effect::LookAtWorkload { .. }]),
        "{asked:?}"
    );
    bench.on(known(set(1, 0, "15"), 1));
    assert_eq!(bench.on(watched()), vec![]);
    assert_eq!(evicted(&bench.on(seen(set(1, 1, "40")))), ["a"]);
    assert_eq!(replacement(&bench, "a"), Some(Replacement::First));
}

#[test]
fn switched_off_nothing_is_asked_and_what_was_detached_goes_at_once() {
    let (_, effects) = Bench::of([web("a"), detached("b", "20")]);
    assert_eq!(evicted(&effects), ["a", "b"]);
    assert_eq!(effects.len(), 2, "{effects:?}");
}

#[test]
fn where_it_must_be_asked_for_only_annotated_pods_wait() {
    let settings = Settings::default().with_make_before_break(MakeBeforeBreak::Annotated);
    let mut bench = Bench::new(settings, 120);
    let asks = PodFacts {
        make: Some("on".into()),
        ..web("b")
    };
    let effects = bench.list([web("a"), asks]);
    assert_eq!(evicted(&effects), ["a"]);
    bench.on(Input::Cordoned);
    bench.on(known(set(2, 2, "10"), 1));
    assert_eq!(detaches(&bench.on(watched())), ["b"]);
    assert_eq!(replacement(&bench, "a"), None);
}

#[test]
fn a_cancelled_drain_puts_back_what_it_has_detached() {
    let mut bench = waiting(&["a", "b"], 3);
    let effects = bench.on(Input::Cancelled);
    let back = |e: &Effect| matches!(e, Effect::Reattach(back) if back.hash == "abc");
    assert_eq!(effects.iter().filter(|e| back(e)).count(), 2, "{effects:?}");
    bench.on(patched("a", Reply::Accepted));
    assert_eq!(bench.outcome(), None);
    bench.on(patched("b", Reply::Accepted));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
    assert_eq!(replacement(&bench, "b"), Some(Replacement::PutBack));
}

#[test]
fn a_patch_under_way_when_the_drain_is_cancelled_is_undone() {
    let (mut bench, _) = prepared(&["a"], 1);
    assert_eq!(bench.on(Input::Cancelled), vec![]);
    // The watch is quicker than the answer.
    bench.on(Input::Seen(detached("a", "20")));
    let effects = bench.on(patched("a", Reply::Accepted));
    assert!(matches!(&effects[..], [Effect::Reattach(_)]), "{effects:?}");
    let unanswered = (bench.outcome(), replacement(&bench, "a"));
    assert_eq!(unanswered, (None, Some(Replacement::Awaited)));
    bench.on(patched("a", Reply::Accepted));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
}

#[test]
fn a_pod_that_nobody_would_take_back_is_evicted_though_the_drain_is_cancelled() {
    let mut bench = waiting(&["a"], 1);
    bench.on(Learnt::ReplicaSetGone(set(1, 0, "40")).into());
    bench.answer("a", closed("web"));
    let effects = bench.on(Input::Cancelled);
    assert_eq!(evicted(&effects), ["a"]);
    assert_eq!(bench.outcome(), None);
    bench.answer("a", Reply::Accepted);
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
}

#[test]
fn what_was_known_before_a_drain_is_cancelled_is_asked_anew() {
    let mut bench = waiting(&["a"], 1);
    bench.now = bench.start + secs(5);
    let effects = bench.on(Input::Cancelled);
    assert!(
        matches!(&effects[..], [Effect::LookAtWorkload { .. }]),
        "{effects:?}"
    );
    assert_eq!(evicted(&bench.on(workload(Workload::Gone))), ["a"]);
}

#[test]
fn a_workload_that_cannot_be_looked_at_has_its_pod_put_back_blindly_in_the_end() {
    let mut bench = waiting(&["a"], 1);
    bench.now = bench.start + secs(5);
    bench.on(Input::Cancelled);
    for again in 0..5 {
        let effects = bench.on(workload(Workload::Unavailable("403 no".into())));
        assert_eq!((effects, bench.outcome()), (vec![], None), "{again}");
        assert_eq!(bench.wake_at(secs(6 + again)).len(), 1, "asked again");
    }
    let effects = bench.on(workload(Workload::Unavailable("403 no".into())));
    assert!(matches!(&effects[..], [Effect::Reattach(_)]), "{effects:?}");
}

#[test]
fn what_an_earlier_drain_of_a_fleet_learnt_of_a_workload_is_asked_anew() {
    let begins = |fleet: &mut Fleet, node: &str, now: Instant| {
        let mut effects = Vec::new();
        fleet.start(node, switched_on(), Some(now + secs(120)), now);
        let pod = PodFacts {
            node: node.into(),
            ..web(node)
        };
        fleet.on(node, Input::Listed(vec![pod]), now, &mut effects);
        let looks = |e: &Effect| matches!(e, Effect::LookAtWorkload { .. });
        effects.iter().filter(|(_, e)| looks(e)).count()
    };
    let (mut fleet, now) = (Fleet::new(Limits::default()), Instant::now());
    let mut effects = Vec::new();
    assert_eq!(begins(&mut fleet, "first", now), 1);
    fleet.see(known(set(3, 3, "10"), 1), now, &mut effects);
    assert_eq!(begins(&mut fleet, "soon", now + secs(9)), 0);
    assert_eq!(begins(&mut fleet, "late", now + secs(11)), 1);
}

#[test]
fn one_that_nobody_takes_back_and_its_budget_holds_is_given_up_after_ten_tries() {
    let mut bench = waiting(&["a"], 1);
    bench.on(Learnt::ReplicaSetGone(set(1, 0, "40")).into());
    bench.answer("a", closed("web"));
    let mut effects = bench.on(Input::Cancelled);
    for again in 1..11u64 {
        assert_eq!(evicted(&effects), ["a"], "{again}");
        assert_eq!(bench.outcome(), None);
        bench.answer("a", closed("web"));
        effects = bench.wake_at(secs(again));
    }
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
    let why = "its ReplicaSet is gone".to_owned();
    assert_eq!(replacement(&bench, "a"), Some(Replacement::Stuck { why }));
}

#[test]
fn a_plan_that_is_cancelled_before_it_sees_anything_puts_back_and_evicts_nothing() {
    let mut bench = Bench::new(switched_on(), 120);
    bench.on(Input::Cancelled);
    assert_eq!(bench.outcome(), None);
    let asked = bench.list([web("a"), detached("b", "20")]);
    assert!(
        matches!(&asked[..], [Effect::LookAtWorkload { .. }]),
        "{asked:?}"
    );
    let effects = bench.on(known(set(2, 2, "30"), 1));
    assert!(matches!(&effects[..], [Effect::Reattach(_)]), "{effects:?}");
    bench.on(patched("b", Reply::Accepted));
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
}

#[test]
fn a_refusal_to_put_back_is_believed_when_said_ten_times() {
    // What was refused before the pod was detached does not count.
    let (mut bench, _) = prepared(&["a"], 1);
    for again in 1..3u64 {
        bench.on(patched("a", forbidden()));
        bench.wake_at(secs(again));
    }
    bench.on(patched("a", Reply::Accepted));
    bench.on(Input::Seen(detached("a", "20")));
    bench.on(Input::Cancelled);
    for again in 3..13u64 {
        assert_eq!(bench.outcome(), None);
        bench.on(patched("a", forbidden()));
        bench.wake_at(secs(again));
    }
    assert_eq!(bench.outcome(), Some(DrainOutcome::Cancelled));
    let stuck = Replacement::Stuck { why: "no".into() };
    assert_eq!(replacement(&bench, "a"), Some(stuck));
}

#[test]
fn a_deadline_that_comes_nearer_ends_the_wait() {
    let mut bench = waiting(&["a"], 1);
    bench.now = bench.start + secs(20);
    let near = Input::Nearer(bench.start + secs(50));
    // Of 30 s at most 26 are left.
    let effects = bench.on(near);
    assert_eq!(evicted(&effects), ["a"]);
}

#[test]
fn a_dry_run_detaches_nothing() {
    let mut bench = Bench::new(switched_on().with_dry_run(true), 120);
    assert_eq!(evicted(&bench.list([web("a")])), ["a"]);
}
