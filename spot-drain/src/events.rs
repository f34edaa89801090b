//! Kubernetes Events: evidence of a notice and its drain that outlives the node.
//!
//! [`NodeEvents`] is an observer; what it is told it puts into a bounded queue, and an
//! [`EventWriter`], a future that its owner runs, writes it to the API server, one request at a
//! time, over connections of its own. Nothing waits for it; what does not fit is dropped and counted. Needs the verbs `create`
//! and `patch` on `events`.
//!
//! | reason | on | when |
//! |---|---|---|
//! | `SpotInterruption`, `RebalanceRecommendation`, `ScheduledEvent`, `ASGLifecycle` | the node | a notice is seen |
//! | `NoticeEnded` | the node | a notice stands no longer, or has lived its time |
//! | `Cordon` | the node | it is quarantined |
//! | `CordonError` | the node | it could not be read or changed |
//! | `DrainPlanned` | the node | it is known what is on it |
//! | `CordonAndDrain` | the node | a drain is complete |
//! | `CordonAndDrainError` | the node | a drain has ended with pods left |
//! | `DrainCancelled` | the node | a drain was called off |
//! | `Uncordon` | the node | what was ours was taken back |
//! | `NotArmed`, `Armed` | the node | a self-check finds other links broken than before, or none any more |
//! | `ReplacedFirst` | a ReplicaSet | a pod of its served until another was ready, which was made first |
//! | `ReplacementLate` | a ReplicaSet | another was made first, and was not ready when the pod had to go |
//! | `LeftDetached` | a ReplicaSet | a pod of its is left detached: it could not be put back when a drain was called off, or may not be evicted |
//! | `GraceTrimmed` | a pod | it was evicted with less than its own grace |
//! | `EvictionBlocked` | a pod | a budget has held it for [`BLOCKED`] |
//! | `DeletedPastBudget` | a pod | it was deleted past its budget |
//! | `LeftBehind` | a pod | it was still there when the drain ended |
//!
//! Those that aws-node-termination-handler has too are named as there. Events on a node are in the
//! namespace `default`, as the kubelet's are. The same event said again within [`SERIES`] counts up
//! the one that is there.

#[cfg(feature = "prometheus")]
mod metrics;
mod note;
mod series;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use spot_core::armed::{Armed, Link};
use spot_core::clock::{SystemClock, WallClock};
use spot_core::observer::{Event, Observer, Occurrence};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::facts::Uid;
use crate::observer::{Change, DrainObserver, Overview, Removal};
use crate::plan::Call;
use crate::reply::Reply;
use crate::report::Report;
use note::{About, Note};
pub use series::SERIES;
pub use writer::EventWriter;

/// How long a budget holds a pod before that is an event: many are held for a moment.
pub const BLOCKED: Duration = Duration::from_secs(5);

/// How many events wait at most: of the node, whose outcome must not be lost behind those of its
/// pods, and of the pods.
const ROOM: (usize, usize) = (64, 256);

/// What became of events.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What has been said already.
#[derive(Debug, Default)]
struct Said {
    /// The links that were last found broken.
    broken: BTreeSet<Link>,
    /// Since when pods of the drain are held by budgets; `None`: it has been said.
    held: BTreeMap<Uid, Option<Instant>>,
}

/// An observer that makes Kubernetes Events. Clones write through one writer.
///
/// ```no_run
/// use spot_core::handler::Handler;
/// use spot_drain::{cluster::Cluster, driver::NodeDrainer, events::node_events};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let cluster = Cluster::connect(kube::Config::infer().await?)?;
/// let (events, writer) = node_events(&cluster, "worker-1");
/// let drainer = NodeDrainer::new(cluster.pods("worker-1")).with_observer(events.clone());
/// let handler = Handler::builder(drainer).observer(events).build();
/// // The writer ends when the handler has, and all is written.
/// let (ended, ()) = tokio::join!(handler.run(std::future::pending()), writer.run());
/// # ended?; Ok(()) }
/// ```
#[derive(Clone)]
pub struct NodeEvents {
    of_node: mpsc::Sender<Note>,
    of_pods: mpsc::Sender<Note>,
    counts: Arc<Counts>,
    said: Arc<Mutex<Said>>,
    clock: Arc<dyn WallClock>,
}

/// An observer that makes events about a node and its pods, and the writer that writes them.
pub fn node_events(cluster: &Cluster, node: impl Into<String>) -> (NodeEvents, EventWriter) {
    let (of_node, node_notes) = mpsc::channel(ROOM.0);
    let (of_pods, pod_notes) = mpsc::channel(ROOM.1);
    let counts = Arc::new(Counts::default());
    let writer = EventWriter::new(
        cluster.apart(),
        node.into(),
        (node_notes, pod_notes),
        Arc::clone(&counts),
    );
    let events = NodeEvents {
        of_node,
        of_pods,
        counts,
        said: Arc::default(),
        clock: Arc::new(SystemClock),
    };
    (events, writer)
}

impl NodeEvents {
    /// The same with a wall clock that is not the machine's own.
    #[must_use]
    pub fn with_clock(mut self, clock: impl WallClock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How many events did not fit the queue.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a note into its queue, or drops it.
    fn write(&self, note: Note) {
        let queue = match note.about {
            About::Node => &self.of_node,
            About::Object { .. } => &self.of_pods,
        };
        if queue.try_send(note).is_err() {
            Counts::count(&self.counts.dropped);
        }
    }

    fn about_pod(&self, call: &Call, reason: &'static str, message: String) {
        let about = About::pod(&call.namespace, &call.name, &call.pod);
        self.write(Note::warning(about, reason, message, self.clock.now()));
    }

    /// Says what has come to be broken, and that nothing is any more.
    fn checked(&self, armed: &Armed, at: Timestamp) {
        let broken: BTreeSet<Link> = armed.broken().map(|finding| finding.link).collect();
        let before = std::mem::replace(&mut self.said().broken, broken.clone());
        if broken != before {
            self.write(Note::armed(armed, at));
        }
    }

    fn left_behind(&self, report: &Report, at: Timestamp) {
        for pod in report
            .pods
            .iter()
            .filter(|pod| pod.outcome.is_left_behind())
        {
            self.write(Note::left_behind(pod, at));
        }
    }

    /// Whether a pod has been held so long that it is to be said.
    fn is_blocked(&self, pod: &Uid, now: Instant) -> bool {
        let mut said = self.said();
        let since = said.held.entry(pod.clone()).or_insert(Some(now));
        let long = |since: &mut Instant| now.saturating_duration_since(*since) >= BLOCKED;
        since.take_if(long).is_some()
    }
}

impl fmt::Debug for NodeEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeEvents")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Observer for NodeEvents {
    fn on(&self, event: &Event) {
        match &event.what {
            Occurrence::Checked(armed) => self.checked(armed, event.wall),
            Occurrence::DrainStarted(_) => self.said().held.clear(),
            _ => {}
        }
        if let Some(note) = Note::of(event) {
            self.write(note);
        }
        if let Occurrence::DrainFinished(report) = &event.what
            && let Some(report) = report.details::<Report>()
        {
            self.left_behind(report, event.wall);
        }
    }
}

impl DrainObserver for NodeEvents {
    fn planned(&self, overview: &Overview) {
        self.write(Note::planned(overview, self.clock.now()));
    }

    fn answered(&self, removal: Removal, call: &Call, reply: &Reply) {
        match (removal, reply) {
            (Removal::Deletion, Reply::Accepted) => {
                self.about_pod(call, "DeletedPastBudget", note::deleted(call));
            }
            (Removal::Eviction, Reply::Accepted) => {
                if let Some(grace) = call.grace {
                    self.about_pod(call, "GraceTrimmed", note::trimmed(grace));
                }
            }
            (Removal::Eviction, Reply::BudgetClosed(refusal))
                if self.is_blocked(&call.pod, Instant::now()) =>
            {
                self.about_pod(call, "EvictionBlocked", note::blocked(refusal));
            }
            _ => {}
        }
    }

    fn patched(&self, _: Change, _: &Reply) {}

    fn finished(&self, report: &Report) {
        let at = self.clock.now();
        for note in report.pods.iter().filter_map(|pod| Note::replaced(pod, at)) {
            self.write(note);
        }
    }
}
