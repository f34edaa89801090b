//! Reads and writes the node for the driver, retrying for as long as the wish stands.

use std::future::Future;
use std::mem::Discriminant;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::{HandlerError, critical};
use crate::drainer::Drainer;
use crate::node::{NodeControl, NodeError, Quarantine, Recall, Release};
use crate::notice::Instance;
use crate::recurring::Recurring;

/// The first wait after a failure that may mend itself, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// The same after one that somebody has to mend; but a server that has just started refuses what
/// it allows a moment later.
const RETRY_REFUSED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How long a write waits at most for the one before it to be answered; then that is dropped.
const TURN: Duration = Duration::from_secs(12);

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
///
/// A write that has been sent is awaited before the next one is made: one that is merely dropped
/// may take effect after it, for as long as its client waits for it.
pub(super) struct NodeWriter {
    node: Arc<dyn NodeControl>,
    tasks: JoinSet<()>,
    reading: Option<Task>,
    writing: Option<Task>,
    /// Writes that are given up, and of which one may not have been answered yet.
    superseded: Vec<AbortHandle>,
    /// Held during each write.
    turn: Arc<Mutex<()>>,
    known: bool,
    /// The instance of ours that the node was found not to be.
    not: Option<String>,
    wishes: u64,
    say: mpsc::UnboundedSender<(u64, Written)>,
    said: mpsc::UnboundedReceiver<(u64, Written)>,
}

/// What works on a wish.
struct Task {
    wish: u64,
    handle: AbortHandle,
    /// Dropped, it ends the task between two tries.
    _stop: oneshot::Sender<()>,
}

impl Task {
    fn new(wish: u64, handle: AbortHandle, stop: oneshot::Sender<()>) -> Self {
        Self {
            wish,
            handle,
            _stop: stop,
        }
    }
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
            superseded: Vec::new(),
            turn: Arc::default(),
            known: false,
            not: None,
            wishes: 0,
            say,
            said,
        }
    }

    pub(super) fn recall(&mut self, instance: Option<Instance>) {
        let (node, say, known) = (Arc::clone(&self.node), self.wish(), self.known);
        let (wish, (stop, stopped)) = (say.wish, oneshot::channel());
        let tries = Tries {
            say,
            stopped,
            turn: None,
            before: Vec::new(),
        };
        // What is known to be another's is not taken for ours where it can be read no more.
        let id = instance.as_ref().map(|instance| &instance.id);
        let is_anothers = id.is_some() && id == self.not.as_ref();
        let handle = self.tasks.spawn(async move {
            let read = || node.recall(instance.clone());
            let blind = (!is_anothers).then_some(|| Written::Recalled(Recall::default()));
            tries
                .until_done(read, Written::Recalled, !known, blind)
                .await;
        });
        if let Some(old) = self.reading.replace(Task::new(wish, handle, stop)) {
            old.handle.abort(); // it changes nothing
        }
    }

    pub(super) fn quarantine(&mut self, quarantine: Quarantine) {
        let (node, tries, stop) = self.write();
        let wish = tries.say.wish;
        let handle = self.tasks.spawn(async move {
            let write = || node.quarantine(quarantine.clone());
            let done = |()| Written::Quarantined(quarantine.clone());
            tries.until_done(write, done, false, NOTHING).await;
        });
        self.writing = Some(Task::new(wish, handle, stop));
    }

    /// Takes back what `drainer` has prepared, and then the quarantine.
    pub(super) fn release(&mut self, release: Release, drainer: &Arc<dyn Drainer>) {
        let (node, mut tries, stop) = self.write();
        let (wish, drainer) = (tries.say.wish, Arc::clone(drainer));
        let handle = self.tasks.spawn(async move {
            // First: with the memory on the node it would be forgotten that there is something.
            if tries.until_taken_back(&*drainer).await.is_none() {
                return;
            }
            let write = || node.release(release.clone());
            tries
                .until_done(write, |()| Written::Released, false, NOTHING)
                .await;
        });
        self.writing = Some(Task::new(wish, handle, stop));
    }

    /// Gives up a write that is not done yet.
    pub(super) fn abandon(&mut self) {
        self.superseded.retain(|write| !write.is_finished());
        let write = self.writing.take().map(|task| task.handle);
        self.superseded.extend(write);
    }

    /// What a write needs. The one before it ends when what it has sent is answered.
    fn write(&mut self) -> (Arc<dyn NodeControl>, Tries, oneshot::Sender<()>) {
        self.abandon();
        let (stop, stopped) = oneshot::channel();
        let tries = Tries {
            say: self.wish(),
            stopped,
            turn: Some(Arc::clone(&self.turn)),
            before: self.superseded.clone(),
        };
        (Arc::clone(&self.node), tries, stop)
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

    /// Whose node it is.
    fn learn(&mut self, written: &Written) {
        match written {
            Written::Recalled(_) => {
                self.known = true;
                self.not = None;
            }
            Written::Failed(error) => {
                if let NodeError::AnotherInstance { ours, .. } = &**error {
                    self.not = Some(ours.clone());
                }
            }
            _ => {}
        }
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
                        self.learn(&written);
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

/// Without permission to do it, nothing is said in its place.
const NOTHING: Option<fn() -> Written> = None;

/// A call that is tried until it succeeds, or is not wished for any more.
struct Tries {
    say: Say,
    stopped: oneshot::Receiver<()>,
    turn: Option<Arc<Mutex<()>>>,
    /// What may have its turn still.
    before: Vec<AbortHandle>,
}

impl Tries {
    /// Has the drain taken back what it has prepared; `None` where that is not wished for any more.
    async fn until_taken_back(&mut self, drainer: &dyn Drainer) -> Option<()> {
        let taken_back = async {
            while !drainer.take_back().await {
                tracing::warn!("what the drain has prepared is not taken back yet");
                sleep(RETRY.1).await;
            }
        };
        tokio::select! {
            biased;
            _ = &mut self.stopped => None,
            () = taken_back => Some(()),
        }
    }

    /// Calls until the call succeeds, saying why it does not. `forbidden` is said in place of an
    /// outcome while a permission is missing, unless the node was found to be another instance's.
    async fn until_done<T, F>(
        mut self,
        mut call: impl FnMut() -> F,
        done: impl FnOnce(T) -> Written,
        unknown_is_fatal: bool,
        mut forbidden: Option<impl Fn() -> Written>,
    ) where
        F: Future<Output = Result<T, NodeError>>,
    {
        // Each kind of failure is a story of its own.
        let mut failing: Vec<(Discriminant<NodeError>, Recurring)> = Vec::new();
        let (mut wait, mut refused) = (RETRY.0, RETRY_REFUSED.0);
        let written = loop {
            let turn = match &self.turn {
                None => None,
                Some(turn) => tokio::select! {
                    biased;
                    _ = &mut self.stopped => return,
                    turn = wait_for(turn, &self.before) => Some(turn),
                },
            };
            let answer = call().await;
            drop(turn);
            let error = match answer {
                Ok(value) => break done(value),
                Err(error) => error,
            };
            if unknown_is_fatal && matches!(error, NodeError::NotFound { .. }) {
                break Written::Unknown(Arc::new(error));
            }
            if matches!(error, NodeError::AnotherInstance { .. }) {
                forbidden = None;
            }
            let transient = error.is_transient();
            let kind = std::mem::discriminant(&error);
            if !failing.iter().any(|(known, _)| *known == kind) {
                failing.push((kind, Recurring::default()));
            }
            let story = failing.iter_mut().find(|(known, _)| *known == kind);
            if story.is_some_and(|(_, story)| story.holds(Instant::now())) {
                let permission = error.is_permission();
                self.say.say(Written::Failed(Arc::new(error)));
                if let Some(instead) = forbidden.as_ref().filter(|_| permission) {
                    self.say.say(instead());
                }
            }
            let (next, longest) = if transient {
                (&mut wait, RETRY.1)
            } else {
                (&mut refused, RETRY_REFUSED.1)
            };
            let pause = *next;
            *next = (pause * 2).min(longest);
            tokio::select! {
                biased;
                _ = &mut self.stopped => return,
                () = sleep(pause) => {}
            }
        };
        self.say.say(written);
    }
}

/// The turn, when the task that has it ends, or has been dropped.
async fn wait_for<'a>(turn: &'a Mutex<()>, before: &[AbortHandle]) -> MutexGuard<'a, ()> {
    if let Ok(turn) = timeout(TURN, turn.lock()).await {
        return turn;
    }
    before.iter().for_each(AbortHandle::abort);
    turn.lock().await
}
