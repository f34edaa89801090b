//! One list-and-watch of a node's pods that never gives up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use spot_core::recurring::Recurring;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::plan::Input;
use crate::pods::{Change, Pods, PodsError};

/// The first pause after a failure, and the longest. A list that fails costs pods their
/// time, so it is short.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How it goes with seeing the pods.
struct Health {
    failing: Recurring,
    pause: Duration,
}

impl Health {
    /// The watch has spoken.
    fn well(&mut self) {
        self.pause = RETRY.0;
        if let Some(lasted) = self.failing.ended(Instant::now()) {
            let lasted = lasted.as_secs_f64();
            tracing::info!(lasted, "the node's pods are seen again");
        }
    }

    fn ill(&mut self, error: &PodsError) {
        if self.failing.holds(Instant::now()) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, remedy = error.remedy(), "pods cannot be seen");
        }
    }

    /// The next pause: longer each time until the watch has spoken, since a server that
    /// accepts a list or a watch and then says nothing of use is no better than one that does
    /// not answer.
    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(RETRY.1);
        pause
    }
}

/// Feeds `inputs` with what is observed, until their receiver is gone. A change of `relist`
/// makes it list again.
pub(crate) async fn feed(
    pods: Arc<dyn Pods>,
    inputs: mpsc::Sender<Input>,
    mut relist: watch::Receiver<()>,
) {
    let mut health = Health {
        failing: Recurring::default(),
        pause: RETRY.0,
    };
    let mut fresh = false;
    let mut version: Option<String> = None;
    loop {
        relist.mark_unchanged();
        let from = match version.take() {
            Some(version) => Ok(version),
            None => match pods.list(fresh).await {
                Ok(listed) => {
                    if inputs.send(Input::Listed(listed.pods)).await.is_err() {
                        return;
                    }
                    fresh = false;
                    Ok(listed.version)
                }
                Err(error) => Err(error),
            },
        };
        let went = match from {
            Ok(mut from) => {
                let went = follow(&*pods, &mut from, &inputs, &mut relist, &mut health).await;
                version = Some(from);
                went
            }
            Err(error) => Went::Failed(error),
        };
        match went {
            Went::ReceiverGone => return,
            Went::Relist => {
                version = None;
                fresh = true;
                continue;
            }
            Went::Closed => {}
            Went::Failed(error) => {
                if matches!(error, PodsError::Expired) {
                    version = None;
                    fresh = true;
                }
                health.ill(&error);
            }
        }
        tokio::select! {
            () = sleep(health.pause()) => {}
            Ok(()) = relist.changed() => {
                version = None;
                fresh = true;
            }
        }
    }
}

enum Went {
    /// The server ended the watch.
    Closed,
    Failed(PodsError),
    /// A list was asked for.
    Relist,
    ReceiverGone,
}

/// Follows one watch to its end; `version` goes with it.
async fn follow(
    pods: &dyn Pods,
    version: &mut String,
    inputs: &mpsc::Sender<Input>,
    relist: &mut watch::Receiver<()>,
    health: &mut Health,
) -> Went {
    let mut changes = tokio::select! {
        biased;
        Ok(()) = relist.changed() => return Went::Relist,
        opened = pods.watch(version.clone()) => match opened {
            Ok(changes) => changes,
            Err(error) => return Went::Failed(error),
        },
    };
    loop {
        let next = tokio::select! {
            biased;
            Ok(()) = relist.changed() => return Went::Relist,
            next = changes.next() => next,
        };
        let watched = match next {
            None => return Went::Closed,
            Some(Err(error)) => return Went::Failed(error),
            Some(Ok(watched)) => watched,
        };
        health.well();
        *version = watched.version;
        let input = match watched.change {
            Change::Seen(pod) => Input::Seen(pod),
            Change::Deleted(pod) => Input::Deleted(pod.uid),
            Change::Bookmark => continue,
        };
        if inputs.send(input).await.is_err() {
            return Went::ReceiverGone;
        }
    }
}
