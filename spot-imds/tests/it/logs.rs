//! What is logged: each lasting condition a few times, and never a token.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spot_core::source::NoticeSource;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fake::{ASG, Answer, Fake, MAINTENANCE, POLLED, notice};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps every line of this thread, at every level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

impl Lines {
    fn keep() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        (lines, guard)
    }

    /// The lines of this crate that are there for an operator.
    fn taken(&self) -> Vec<String> {
        let mut lines = self.0.lock().unwrap();
        lines
            .drain(..)
            .filter(|(level, _)| *level <= Level::INFO)
            .map(|(_, line)| line)
            .collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), line.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

async fn listen(source: &mut impl NoticeSource, time: Duration) {
    let _ = timeout(time, async {
        loop {
            source.next().await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_away_is_said_once_then_every_few_minutes_then_its_end() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    fake.all(&Answer::BlackHole);
    let mut source = fake.source();
    listen(&mut source, 60 * SECOND).await;
    let first = lines.taken();
    assert_eq!(first.len(), 1, "{first:#?}");
    assert!(
        first[0].contains("http-put-response-hop-limit"),
        "{first:?}"
    );
    listen(&mut source, HOUR).await;
    let more = lines.taken();
    assert!((11..=12).contains(&more.len()), "{more:#?}");
    fake.all(&Answer::ok("i-1"));
    fake.unset("token");
    fake.quiet();
    listen(&mut source, HOUR).await;
    let last = lines.taken();
    assert_eq!(last.len(), 1, "{last:#?}");
    assert!(last[0].contains("answers again"), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_cannot_be_read_is_quoted_in_one_line() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    fake.action(Answer::ok("{\"action\":\n\u{7}".repeat(1_000)));
    listen(&mut fake.source(), 60 * SECOND).await;
    let said = lines.taken();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].len() < 800 && !said[0].contains(['\n', '\u{7}']),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_action_and_an_unknown_id_are_named_once() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    fake.unset("instance-id");
    fake.action(notice("vaporise", "2026-01-01T12:02:00Z"));
    listen(&mut fake.source(), 60 * SECOND).await;
    let said = lines.taken();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("vaporise"), "{said:?}");
    assert!(said[1].contains("instance-id is unknown"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flaky_service_makes_few_lines_and_no_line_holds_a_token() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    let mut source = fake.source();
    let bad = [
        Answer::Refused,
        Answer::status(401),
        Answer::status(403),
        Answer::status(503),
        Answer::ok("garbage"),
    ];
    for n in 0..3_600 {
        match bad.get(n % 10) {
            Some(bad) => fake.action(bad.clone()),
            None => fake.unset("spot/instance-action"),
        }
        if n % 100 == 0 {
            fake.revoke();
        }
        listen(&mut source, SECOND).await;
    }
    let all = lines.0.lock().unwrap().clone();
    assert!(
        all.iter().all(|(_, line)| !line.contains("token-")),
        "{all:#?}"
    );
    // Two conditions, each begun and ended once in five minutes.
    let said = lines.taken();
    assert!(said.len() <= 2 * 2 * 13, "{}", said.len());
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_also_with_an_answer_that_cannot_be_read() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    let mut source = fake.source();
    listen(&mut source, 10 * SECOND).await;
    fake.action(Answer::Refused);
    listen(&mut source, 10 * SECOND).await;
    fake.action(Answer::ok("<html>"));
    listen(&mut source, 10 * SECOND).await;
    let said = lines.taken();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[1].contains("answers again"), "{said:?}");
    assert!(said[2].contains("cannot be read"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn words_that_nobody_knows_are_named_once_in_a_while() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    fake.set(ASG, Answer::ok("Resting"));
    let event = r#"[{"EventId":"e","Code":"vaporise","NotBefore":"2 Jan 2026 00:00:00 GMT"}]"#;
    fake.set(MAINTENANCE, Answer::ok(event));
    listen(&mut fake.source(), 299 * SECOND).await;
    let said = lines.taken();
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].contains("Resting"), "{said:?}");
    assert!(said[1].contains("vaporise"), "{said:?}");
    assert!(said[1].contains("a termination"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn every_path_gone_bad_makes_few_lines() {
    let (lines, _guard) = Lines::keep();
    let fake = Fake::new();
    let mut source = fake.source();
    let bad = [
        Answer::Refused,
        Answer::status(503),
        Answer::ok("<html>"),
        Answer::ok("[7]"),
    ];
    for n in 0..720 {
        for (place, path) in POLLED.into_iter().enumerate() {
            match bad.get((n + place) % 8) {
                Some(bad) => fake.set(path, bad.clone()),
                None => fake.unset(path),
            }
        }
        listen(&mut source, 5 * SECOND).await;
    }
    let said = lines.taken();
    assert!(said.len() <= 2 * 2 * 13, "{}", said.len());
}
