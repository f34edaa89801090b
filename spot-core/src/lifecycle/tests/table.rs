//! The rows of the table, one after the other.

use super::*;
use NoticeKind::{RebalanceRecommendation, ScheduledMaintenance, SpotInterruption};

const NOTHING: [&str; 0] = [];

fn cordons_on_rebalance() -> Policy {
    Policy::default().on(RebalanceRecommendation, Response::Cordon)
}

#[test]
fn a_notice_to_cordon_quarantines_and_drains_nothing() {
    let mut bench = Bench::ready_with(cordons_on_rebalance());
    let effects = bench.raise("r", RebalanceRecommendation, 600);
    assert_eq!(names(&effects), ["quarantine Cordoned"]);
    assert!(!bench.life.is_draining());
}

#[test]
fn a_notice_to_drain_quarantines_and_drains_at_the_same_time() {
    let mut bench = Bench::ready();
    let effects = bench.interrupt(120);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
    assert_eq!(ordered(&bench, &effects), Some(120));
    let Effect::Quarantine(q) = &effects[0] else {
        panic!("{effects:?}")
    };
    assert_eq!((q.notice.as_str(), q.kind), ("spot", SpotInterruption));
    assert_eq!((q.deadline, q.since), (Some(at(120)), at(0)));
    assert_eq!(q.instance.as_deref(), Some("i-1"));
}

#[test]
fn a_notice_to_notify_or_ignore_touches_nothing() {
    for response in [Response::Notify, Response::Ignore] {
        let mut bench = Bench::ready_with(Policy::default().on(SpotInterruption, response));
        assert_eq!(names(&bench.interrupt(120)), NOTHING);
        let raised = |o: &Occurrence| matches!(o, Occurrence::NoticeRaised { .. });
        assert_eq!(bench.told(raised), 1);
    }
}

#[test]
fn the_same_notice_again_is_nothing() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    let told = bench.tell.len();
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    assert_eq!(bench.tell.len(), told);
}

#[test]
fn the_same_notice_earlier_brings_the_drains_deadline_nearer() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    let effects = bench.interrupt(60);
    assert_eq!(names(&effects), ["quarantine Draining", "amend"]);
    assert_eq!(ordered(&bench, &effects), Some(60));
}

#[test]
fn the_same_notice_later_is_nothing() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    assert_eq!(names(&bench.interrupt(500)), NOTHING);
}

#[test]
fn a_weightier_notice_leads_and_the_drain_goes_on_under_the_nearer_deadline() {
    for (second, expected) in [(300, 200), (90, 90)] {
        let mut bench = Bench::ready();
        bench.raise("m", ScheduledMaintenance, 200);
        let effects = bench.interrupt(second);
        assert_eq!(names(&effects), ["quarantine Draining", "amend"]);
        assert_eq!(ordered(&bench, &effects), Some(expected));
        assert!(matches!(&effects[1], Effect::AmendDrain(o) if o.kind == SpotInterruption));
        let superseded = |o: &Occurrence| matches!(o, Occurrence::NoticeSuperseded { .. });
        assert_eq!(bench.told(superseded), 1);
    }
}

#[test]
fn a_lighter_notice_does_not_lead_but_its_deadline_counts() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    let effects = bench.raise("m", ScheduledMaintenance, 60);
    assert_eq!(ordered(&bench, &effects), Some(60));
    assert!(matches!(&effects[1], Effect::AmendDrain(o) if o.kind == SpotInterruption));
}

#[test]
fn a_notice_that_only_cordons_never_leads_before_one_that_drains() {
    let policy = Policy::default().on(SpotInterruption, Response::Cordon);
    let mut bench = Bench::ready_with(policy);
    bench.raise("m", ScheduledMaintenance, 200);
    assert_eq!(names(&bench.interrupt(50)), NOTHING);
    assert!(bench.life.is_draining());
}

#[test]
fn a_leading_notice_taken_back_leaves_the_lead_to_the_next() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 200);
    bench.interrupt(120);
    let effects = bench.on(cancelled("spot"));
    assert_eq!(names(&effects), ["quarantine Draining", "amend"]);
    assert!(matches!(&effects[1], Effect::AmendDrain(o) if o.kind == ScheduledMaintenance));
    assert_eq!(
        ordered(&bench, &effects),
        Some(120),
        "a deadline never moves back"
    );
}

#[test]
fn a_drain_stops_where_the_next_notice_only_cordons() {
    let mut bench = Bench::ready_with(cordons_on_rebalance());
    bench.raise("r", RebalanceRecommendation, 600);
    bench.interrupt(120);
    assert_eq!(names(&bench.on(cancelled("spot"))), ["stop"]);
    let effects = bench.on(Input::DrainFinished);
    assert_eq!(names(&effects), ["quarantine Cordoned"]);
    assert!(!bench.life.is_draining());
}

#[test]
fn the_last_notice_taken_back_stops_the_drain_and_then_releases() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    assert_eq!(names(&bench.on(cancelled("spot"))), ["stop"]);
    assert!(bench.life.is_draining());
    assert_eq!(names(&bench.on(Input::Woken)), NOTHING);
    assert_eq!(names(&bench.on(Input::DrainFinished)), ["release"]);
    assert!(!bench.life.is_draining());
    assert_eq!(names(&bench.on(Input::Woken)), NOTHING);
}

#[test]
fn a_cordon_without_a_drain_is_released_at_once() {
    let mut bench = Bench::ready_with(cordons_on_rebalance());
    bench.raise("r", RebalanceRecommendation, 600);
    assert_eq!(names(&bench.on(cancelled("r"))), ["release"]);
}

#[test]
fn a_notice_that_comes_back_while_its_drain_stops_is_drained_anew() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    bench.on(cancelled("spot"));
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    let effects = bench.on(Input::DrainFinished);
    assert!(names(&effects).contains(&"start".to_owned()), "{effects:?}");
}

#[test]
fn the_end_of_a_drain_is_written_down_and_it_is_not_done_again() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    bench.on(Input::Quarantined);
    assert_eq!(
        names(&bench.on(Input::DrainFinished)),
        ["quarantine Drained"]
    );
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    assert!(!bench.life.is_draining());
}

#[test]
fn a_weightier_notice_after_a_drain_drains_again() {
    let mut bench = Bench::ready();
    bench.raise("m", ScheduledMaintenance, 200);
    bench.on(Input::DrainFinished);
    let effects = bench.interrupt(120);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

/// A process that starts anew on a node that remembers.
fn restarted(memory: Memory) -> (Bench, Vec<Effect>) {
    let mut bench = Bench::new();
    assert_eq!(names(&bench.on(Input::Started)), ["recall"]);
    assert_eq!(names(&bench.on(recalled(Some(memory.clone())))), NOTHING);
    assert_eq!(names(&bench.on(identified("i-1"))), ["recall"]);
    let effects = bench.on(recalled(Some(memory)));
    (bench, effects)
}

#[test]
fn what_is_remembered_of_this_boot_and_still_to_come_is_carried_on_at_once() {
    let (bench, effects) = restarted(memory("spot", Phase::Draining, Some(80)));
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
    assert_eq!(ordered(&bench, &effects), Some(80));
    assert!(matches!(&effects[0], Effect::Quarantine(q) if q.since == at(-60)));
    assert_eq!(bench.told(|o| matches!(o, Occurrence::Resumed(_))), 1);
}

#[test]
fn after_a_restart_the_earlier_deadline_of_the_same_notice_counts() {
    let (mut bench, _) = restarted(memory("spot", Phase::Draining, Some(80)));
    assert_eq!(names(&bench.interrupt(100)), NOTHING);
    let effects = bench.interrupt(70);
    assert_eq!(ordered(&bench, &effects), Some(70));
}

#[test]
fn a_drain_that_an_earlier_process_ended_is_not_done_again() {
    let (mut bench, effects) = restarted(memory("spot", Phase::Drained, Some(80)));
    assert_eq!(names(&effects), ["quarantine Drained"]);
    assert_eq!(names(&bench.interrupt(80)), NOTHING);
    assert!(!bench.life.is_draining());
}

#[test]
fn what_is_only_remembered_is_over_when_its_time_has_passed() {
    let (mut bench, _) = restarted(memory("spot", Phase::Drained, Some(80)));
    assert_eq!(bench.life.next_wake(), None, "no source has been heard");
    bench.on(good());
    let wake = |bench: &Bench| {
        bench
            .life
            .next_wake()
            .map(|at| (at - bench.start).as_secs())
    };
    assert_eq!(wake(&bench), Some(80));
    bench.seconds = 80;
    assert_eq!(names(&bench.on(Input::Woken)), NOTHING);
    // Nor is it believed at once that nobody says it.
    assert_eq!(wake(&bench), Some(180));
    bench.seconds = 180;
    assert_eq!(names(&bench.on(Input::Woken)), ["release"]);
    assert_eq!(wake(&bench), None);
}

#[test]
fn a_memory_that_a_source_confirms_outlives_its_time() {
    let (mut bench, _) = restarted(memory("spot", Phase::Drained, Some(80)));
    bench.interrupt(80);
    bench.on(good());
    bench.seconds = 90;
    assert_eq!(names(&bench.on(Input::Woken)), NOTHING);
}

#[test]
fn a_memory_of_anything_else_is_released_once_a_source_says_that_nothing_stands() {
    let other_boot = Memory {
        boot: Some("boot-0".into()),
        ..memory("spot", Phase::Draining, Some(80))
    };
    let other_instance = Memory {
        instance: Some("i-0".into()),
        ..memory("spot", Phase::Draining, Some(80))
    };
    let over = memory("spot", Phase::Drained, Some(0));
    let timeless = memory("spot", Phase::Cordoned, None);
    for stale in [other_boot, other_instance, over.clone(), timeless.clone()] {
        let (mut bench, effects) = restarted(stale.clone());
        assert_eq!(names(&effects), NOTHING, "{stale:?}");
        assert_eq!(names(&bench.on(failing())), NOTHING, "{stale:?}");
        let mut effects = bench.on(good());
        if stale == over || stale == timeless {
            // Of this boot: it may be that it is not said at the moment.
            assert_eq!(names(&effects), NOTHING, "{stale:?}");
            bench.seconds = 180;
            effects = bench.on(Input::Woken);
        }
        assert_eq!(names(&effects), ["release"], "{stale:?}");
        assert_eq!(names(&bench.on(good())), NOTHING, "{stale:?}");
    }
}

#[test]
fn a_memory_of_another_boot_does_not_mark_a_notice_as_drained() {
    let stale = Memory {
        boot: Some("boot-0".into()),
        ..memory("spot", Phase::Drained, Some(80))
    };
    let (mut bench, _) = restarted(stale);
    let effects = bench.interrupt(120);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
    assert_eq!(ordered(&bench, &effects), Some(120));
}

#[test]
fn a_memory_is_not_called_stale_before_it_is_known_who_we_are() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    assert_eq!(names(&bench.on(good())), NOTHING);
    bench.on(identified("i-1"));
    let effects = bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

#[test]
fn notices_wait_until_the_node_has_been_read() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    let effects = bench.on(recalled(None));
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

#[test]
fn notices_wait_while_the_node_is_another_machines() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    assert_eq!(names(&bench.on(Input::NotOurs)), ["abandon", "recall"]);
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    assert_eq!(names(&bench.on(Input::NotOurs)), NOTHING);
    let effects = bench.on(recalled(None));
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

#[test]
fn a_drain_stops_where_the_node_turns_out_to_be_another_machines_and_nothing_is_released() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    let effects = bench.on(Input::NotOurs);
    assert_eq!(names(&effects), ["abandon", "recall", "stop"]);
    assert_eq!(names(&bench.on(Input::DrainFinished)), NOTHING);
    assert_eq!(names(&bench.on(cancelled("spot"))), NOTHING);
}

#[test]
fn a_quarantine_that_was_abandoned_is_asked_for_again_when_the_node_is_ours() {
    let mut bench = Bench::ready();
    bench.interrupt(120);
    bench.on(Input::NotOurs);
    // The node is ours again before the drain has stopped.
    bench.on(recalled(None));
    let effects = bench.on(Input::DrainFinished);
    assert_eq!(names(&effects), ["quarantine Draining", "start"]);
}

#[test]
fn another_identity_has_the_node_looked_at_again() {
    let mut bench = Bench::ready();
    assert_eq!(names(&bench.on(identified("i-1"))), NOTHING);
    assert_eq!(names(&bench.on(identified("i-2"))), ["recall"]);
    assert_eq!(names(&bench.interrupt(120)), NOTHING);
    assert!(!bench.ready_now().ready);
}

#[test]
fn readiness_names_what_is_missing() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    let missing = bench.ready_now().missing;
    assert_eq!(
        missing,
        [
            "source has not been heard yet",
            "the node has not been read yet"
        ]
    );
    bench.on(failing());
    bench.on(Input::NotOurs);
    let missing = bench.ready_now().missing;
    assert_eq!(
        missing,
        [
            "source cannot be heard: away",
            "the node is another instance"
        ]
    );
    bench.on(good());
    bench.on(recalled(None));
    let readiness = bench.ready_now();
    assert!(readiness.ready && readiness.missing.is_empty());
}

#[test]
fn a_sources_state_is_told_when_it_changes() {
    let mut bench = Bench::new();
    for input in [failing(), failing(), good(), good(), failing()] {
        bench.on(input);
    }
    assert_eq!(
        bench.told(|o| matches!(o, Occurrence::SourceHealth { .. })),
        3
    );
}

#[test]
fn the_cancellation_of_an_unknown_notice_is_nothing() {
    let mut bench = Bench::ready();
    bench.tell.clear();
    assert_eq!(names(&bench.on(cancelled("never seen"))), NOTHING);
    assert_eq!(bench.tell.len(), 0);
}
