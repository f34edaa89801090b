//! Several sources at once.

use super::*;
use crate::armed::{Link, Verdict};

const NOTHING: [&str; 0] = [];

impl Bench {
    /// Two sources, and a node that is ours.
    fn of_two() -> Self {
        let mut bench = Self::new();
        let names = ["imds", "queue"].map(str::to_owned);
        bench.life = Lifecycle::new(Policy::default(), names);
        bench.on(Input::Started);
        bench.on(identified("i-1"));
        bench.on(recalled(None));
        bench
    }

    fn says(&mut self, source: usize, signal: Signal) -> Vec<Effect> {
        self.on(Input::Signal { source, signal })
    }

    fn spot(&self, after: u64) -> Signal {
        Signal::Raised(self.notice("spot", NoticeKind::SpotInterruption, Some(after)))
    }
}

fn over() -> Signal {
    Signal::Ended {
        notice: NoticeId::new("spot"),
        how: NoticeEnd::Cancelled,
    }
}

const GOOD: Signal = Signal::Health(SourceHealth::Good);

#[test]
fn the_same_notice_of_two_sources_is_one_with_the_nearer_deadline() {
    let mut bench = Bench::of_two();
    let notice = bench.spot(120);
    assert_eq!(
        names(&bench.says(1, notice)),
        ["quarantine Draining", "start"]
    );
    let notice = bench.spot(90);
    let effects = bench.says(0, notice);
    assert_eq!(ordered(&bench, &effects), Some(90));
    assert_eq!(
        bench.told(|o| matches!(o, Occurrence::NoticeRaised { .. })),
        1
    );
}

#[test]
fn a_notice_stands_until_no_source_says_it() {
    let mut bench = Bench::of_two();
    for source in [0, 1] {
        let notice = bench.spot(120);
        bench.says(source, notice);
    }
    assert_eq!(names(&bench.says(0, over())), NOTHING);
    assert_eq!(names(&bench.says(1, over())), ["stop"]);
    assert_eq!(
        bench.told(|o| matches!(o, Occurrence::NoticeEnded { .. })),
        1
    );
}

#[test]
fn nothing_is_stale_before_every_source_has_been_heard() {
    let mut bench = Bench::of_two();
    let mut old = memory("old", Phase::Drained, Some(0));
    old.boot = Some("boot-0".into());
    bench.on(recalled(Some(old)));
    assert_eq!(names(&bench.says(0, GOOD)), NOTHING);
    assert_eq!(names(&bench.says(1, GOOD)), ["release"]);
}

#[test]
fn the_first_source_s_word_on_who_we_are_counts() {
    let mut bench = Bench::of_two();
    let other = Signal::Identified(Instance::new("i-2"));
    assert_eq!(names(&bench.says(1, other.clone())), NOTHING);
    assert_eq!(bench.life.instance().unwrap().id, "i-1");
    assert_eq!(names(&bench.says(0, other)), ["recall"]);
}

#[test]
fn each_source_that_cannot_be_heard_is_named() {
    let mut bench = Bench::of_two();
    bench.says(0, GOOD);
    let (trouble, reason) = (Trouble::Refused, "403".to_owned());
    bench.says(1, Signal::Health(SourceHealth::Failing { trouble, reason }));
    assert_eq!(bench.ready_now().missing, ["queue cannot be heard: 403"]);
    bench.says(1, GOOD);
    assert!(bench.ready_now().ready);
    let [notices, clock] = bench.life.findings(bench.now().instant);
    assert_eq!(notices.verdict, Verdict::Holds);
    assert!(matches!(clock.verdict, Verdict::Unproven { .. }));
}

#[test]
fn a_source_that_says_nothing_for_minutes_hangs() {
    let mut bench = Bench::of_two();
    bench.says(0, GOOD);
    bench.says(1, GOOD);
    bench.seconds = 170;
    bench.says(0, GOOD);
    bench.seconds = 200;
    let [notices, _] = bench.life.findings(bench.now().instant);
    assert!(
        notices.to_string().contains("queue has said nothing"),
        "{notices}"
    );
    assert!(!bench.ready_now().ready);
}

#[test]
fn a_clock_that_is_off_is_told_and_found() {
    let mut bench = Bench::of_two();
    for (ahead, broken) in [(2, false), (-40, true), (40, true), (0, false)] {
        bench.says(0, Signal::Clock(SignedDuration::from_secs(ahead)));
        let [_, clock] = bench.life.findings(bench.now().instant);
        assert_eq!(clock.link, Link::Clock);
        let found =
            matches!(&clock.verdict, Verdict::Broken { reason, .. } if reason.contains("40 s"));
        assert_eq!(found, broken, "{ahead}: {clock}");
    }
}
