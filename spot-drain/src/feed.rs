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

/// Feeds `inputs` with what is observed, until their receiver is gone. A change of `relist`
/// makes it list again.
pub(crate) async fn feed(
    pods: Arc<dyn Pods>,
    inputs: mpsc::Sender<Input>,
    mut relist: watch::Receiver<()>,
) {
    let mut failing = Recurring::default();
    let mut pause = RETRY.0;
    let mut fresh = false;
    let mut version: Option<String> = None;
    loop {
        relist.mark_unchanged();
        let followed = match version.take() {
            None => match pods.list(fresh).await {
                Ok(listed) => {
                    if inputs.send(Input::Listed(listed.pods)).await.is_err() {
                        return;
                    }
                    fresh = false;
                    pause = RETRY.0;
                    follow(&*pods, listed.version, &inputs, &mut relist).await
                }
                Err(error) => Followed {
                    went: Went::Failed(error),
                    version: None,
                    heard: false,
                },
            },
            Some(version) => follow(&*pods, version, &inputs, &mut relist).await,
        };
        if followed.heard {
            pause = RETRY.0;
            if let Some(lasted) = failing.ended(Instant::now()) {
                tracing::info!(
                    lasted = lasted.as_secs_f64(),
                    "the node's pods are seen again"
                );
            }
        }
        match followed.went {
            Went::ReceiverGone => return,
            Went::Relist => {
                fresh = true;
                continue;
            }
            Went::Closed => version = followed.version,
            Went::Failed(PodsError::Expired) => fresh = true,
            Went::Failed(error) => {
                version = followed.version;
                if failing.holds(Instant::now()) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, remedy = error.remedy(), "pods cannot be seen");
                }
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            Ok(()) = relist.changed() => {
                version = None;
                fresh = true;
            }
        }
        pause = (pause * 2).min(RETRY.1);
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

struct Followed {
    went: Went,
    /// Where a watch would go on.
    version: Option<String>,
    /// Something was heard at all.
    heard: bool,
}

/// Follows one watch to its end.
async fn follow(
    pods: &dyn Pods,
    mut version: String,
    inputs: &mpsc::Sender<Input>,
    relist: &mut watch::Receiver<()>,
) -> Followed {
    let mut changes = tokio::select! {
        biased;
        Ok(()) = relist.changed() => {
            return Followed { went: Went::Relist, version: None, heard: false };
        }
        opened = pods.watch(version.clone()) => match opened {
            Ok(changes) => changes,
            Err(error) => {
                return Followed { went: Went::Failed(error), version: Some(version), heard: false };
            }
        },
    };
    loop {
        let next = tokio::select! {
            biased;
            Ok(()) = relist.changed() => {
                return Followed { went: Went::Relist, version: None, heard: true };
            }
            next = changes.next() => next,
        };
        let input = match next {
            None => {
                return Followed {
                    went: Went::Closed,
                    version: Some(version),
                    heard: true,
                };
            }
            Some(Err(error)) => {
                return Followed {
                    went: Went::Failed(error),
                    version: Some(version),
                    heard: true,
                };
            }
            Some(Ok(watched)) => {
                version = watched.version;
                match watched.change {
                    Change::Seen(pod) => Input::Seen(pod),
                    Change::Deleted(pod) => Input::Deleted(pod.uid),
                    Change::Bookmark => continue,
                }
            }
        };
        if inputs.send(input).await.is_err() {
            return Followed {
                went: Went::ReceiverGone,
                version: None,
                heard: true,
            };
        }
    }
}
