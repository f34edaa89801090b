//! Lanes by themselves: what watches, answers and refusals do to how many pods may go.

use super::*;
use crate::plan::lane::{Busy, LaneKey, Lanes};

const HEARTBEAT: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(200);

fn web() -> LaneKey {
    LaneKey::Budget("shop".into(), "web".into())
}

fn owner(uid: &str) -> LaneKey {
    LaneKey::Owner(uid.into())
}

fn allowing(name: &str, allowed: u32) -> BudgetFacts {
    let mut budget = budget_over(name, &format!(r#"{{"matchLabels": {{"app": "{name}"}}}}"#));
    budget.allowed = Some(allowed);
    budget
}

fn refusal_of(budget: &str) -> Refusal {
    Refusal {
        budget: Some(budget.into()),
        ..Refusal::default()
    }
}

/// How many more of a lane may go at once.
fn width(lanes: &Lanes, key: &LaneKey, now: Instant) -> usize {
    let mut busy = Busy::default();
    let mut width = 0;
    while width < 99 && lanes.admits(key, &busy, now) {
        lanes.count(key, &mut busy);
        width += 1;
    }
    width
}

#[test]
fn a_watched_budget_closes_its_lane_and_opens_it() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    lanes.seen(allowing("web", 1), now);
    assert_eq!((lanes.opens(&web()), width(&lanes, &web(), now)), (None, 1));
    lanes.seen(allowing("web", 0), now);
    assert_eq!(lanes.opens(&web()), Some(now + HEARTBEAT));
    assert_eq!(width(&lanes, &web(), now), 0);
    lanes.seen(allowing("web", 2), now);
    assert_eq!(lanes.opens(&web()), Some(now + SHORTEST), "not sooner");
    lanes.seen(allowing("web", 2), now + secs(1));
    assert_eq!(lanes.opens(&web()), Some(now + secs(1)));
}

#[test]
fn pods_may_change_lanes_where_a_budget_s_rules_change_and_only_there() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    lanes.seen(allowing("web", 1), now);
    assert_eq!(lanes.changes, 1, "it is new");
    lanes.seen(allowing("web", 0), now);
    assert_eq!(lanes.changes, 1);
    let mut other = budget_over("web", r#"{"matchLabels": {"app": "db"}}"#);
    other.allowed = Some(1);
    lanes.seen(other, now);
    assert_eq!(lanes.changes, 2);
    lanes.gone("shop", "web");
    assert_eq!(lanes.changes, 3);
    lanes.know(vec![allowing("web", 1)], now);
    assert_eq!(lanes.changes, 4);
}

#[test]
fn a_budget_that_is_gone_holds_its_own_pods_no_longer_and_others_still() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    for (uid, budget) in [("a", "web"), ("b", "db")] {
        let pod = owned(uid, "ReplicaSet", uid);
        lanes.refused(&owner(uid), &pod, &refusal_of(budget), None, (now, now));
    }
    for uid in ["a", "b"] {
        assert!(lanes.refusal(&owner(uid)).is_some(), "{uid}");
    }
    lanes.seen(allowing("web", 0), now);
    lanes.seen(allowing("db", 0), now);
    lanes.gone("shop", "web");
    assert!(lanes.refusal(&owner("a")).is_none());
    assert_eq!(width(&lanes, &owner("a"), now), 1);
    assert!(lanes.refusal(&owner("b")).is_some());
}

#[test]
fn a_budget_that_is_gone_stands_over_nobody_and_others_still_do() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    let lane_of = |lanes: &Lanes, app: &str| {
        let mut pod = owned("a", "ReplicaSet", "a");
        pod.labels.insert("app".into(), app.into());
        lanes.of(&pod, None)
    };
    lanes.know(vec![allowing("web", 1), allowing("db", 1)], now);
    assert_eq!(lane_of(&lanes, "web"), web());
    lanes.gone("shop", "web");
    assert_eq!(lane_of(&lanes, "web"), LaneKey::Free);
    assert_eq!(
        lane_of(&lanes, "db"),
        LaneKey::Budget("shop".into(), "db".into())
    );
}

#[test]
fn what_is_closed_is_asked_again_soon_where_its_watch_ends() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    let pod = owned("a", "ReplicaSet", "a");
    let call = (now, now);
    lanes.refused(&owner("a"), &pod, &refusal_of("web"), None, call);
    let first = lanes.opens(&web()).unwrap();
    assert!(first >= now + secs(1) && first < now + secs(2), "a second");

    lanes.watched("elsewhere".into(), true, now);
    assert_eq!(lanes.opens(&web()), Some(first));
    lanes.watched("shop".into(), true, now + secs(1));
    assert_eq!(lanes.opens(&web()), Some(now + HEARTBEAT), "it is told");
    lanes.watched("shop".into(), false, now + secs(5));
    assert_eq!(lanes.opens(&web()), Some(now + secs(6)));
    lanes.watched("shop".into(), true, now + secs(6));
    assert_eq!(lanes.opens(&web()), Some(now + secs(6)), "it may have gone");
}

#[test]
fn a_lane_of_unknown_budgets_doubles_with_quick_answers_and_halves_with_slow_ones() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    let quick = Duration::from_millis(399);
    let mut widths = Vec::new();
    for took in [quick, quick, quick, quick, quick, secs(1), secs(1), quick] {
        lanes.accepted(&owner("a"), took, now);
        widths.push(width(&lanes, &owner("a"), now));
        assert_eq!(widths.last(), Some(&lanes.width(&owner("a"))));
    }
    assert_eq!(widths, [2, 4, 8, 16, 16, 8, 4, 8]);
    for _ in 0..9 {
        lanes.accepted(&owner("a"), Duration::from_millis(400), now);
    }
    assert_eq!(width(&lanes, &owner("a"), now), 1);
}

#[test]
fn what_a_budget_allows_is_used_up_by_what_was_accepted_since() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    lanes.know(vec![allowing("web", 2)], now);
    lanes.accepted(&web(), secs(1), now + secs(2));
    assert_eq!(lanes.opens(&web()), None, "one is left");
    // Seen while the call was under way: it is counted in.
    lanes.seen(allowing("web", 1), now + secs(3));
    lanes.accepted(&web(), secs(2), now + secs(4));
    assert_eq!(lanes.opens(&web()), None);
    lanes.accepted(&web(), secs(1), now + secs(5));
    assert!(lanes.opens(&web()).is_some(), "none is left");
}

#[test]
fn a_budget_that_opened_during_the_call_that_it_refused_is_asked_again_at_once() {
    let pod = owned("a", "ReplicaSet", "a");
    let now = Instant::now();
    for (seen, allowed, soon) in [(5, 1, true), (5, 0, false), (4, 1, false), (3, 1, false)] {
        let mut lanes = Lanes::default();
        lanes.know(vec![allowing("web", allowed)], now + secs(seen));
        let call = (now + secs(4), now + secs(6));
        lanes.refused(&web(), &pod, &refusal_of("web"), None, call);
        let opens = lanes.opens(&web()).unwrap() - call.1;
        assert_eq!(opens < secs(1), soon, "{seen} s, {allowed}: {opens:?}");
        assert!(opens >= SHORTEST);
    }
}

#[test]
fn a_pod_that_its_budget_exempts_suffers_alone_from_a_refusal() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    let mut pod = owned("a", "ReplicaSet", "a");
    pod.labels.insert("app".into(), "web".into());
    pod.phase = crate::facts::Phase::Pending;
    lanes.know(vec![allowing("web", 1)], now);
    let alone = lanes.of(&pod, None);
    assert_eq!(alone, LaneKey::Alone(pod.uid.0.clone()));
    let key = lanes.refused(&alone, &pod, &refusal_of("web"), None, (now, now));
    assert_eq!(key, alone);
    assert_eq!(width(&lanes, &web(), now), 1, "others need not wait");
}

#[test]
fn a_refusal_tells_of_a_budget_that_was_not_known() {
    let (now, pod) = (Instant::now(), pod("a"));
    let refused = |lanes: &mut Lanes, lane: &LaneKey| {
        lanes.refused(lane, &pod, &refusal_of("web"), None, (now, now))
    };
    let mut lanes = Lanes::default();
    assert_eq!(refused(&mut lanes, &LaneKey::Alone("a".into())), web());
    lanes.know(Vec::new(), now);
    assert_eq!(refused(&mut lanes, &LaneKey::Free), web(), "a younger one");
}

#[test]
fn refusals_of_calls_that_were_under_way_together_count_once() {
    let (mut lanes, now) = (Lanes::default(), Instant::now());
    let pod = owned("a", "ReplicaSet", "a");
    let mut at = now;
    let mut pauses = Vec::new();
    for _ in 0..6 {
        lanes.refused(&web(), &pod, &refusal_of("web"), None, (at, at));
        let opens = lanes.opens(&web()).unwrap();
        lanes.refused(&web(), &pod, &refusal_of("web"), None, (at, at));
        assert_eq!(lanes.opens(&web()), Some(opens));
        pauses.push((opens - at).as_secs_f64());
        at = opens;
    }
    for (pause, nominal) in pauses.iter().zip([1.0, 1.5, 2.25, 3.375, 5.0, 5.0]) {
        let more = pause - nominal;
        assert!((0.0..=nominal / 10.0).contains(&more), "{pauses:?}");
    }
}
