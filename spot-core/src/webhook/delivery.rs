//! Sends messages, one at a time, until the receiver takes them or they are of no more use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{Counts, Queued, Settings};

/// How long one request may take.
pub const REQUEST: Duration = Duration::from_secs(10);
/// How long a message is tried for where no time is named.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
const AGENT: &str = concat!("spot-core/", env!("CARGO_PKG_VERSION"));

/// Sends what a [`WebhookObserver`](super::WebhookObserver) is told.
#[must_use = "nothing is sent unless it runs"]
pub struct Delivery {
    settings: Settings,
    queue: mpsc::Receiver<Queued>,
    counts: Arc<Counts>,
}

impl Delivery {
    pub(super) fn new(
        settings: Settings,
        queue: mpsc::Receiver<Queued>,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            settings,
            queue,
            counts,
        }
    }

    /// Sends until every observer of it has been dropped and all that was queued is sent, or has
    /// been tried for as long as it is of use: until the machine goes, at least for 30 s; for
    /// [`PATIENCE`] where no time is named. A receiver that refuses (4xx but 408, 425 and 429, or a
    /// redirect) is not asked again.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued.
    pub async fn run(mut self) {
        while let Some(queued) = self.queue.recv().await {
            let event = queued.message.event();
            let start = Instant::now();
            let result = self.deliver(&queued).await;
            let counter = match &result {
                Ok(()) => &self.counts.delivered,
                Err(_) => &self.counts.failed,
            };
            count(counter);
            let after = start.elapsed().as_secs_f64();
            match result {
                Ok(()) => tracing::info!(event, after, "the webhook was told"),
                Err(why) => tracing::warn!(event, after, why, "the webhook was not told"),
            }
        }
    }

    /// Tries until it is taken, and says why it was not.
    async fn deliver(&self, queued: &Queued) -> Result<(), String> {
        let body = Bytes::from(self.settings.template.render(&queued.message));
        let mut pause = PAUSE.0;
        loop {
            let left = queued.until.saturating_duration_since(Instant::now());
            let why = match self.send(body.clone(), left.min(REQUEST)).await {
                Ok(200..300) => return Ok(()),
                Ok(status) if !is_transient(status) => return Err(format!("status {status}")),
                Ok(status) => format!("status {status}"),
                Err(why) => why,
            };
            if Instant::now() + pause >= queued.until {
                return Err(why);
            }
            tracing::debug!(why, "the webhook is tried again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn send(&self, body: Bytes, within: Duration) -> Result<u16, String> {
        let target = &self.settings.target;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &target.headers {
            headers.insert(name.clone(), value.clone());
        }
        match timeout(within, self.settings.transport.send(request)).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
