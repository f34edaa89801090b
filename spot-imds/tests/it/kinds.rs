//! Every kind of notice: how it is raised, what changes it, how it ends.

use std::time::Duration;

use spot_core::notice::{InstanceAction, NoticeEnd, Signal};
use spot_core::source::NoticeSource;
use spot_imds::source::ABSENT;
use tokio::time::timeout;

use crate::ear::{ended, hear, hear_nothing, left, names, raised, reason};
use crate::fake::{ACTION, ASG, Answer, Fake, HISTORY, MAINTENANCE, POLLED, REBALANCE, notice};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Long enough for two slow polls of each kind.
const SWEEPS: Duration = Duration::from_secs(12);

fn event(id: &str, code: &str, state: &str, time: &str) -> String {
    format!(
        r#"{{"EventId":"{id}","Code":"{code}","State":"{state}","NotBefore":"1 Jan 2026 {time} GMT"}}"#
    )
}

fn list(events: &[String]) -> Answer {
    Answer::ok(format!("[{}]", events.join(",")))
}

fn recommended(at: &str) -> Answer {
    Answer::ok(format!(r#"{{"noticeTime":"2026-01-01T{at}Z"}}"#))
}

#[tokio::test(start_paused = true)]
async fn all_kinds_at_once_are_raised_in_one_sweep() {
    let fake = Fake::new();
    fake.date("Thu, 01 Jan 2026 12:00:00 GMT");
    fake.action(notice("stop", "2026-01-01T12:02:00Z"));
    fake.set(ASG, Answer::ok("Warmed:Terminated"));
    fake.set(REBALANCE, recommended("11:50:00"));
    let events = [
        event("e-1", "system-maintenance", "active", "13:00:00"),
        event("e-2", "instance-retirement", "active", "11:00:00"),
    ];
    fake.set(MAINTENANCE, list(&events));
    let heard = hear(&mut fake.source(), 10 * MS).await;
    let last = [names(&heard)[0], names(&heard)[names(&heard).len() - 1]];
    assert_eq!(last, ["identified", "good"]);
    let told = raised(&heard);
    let told: Vec<_> = told
        .iter()
        .map(|n| (n.id.as_str(), n.action, n.deadline.map(|_| left(n)), n.age))
        .collect();
    let none = Duration::ZERO;
    let expected = [
        (
            "spot-interruption",
            InstanceAction::Stop,
            Some(2 * MINUTE),
            none,
        ),
        ("asg-termination", InstanceAction::Terminate, None, none),
        (
            "scheduled-maintenance/e-1",
            InstanceAction::Maintain,
            Some(60 * MINUTE),
            none,
        ),
        (
            "scheduled-maintenance/e-2",
            InstanceAction::Terminate,
            None,
            none,
        ),
        (
            "rebalance-recommendation",
            InstanceAction::None,
            None,
            10 * MINUTE,
        ),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_only_once_its_time_is_over() {
    let fake = Fake::new();
    fake.action(notice("stop", "2026-01-01T12:02:00Z"));
    let mut source = fake.source();
    hear(&mut source, 60 * SECOND).await;
    fake.unset(ACTION);
    hear_nothing(&mut source, ABSENT.saturating_sub(SECOND)).await;
    let heard = hear(&mut source, 10 * SECOND).await;
    let passed = ("spot-interruption".to_owned(), NoticeEnd::Passed);
    assert_eq!((ended(&heard), heard.len()), (vec![passed], 1));
    hear_nothing(&mut source, 10 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_recommendation_whose_time_moves_is_one_and_one_made_later_another() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, SECOND).await;
    let mut heard = Vec::new();
    for second in 0..59 {
        fake.set(REBALANCE, recommended(&format!("11:00:{second:02}")));
        heard.extend(hear(&mut source, 5 * SECOND).await);
    }
    assert_eq!(names(&heard), ["raised"], "as AWS's mock tells it");
    hear_nothing(&mut source, SWEEPS).await;
    fake.set(REBALANCE, recommended("11:30:00"));
    let heard = hear(&mut source, SWEEPS).await;
    assert_eq!(names(&heard), ["passed", "raised"]);
    fake.unset(REBALANCE);
    hear_nothing(&mut source, ABSENT.saturating_sub(5 * SECOND)).await;
    assert_eq!(names(&hear(&mut source, SWEEPS).await), ["passed"]);
}

#[tokio::test(start_paused = true)]
async fn one_answer_without_a_recommendation_does_not_end_it() {
    let fake = Fake::new();
    fake.set(REBALANCE, recommended("11:00:00"));
    let mut source = fake.source();
    hear(&mut source, SWEEPS).await;
    let polls = || fake.times("GET events/recommendations/rebalance").len();
    for _ in 0..10 {
        fake.unset(REBALANCE);
        let before = polls();
        while polls() == before {
            hear_nothing(&mut source, 100 * MS).await;
        }
        fake.set(REBALANCE, recommended("11:00:00"));
        hear_nothing(&mut source, SWEEPS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn maintenance_that_vanishes_is_looked_up_at_once() {
    for (state, how) in [
        ("completed", NoticeEnd::Completed),
        ("canceled", NoticeEnd::Cancelled),
    ] {
        let fake = Fake::new();
        let events = [event("e-1", "instance-stop", "active", "13:00:00")];
        fake.set(MAINTENANCE, list(&events));
        fake.set(
            HISTORY,
            list(&[event("e-1", "instance-stop", state, "13:00:00")]),
        );
        let mut source = fake.source();
        hear(&mut source, SWEEPS).await;
        assert_eq!(fake.times("GET events/maintenance/history"), []);
        fake.set(MAINTENANCE, list(&[]));
        let heard = hear(&mut source, 6 * SECOND).await;
        let expected = ("scheduled-maintenance/e-1".to_owned(), how);
        assert_eq!(ended(&heard), [expected]);
        assert_eq!(fake.times("GET events/maintenance/history").len(), 1);
        hear_nothing(&mut source, 60 * SECOND).await;
        assert_eq!(fake.times("GET events/maintenance/history").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_that_cannot_be_had_delays_the_end_by_minutes() {
    for history in [
        Answer::status(404),
        Answer::status(500),
        Answer::ok("<html>"),
        Answer::BlackHole,
    ] {
        let fake = Fake::new();
        let events = [event("e-1", "instance-stop", "active", "13:00:00")];
        fake.set(MAINTENANCE, list(&events));
        fake.set(HISTORY, history.clone());
        let mut source = fake.source();
        hear(&mut source, SWEEPS).await;
        fake.set(MAINTENANCE, list(&[]));
        hear_nothing(&mut source, ABSENT.saturating_sub(SECOND)).await;
        let heard = hear(&mut source, SWEEPS).await;
        assert_eq!(names(&heard), ["cancelled"], "{history:?}");
        if matches!(history, Answer::BlackHole | Answer::Says(500, _)) {
            // It is not waited for twice in a minute.
            let asked = fake.times("GET events/maintenance/history").len();
            assert!(asked <= 4, "{asked}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_reported_and_hides_no_other() {
    let fake = Fake::new();
    let good = event("e-1", "instance-stop", "active", "13:00:00");
    let bad = event("e-2", "instance-stop", "active", "soon");
    fake.set(MAINTENANCE, list(&[bad, good.clone()]));
    let mut source = fake.source();
    let heard = hear(&mut source, SWEEPS).await;
    assert_eq!(names(&heard), ["identified", "raised", "failing"]);
    let told = reason(&heard[2..]);
    assert!(told.contains(MAINTENANCE), "{told}");
    assert!(told.contains("event 1 of the list"), "{told}");
    assert!(told.contains("1 Jan 2026 soon GMT"), "{told}");
    fake.set(MAINTENANCE, list(&[good]));
    assert_eq!(names(&hear(&mut source, SWEEPS).await), ["good"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_s_wish_is_taken_back_by_another_state_and_by_nothing_else() {
    let fake = Fake::new();
    let mut source = fake.source();
    fake.set(ASG, Answer::ok("InService"));
    hear(&mut source, SWEEPS).await;
    fake.set(ASG, Answer::ok("Terminated"));
    assert_eq!(names(&hear(&mut source, SWEEPS).await), ["raised"]);
    fake.unset(ASG);
    hear_nothing(&mut source, MINUTE).await;
    fake.set(ASG, Answer::status(500));
    assert_eq!(names(&hear(&mut source, SWEEPS).await), ["failing"]);
    fake.set(ASG, Answer::ok("Standby"));
    let heard = hear(&mut source, MINUTE).await;
    assert_eq!(names(&heard), ["good", "cancelled"], "read twice");
}

#[tokio::test(start_paused = true)]
async fn a_suspend_is_heard_of_by_the_service_s_clock() {
    let fake = Fake::new();
    fake.date("Thu, 01 Jan 2026 12:00:00 GMT");
    fake.action(notice("terminate", "2026-01-01T12:10:00Z"));
    let events = [event("e-1", "instance-stop", "active", "13:00:00")];
    fake.set(MAINTENANCE, list(&events));
    let mut source = fake.source();
    assert_eq!(raised(&hear(&mut source, SWEEPS).await).len(), 2);
    fake.date("Thu, 01 Jan 2026 12:09:00 GMT");
    let heard = raised(&hear(&mut source, 6 * SECOND).await);
    let now = tokio::time::Instant::now();
    let soon: Vec<_> = heard
        .iter()
        .map(|n| n.deadline.unwrap().remaining(now).as_secs())
        .collect();
    let [action, event] = soon[..] else {
        panic!("{heard:?}")
    };
    assert!((50..=60).contains(&action), "{action}");
    assert!((51 * 60 - 10..=51 * 60).contains(&event), "{event}");
}

#[tokio::test(start_paused = true)]
async fn signals_come_in_the_order_that_is_promised() {
    let fake = Fake::new();
    fake.date("Thu, 01 Jan 2026 12:00:00 GMT");
    fake.action(notice("stop", "2026-01-01T12:02:00Z"));
    let mut source = fake.builder().build().unwrap();
    let heard = hear(&mut source, SECOND).await;
    assert_eq!(names(&heard), ["identified", "clock", "raised", "good"]);
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_said_when_it_is_first_known_and_when_it_changes() {
    let fake = Fake::new();
    fake.date("Thu, 01 Jan 2026 12:00:30 GMT");
    let mut source = fake.builder().build().unwrap();
    let clocks = async |source: &mut spot_imds::source::ImdsSource| {
        let heard = hear(source, SWEEPS).await;
        let clock = |signal: &Signal| match signal {
            Signal::Clock(ahead) => Some(ahead.as_secs()),
            _ => None,
        };
        heard.iter().filter_map(clock).collect::<Vec<_>>()
    };
    assert_eq!(clocks(&mut source).await, [-30], "by replies of status 404");
    fake.date("Thu, 01 Jan 2026 12:00:32 GMT");
    assert!(clocks(&mut source).await.is_empty());
    fake.date("Thu, 01 Jan 2026 11:59:00 GMT");
    assert_eq!(clocks(&mut source).await, [60]);
    fake.date("Thu, 01 Jan 1970 00:00:00 GMT");
    assert!(clocks(&mut source).await.is_empty());
}

/// As for the interruption alone: the future of `next` is dropped at any await, and whatever is
/// announced and taken back is heard once, in order.
#[tokio::test(start_paused = true)]
async fn nothing_of_any_kind_is_lost_when_next_is_dropped_at_any_await() {
    for patience in (1..=9).map(|n| n * MS) {
        let fake = Fake::new();
        fake.latency(7 * MS);
        let mut source = fake.source();
        let mut heard = Vec::new();
        for turn in 0..140_000_usize {
            let events = |time| list(&[event("e-1", "instance-stop", "active", time)]);
            match turn {
                2_000 => fake.set(REBALANCE, recommended("11:00:00")),
                6_000 => fake.set(MAINTENANCE, events("13:00:00")),
                10_000 => fake.set(MAINTENANCE, events("14:00:00")),
                14_000 => fake.set(MAINTENANCE, list(&[])),
                120_000 => fake.set(ASG, Answer::ok("Terminated")),
                130_000 => fake.set(ASG, Answer::ok("InService")),
                _ => {}
            }
            // Sometimes long enough for a reply, mostly not.
            let time = if turn % 3 == 0 {
                patience.max(8 * MS)
            } else {
                patience.min(6 * MS)
            };
            if let Ok(signal) = timeout(time, source.next()).await {
                heard.push(signal);
            }
        }
        let expected = [
            "identified",
            "good",
            "raised",
            "raised",
            "cancelled",
            "raised",
            "cancelled",
            "raised",
            "cancelled",
        ];
        assert_eq!(names(&heard), expected, "{patience:?}");
        assert!(
            POLLED
                .iter()
                .all(|path| !fake.times(&format!("GET {path}")).is_empty())
        );
        assert!(!fake.times("GET events/maintenance/history").is_empty());
    }
}
