//! What is asked when: every kind on one connection, none at the cost of another.

use std::time::Duration;

use spot_core::notice::{HEARTBEAT, NoticeKind, Signal, SourceHealth};
use spot_core::source::NoticeSource;
use spot_imds::options::ConfigError;
use spot_imds::source::{ABSENT, ImdsSource, MAX_BACKOFF, MAX_SLOW_BACKOFF};
use tokio::time::{Instant, timeout_at};

use crate::ear::{Ear, hear, hear_nothing, names, raised, reason};
use crate::fake::{ACTION, ASG, Answer, Fake, MAINTENANCE, POLLED, REBALANCE, notice};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn get(path: &str) -> String {
    format!("GET {path}")
}

fn asked(fake: &Fake, path: &str) -> usize {
    fake.times(&get(path)).len()
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_sweep_asks_for_everything_and_later_ones_are_spread() {
    let fake = Fake::new();
    let mut source = fake.source();
    let start = Instant::now();
    hear(&mut source, 10 * MS).await;
    for path in POLLED {
        assert_eq!(fake.times(&get(path)), [start], "{path}");
    }
    fake.forget_calls();
    hear(&mut source, 60 * SECOND).await;
    let mut slow = Vec::new();
    for path in [ASG, MAINTENANCE, REBALANCE] {
        let times = fake.times(&get(path));
        assert_eq!(times.len(), 12, "{path}");
        assert!(gaps(&times).iter().all(|gap| *gap == 5 * SECOND));
        slow.extend(times);
    }
    slow.sort();
    assert!(gaps(&slow).iter().all(|gap| *gap > SECOND), "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn one_request_is_under_way_at_a_time() {
    let fake = Fake::new();
    fake.latency(90 * MS);
    let mut source = fake.source();
    hear(&mut source, 60 * SECOND).await;
    let times: Vec<_> = fake.calls().iter().map(|call| call.at).collect();
    assert!(gaps(&times).iter().all(|gap| *gap >= 90 * MS));
    let polls = asked(&fake, ACTION);
    assert!((115..=121).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn the_slow_interval_is_settable_within_its_bounds() {
    let fake = Fake::new();
    let source = fake.builder().slow_interval(20 * SECOND).build();
    hear(&mut Ear::new(source.unwrap()), 99 * SECOND).await;
    assert!((5..=6).contains(&asked(&fake, ASG)));
    for wrong in [999 * MS, 61 * SECOND, Duration::ZERO] {
        let error = fake.builder().slow_interval(wrong).build().unwrap_err();
        assert_eq!(error, ConfigError::SlowInterval(wrong));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_ignored_is_not_polled() {
    for kind in NoticeKind::ALL {
        let fake = Fake::new();
        let source = fake.builder().kinds([kind]).build().unwrap();
        let mut source = Ear::new(source);
        let heard = hear(&mut source, 30 * SECOND).await;
        assert_eq!(names(&heard), ["identified", "good"], "{kind}");
        let polled = POLLED.iter().filter(|path| asked(&fake, path) > 0);
        assert_eq!(polled.count(), 1, "{kind}");
    }
    let fake = Fake::new();
    let mut source = Ear::new(fake.builder().kinds([]).build().unwrap());
    let heard = hear(&mut source, 300 * SECOND).await;
    assert_eq!(names(&heard), ["identified", "good"]);
    assert_eq!(fake.calls().len(), 6, "a token and the facts");
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_asked_for_twice_as_often_while_a_recommendation_stands() {
    for (interval, fast) in [(500, 250), (2_000, 1_000), (150, 100), (100, 100)] {
        let fake = Fake::new();
        let source = fake.builder().poll_interval(interval * MS).build();
        let mut source = Ear::new(source.unwrap());
        hear(&mut source, 20 * SECOND).await;
        fake.forget_calls();
        hear(&mut source, 60 * SECOND).await;
        let usual = asked(&fake, ACTION);
        let expected = 60_000 / usize::try_from(interval).unwrap();
        assert!(usual.abs_diff(expected) <= 1, "{usual} {expected}");
        let body = r#"{"noticeTime":"2026-01-01T11:00:00Z"}"#;
        fake.set(REBALANCE, Answer::ok(body));
        hear(&mut source, 10 * SECOND).await;
        fake.forget_calls();
        hear(&mut source, 60 * SECOND).await;
        let often = asked(&fake, ACTION);
        let expected = 60_000 / fast;
        assert!(often.abs_diff(expected) <= 1, "{often} {expected}");
        fake.unset(REBALANCE);
        let gone = hear(&mut source, ABSENT + 20 * SECOND).await;
        assert_eq!(names(&gone), ["passed"]);
        fake.forget_calls();
        hear(&mut source, 60 * SECOND).await;
        assert!(asked(&fake, ACTION).abs_diff(usual) <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recommendation_brings_the_next_poll_forward() {
    let fake = Fake::new();
    let source = fake.builder().poll_interval(60 * SECOND).build();
    let mut source = Ear::new(source.unwrap());
    hear(&mut source, SECOND).await;
    let body = r#"{"noticeTime":"2026-01-01T11:00:00Z"}"#;
    fake.set(REBALANCE, Answer::ok(body));
    hear(&mut source, 36 * SECOND).await;
    assert_eq!(asked(&fake, ACTION), 2);
}

#[tokio::test(start_paused = true)]
async fn who_it_is_is_said_first_where_the_service_comes_up_late() {
    for kinds in [&NoticeKind::ALL[..], &[NoticeKind::SpotInterruption]] {
        for outage in [300 * MS, 3 * SECOND, 300 * SECOND] {
            let fake = Fake::new();
            fake.latency(10 * MS);
            fake.set("token", Answer::status(500));
            let kinds = kinds.iter().copied();
            let mut source = Ear::new(fake.builder().kinds(kinds).build().unwrap());
            assert_eq!(names(&hear(&mut source, outage).await), ["failing"]);
            fake.unset("token");
            let heard = hear(&mut source, MAX_BACKOFF + SECOND).await;
            assert_eq!(names(&heard), ["identified", "good"], "{outage:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_path_that_hangs_holds_up_no_more_than_one_request_s_time_a_minute() {
    for path in [ASG, MAINTENANCE, REBALANCE] {
        let fake = Fake::new();
        fake.set(path, Answer::BlackHole);
        let mut source = fake.source();
        let heard = hear(&mut source, 600 * SECOND).await;
        assert_eq!(names(&heard), ["identified", "failing"], "no good health");
        let told = reason(&heard[1..]);
        assert!(told.starts_with(&format!("{path}: ")), "{told}");
        assert!(told.contains("http-put-response-hop-limit"), "{told}");
        let hung = fake.times(&get(path));
        assert!((10..=20).contains(&hung.len()), "{}", hung.len());
        let waits = gaps(&hung);
        assert!(waits[0] >= 5 * SECOND && waits[0] <= 11 * SECOND);
        let last = *waits.last().unwrap();
        assert!(last >= MAX_SLOW_BACKOFF / 2 && last <= MAX_SLOW_BACKOFF + SECOND);
        let held: Vec<_> = gaps(&fake.times(&get(ACTION)))
            .into_iter()
            .filter(|gap| *gap > 500 * MS)
            .collect();
        assert!(held.len() <= hung.len(), "{held:?}");
        assert!(held.iter().all(|gap| *gap <= 1_500 * MS), "{held:?}");
        // And hides nothing.
        fake.action(notice("terminate", "2026-01-01T12:02:00Z"));
        assert_eq!(names(&hear(&mut source, 2 * SECOND).await), ["raised"]);
        fake.unset(path);
        assert_eq!(names(&hear(&mut source, MAX_SLOW_BACKOFF).await), ["good"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_path_has_the_time_of_one_exchange_for_all_that_it_takes() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, SECOND).await;
    fake.latency(400 * MS);
    // Each call would ask, be refused, get a token and ask again: 1.6 s.
    fake.set(ASG, Answer::status(401));
    let heard = hear(&mut source, 120 * SECOND).await;
    assert!(reason(&heard).contains(ASG), "{heard:?}");
    let held = gaps(&fake.times(&get(ACTION)));
    let longest = held.iter().max().unwrap();
    // Its own exchange, and a token that the other had thrown away.
    assert!(*longest <= 2_500 * MS, "{longest:?}");
}

/// One who drops the future of `next` in the middle of a request and comes back much later.
#[tokio::test(start_paused = true)]
async fn a_listener_who_was_away_is_told_of_no_failure_that_was_his_own() {
    for absence in [990 * MS, 1_500 * MS, 7 * SECOND, 90 * SECOND] {
        let fake = Fake::new();
        fake.latency(100 * MS);
        let mut source = fake.source();
        let mut heard = Vec::new();
        for _ in 0..200 {
            heard.extend(hear(&mut source, 130 * MS).await);
            tokio::time::advance(absence).await;
        }
        assert_eq!(names(&heard), ["identified", "good"], "{absence:?}");
        let Signal::Identified(instance) = &heard[0] else {
            panic!("{heard:?}")
        };
        assert!(instance.launched.is_some(), "{absence:?}");
    }
}

/// One who drops the future of `next` sooner than a request that hangs gives up.
#[tokio::test(start_paused = true)]
async fn what_hangs_holds_nothing_up_for_one_who_is_impatient() {
    for path in [
        ASG,
        "instance-id",
        "instance-life-cycle",
        "events/maintenance/history",
    ] {
        let fake = Fake::new();
        fake.latency(10 * MS);
        let event = r#"[{"EventId":"e","NotBefore":"2 Jan 2026 00:00:00 GMT"}]"#;
        fake.set(MAINTENANCE, Answer::ok(event));
        fake.set(path, Answer::BlackHole);
        let mut source = fake.source();
        let impatient = async |source: &mut Ear, time: Duration| {
            let (start, mut heard) = (Instant::now(), Vec::new());
            while start.elapsed() < time {
                heard.extend(hear(source, 100 * MS).await);
            }
            heard
        };
        let heard = impatient(&mut source, 30 * SECOND).await;
        assert!(names(&heard).contains(&"raised"), "{path}: {heard:?}");
        fake.set(MAINTENANCE, Answer::ok("[]"));
        fake.action(notice("stop", "2026-01-01T12:02:00Z"));
        let heard = impatient(&mut source, 5 * SECOND).await;
        assert!(names(&heard).contains(&"raised"), "{path}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn health_is_good_only_once_every_path_has_been_answered() {
    let fake = Fake::new();
    fake.latency(100 * MS);
    fake.set(
        REBALANCE,
        Answer::ok(r#"{"noticeTime":"2026-01-01T11:00:00Z"}"#),
    );
    fake.set(ASG, Answer::ok("Terminated"));
    let mut source = fake.source();
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(Signal::Health(SourceHealth::Good))) {
        heard.push(source.next().await);
    }
    assert_eq!(names(&heard), ["identified", "raised", "raised", "good"]);
    assert!(POLLED.iter().all(|path| asked(&fake, path) > 0));
    // One that fails keeps it from being good, and the notices come all the same.
    for path in POLLED {
        let fake = Fake::new();
        fake.set(path, Answer::status(500));
        let heard = hear(&mut fake.source(), 30 * SECOND).await;
        assert_eq!(names(&heard), ["identified", "failing"], "{path}");
        fake.unset(path);
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_is_asked_at_once_and_then_health_is_good() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, 10 * SECOND).await;
    fake.all(&Answer::Refused);
    let heard = hear(&mut source, 600 * SECOND).await;
    assert_eq!(names(&heard), ["failing"]);
    fake.quiet();
    fake.unset("token");
    fake.set(ASG, Answer::ok("Terminated"));
    let heard = hear(&mut source, MAX_BACKOFF).await;
    assert_eq!(names(&heard), ["raised", "good"]);
}

/// A source that can be heard says so at least once a minute, and one that cannot does not.
#[tokio::test(start_paused = true)]
async fn good_health_has_a_heartbeat() {
    let fake = Fake::new();
    fake.latency(100 * MS);
    let mut source: ImdsSource = fake.builder().poll_interval(60 * SECOND).build().unwrap();
    let start = Instant::now();
    let mut last = start;
    let mut beats = 0;
    while let Ok(signal) = timeout_at(start + 3_600 * SECOND, source.next()).await {
        assert!(last.elapsed() <= HEARTBEAT, "{:?}", last.elapsed());
        last = Instant::now();
        beats += usize::from(signal == Signal::Health(SourceHealth::Good));
    }
    assert!((60..=70).contains(&beats), "{beats}");
    fake.all(&Answer::Refused);
    let heard = hear(&mut source, 3_600 * SECOND).await;
    let good = heard
        .iter()
        .filter(|s| **s == Signal::Health(SourceHealth::Good));
    assert!(good.count() <= 1, "before the next poll");
    assert_eq!(names(&heard).last(), Some(&"failing"));
}

#[tokio::test(start_paused = true)]
async fn dropping_next_changes_no_schedule() {
    let fake = Fake::new();
    let mut source = fake.source();
    hear(&mut source, 10 * MS).await;
    fake.forget_calls();
    for _ in 0..3_000 {
        hear_nothing(&mut source, 10 * MS).await;
    }
    assert_eq!(asked(&fake, ACTION), 60);
    for path in [ASG, MAINTENANCE, REBALANCE] {
        assert_eq!(asked(&fake, path), 6, "{path}");
    }
    assert_eq!(raised(&hear(&mut source, SECOND).await), []);
}
