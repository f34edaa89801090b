//! Writes events to the API server, one request at a time.

use std::sync::Arc;
use std::time::Duration;

use spot_core::recurring::Recurring;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Counts;
use super::note::{About, Note};
use super::series::{Series, Write, namespace};
use crate::cluster::Cluster;
use crate::reply::{Raw, quote};

/// How long an event of the node is tried for, and one of a pod: of those there are many.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(10));
/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Writes what a [`NodeEvents`](super::NodeEvents) is told.
#[must_use = "nothing is written unless it runs"]
pub struct EventWriter {
    cluster: Cluster,
    of_node: mpsc::Receiver<Note>,
    of_pods: mpsc::Receiver<Note>,
    counts: Arc<Counts>,
    dry_run: bool,
    series: Series,
    refused: Recurring,
}

/// What an answer comes to.
enum Answer {
    Written,
    /// The event that was to be counted up is not there.
    Missing,
    Again,
    Refused(String),
}

impl EventWriter {
    pub(super) fn new(
        cluster: Cluster,
        node: String,
        (of_node, of_pods): (mpsc::Receiver<Note>, mpsc::Receiver<Note>),
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            cluster,
            of_node,
            of_pods,
            counts,
            dry_run: false,
            series: Series::new(node),
            refused: Recurring::default(),
        }
    }

    /// The same writer, whose events the server checks and does not keep.
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Writes until every [`NodeEvents`](super::NodeEvents) of it has been dropped and all that
    /// was queued is written, or was tried for two minutes (an event of a pod: for ten seconds).
    /// Events of the node go first.
    ///
    /// # Cancel safety
    /// Dropping the future loses what is queued.
    pub async fn run(mut self) {
        loop {
            let note = tokio::select! {
                biased;
                Some(note) = self.of_node.recv() => note,
                Some(note) = self.of_pods.recv() => note,
                else => return,
            };
            let written = self.write(note).await;
            let count = if written {
                &self.counts.written
            } else {
                &self.counts.failed
            };
            Counts::count(count);
        }
    }

    /// Whether it could be written.
    async fn write(&mut self, note: Note) -> bool {
        let patience = match note.about {
            About::Node => PATIENCE.0,
            About::Object { .. } => PATIENCE.1,
        };
        let end = Instant::now() + patience;
        let mut pause = PAUSE.0;
        loop {
            match self.send(&note).await {
                Answer::Written => {
                    if self.refused.ended(Instant::now()).is_some() {
                        tracing::info!("events can be written again");
                    }
                    self.series.written(note);
                    return true;
                }
                Answer::Missing => self.series.forget(&note),
                Answer::Again if Instant::now() + pause < end => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Answer::Again => return false,
                Answer::Refused(words) => {
                    if self.refused.holds(Instant::now()) {
                        tracing::warn!(
                            words,
                            "events cannot be written; grant create and patch on events"
                        );
                    }
                    return false;
                }
            }
        }
    }

    async fn send(&self, note: &Note) -> Answer {
        let namespace = namespace(&note.about);
        let (answer, counts) = match self.series.write(note) {
            Write::Create(event) => {
                let created = self.cluster.create_event(namespace, &event, self.dry_run);
                (created.await, false)
            }
            Write::Count { name, patch } => {
                let patched = self
                    .cluster
                    .patch_event(namespace, &name, &patch, self.dry_run);
                (patched.await, true)
            }
        };
        answer.map_or(Answer::Again, |raw| decode(&raw, counts))
    }
}

/// What an answer means; `counts`: it was one more of an event that is there.
fn decode(raw: &Raw, counts: bool) -> Answer {
    match raw.status {
        200..300 => Answer::Written,
        // Under that name is what we have written ourselves, and were not told.
        409 if !counts => Answer::Written,
        404 if counts => Answer::Missing,
        401 | 408 | 409 | 429 | 500.. => Answer::Again,
        status => {
            let words = quote(&String::from_utf8_lossy(&raw.body));
            Answer::Refused(format!("{status} {words}"))
        }
    }
}
