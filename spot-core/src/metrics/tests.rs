use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::*;
use crate::armed::Finding;
use crate::drainer::Order;
use crate::node::NodeError;
use crate::notice::{Notice, Trouble};
use crate::policy::Response;

struct Page(Registry, HandlerMetrics);

impl Page {
    fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = HandlerMetrics::register(&mut registry, "1.2.3");
        Self(registry, metrics)
    }

    fn tell(&self, what: Occurrence) {
        let event = Event::new(Instant::now(), Timestamp::UNIX_EPOCH, what);
        self.1.on(&event);
    }

    /// Every series with its value.
    fn series(&self) -> BTreeMap<String, String> {
        let page = text(&self.0);
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.strip_prefix("spot_handler_").unwrap();
            (name.to_owned(), value.to_owned())
        };
        samples.map(pair).collect()
    }

    fn value(&self, series: &str) -> f64 {
        let all = self.series();
        let value = all.get(series);
        value
            .unwrap_or_else(|| panic!("no {series} in {all:#?}"))
            .parse()
            .unwrap()
    }
}

fn notice(id: &str, kind: NoticeKind) -> Notice {
    Notice::new(NoticeId::new(id), kind, Instant::now())
}

fn raised(notice: Notice) -> Occurrence {
    let response = Response::Drain;
    Occurrence::NoticeRaised { notice, response }
}

fn quarantined(notice: &Notice, phase: Phase, after: u64) -> Occurrence {
    Occurrence::Quarantined {
        quarantine: Quarantine::new(notice, phase, Timestamp::UNIX_EPOCH),
        after: Duration::from_secs(after),
    }
}

fn report(outcome: DrainOutcome) -> Occurrence {
    let mut report = DrainReport::new(outcome);
    report.elapsed = Duration::from_secs(12);
    report.slack = Some(Duration::from_secs(100));
    report.tally = [("gone", 3), ("blocked", 1)].into();
    Occurrence::DrainFinished(Arc::new(report))
}

/// Everything that can happen about a notice.
fn course(page: &Page, id: &str, kind: NoticeKind) {
    let notice = notice(id, kind);
    page.tell(raised(notice.clone()));
    page.tell(quarantined(&notice, Phase::Draining, 1));
    page.tell(Occurrence::DrainStarted(Order::from_notice(&notice)));
    let node = id.to_owned();
    page.tell(Occurrence::NodeFailed(Arc::new(NodeError::NotFound {
        node,
    })));
    page.tell(report(DrainOutcome::Incomplete));
    page.tell(quarantined(&notice, Phase::Drained, 14));
    page.tell(Occurrence::Released);
}

#[test]
fn what_may_come_is_there_from_the_beginning() {
    let page = Page::new();
    for kind in NoticeKind::ALL {
        assert!(
            page.value(&format!("notices_total{{kind=\"{kind}\"}}"))
                .abs()
                < 0.5
        );
    }
    assert!(page.value("link_broken{link=\"eviction\"}").abs() < 0.5);
    assert!(
        page.value("drain_duration_seconds_count{outcome=\"incomplete\"}")
            .abs()
            < 0.5
    );
    assert!(page.series().contains_key("build_info{version=\"1.2.3\"}"));
}

#[test]
fn a_notice_is_followed_to_the_end_of_its_drain() {
    let page = Page::new();
    let kind = NoticeKind::SpotInterruption;
    let notice = notice("n", kind);
    page.tell(raised(notice.clone()));
    page.tell(Occurrence::DrainStarted(Order::from_notice(&notice)));
    let series = |name: &str| page.series().remove(name).unwrap();
    assert_eq!(series("drain_running"), "1");
    page.tell(quarantined(&notice, Phase::Draining, 2));
    page.tell(report(DrainOutcome::Complete));
    page.tell(quarantined(&notice, Phase::Drained, 14));
    assert_eq!(series("notices_total{kind=\"spot-interruption\"}"), "1");
    // What was written down at the end is no quarantine of its own.
    assert_eq!(series("detection_to_cordon_seconds_count"), "1");
    assert_eq!(series("detection_to_cordon_seconds_sum"), "2.0");
    assert_eq!(series("drain_running"), "0");
    assert_eq!(
        series("drain_duration_seconds_sum{outcome=\"complete\"}"),
        "12.0"
    );
    assert_eq!(series("drain_slack_seconds_sum"), "100.0");
    assert_eq!(series("pods_total{outcome=\"gone\"}"), "3");
    assert_eq!(series("pods_total{outcome=\"blocked\"}"), "1");
}

#[test]
fn what_an_earlier_process_quarantined_is_not_timed_again() {
    let page = Page::new();
    let notice = notice("n", NoticeKind::SpotInterruption);
    page.tell(Occurrence::Resumed(notice.clone()));
    page.tell(quarantined(&notice, Phase::Draining, 60));
    assert!(page.value("detection_to_cordon_seconds_count").abs() < 0.5);
}

#[test]
fn what_is_broken_is_named_until_it_is_mended() {
    let page = Page::new();
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let check = |finding| Occurrence::Checked(Arc::new(Armed::new(at, [finding])));
    let value = |series: &str| page.series().remove(series).unwrap();
    page.tell(check(Finding::broken(
        Link::Eviction,
        "may not",
        "grant it",
    )));
    assert_eq!(value("armed"), "0");
    assert_eq!(value("link_broken{link=\"eviction\"}"), "1");
    page.tell(check(Finding::holds(Link::Eviction)));
    assert_eq!(value("armed"), "1");
    assert_eq!(value("link_broken{link=\"eviction\"}"), "0");
    assert_eq!(value("last_self_check_timestamp_seconds"), "1767225600.0");
}

#[test]
fn a_source_has_its_health_and_its_clock() {
    let page = Page::new();
    let health = |health| Occurrence::SourceHealth {
        source: "imds".to_owned(),
        health,
    };
    let value = |series: &str| page.series().remove(series).unwrap();
    page.tell(health(SourceHealth::Good));
    assert_eq!(value("source_healthy{source=\"imds\"}"), "1");
    page.tell(health(SourceHealth::Failing {
        trouble: Trouble::Unreachable,
        reason: "no route".to_owned(),
    }));
    assert_eq!(value("source_healthy{source=\"imds\"}"), "0");
    page.tell(Occurrence::Clock {
        source: "imds".to_owned(),
        ahead: SignedDuration::from_millis(-1500),
    });
    assert_eq!(value("source_clock_ahead_seconds{source=\"imds\"}"), "-1.5");
}

#[test]
fn the_number_of_series_is_constant_over_a_thousand_notices() {
    let page = Page::new();
    course(&page, "first", NoticeKind::SpotInterruption);
    let before: Vec<String> = page.series().into_keys().collect();
    for n in 0..1000 {
        let kind = NoticeKind::ALL[n % NoticeKind::ALL.len()];
        course(
            &page,
            &format!("scheduled-maintenance/instance-event-{n}"),
            kind,
        );
    }
    let after: Vec<String> = page.series().into_keys().collect();
    assert_eq!(before, after);
    assert!((page.value("detection_to_cordon_seconds_count") - 1001.0).abs() < 0.5);
}

#[test]
fn what_may_become_of_pods_is_shown_before_it_does() {
    let Page(registry, metrics) = Page::new();
    let page = Page(registry, metrics.with_outcomes(["gone", "lost"]));
    for outcome in ["gone", "lost"] {
        let series = format!("pods_total{{outcome=\"{outcome}\"}}");
        assert!(page.value(&series).abs() < f64::EPSILON);
    }
}
