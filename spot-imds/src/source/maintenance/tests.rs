use super::super::heard::tests::short;
use super::super::moment::tests::{SECOND, dated};
use super::*;
use spot_core::notice::{InstanceAction, Signal};
use tokio::time::Instant;

const NOON: &str = "2026-01-01T12:00:00Z";
const ONE: &str = "1 Jan 2026 13:00:00 GMT";
const TWO: &str = "1 Jan 2026 14:00:00 GMT";

fn entry(id: &str, state: &str, not_before: &str) -> String {
    format!(
        r#"{{"EventId":"{id}","Code":"instance-stop","State":"{state}","NotBefore":"{not_before}"}}"#
    )
}

struct Reader(Maintenance, Instant);

impl Reader {
    fn new() -> Self {
        Self(Maintenance::default(), Instant::now())
    }

    fn passes(&mut self, seconds: u32) {
        self.1 += seconds * SECOND;
    }

    fn reads_at(&mut self, seconds: u32, date: &str, entries: &[String]) -> Heard {
        let body = format!("[{}]", entries.join(","));
        let at = dated(self.1, seconds, date);
        self.0.heed(Some(body.as_bytes()), &at)
    }

    fn reads(&mut self, entries: &[String]) -> Vec<String> {
        short(&self.reads_at(0, NOON, entries))
    }

    /// A list, and where that leaves doubts, a history.
    fn reads_and_asks(&mut self, entries: &[String], history: Option<&[String]>) -> Vec<String> {
        let mut heard = self.reads(entries);
        if self.0.is_in_doubt() {
            let history = history.map(|h| format!("[{}]", h.join(",")));
            let settled = self.0.settle(history.as_deref().map(str::as_bytes));
            heard.extend(short(&settled));
            assert!(!self.0.is_in_doubt());
        }
        heard
    }
}

fn notice(heard: &Heard) -> &Notice {
    match heard.signals.last() {
        Some(Signal::Raised(notice)) => notice,
        _ => panic!("{heard:?}"),
    }
}

const RAISED: [&str; 1] = ["+scheduled-maintenance/e-1"];
const CANCELLED: [&str; 1] = ["cancelled scheduled-maintenance/e-1"];
const COMPLETED: [&str; 1] = ["completed scheduled-maintenance/e-1"];
const NOTHING: [&str; 0] = [];

#[test]
fn each_event_is_a_notice_of_its_own_raised_once() {
    let mut reader = Reader::new();
    let both = [entry("e-1", "active", ONE), entry("e-2", "active", TWO)];
    let raised = reader.reads(&both);
    assert_eq!(raised, [RAISED[0], "+scheduled-maintenance/e-2"]);
    assert_eq!(reader.reads(&both), NOTHING);
    let one = [
        entry("e-1", "canceled", ONE),
        entry("e-2", "completed", TWO),
    ];
    let ended = reader.reads(&one);
    assert_eq!(ended, [CANCELLED[0], "completed scheduled-maintenance/e-2"]);
    assert_eq!(reader.reads(&one), NOTHING);
    assert_eq!(reader.reads(&[]), NOTHING);
    assert!(!reader.0.is_in_doubt());
}

#[test]
fn a_time_to_come_is_a_deadline_and_one_that_has_passed_is_none() {
    let mut reader = Reader::new();
    let heard = reader.reads_at(0, NOON, &[entry("e-1", "active", ONE)]);
    let notice_1 = notice(&heard);
    assert_eq!(notice_1.action, InstanceAction::Stop);
    let left = notice_1.deadline.unwrap().remaining(reader.1);
    assert_eq!(left, 3_600 * SECOND);
    let mut late = Reader::new();
    let heard = late.reads_at(0, "2026-01-01T13:00:00Z", &[entry("e-1", "active", ONE)]);
    assert_eq!(notice(&heard).deadline, None);
    // While it stands, its time passes without a word.
    let hour = reader.reads_at(
        3_601,
        "2026-01-01T13:00:01Z",
        &[entry("e-1", "active", ONE)],
    );
    assert_eq!(hour, Heard::default());
}

#[test]
fn a_later_time_is_another_notice_and_an_earlier_one_a_nearer_deadline() {
    let mut reader = Reader::new();
    reader.reads(&[entry("e-1", "active", ONE)]);
    let near = "1 Jan 2026 13:00:05 GMT";
    assert_eq!(reader.reads(&[entry("e-1", "active", near)]), NOTHING);
    let later = reader.reads_at(0, NOON, &[entry("e-1", "active", TWO)]);
    assert_eq!(short(&later), [CANCELLED[0], RAISED[0]]);
    let left = notice(&later).deadline.unwrap().remaining(reader.1);
    assert_eq!(left, 7_200 * SECOND);
    let earlier = reader.reads_at(0, NOON, &[entry("e-1", "active", ONE)]);
    assert_eq!(short(&earlier), RAISED);
    let left = notice(&earlier).deadline.unwrap().remaining(reader.1);
    assert_eq!(left, 3_600 * SECOND);
    assert_eq!(reader.reads(&[entry("e-1", "active", ONE)]), NOTHING);
    // Moved to a time that has passed: it may come at any moment.
    let past = reader.reads_at(
        0,
        NOON,
        &[entry("e-1", "active", "1 Jan 2026 11:00:00 GMT")],
    );
    assert_eq!(short(&past), [CANCELLED[0], RAISED[0]]);
    assert_eq!(notice(&past).deadline, None);
}

#[test]
fn small_steps_add_up_to_another_time() {
    let mut reader = Reader::new();
    reader.reads(&[entry("e-1", "active", ONE)]);
    let step = |s| {
        [entry(
            "e-1",
            "active",
            &format!("1 Jan 2026 13:00:0{s} GMT"),
        )]
    };
    assert_eq!(reader.reads(&step(4)), NOTHING);
    assert_eq!(reader.reads(&step(8)), [CANCELLED[0], RAISED[0]]);
}

#[test]
fn a_suspend_brings_the_deadline_nearer() {
    let mut reader = Reader::new();
    let one = [entry("e-1", "active", ONE)];
    reader.reads(&one);
    let heard = reader.reads_at(10, "2026-01-01T12:30:00Z", &one);
    let left = notice(&heard).deadline.unwrap().remaining(reader.1);
    assert_eq!(left, 1_810 * SECOND);
    let heard = reader.reads_at(15, "2026-01-01T12:30:05Z", &one);
    assert_eq!(heard, Heard::default());
}

#[test]
fn what_vanishes_is_looked_up_in_the_history() {
    let one = [entry("e-1", "active", ONE)];
    for (state, ended) in [("completed", COMPLETED), ("canceled", CANCELLED)] {
        let mut reader = Reader::new();
        reader.reads(&one);
        let history = [entry("e-0", "active", ONE), entry("e-1", state, ONE)];
        assert_eq!(reader.reads_and_asks(&[], Some(&history)), ended);
        assert_eq!(reader.reads_and_asks(&[], None), NOTHING);
    }
}

#[test]
fn what_no_history_tells_of_is_cancelled_when_it_has_been_missing_for_minutes() {
    let one = [entry("e-1", "active", ONE)];
    for history in [None, Some(&[][..])] {
        let mut reader = Reader::new();
        reader.reads(&one);
        assert_eq!(reader.reads_and_asks(&[], history), NOTHING);
        reader.passes(170);
        assert_eq!(reader.reads_and_asks(&one, history), NOTHING);
        reader.passes(20);
        assert_eq!(reader.reads_and_asks(&[], history), NOTHING);
        for seconds in [60, 60, 59] {
            reader.passes(seconds);
            assert_eq!(reader.reads_and_asks(&[], history), NOTHING);
        }
        reader.passes(1);
        assert_eq!(reader.reads_and_asks(&[], history), CANCELLED);
        assert_eq!(reader.reads(&one), RAISED);
    }
}

#[test]
fn no_list_and_one_that_cannot_be_read_take_nothing_back() {
    let mut reader = Reader::new();
    reader.reads(&[entry("e-1", "active", ONE)]);
    let at = dated(reader.1, 0, NOON);
    let garbage = [&b"<html>"[..], b"", b"[7]", b"[{}]"];
    for body in garbage.into_iter().cycle().take(12) {
        assert_eq!(reader.reads_and_asks(&[], None), NOTHING);
        assert!(reader.0.heed(Some(body), &at).malformed.is_some());
        assert!(!reader.0.is_in_doubt());
    }
    for _ in 0..3 {
        assert_eq!(reader.reads_and_asks(&[], None), NOTHING);
        assert_eq!(reader.0.heed(None, &at), Heard::default());
    }
}

#[test]
fn one_that_cannot_be_read_hides_no_other() {
    let mut reader = Reader::new();
    let heard = reader.reads_at(0, NOON, &["7".into(), entry("e-1", "active", ONE)]);
    assert_eq!(short(&heard), RAISED);
    assert!(heard.malformed.is_some());
}

#[test]
fn another_code_is_raised_again_and_an_unknown_one_named() {
    let mut reader = Reader::new();
    reader.reads(&[entry("e-1", "active", ONE)]);
    let other = entry("e-1", "active", ONE).replace("instance-stop", "vaporise");
    let heard = reader.reads_at(0, NOON, &[other]);
    assert_eq!(notice(&heard).action, InstanceAction::Terminate);
    assert_eq!(heard.unknown.as_deref(), Some("vaporise"));
}

#[test]
fn no_number_of_events_fills_the_memory() {
    let mut reader = Reader::new();
    for round in 0..50 {
        // One that cannot be read, so that nothing is ever missed.
        let mut entries = vec!["7".to_owned()];
        entries.extend((0..60).map(|n| entry(&format!("e-{round}-{n}"), "active", ONE)));
        let heard = reader.reads_at(0, NOON, &entries);
        assert!(heard.malformed.is_some());
        assert!(reader.0.standing.len() <= MAX_STANDING);
    }
    assert_eq!(reader.0.standing.len(), MAX_STANDING);
}
