//! Days of polling a service that fails now and then: few lines, flat memory, nothing missed.
//!
//! Six virtual hours in a debug build, 72 in a release build:
//!
//! ```text
//! cargo test --release -p spot-imds --features sim --test soak -- --nocapture
//! ```
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use spot_core::notice::Signal;
use spot_core::sim::Random;
use spot_core::source::NoticeSource;
use spot_imds::client::ImdsClient;
use spot_imds::sim::{Announcement, Imds, SharedImds};
use spot_imds::source::ImdsSource;
use spot_imds::transport::{Transport, TransportError};
use tokio::time::{Instant, timeout_at};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const HOURS: u64 = if cfg!(debug_assertions) { 6 } else { 72 };

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A condition is said when it begins, once in five minutes at most, and when it ends; there are
/// three: no usable answer, an answer that cannot be read, an unknown instance-id.
const LINES_AN_HOUR: u64 = 2 * 12 * 3;

/// What the process may grow by after its first hour, in bytes.
const GROWTH: u64 = 2 * 1024 * 1024;

/// The requests that the simulator remembers.
const REMEMBERED: usize = 1_000;

/// The simulator, with every fiftieth request gone wrong, and all of two minutes in an hour.
struct Flaky {
    imds: SharedImds,
    random: Mutex<Random>,
    start: Instant,
}

#[async_trait]
impl Transport for Flaky {
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let is_away = self.start.elapsed().as_secs() % 3_600 < 120;
        let fault = {
            let mut random = self.random.lock().unwrap();
            (is_away || random.chance(1, 50)).then(|| random.below(8))
        };
        let status = |status: u16, body: &'static str| {
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            *response.status_mut() = status.try_into().unwrap();
            Ok(response)
        };
        match fault {
            None => self.imds.send(request, max_body).await,
            Some(0) => Err(TransportError::Connect("refused".into())),
            Some(1) => Err(TransportError::Broken("reset".into())),
            Some(2) => std::future::pending().await,
            Some(3) => status(503, ""),
            Some(4) => status(401, ""),
            Some(5) => status(500, "<html>"),
            Some(6) => status(200, "<html>"),
            Some(_) => status(200, "[{\"EventId\": 7}]"),
        }
    }
}

/// Counts the lines that are there for an operator.
#[derive(Clone, Default)]
struct Lines(Arc<AtomicU64>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What this process has in memory, in bytes; nothing where the system does not tell.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

/// Something for each hour that is over again before the next.
fn announcement(hour: u64) -> Announcement {
    let announcement = match hour % 4 {
        0 => Announcement::spot("hibernate"),
        1 => Announcement::rebalance(),
        2 => Announcement::maintenance("system-reboot"),
        _ => Announcement::asg_termination(),
    };
    announcement.after(10 * MINUTE).cancelled_after(20 * MINUTE)
}

#[tokio::test(start_paused = true)]
async fn days_of_a_flaky_service_fill_neither_log_nor_memory_and_hide_nothing() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let imds = Imds::builder()
        .auto_scaling_group()
        .remember(REMEMBERED)
        .build()
        .shared();
    let start = Instant::now();
    let flaky = Flaky {
        imds: imds.clone(),
        random: Mutex::new(Random::new(1)),
        start,
    };
    let client = ImdsClient::builder().transport(Arc::new(flaky));
    let mut source = ImdsSource::builder(client.build().unwrap())
        .jitter_seed(1)
        .clock(Arc::new(imds.clock()))
        .build()
        .unwrap();
    let (mut raised, mut ended) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    let (mut signals, mut first) = (0_u64, None);
    for hour in 0..HOURS {
        imds.announce(announcement(hour));
        let end = start + HOUR * u32::try_from(hour + 1).unwrap();
        while let Ok(signal) = timeout_at(end, source.next()).await {
            signals += 1;
            match signal {
                Signal::Raised(notice) => *raised.entry(notice.kind).or_default() += 1,
                Signal::Ended { .. } => *ended.entry(hour % 4).or_default() += 1,
                _ => {}
            }
        }
        assert!(imds.asked().len() <= REMEMBERED);
        first = first.or_else(resident);
    }
    let lines = lines.0.load(Ordering::Relaxed);
    let (before, after) = (first.unwrap_or_default(), resident().unwrap_or_default());
    let asked = imds.with(|imds, _| imds.total_asked());
    println!(
        "{HOURS} hours: {asked} requests answered, {signals} signals, {lines} lines, \
         {before} bytes after an hour, {after} at the end"
    );
    assert!(lines <= LINES_AN_HOUR * HOURS, "{lines}");
    assert!(after.saturating_sub(before) <= GROWTH, "{before} {after}");
    // Each heard once, and its end too.
    assert_eq!(raised.values().sum::<u64>(), HOURS, "{raised:?}");
    assert_eq!(ended.values().sum::<u64>(), HOURS, "{ended:?}");
    assert_eq!(raised.len(), 4);
    assert!(asked > HOURS * 7_200, "{asked}");
}
