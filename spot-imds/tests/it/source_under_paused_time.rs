//! Polling, in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spot_core::notice::{InstanceAction, LifeCycle, NoticeKind, Signal, SourceHealth};
use spot_core::source::NoticeSource;
use spot_imds::client::ImdsClient;
use spot_imds::observer::{Exchange, ExchangeObserver, Poll};
use spot_imds::source::{ABSENT, ID_PATIENCE, ImdsSource, MAX_BACKOFF};
use tokio::time::{Instant, timeout};

use crate::ear::{Ear, hear, hear_nothing, left, names, raised, reason};
use crate::fake::{Answer, Fake, notice};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const POLL: &str = "GET spot/instance-action";

#[tokio::test(start_paused = true)]
async fn it_asks_once_an_interval_with_one_token() {
    let fake = Fake::new();
    let mut source = fake.source();
    let start = Instant::now();
    assert_eq!(
        names(&hear(&mut source, 99_999 * MS).await),
        ["identified", "good"]
    );
    let polls: Vec<_> = fake.times(POLL).iter().map(|at| *at - start).collect();
    assert_eq!(polls, (0..200).map(|n| n * 500 * MS).collect::<Vec<_>>());
    assert_eq!(fake.times("PUT token").len(), 1);
    assert_eq!(fake.calls().len(), 200 + 62 + 1 + 5, "and each fact once");
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<Exchange>, Vec<Poll>)>>);

impl ExchangeObserver for Told {
    fn exchanged(&self, exchange: &Exchange) {
        self.0.lock().unwrap().0.push(*exchange);
    }

    fn polled(&self, poll: &Poll) {
        self.0.lock().unwrap().1.push(*poll);
    }
}

#[tokio::test(start_paused = true)]
async fn observers_are_told_of_every_request_and_of_every_poll() {
    let fake = Fake::new();
    let told = Told::default();
    let client = ImdsClient::builder()
        .transport(Arc::new(fake.clone()))
        .observer(told.clone());
    let source = ImdsSource::builder(client.build().unwrap()).kinds([NoticeKind::SpotInterruption]);
    let source = source.build().unwrap();
    let pulse = source.pulse();
    let mut source = Ear::new(source);
    hear(&mut source, 400 * MS).await;
    fake.action(Answer::status(503));
    hear(&mut source, 400 * MS).await;
    fake.action(Answer::ok("garbage"));
    hear(&mut source, 5 * SECOND).await;
    assert!(pulse.age(Instant::now()) <= SECOND);
    let (exchanges, polls) = std::mem::take(&mut *told.0.lock().unwrap());
    assert_eq!(exchanges.len(), fake.calls().len());
    assert_eq!((exchanges[0].path, exchanges[0].answer), ("token", Ok(200)));
    let interruption = exchanges
        .iter()
        .filter(|e| e.path == "spot/instance-action");
    let mut codes: Vec<_> = interruption.map(|e| e.answer).collect();
    codes.dedup();
    assert_eq!(codes, [Ok(404), Ok(503), Ok(200)]);
    let mut good: Vec<_> = polls.iter().map(|poll| poll.is_good).collect();
    good.dedup();
    assert_eq!(good, [true, false], "what cannot be read is no good poll");
}

#[tokio::test(start_paused = true)]
async fn the_interval_is_from_start_to_start_and_late_polls_are_not_made_up_for() {
    let fake = Fake::new();
    let only = fake.builder().kinds([NoticeKind::SpotInterruption]);
    let mut source = Ear::new(only.build().unwrap());
    hear(&mut source, 10 * MS).await;
    fake.latency(200 * MS);
    fake.forget_calls();
    hear(&mut source, 5 * SECOND).await;
    assert_eq!(
        fake.times(POLL).len(),
        10,
        "replies that take a while do not slow it down"
    );
    // Nobody listens for a while.
    tokio::time::advance(60 * SECOND).await;
    fake.latency(Duration::ZERO);
    fake.forget_calls();
    hear(&mut source, 4_999 * MS).await;
    assert!(fake.times(POLL).len() <= 11, "{}", fake.times(POLL).len());
    // Slower than the interval.
    fake.latency(700 * MS);
    hear(&mut source, SECOND).await;
    fake.forget_calls();
    hear(&mut source, 12 * SECOND).await;
    assert_eq!(fake.times(POLL).len(), 10);
}

#[tokio::test(start_paused = true)]
async fn it_says_who_then_what_then_that_all_is_said() {
    let fake = Fake::new();
    fake.action(notice("stop", "2026-01-01T12:02:00Z"));
    let mut source = fake.source();
    let heard = hear(&mut source, 100 * SECOND).await;
    assert_eq!(names(&heard), ["identified", "raised", "good"]);
    let Signal::Identified(instance) = &heard[0] else {
        panic!("{heard:?}")
    };
    assert_eq!(instance.id, "i-0123456789abcdef0");
    assert_eq!(instance.life_cycle, Some(LifeCycle::Spot));
    let launched = instance.launched.map(|at| at.to_string());
    assert_eq!(launched.as_deref(), Some("2025-12-31T12:00:00Z"));
    assert_eq!(instance.zone.as_deref(), Some("eu-west-1a"));
    assert_eq!(instance.region.as_deref(), Some("eu-west-1"));
    let notice = &raised(&heard)[0];
    assert_eq!(notice.id.as_str(), "spot-interruption");
    assert_eq!(notice.action, InstanceAction::Stop);
    assert_eq!(
        left(notice),
        120 * SECOND,
        "by the wall clock: the reply has no date"
    );
}

#[tokio::test(start_paused = true)]
async fn the_service_s_date_goes_before_the_wall_clock() {
    let fake = Fake::new();
    fake.date("Thu, 01 Jan 2026 12:00:30 GMT");
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    assert_eq!(
        left(&raised(&hear(&mut fake.source(), SECOND).await)[0]),
        90 * SECOND
    );
    fake.date("Thu, 01 Jan 1970 00:00:30 GMT");
    assert_eq!(
        left(&raised(&hear(&mut fake.source(), SECOND).await)[0]),
        120 * SECOND
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_that_moves_away_is_one_notice_and_an_earlier_one_is_told() {
    let fake = Fake::new();
    let mut source = fake.source();
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    let mut heard = hear(&mut source, 10 * MS).await;
    for seconds in 0..50 {
        fake.action(notice(
            "terminate",
            &format!("2026-01-01T12:02:{seconds:02}Z"),
        ));
        heard.extend(hear(&mut source, SECOND).await);
    }
    assert_eq!(names(&heard), ["identified", "raised", "good"]);
    fake.action(notice("terminate", "2026-01-01T12:01:00Z"));
    let heard = hear(&mut source, 10 * SECOND).await;
    assert_eq!(names(&heard), ["raised"]);
    // Anchored anew at 50.5 s by a wall clock that stands: 60 s from there, before the 120 s.
    assert_eq!(left(&raised(&heard)[0]), 110_500 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_hibernation_leaves_no_time() {
    let fake = Fake::new();
    fake.action(notice("hibernate", "2026-01-01T12:02:00Z"));
    let heard = raised(&hear(&mut fake.source(), SECOND).await);
    assert_eq!(heard[0].action, InstanceAction::Hibernate);
    assert_eq!(left(&heard[0]), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_vanishes_is_not_taken_back() {
    let fake = Fake::new();
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    let mut source = fake.source();
    hear(&mut source, SECOND).await;
    fake.unset("spot/instance-action");
    hear_nothing(&mut source, 10 * SECOND).await;
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    hear_nothing(&mut source, 10 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_interruption_after_a_hibernation_is_a_new_notice() {
    let fake = Fake::new();
    fake.action(notice("hibernate", "2026-01-01T12:00:00Z"));
    let mut source = fake.source();
    hear(&mut source, SECOND).await;
    fake.unset("spot/instance-action");
    let gone = hear(&mut source, ABSENT + SECOND).await;
    assert_eq!(names(&gone), ["passed"]);
    fake.action(notice("hibernate", "2026-01-02T12:00:00Z"));
    assert_eq!(names(&hear(&mut source, SECOND).await), ["raised"]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_cannot_be_read_is_said_once_and_polled_on_for() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, 10 * MS).await;
    fake.action(Answer::ok(format!("<html>\u{1b}[2J{}", "x".repeat(5_000))));
    fake.forget_calls();
    let heard = hear(&mut source, 10 * SECOND).await;
    let reason = reason(&heard);
    assert!(reason.contains(r"<html>\x1b[2Jxxx"), "{reason}");
    assert!(reason.chars().count() < 600, "{}", reason.len());
    assert_eq!(fake.times(POLL).len(), 20, "no slower");
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    assert_eq!(names(&hear(&mut source, SECOND).await), ["raised", "good"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_action_is_a_termination() {
    let fake = Fake::new();
    fake.action(notice("vaporise", "2026-01-01T12:02:00Z"));
    let heard = raised(&hear(&mut fake.source(), 10 * SECOND).await);
    assert_eq!(
        heard.iter().map(|n| n.action).collect::<Vec<_>>(),
        [InstanceAction::Terminate]
    );
}

#[tokio::test(start_paused = true)]
async fn waits_after_failures_grow_to_a_bound_and_never_end() {
    for answer in [
        Answer::Refused,
        Answer::status(503),
        Answer::status(403),
        Answer::status(418),
    ] {
        let fake = Fake::new();
        fake.action(answer.clone());
        let mut source = fake.source();
        let heard = hear(&mut source, 1_000 * SECOND).await;
        assert_eq!(names(&heard), ["identified", "failing"], "{answer:?}");
        let times = fake.times(POLL);
        let waits: Vec<_> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(waits[0] >= 500 * MS && waits[0] <= SECOND, "{waits:?}");
        assert!(waits[1] <= 2 * SECOND, "{waits:?}");
        assert!(
            waits.iter().all(|w| *w >= 500 * MS && *w <= MAX_BACKOFF),
            "{waits:?}"
        );
        assert!(
            waits.iter().skip(5).all(|w| *w >= MAX_BACKOFF / 2),
            "{waits:?}"
        );
        assert!(waits.len() >= 200, "{}", waits.len());
        // The end of it.
        fake.unset("spot/instance-action");
        assert_eq!(names(&hear(&mut source, MAX_BACKOFF).await), ["good"]);
        fake.forget_calls();
        hear_nothing(&mut source, 5 * SECOND).await;
        assert_eq!(fake.times(POLL).len(), 10, "and it is at its old pace");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_waits_the_same() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let fake = Fake::new();
        fake.all(&Answer::Refused);
        let start = Instant::now();
        let mut source = fake.builder().jitter_seed(seed).build().unwrap();
        hear(&mut source, 100 * SECOND).await;
        runs.push(
            fake.calls()
                .iter()
                .map(|c| c.at - start)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn failing_is_said_again_only_for_another_kind_of_reason() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, 10 * MS).await;
    for (answer, expected) in [
        (Answer::Refused, "cannot be reached"),
        (Answer::BlackHole, "http-put-response-hop-limit to 2"),
        (Answer::status(403), "switched off"),
        (Answer::status(503), "patience"),
        (Answer::status(302), "unexpected status 302"),
        (Answer::status(401), "session token"),
        (Answer::ok(""), "the body is empty"),
    ] {
        fake.action(answer);
        let reason = reason(&hear(&mut source, 30 * SECOND).await);
        assert!(reason.contains(expected), "{reason}");
    }
    fake.unset("spot/instance-action");
    assert_eq!(names(&hear(&mut source, 30 * SECOND).await), ["good"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_away_at_the_start_is_waited_for() {
    let fake = Fake::new();
    fake.all(&Answer::BlackHole);
    let mut source = fake.source();
    assert_eq!(names(&hear(&mut source, 600 * SECOND).await), ["failing"]);
    fake.quiet();
    for path in ["token", "instance-life-cycle", "placement/region"] {
        fake.unset(path);
    }
    fake.set("instance-id", Answer::ok("i-1"));
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    let heard = hear(&mut source, 20 * SECOND).await;
    assert_eq!(names(&heard), ["identified", "raised", "good"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_instance_id_delays_a_notice_by_no_more_than_a_second() {
    for (answer, patience) in [
        (Answer::status(404), Duration::ZERO),
        (Answer::BlackHole, ID_PATIENCE),
    ] {
        let fake = Fake::new();
        fake.set("instance-id", answer);
        let mut source = fake.source();
        assert_eq!(names(&hear(&mut source, 20 * SECOND).await), ["good"]);
        fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
        fake.forget_calls();
        let Ok(Signal::Raised(raised)) = timeout(20 * SECOND, source.next()).await else {
            panic!("no notice")
        };
        assert_eq!(raised.detected.elapsed(), patience);
        let last = fake.calls().pop().unwrap();
        assert_eq!(last.what, "GET instance-id", "tried once more");
        // It is asked for later, too.
        fake.set("instance-id", Answer::ok("i-1"));
        assert_eq!(names(&hear(&mut source, 80 * SECOND).await), ["identified"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_id_that_is_known_at_the_last_moment_goes_first() {
    let fake = Fake::new();
    fake.set("instance-id", Answer::status(500));
    let mut source = fake.source();
    hear(&mut source, 60 * SECOND).await;
    // Between two of its tries.
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    fake.set("instance-id", Answer::ok("i-1"));
    assert_eq!(
        names(&hear(&mut source, 20 * SECOND).await),
        ["identified", "raised"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_cannot_be_had_does_not_hold_up_the_first_poll() {
    let fake = Fake::new();
    fake.set("instance-life-cycle", Answer::BlackHole);
    fake.set("placement/region", Answer::BlackHole);
    let mut source = fake.source();
    let start = Instant::now();
    let Signal::Identified(instance) = source.next().await else {
        panic!("not identified")
    };
    assert_eq!((instance.life_cycle, instance.zone), (None, None));
    assert_eq!(source.next().await, Signal::Health(SourceHealth::Good));
    assert_eq!(start.elapsed(), SECOND);
}

/// Drops the future of `next` at its first await, at its second, and so on; nothing may be lost
/// and nothing said twice.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_next_is_dropped_at_any_await() {
    let latency = 7 * MS;
    for patience in (1..=9).map(|n| n * MS) {
        let fake = Fake::new();
        fake.latency(latency);
        fake.set("instance-id", Answer::status(404));
        let mut source = fake.source();
        let mut heard = Vec::new();
        for turn in 0..12_000 {
            match turn {
                2_000 => fake.set("instance-id", Answer::ok("i-1")),
                4_000 => fake.action(notice("stop", "2026-01-01T12:32:00Z")),
                6_000 => fake.action(notice("stop", "2026-01-01T12:20:30Z")),
                8_000 => fake.action(Answer::status(403)),
                10_000 => fake.unset("spot/instance-action"),
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
        assert_eq!(
            names(&heard),
            ["good", "identified", "raised", "raised", "failing", "good"],
            "{patience:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_raised_even_if_next_is_always_dropped_while_the_id_is_asked_for() {
    let fake = Fake::new();
    fake.unset("instance-id");
    let mut source = fake.source();
    hear(&mut source, 60 * SECOND).await;
    // Just after one of its tries, which are seconds apart.
    let tries = || fake.times("GET instance-id").len();
    let before = tries();
    while tries() == before {
        hear_nothing(&mut source, 10 * MS).await;
    }
    fake.set("instance-id", Answer::BlackHole);
    fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
    let start = Instant::now();
    let mut heard = Vec::new();
    while heard.is_empty() && start.elapsed() < 60 * SECOND {
        // Less than a request may take.
        heard.extend(timeout(600 * MS, source.next()).await);
    }
    let [Signal::Raised(notice)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert!(notice.detected.elapsed() <= ID_PATIENCE + 600 * MS);
    assert!(tries() >= before + 3, "it was dropped while it asked");
}

#[tokio::test(start_paused = true)]
async fn dropping_next_does_not_restart_the_wait() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, 10 * MS).await;
    fake.forget_calls();
    for _ in 0..1_000 {
        assert!(timeout(10 * MS, source.next()).await.is_err());
    }
    assert_eq!(fake.times(POLL).len(), 20);
}
