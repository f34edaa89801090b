//! Reads and writes the node for the driver, retrying for as long as the wish stands.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::{HandlerError, critical};
use crate::node::{NodeControl, NodeError, Quarantine, Recall};
use crate::notice::Instance;
use crate::recurring::Recurring;

/// The first wait after a failure that may mend itself, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The wait after one that somebody has to mend.
const RETRY_REFUSED: Duration = Duration::from_secs(15);

/// What came of a wish.
pub(super) enum Written {
    Recalled(Recall),
    Quarantined(Quarantine),
    Released,
    /// The cluster answers and has never known the node.
    Unknown(Arc<NodeError>),
    /// It is tried again; said when it begins and every few minutes.
    Failed(Arc<NodeError>),
}

/// At most one read and one write under way; a later wish replaces an earlier one.
pub(super) struct NodeWriter {
    node: Arc<dyn NodeControl>,
    tasks: JoinSet<()>,
    reading: Option<Task>,
    writing: Option<Task>,
    known: bool,
    wishes: u64,
    say: mpsc::UnboundedSender<(u64, Written)>,
    said: mpsc::UnboundedReceiver<(u64, Written)>,
}

/// What works on a wish.
struct Task {
    wish: u64,
    handle: AbortHandle,
}

/// Where it says what came of it.
struct Say {
    wish: u64,
    to: mpsc::UnboundedSender<(u64, Written)>,
}

impl Say {
    fn say(&self, written: Written) {
        // The receiver is gone only when the driver is.
        let _ = self.to.send((self.wish, written));
    }
}

impl NodeWriter {
    pub(super) fn start(node: Arc<dyn NodeControl>) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        let tasks = JoinSet::new();
        Self {
            node,
            tasks,
            reading: None,
            writing: None,
            known: false,
            wishes: 0,
            say,
            said,
        }
    }

    pub(super) fn recall(&mut self, instance: Option<Instance>) {
        let (node, say, known) = (Arc::clone(&self.node), self.wish(), self.known);
        let wish = say.wish;
        let handle = self.tasks.spawn(async move {
            let read = || node.recall(instance.clone());
            let blind = || Written::Recalled(Recall::default());
            until_done(read, Written::Recalled, &say, !known, Some(blind)).await;
        });
        replace(&mut self.reading, Some(Task { wish, handle }));
    }

    pub(super) fn quarantine(&mut self, quarantine: Quarantine) {
        let (node, say) = (Arc::clone(&self.node), self.wish());
        let wish = say.wish;
        let handle = self.tasks.spawn(async move {
            let write = || node.quarantine(quarantine.clone());
            let done = |()| Written::Quarantined(quarantine.clone());
            until_done(write, done, &say, false, NOTHING).await;
        });
        replace(&mut self.writing, Some(Task { wish, handle }));
    }

    pub(super) fn release(&mut self, instance: Option<Instance>) {
        let (node, say) = (Arc::clone(&self.node), self.wish());
        let wish = say.wish;
        let handle = self.tasks.spawn(async move {
            let write = || node.release(instance.clone());
            until_done(write, |()| Written::Released, &say, false, NOTHING).await;
        });
        replace(&mut self.writing, Some(Task { wish, handle }));
    }

    /// Gives up a write that is not done yet.
    pub(super) fn abandon(&mut self) {
        replace(&mut self.writing, None);
    }

    fn wish(&mut self) -> Say {
        self.wishes += 1;
        Say {
            wish: self.wishes,
            to: self.say.clone(),
        }
    }

    /// Whether a write has not been done yet.
    pub(super) fn is_writing(&self) -> bool {
        self.writing
            .as_ref()
            .is_some_and(|task| !task.handle.is_finished())
    }

    /// The next thing that came of a wish. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Written, HandlerError> {
        loop {
            tokio::select! {
                biased;
                Some((wish, written)) = self.said.recv() => {
                    // What was done is told in any case; what was read, or has failed, only of
                    // the wish that stands: an earlier one compared with another instance.
                    let stands = [&self.reading, &self.writing]
                        .into_iter()
                        .flatten()
                        .any(|task| task.wish == wish);
                    let done = matches!(written, Written::Quarantined(_) | Written::Released);
                    if stands || done {
                        self.known |= matches!(written, Written::Recalled(_));
                        return Ok(written);
                    }
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        return Err(critical("node", Some(error)));
                    }
                }
            }
        }
    }
}

fn replace(slot: &mut Option<Task>, task: Option<Task>) {
    if let Some(old) = std::mem::replace(slot, task) {
        old.handle.abort();
    }
}

/// Without permission to do it, nothing is said in its place.
const NOTHING: Option<fn() -> Written> = None;

/// Calls until the call succeeds, saying why it does not. `forbidden` is said in place of an
/// outcome while a permission is missing.
async fn until_done<T, F>(
    mut call: impl FnMut() -> F,
    done: impl FnOnce(T) -> Written,
    say: &Say,
    unknown_is_fatal: bool,
    forbidden: Option<impl Fn() -> Written>,
) where
    F: Future<Output = Result<T, NodeError>>,
{
    let mut failing = Recurring::default();
    let mut last = None;
    let mut wait = RETRY.0;
    let written = loop {
        let error = match call().await {
            Ok(value) => break done(value),
            Err(error) => error,
        };
        if unknown_is_fatal && matches!(error, NodeError::NotFound { .. }) {
            break Written::Unknown(Arc::new(error));
        }
        let transient = error.is_transient();
        let kind = std::mem::discriminant(&error);
        if last.replace(kind).is_some_and(|last| last != kind) {
            failing = Recurring::default(); // another failure is another story
        }
        if failing.holds(Instant::now()) {
            let permission = error.is_permission();
            say.say(Written::Failed(Arc::new(error)));
            if let Some(instead) = forbidden.as_ref().filter(|_| permission) {
                say.say(instead());
            }
        }
        if transient {
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        } else {
            sleep(RETRY_REFUSED).await;
        }
    };
    say.say(written);
}
