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
    reading: Option<AbortHandle>,
    writing: Option<AbortHandle>,
    known: bool,
    say: mpsc::UnboundedSender<Written>,
    said: mpsc::UnboundedReceiver<Written>,
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
            say,
            said,
        }
    }

    pub(super) fn recall(&mut self, instance: Option<Instance>) {
        let (node, say, known) = (Arc::clone(&self.node), self.say.clone(), self.known);
        let task = async move {
            let read = || node.recall(instance.clone());
            let blind = || Written::Recalled(Recall::default());
            until_done(read, Written::Recalled, &say, !known, Some(blind)).await;
        };
        replace(&mut self.reading, self.tasks.spawn(task));
    }

    pub(super) fn quarantine(&mut self, quarantine: Quarantine) {
        let (node, say) = (Arc::clone(&self.node), self.say.clone());
        let task = async move {
            let write = || node.quarantine(quarantine.clone());
            until_done(
                write,
                |()| Written::Quarantined(quarantine.clone()),
                &say,
                false,
                NOTHING,
            )
            .await;
        };
        replace(&mut self.writing, self.tasks.spawn(task));
    }

    pub(super) fn release(&mut self, instance: Option<Instance>) {
        let (node, say) = (Arc::clone(&self.node), self.say.clone());
        let task = async move {
            let write = || node.release(instance.clone());
            until_done(write, |()| Written::Released, &say, false, NOTHING).await;
        };
        replace(&mut self.writing, self.tasks.spawn(task));
    }

    /// Whether a write has not been done yet.
    pub(super) fn is_writing(&self) -> bool {
        self.writing
            .as_ref()
            .is_some_and(|task| !task.is_finished())
    }

    /// The next thing that came of a wish. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Written, HandlerError> {
        loop {
            tokio::select! {
                biased;
                Some(written) = self.said.recv() => {
                    self.known |= matches!(written, Written::Recalled(_));
                    return Ok(written);
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

fn replace(slot: &mut Option<AbortHandle>, task: AbortHandle) {
    if let Some(old) = slot.replace(task) {
        old.abort();
    }
}

/// Without permission to do it, nothing is said in its place.
const NOTHING: Option<fn() -> Written> = None;

/// Calls until the call succeeds, saying why it does not. `forbidden` is said in place of an
/// outcome while a permission is missing.
async fn until_done<T, F>(
    mut call: impl FnMut() -> F,
    done: impl FnOnce(T) -> Written,
    say: &mpsc::UnboundedSender<Written>,
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
            let _ = say.send(Written::Failed(Arc::new(error)));
            if let Some(instead) = forbidden.as_ref().filter(|_| permission) {
                let _ = say.send(instead());
            }
        }
        if transient {
            sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        } else {
            sleep(RETRY_REFUSED).await;
        }
    };
    // The receiver is gone only when the driver is.
    let _ = say.send(written);
}
