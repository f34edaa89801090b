//! Notices that wait for their time, and that have lived it.

use super::*;
use NoticeKind::{RebalanceRecommendation, ScheduledMaintenance, SpotInterruption};

const NOTHING: [&str; 0] = [];
const HOUR: u64 = 3_600;

/// A policy as it is written in arguments.
fn policy(rules: &[&str]) -> Policy {
    rules
        .iter()
        .map(|rule| rule.parse::<KindRule>().unwrap())
        .collect()
}

impl Bench {
    /// Goes to so many seconds after the start and does what is due then.
    fn at(&mut self, seconds: u64) -> Vec<Effect> {
        self.seconds = seconds;
        self.on(Input::Woken)
    }

    /// So many seconds after the start.
    fn wakes(&self) -> Option<u64> {
        let wake = self.life.next_wake()?;
        Some((wake - self.start).as_secs())
    }
}

fn waits(o: &Occurrence) -> bool {
    matches!(o, Occurrence::NoticeWaits { .. })
}

fn expired(o: &Occurrence) -> bool {
    matches!(o, Occurrence::NoticeExpired(_))
}

#[test]
fn maintenance_waits_for_its_lead_and_not_longer() {
    let mut bench = Bench::ready();
    assert_eq!(
        names(&bench.raise("m", ScheduledMaintenance, 20 * HOUR)),
        NOTHING
    );
    assert_eq!(bench.life.state(), State::Standing);
    assert_eq!(bench.wakes(), Some(20 * HOUR - 900));
    assert_eq!(names(&bench.at(20 * HOUR - 901)), NOTHING);
    let effects = bench.at(20 * HOUR - 900);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
    assert_eq!(ordered(&bench, &effects), Some(20 * HOUR));
    assert_eq!(bench.told(waits), 1);
}

#[test]
fn maintenance_that_names_no_time_is_acted_on_at_once() {
    let mut bench = Bench::ready();
    let notice = bench.notice("m", ScheduledMaintenance, None);
    let effects = bench.on(said(Signal::Raised(notice)));
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

#[test]
fn maintenance_cancelled_while_it_waits_changes_nothing() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 20 * HOUR);
    assert_eq!(names(&bench.on(cancelled("m"))), NOTHING);
    assert_eq!(bench.life.state(), State::Idle);
    assert_eq!(bench.wakes(), None);
}

#[test]
fn what_has_begun_does_not_go_back_to_waiting() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 800);
    assert_eq!(
        names(&bench.raise("m", ScheduledMaintenance, 20 * HOUR)),
        NOTHING
    );
    assert_eq!(bench.life.state(), State::Draining);
}

#[test]
fn an_interruption_while_a_maintenance_waits_is_acted_on_alone() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 20 * HOUR);
    let effects = bench.interrupt(120);
    assert_eq!(ordered(&bench, &effects), Some(120));
}

#[test]
fn a_recommendation_is_released_when_its_time_to_live_is_over_and_stays_so() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    let effects = bench.on(said(Signal::Raised(notice.clone())));
    assert_eq!(names(&effects), ["quarantine Cordoned"]);
    assert_eq!(bench.wakes(), Some(1_800));
    assert_eq!(names(&bench.at(1_799)), NOTHING);
    assert_eq!(names(&bench.at(1_800)), ["release, settled"]);
    assert_eq!(names(&bench.on(said(Signal::Raised(notice)))), NOTHING);
    assert_eq!((bench.told(expired), bench.wakes()), (1, None));
    assert_eq!(bench.life.state(), State::Standing);
    // What was written down is forgotten when it stands no longer.
    assert_eq!(names(&bench.on(ended("r", NoticeEnd::Passed))), ["release"]);
    assert_eq!(bench.life.state(), State::Idle);
    // The next one is acted on.
    let next = bench.notice("r", RebalanceRecommendation, None);
    assert_eq!(
        names(&bench.on(said(Signal::Raised(next)))),
        ["quarantine Cordoned"]
    );
}

#[test]
fn a_recommendation_is_as_old_as_its_announcement() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    let old = notice.with_age(Duration::from_secs(1_700));
    bench.on(said(Signal::Raised(old)));
    assert_eq!(bench.wakes(), Some(100));
    // One that is too old is not acted on at all.
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    let older = notice.with_age(Duration::from_secs(1_800));
    assert_eq!(names(&bench.on(said(Signal::Raised(older)))), NOTHING);
    assert_eq!(bench.told(expired), 1);
}

#[test]
fn a_drain_whose_recommendation_expires_stops() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=drain,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    bench.on(said(Signal::Raised(notice)));
    assert_eq!(names(&bench.at(1_800)), ["stop"]);
    assert_eq!(names(&bench.on(Input::DrainFinished)), ["release, settled"]);
}

#[test]
fn an_interruption_supersedes_a_recommendation_and_outlives_its_time() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    bench.on(said(Signal::Raised(notice)));
    bench.seconds = 1_750;
    let effects = bench.interrupt(1_870);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
    assert_eq!(names(&bench.at(1_801)), NOTHING);
    assert_eq!(bench.life.state(), State::Draining);
}

#[test]
fn a_young_instance_waits_until_it_is_old_enough() {
    let mut bench = Bench::with(policy(&["rebalance-recommendation=cordon,min-age=10m"]));
    bench.on(Input::Started);
    let mut instance = Instance::new("i-1");
    instance.launched = Some(at(-120));
    bench.on(said(Signal::Identified(instance)));
    bench.on(recalled(None));
    bench.on(good());
    let notice = bench.notice("r", RebalanceRecommendation, None);
    assert_eq!(names(&bench.on(said(Signal::Raised(notice)))), NOTHING);
    assert_eq!(bench.wakes(), Some(480));
    assert_eq!(names(&bench.at(480)), ["quarantine Cordoned"]);
    // An interruption waits for no age.
    let mut bench = Bench::ready();
    bench.life.notices.launched = Some(at(0));
    assert_eq!(
        names(&bench.interrupt(120)),
        ["quarantine Draining", "start"]
    );
}

#[test]
fn an_instance_of_unknown_age_is_old_enough() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    let effects = bench.on(said(Signal::Raised(notice)));
    assert_eq!(names(&effects), ["quarantine Cordoned"]);
}

#[test]
fn a_suspend_is_told_and_a_clock_that_is_set_moves_nothing() {
    let mut bench = Bench::ready_with(policy(&["rebalance-recommendation=cordon,ttl=30m"]));
    let notice = bench.notice("r", RebalanceRecommendation, None);
    bench.on(said(Signal::Raised(notice)));
    // The wall clock goes on for an hour, the monotonic one stands.
    bench.asleep = 3_600;
    assert_eq!(names(&bench.at(1)), NOTHING);
    assert_eq!(bench.told(|o| matches!(o, Occurrence::ClockJumped(_))), 1);
    assert_eq!(bench.wakes(), Some(1_800));
    // A wall clock that is set back is no suspend.
    bench.asleep = 0;
    bench.at(2);
    assert_eq!(bench.told(|o| matches!(o, Occurrence::ClockJumped(_))), 1);
}

#[test]
fn pods_that_came_before_the_quarantine_held_are_drained_too() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    assert_eq!(names(&bench.on(Input::DrainFinished)), NOTHING);
    assert_eq!(names(&bench.on(Input::Quarantined)), ["start"]);
    let effects = bench.on(Input::DrainFinished);
    assert_eq!(names(&effects), ["quarantine Drained"]);
    assert_eq!(
        names(&bench.on(Input::Quarantined)),
        NOTHING,
        "it held by then"
    );
    // Not so where it held in time, or where time is over.
    let mut bench = Bench::ready();
    bench.interrupt(120);
    bench.on(Input::Quarantined);
    bench.on(Input::DrainFinished);
    assert_eq!(names(&bench.on(Input::Quarantined)), NOTHING);
    let mut bench = Bench::ready();
    bench.interrupt(120);
    bench.on(Input::DrainFinished);
    bench.seconds = 120;
    let effects = bench.on(Input::Quarantined);
    assert_eq!(names(&effects), ["quarantine Drained"]);
}

#[test]
fn only_what_is_acted_on_has_its_deadline_counted() {
    let mut bench = Bench::ready_with(policy(&["scheduled-maintenance=notify"]));
    bench.raise("m", ScheduledMaintenance, 60);
    let effects = bench.interrupt(120);
    assert_eq!(ordered(&bench, &effects), Some(120));
    let started = |e: &Effect| matches!(e, Effect::StartDrain(o) if o.kind == SpotInterruption);
    assert!(effects.iter().any(started));
}

#[test]
fn a_deadline_that_has_passed_leaves_a_weightier_notice_its_own_time() {
    for (rule, spot) in [
        ("scheduled-maintenance=cordon", "spot-interruption=drain"),
        ("scheduled-maintenance=drain", "spot-interruption=drain"),
    ] {
        let mut bench = Bench::ready_with(policy(&[rule, spot]));
        bench.raise("m", ScheduledMaintenance, 100);
        if bench.life.is_draining() {
            bench.on(Input::Quarantined);
            bench.on(Input::DrainFinished);
        }
        // It may come at any moment now, and EC2 lists it still.
        bench.seconds = 500;
        bench.on(Input::Woken);
        let effects = bench.interrupt(620);
        assert_eq!(ordered(&bench, &effects), Some(620), "{rule}: {effects:?}");
    }
}

#[test]
fn a_termination_without_a_time_gets_none_from_what_has_passed() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 100);
    bench.on(Input::Quarantined);
    bench.on(Input::DrainFinished);
    bench.seconds = 500;
    let notice = bench.notice("asg", NoticeKind::AsgTermination, None);
    let effects = bench.on(said(Signal::Raised(notice)));
    let timeless = |e: &Effect| matches!(e, Effect::StartDrain(o) if o.deadline.is_none());
    assert!(effects.iter().any(timeless), "{effects:?}");
}

#[test]
fn what_a_waiting_notice_says_anew_is_told() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 20 * HOUR);
    bench.raise("m", ScheduledMaintenance, 19 * HOUR);
    bench.raise("m", ScheduledMaintenance, 19 * HOUR);
    assert_eq!(bench.told(|o| matches!(o, Occurrence::NoticeChanged(_))), 1);
    assert_eq!(bench.wakes(), Some(19 * HOUR - 900));
}

#[test]
fn a_deadline_is_told_to_be_nearer_where_it_is_and_only_there() {
    let nearer = |o: &Occurrence| matches!(o, Occurrence::DeadlineNearer(_));
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 100);
    let effects = bench.raise("m", ScheduledMaintenance, 80);
    assert_eq!(ordered(&bench, &effects), Some(80), "{effects:?}");
    assert_eq!(bench.told(nearer), 1);

    // Another notice takes over what is under way; the end of the former stays.
    let effects = bench.interrupt(120);
    assert_eq!(ordered(&bench, &effects), Some(80), "{effects:?}");
    assert_eq!(bench.told(nearer), 1);
}

#[test]
fn whether_the_machine_has_rebooted_is_not_asked_while_a_drain_runs() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 100);
    assert_eq!(names(&bench.at(160)), NOTHING);
    assert_eq!(bench.life.state(), State::Draining);
    bench.on(Input::Quarantined);
    bench.on(Input::DrainFinished);
    assert_eq!(names(&bench.at(220)), ["recall"]);
}
