//! What the daemon shows of itself, run against both simulators on ports.
#![allow(clippy::unwrap_used)]

mod receiver;
mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use spot_drain::sim::Kind;
use stage::Stage;
use tokio::time::Instant;

/// The series of a page.
fn series(page: &str) -> BTreeSet<&str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect()
}

#[test]
fn a_drain_is_in_the_metrics_when_it_has_ended() {
    let mut stage = Stage::interrupted();
    stage.wait_for("drain finished");
    stage.wait_for("phase=Drained");
    let page = stage.get("/metrics");
    assert!(
        page.contains("content-type: text/plain; version=0.0.4"),
        "{page}"
    );
    let page = page.split_once("\r\n\r\n").unwrap().1;
    for line in [
        "spot_handler_notices_total{kind=\"spot-interruption\"} 1\n",
        "spot_handler_detection_to_cordon_seconds_count 1\n",
        "spot_handler_drain_duration_seconds_count{outcome=\"complete\"} 1\n",
        "spot_handler_drain_slack_seconds_count 1\n",
        "spot_handler_pods_total{outcome=\"gone\"} 3\n",
        "spot_handler_pods_total{outcome=\"blocked\"} 0\n",
        "spot_handler_evictions_total{reply=\"accepted\"} 3\n",
        "spot_handler_metadata_requests_total{path=\"token\",code=\"200\"} 1\n",
        "spot_handler_api_requests_total{method=\"PATCH\",code=\"200\"} 2\n",
        "spot_handler_source_healthy{source=\"imds\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let series = series(page);
    println!("{} series", series.len());
    assert!(series.len() < 200, "{} series", series.len());
    assert!(stage.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(stage.get("/readyz").starts_with("HTTP/1.1 200 "));
    assert_eq!(stage.end(), Some(0));
}

#[test]
fn what_outlives_the_node_has_left_when_the_process_ends() {
    let mut stage = Stage::interrupted();
    stage.wait_for("drain finished");
    assert_eq!(stage.end(), Some(0));
    let (notice, outcome) = (stage.told(), stage.told());
    assert_eq!(notice["event"], "notice");
    assert_eq!(notice["instance"]["id"], "i-0123456789abcdef0");
    assert_eq!(outcome["event"], "drain-finished");
    assert_eq!(outcome["drain"]["outcome"], "complete");
    let reasons: BTreeSet<String> = stage.sim.with(|world| {
        let events = world.api().objects(Kind::Event);
        events
            .map(|e| e["reason"].as_str().unwrap().to_owned())
            .collect()
    });
    for reason in [
        "SpotInterruption",
        "Cordon",
        "DrainPlanned",
        "CordonAndDrain",
    ] {
        assert!(reasons.contains(reason), "{reason} is not in {reasons:?}");
    }
    let log = stage.log();
    assert!(log.contains("the webhook was told"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

/// Longer than what has nothing to do with a drain is told for.
#[test]
fn an_outcome_is_told_for_as_long_as_the_grace_to_end_in_lasts() {
    let away = Duration::from_secs(9);
    let mut stage = Stage::with_receiver(&["--shutdown-grace", "40s"], away);
    stage.wait_for("drain finished");
    assert_eq!(stage.end(), Some(0));
    let (notice, outcome) = (stage.told(), stage.told());
    assert_eq!(notice["event"], "notice");
    assert_eq!(outcome["event"], "drain-finished");
}

#[test]
fn no_longer_than_the_grace_to_end_in_lasts() {
    let mut stage = Stage::with_receiver(&["--shutdown-grace", "1s"], Duration::from_secs(3600));
    stage.wait_for("drain finished");
    let begin = Instant::now();
    assert_eq!(stage.end(), Some(0));
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(11), "{took:?}");
    let log = stage.log();
    assert!(log.contains("not all could be told in time"), "{log}");
}
