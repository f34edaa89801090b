//! What was remembered, of other boots, other instances, and of what has been dealt with.

use super::*;
use NoticeKind::{RebalanceRecommendation, ScheduledMaintenance};

const NOTHING: [&str; 0] = [];

/// What was written down of a maintenance whose time is `deadline`, by another boot.
fn before_the_reboot(deadline: Option<u64>) -> Memory {
    let mut memory = memory("m", Phase::Drained, deadline);
    memory.boot = Some("boot-0".into());
    memory.notice.kind = ScheduledMaintenance;
    memory.notice.action = InstanceAction::Reboot;
    memory
}

/// A process that starts at `seconds` on a node with a memory, and hears a notice.
fn restarted(
    memory: Memory,
    seconds: u64,
    notice: Option<(&str, NoticeKind)>,
) -> (Bench, Vec<String>) {
    let mut bench = Bench::with(Policy::default().on(RebalanceRecommendation, Response::Cordon));
    bench.seconds = seconds;
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    let mut effects = bench.on(recalled(Some(memory)));
    if let Some((id, kind)) = notice {
        let notice = bench.notice(id, kind, None);
        effects.extend(bench.on(said(Signal::Raised(notice))));
    }
    effects.extend(bench.on(good()));
    let names = names(&effects);
    (bench, names)
}

#[test]
fn a_node_that_is_back_from_its_reboot_is_released_while_the_event_stands_still() {
    for deadline in [Some(100), None] {
        let stands = Some(("m", ScheduledMaintenance));
        let (mut bench, effects) = restarted(before_the_reboot(deadline), 200, stands);
        assert_eq!(effects, ["release, settled"], "{deadline:?}");
        assert_eq!(bench.life.state(), State::Standing);
        assert_eq!(
            names(&bench.on(ended("m", NoticeEnd::Completed))),
            ["release"]
        );
        assert_eq!(bench.life.state(), State::Idle);
    }
}

#[test]
fn a_node_that_is_back_from_its_reboot_is_released_when_the_event_is_over() {
    let (bench, effects) = restarted(before_the_reboot(Some(100)), 200, None);
    assert_eq!(effects, ["release"]);
    assert_eq!(bench.life.state(), State::Idle);
}

#[test]
fn a_reboot_before_its_time_is_not_the_one_that_was_announced() {
    let stands = Some(("m", ScheduledMaintenance));
    let (bench, effects) = restarted(before_the_reboot(Some(300)), 200, stands);
    assert_eq!(effects, ["quarantine Draining", "start"]);
    assert_eq!(bench.life.state(), State::Draining);
}

#[test]
fn the_boot_may_show_later_than_the_process_starts() {
    // The kubelet has not reported anew: the node shows the boot of before.
    let mut memory = before_the_reboot(Some(100));
    memory.boot = Some(BOOT.into());
    let (mut bench, effects) = restarted(memory, 200, Some(("m", ScheduledMaintenance)));
    assert_eq!(effects, ["quarantine Drained"]);
    bench.seconds = 230;
    assert_eq!(names(&bench.on(Input::Woken)), NOTHING);
    let wake = bench.life.next_wake().unwrap();
    bench.seconds = (wake - bench.start).as_secs();
    assert_eq!(bench.seconds, 260);
    assert_eq!(names(&bench.on(Input::Woken)), ["recall"]);
    assert_eq!(
        names(&bench.on(recalled(None))),
        NOTHING,
        "the same boot still"
    );
    bench.seconds += 60;
    assert_eq!(names(&bench.on(Input::Woken)), ["recall"], "every minute");
    let back = Recall::new(None, Some("boot-2".into()), true);
    assert_eq!(
        names(&bench.on(Input::Recalled(back))),
        ["release, settled"]
    );
}

#[test]
fn what_was_dealt_with_is_not_dealt_with_again_by_the_next_process() {
    for boot in [BOOT, "boot-0"] {
        let mut memory = memory("r", Phase::Settled, None);
        memory.boot = Some(boot.into());
        memory.notice.kind = RebalanceRecommendation;
        let stands = Some(("r", RebalanceRecommendation));
        let (mut bench, effects) = restarted(memory, 10, stands);
        assert_eq!(effects, NOTHING, "{boot}");
        assert_eq!(bench.life.state(), State::Standing);
        assert_eq!(names(&bench.on(ended("r", NoticeEnd::Passed))), ["release"]);
    }
}

#[test]
fn a_settled_memory_whose_notice_is_gone_is_forgotten() {
    let (mut bench, effects) = restarted(memory("r", Phase::Settled, Some(300)), 10, None);
    assert_eq!(
        effects, NOTHING,
        "it may be that it is not said at the moment"
    );
    bench.seconds = 190;
    assert_eq!(names(&bench.on(Input::Woken)), ["release"]);
    assert_eq!(bench.life.state(), State::Idle);
}

#[test]
fn a_memory_whose_time_is_past_and_that_nobody_says_is_released_after_three_minutes() {
    let (mut bench, effects) = restarted(memory("i", Phase::Drained, Some(5)), 10, None);
    assert_eq!(effects, NOTHING);
    let wake = bench.life.next_wake().unwrap();
    bench.seconds = (wake - bench.start).as_secs();
    assert_eq!(bench.seconds, 190);
    assert_eq!(names(&bench.on(Input::Woken)), ["release"]);
}

#[test]
fn another_instance_s_settled_memory_settles_nothing() {
    let mut memory = memory("r", Phase::Settled, None);
    memory.instance = Some("i-0".into());
    let stands = Some(("r", RebalanceRecommendation));
    let (_, effects) = restarted(memory, 10, stands);
    assert_eq!(effects, ["quarantine Cordoned"]);
}

#[test]
fn an_interruption_after_what_was_dealt_with_is_drained() {
    let mut memory = memory("r", Phase::Settled, None);
    memory.notice.kind = RebalanceRecommendation;
    let (mut bench, _) = restarted(memory, 10, Some(("r", RebalanceRecommendation)));
    assert_eq!(
        names(&bench.interrupt(130)),
        ["quarantine Draining", "start"]
    );
}

#[test]
fn the_second_interruption_of_an_instance_that_came_back_is_drained_by_the_next_process() {
    // The first was a hibernation; nobody released the node in between.
    let (mut bench, _) = restarted(memory("spot", Phase::Drained, Some(100)), 4_000, None);
    assert_eq!(
        names(&bench.interrupt(4_120)),
        ["quarantine Draining", "start"]
    );
    // A service whose time moves with every request tells the same one.
    let mut bench = Bench::ready();
    bench.life.memory = Some(memory("spot", Phase::Drained, Some(100)));
    bench.seconds = 200;
    assert_eq!(names(&bench.interrupt(320)), ["quarantine Drained"]);
}

#[test]
fn a_remembered_deadline_is_read_by_the_source_s_clock() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    // Ours is half a minute ahead: 80 by the right clock is 110 by ours.
    bench.on(said(Signal::Clock(SignedDuration::from_secs(30))));
    bench.on(identified("i-1"));
    let effects = bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    assert_eq!(ordered(&bench, &effects), Some(110));
}

#[test]
fn an_expired_time_to_live_is_counted_from_the_first_process_on() {
    let mut memory = memory("r", Phase::Cordoned, None); // since a minute before the start
    memory.notice.kind = RebalanceRecommendation;
    let (bench, effects) = restarted(memory, 0, Some(("r", RebalanceRecommendation)));
    assert_eq!(effects, ["quarantine Cordoned"]);
    let left = bench.life.next_wake().unwrap() - bench.start;
    assert_eq!(left, Duration::from_secs(3_540));
}

#[test]
fn a_lone_fact_that_became_known_later_has_nobody_look_at_the_node_again() {
    let mut bench = Bench::ready();
    let mut instance = Instance::new("i-1");
    instance.zone = Some("eu-west-1a".into());
    assert_eq!(
        names(&bench.on(said(Signal::Identified(instance)))),
        NOTHING
    );
    assert_eq!(bench.life.state(), State::Idle);
}

/// What was written down of a maintenance that this boot was draining for.
fn under_way(deadline: u64) -> Memory {
    let mut memory = memory("m", Phase::Draining, Some(deadline));
    memory.notice.kind = ScheduledMaintenance;
    memory
}

#[test]
fn a_maintenance_that_was_cancelled_meanwhile_is_not_carried_on() {
    let (mut bench, effects) = restarted(under_way(600), 10, None);
    // It goes on until it is believed that nobody says it.
    assert_eq!(effects, ["quarantine Draining", "start"]);
    bench.seconds = 190;
    assert_eq!(names(&bench.on(Input::Woken)), ["stop"]);
}

#[test]
fn a_maintenance_that_was_put_off_meanwhile_waits_for_its_new_time() {
    let mut bench = Bench::with(Policy::default());
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    bench.on(recalled(Some(under_way(600))));
    let effects = bench.raise("m", ScheduledMaintenance, 172_800);
    assert_eq!(names(&effects), ["stop"]);
    bench.on(good());
    assert_eq!(names(&bench.on(Input::DrainFinished)), ["release"]);
    assert_eq!(bench.life.state(), State::Standing);
    let wake = bench.life.next_wake().unwrap() - bench.start;
    assert_eq!(wake, Duration::from_secs(172_800 - 900));
}

#[test]
fn what_has_been_dealt_with_stays_so_while_another_notice_leads() {
    // Back from the reboot; an interruption is heard of first.
    let mut bench = Bench::with(Policy::default());
    bench.seconds = 200;
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    bench.on(recalled(Some(before_the_reboot(Some(100)))));
    bench.raise("asg", NoticeKind::AsgTermination, 900);
    bench.on(Input::Quarantined);
    let notice = bench.notice("m", ScheduledMaintenance, None);
    assert_eq!(names(&bench.on(said(Signal::Raised(notice)))), NOTHING);
    bench.on(good());
    bench.on(Input::DrainFinished);
    assert_eq!(names(&bench.on(cancelled("asg"))), ["release, settled"]);
    assert_eq!(bench.life.state(), State::Standing);
}

#[test]
fn a_remembered_deadline_that_the_machine_has_outlived_gives_way_to_a_later_one() {
    let cases = [
        (true, Some(300)),
        (false, Some(300)),
        (true, None),
        (false, None),
    ];
    for (remembered_first, told) in cases {
        let mut bench = Bench::with(Policy::default());
        bench.seconds = 200;
        bench.on(Input::Started);
        bench.on(identified("i-1"));
        let mut memory = memory("spot", Phase::Draining, Some(100));
        memory.notice.kind = NoticeKind::SpotInterruption;
        let notice = bench.notice("spot", NoticeKind::SpotInterruption, told);
        let mut effects = Vec::new();
        let mut inputs = vec![recalled(Some(memory)), said(Signal::Raised(notice)), good()];
        if !remembered_first {
            inputs.swap(0, 1);
        }
        for input in inputs {
            effects.extend(bench.on(input));
        }
        let orders: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::StartDrain(order) | Effect::AmendDrain(order) => Some(order.deadline),
                _ => None,
            })
            .collect();
        let last = orders.last().expect("a drain");
        assert_eq!(
            last.map(|deadline| deadline.instant()),
            told.map(|left| bench.start + Duration::from_secs(left)),
            "{remembered_first}"
        );
    }
}

#[test]
fn of_a_remembered_time_and_a_later_one_that_is_told_the_first_counts_while_it_is_to_come() {
    let mut bench = Bench::with(Policy::default());
    bench.seconds = 10;
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    let effects = bench.on(recalled(Some(memory("spot", Phase::Draining, Some(100)))));
    assert_eq!(ordered(&bench, &effects), Some(100), "{effects:?}");
    let mut effects = bench.interrupt(130);
    effects.extend(bench.on(good()));
    assert_eq!(ordered(&bench, &effects), None, "{effects:?}");
}

#[test]
fn a_remembered_interruption_that_nobody_says_stands_until_its_time() {
    let mut bench = Bench::with(Policy::default());
    bench.seconds = 10;
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    bench.on(good());
    bench.on(recalled(Some(memory("spot", Phase::Draining, Some(300)))));
    for (seconds, stands) in [(250, true), (299, true), (300, false)] {
        bench.seconds = seconds;
        bench.on(Input::Woken);
        let state = bench.life.state();
        assert_eq!(state == State::Draining, stands, "{seconds} s: {state}");
    }
}

/// What a source says of how far our wall clock is ahead.
fn ahead(seconds: i64) -> Input {
    said(Signal::Clock(SignedDuration::from_secs(seconds)))
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_postpone_what_is_remembered() {
    let mut bench = Bench::new();
    bench.asleep = 186;
    bench.on(Input::Started);
    bench.on(ahead(186));
    bench.on(identified("i-1"));
    bench.seconds = 4;
    bench.asleep = 0;
    let effects = bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    assert_eq!(ordered(&bench, &effects), Some(80));
}

#[test]
fn what_is_remembered_is_due_by_the_clock_that_is_told_of_later() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    let effects = bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    assert_eq!(ordered(&bench, &effects), Some(80));
    let effects = bench.on(ahead(-30));
    assert_eq!(ordered(&bench, &effects), Some(50));
    assert_eq!(bench.told(|o| matches!(o, Occurrence::NoticeChanged(_))), 1);
    // Not later again, and what a source says is its own to anchor.
    let effects = bench.on(ahead(0));
    assert_eq!(ordered(&bench, &effects), None);
    bench.interrupt(40);
    let effects = bench.on(ahead(-60));
    assert_eq!(ordered(&bench, &effects), None);
}

#[test]
fn a_remembered_deadline_that_is_to_come_is_not_put_off() {
    let mut bench = Bench::new();
    bench.on(Input::Started);
    bench.on(identified("i-1"));
    bench.on(recalled(Some(memory("spot", Phase::Draining, Some(80)))));
    let effects = bench.interrupt(300);
    assert_eq!(ordered(&bench, &effects), None);
    let standing = bench.life.notices.get(&NoticeId::new("spot")).unwrap();
    assert_eq!(standing.notice.deadline, Some(bench.deadline(80)));
}

#[test]
fn nor_is_one_that_a_source_has_said_and_that_has_passed() {
    let mut bench = Bench::ready();
    let said = bench.deadline(80);
    bench.interrupt(80);
    bench.seconds = 100;
    bench.interrupt(300);
    let standing = bench.life.notices.get(&NoticeId::new("spot")).unwrap();
    assert_eq!(standing.notice.deadline, Some(said));
}
