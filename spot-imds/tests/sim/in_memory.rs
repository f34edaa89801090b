//! This crate's client and source on the simulator in memory, under paused time.

use std::fmt::Write as _;
use std::time::Duration;

use spot_core::notice::{InstanceAction, Notice, Signal, SourceHealth};
use spot_core::sim::{Fault, Random};
use spot_core::source::NoticeSource;
use spot_imds::error::ImdsError;
use spot_imds::sim::{Announcement, FaultRule, Imds, ImdsBuilder, SharedImds};
use spot_imds::source::ImdsSource;
use tokio::time::{Instant, sleep, timeout_at};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const ACTION: &str = "spot/instance-action";

fn source(imds: &SharedImds) -> ImdsSource {
    let client = imds.client().build().unwrap();
    let source = ImdsSource::builder(client).jitter_seed(1);
    source
        .clock(std::sync::Arc::new(imds.clock()))
        .build()
        .unwrap()
}

/// What the source says within `time`, and when, from the beginning.
async fn hear(source: &mut ImdsSource, time: Duration) -> Vec<(Duration, Signal)> {
    let start = Instant::now();
    let mut heard = Vec::new();
    while let Ok(signal) = timeout_at(start + time, source.next()).await {
        heard.push((start.elapsed(), signal));
    }
    heard
}

fn raised(heard: &[(Duration, Signal)]) -> Vec<(Duration, Notice)> {
    let notice = |(at, signal): &(Duration, Signal)| match signal {
        Signal::Raised(notice) => Some((*at, notice.clone())),
        _ => None,
    };
    heard.iter().filter_map(notice).collect()
}

fn failures(heard: &[(Duration, Signal)]) -> Vec<String> {
    let reason = |(_, signal): &(Duration, Signal)| match signal {
        Signal::Health(SourceHealth::Failing { reason, .. }) => Some(reason.clone()),
        _ => None,
    };
    heard.iter().filter_map(reason).collect()
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_polling_and_then_a_notice() {
    let imds = Imds::builder().instance("i-0abc").tag("team", "x");
    let imds = imds.spot_notice(HOUR, InstanceAction::Hibernate, 120 * SECOND);
    let imds = imds
        .spot_notice(HOUR, InstanceAction::Stop, 120 * SECOND)
        .build()
        .shared();
    let mut source = source(&imds);
    let heard = hear(&mut source, HOUR + 60 * SECOND).await;
    let Signal::Identified(instance) = &heard[0].1 else {
        panic!("{heard:?}")
    };
    assert_eq!(instance.id, "i-0abc");
    assert_eq!(instance.region.as_deref(), Some("eu-west-1"));
    let raised = raised(&heard);
    let [(at, notice)] = raised.as_slice() else {
        panic!("{raised:?}")
    };
    assert!((HOUR..HOUR + SECOND).contains(at), "{at:?}");
    assert_eq!(notice.action, InstanceAction::Stop);
    let left = notice.deadline.unwrap().remaining(notice.detected);
    assert!((118 * SECOND..=121 * SECOND).contains(&left), "{left:?}");
    let polls = imds.asked();
    let polls = polls.iter().filter(|asked| asked.what.ends_with(ACTION));
    assert!((7_300..=7_330).contains(&polls.count()));
}

#[tokio::test(start_paused = true)]
async fn a_moving_time_is_one_notice_whose_deadline_comes_nearer() {
    let moving = Announcement::spot("terminate").after(SECOND).moving();
    let imds = Imds::builder().announce(moving).build().shared();
    let mut source = source(&imds);
    let heard = hear(&mut source, 100 * SECOND).await;
    let raised = raised(&heard);
    assert_eq!(raised.len(), 1);
    let left = raised[0].1.deadline.unwrap().remaining(Instant::now());
    assert!(left < 25 * SECOND, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_while_it_runs_is_heard() {
    let imds = Imds::builder().build().shared();
    let mut source = source(&imds);
    let heard = hear(&mut source, 10 * SECOND).await;
    assert_eq!(raised(&heard), []);
    imds.announce(Announcement::spot(InstanceAction::Terminate).after(5 * SECOND));
    let heard = hear(&mut source, 10 * SECOND).await;
    let (at, _) = raised(&heard)[0];
    assert!((5 * SECOND..6 * SECOND).contains(&at), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_the_error_that_it_should_be() {
    let status = Fault::status;
    let after = Fault::Status {
        code: 503,
        retry_after: Some(SECOND),
        body: "slow down".into(),
    };
    let cases = [
        (Fault::Delay(2 * SECOND), "timed-out"),
        (status(400), "unexpected-status"),
        (status(401), "unauthorized"),
        (status(403), "refused"),
        (status(429), "unavailable"),
        (after, "unavailable"),
        (status(302), "unexpected-status"),
        (status(500), "unexpected-status"),
        (Fault::body("<html>"), "malformed"),
        (Fault::ResetBefore, "broken"),
        (Fault::ResetAfter, "broken"),
        (Fault::BlackHole, "timed-out"),
        (Fault::Truncate(5), "broken"),
        (Fault::Oversize(70_000), "too-large"),
        (Fault::Refused, "unreachable"),
        (Fault::Slow(2), "timed-out"),
    ];
    for (fault, kind) in cases {
        let imds = Imds::builder().fault(FaultRule::new(fault.clone()).on("instance-id"));
        let imds = imds.build().shared();
        let client = imds.client().build().unwrap();
        let error = client.instance_id().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault}: {error}");
        assert!(client.instance_life_cycle().await.is_ok(), "{fault}");
        let asked = imds.asked();
        let met = asked.iter().find(|asked| !asked.faults.is_empty()).unwrap();
        assert_eq!(met.faults, [fault]);
    }
    let hop_limit = FaultRule::new(Fault::BlackHole).on("/latest/api/token");
    let imds = Imds::builder().fault(hop_limit).build().shared();
    let error = imds
        .client()
        .build()
        .unwrap()
        .instance_id()
        .await
        .unwrap_err();
    assert!(matches!(error, ImdsError::TimedOut { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn harmless_faults_are_survived() {
    let rules = [
        FaultRule::new(Fault::Delay(100 * Duration::from_millis(1))),
        FaultRule::new(Fault::Delay(200 * Duration::from_millis(1))),
        FaultRule::new(Fault::Slow(1_000)).on("spot/"),
        FaultRule::new(Fault::Oversize(60_000)).on("placement/"),
    ];
    let imds = Imds::builder().spot_notice(Duration::ZERO, "stop", 60 * SECOND);
    let imds = rules
        .into_iter()
        .fold(imds, ImdsBuilder::fault)
        .build()
        .shared();
    let client = imds.client().build().unwrap();
    assert_eq!(client.region().await.unwrap().unwrap(), "eu-west-1");
    let start = Instant::now();
    assert!(client.instance_action().await.unwrap().is_some());
    // Two delays, and 50 bytes at 1,000 a second.
    let took = start.elapsed();
    assert!((330..370).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fault_holds_within_its_window_and_so_often() {
    let ms = Duration::from_millis;
    let window = FaultRule::new(Fault::status(500))
        .on(ACTION)
        .from(10 * SECOND);
    let imds = Imds::builder()
        .fault(window.until(20 * SECOND))
        .build()
        .shared();
    imds.fault(FaultRule::new(Fault::Refused).on(ACTION).times(2));
    let client = imds.client().build().unwrap();
    let mut kinds = Vec::new();
    sleep(ms(500)).await;
    for _ in 0..24 {
        let outcome = client.instance_action().await;
        kinds.push(outcome.map_or_else(|error| error.kind(), |_| "ok"));
        sleep(SECOND).await;
    }
    let expected = [
        ["unreachable"; 2].as_slice(),
        &["ok"; 8],
        &["unexpected-status"; 10],
        &["ok"; 4],
    ];
    assert_eq!(kinds, expected.concat());
    let story = imds.timeline().to_string();
    assert!(
        story.contains("refused on /latest/meta-data/spot/instance-action, 2 times"),
        "{story}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_outlives_a_flaky_service_and_sees_the_notice() {
    let rule = |fault| FaultRule::new(fault).until(60 * SECOND);
    let imds = Imds::builder()
        .fault(rule(Fault::Refused).until(20 * SECOND))
        .fault(rule(Fault::BlackHole).until(40 * SECOND))
        .fault(rule(Fault::status(503)))
        .spot_notice(30 * SECOND, "terminate", 120 * SECOND)
        .build()
        .shared();
    let mut source = source(&imds);
    let heard = hear(&mut source, 80 * SECOND).await;
    let failures = failures(&heard);
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(failures[1].contains("hop-limit"), "{failures:?}");
    let (at, notice) = &raised(&heard)[0];
    assert!((60 * SECOND..66 * SECOND).contains(at), "{at:?}");
    let left = notice.deadline.unwrap().remaining(Instant::now());
    assert!((69 * SECOND..=71 * SECOND).contains(&left), "{left:?}");
}

/// An hour of faults drawn from a seed: what happened, byte for byte.
async fn chaos(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut imds = Imds::builder().seed(seed);
    for _ in 0..200 {
        let bytes = usize::try_from(random.below(100_000)).unwrap();
        let all = [
            Fault::Delay(random.duration(Duration::ZERO..3 * SECOND)),
            Fault::status(u16::try_from(400 + random.below(200)).unwrap()),
            Fault::body("{\"action\":7}"),
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::BlackHole,
            Fault::Truncate(bytes % 60),
            Fault::Oversize(bytes),
            Fault::Refused,
            Fault::Slow(u32::try_from(1 + bytes % 500).unwrap()),
        ];
        let from = random.duration(Duration::ZERO..HOUR);
        let until = from + random.duration(SECOND..20 * SECOND);
        let rule = FaultRule::new(random.pick(&all).unwrap().clone());
        imds = imds.fault(rule.from(from).until(until));
    }
    let imds = imds
        .spot_notice(HOUR / 2, "terminate", HOUR)
        .build()
        .shared();
    let mut source = source(&imds);
    let start = Instant::now();
    let heard = hear(&mut source, HOUR + 30 * SECOND).await;
    assert_eq!(raised(&heard).len(), 1, "seed {seed}");
    let mut story = imds.timeline().to_string();
    for (at, signal) in &heard {
        if let Signal::Raised(notice) = signal {
            let end = notice.deadline.unwrap().instant().duration_since(start);
            writeln!(story, "{at:?} raised, until {end:?}").unwrap();
        } else {
            writeln!(story, "{at:?} {signal:?}").unwrap();
        }
    }
    for asked in imds.asked() {
        writeln!(story, "{asked:?}").unwrap();
    }
    story
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_hour() {
    let first = chaos(7).await;
    assert_eq!(first, chaos(7).await);
    assert_ne!(first, chaos(8).await);
}
