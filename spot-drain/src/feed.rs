//! One list-and-watch of pods, and watches of budgets, that never give up: what a
//! [`Plan`](crate::plan::Plan) or a [`Fleet`](crate::plan::Fleet) sees of the cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use spot_core::recurring::Recurring;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::plan::{Input, Learnt};
use crate::pods::{BudgetChange, Change, Freshness, Pods, PodsError, ReplicaSetChange};

/// The first pause after a failure, and the longest. A list that fails costs pods their
/// time, so it is short.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How it goes with seeing the pods.
struct Health {
    failing: Recurring,
    pause: Duration,
    /// Failures since the watch has spoken.
    failures: u32,
}

/// After so many failures of a watch in a row the pods are listed again: what happened to them
/// meanwhile is not learnt otherwise.
const BLIND: u32 = 3;

impl Health {
    /// The watch has spoken.
    fn well(&mut self) {
        self.pause = RETRY.0;
        self.failures = 0;
        if let Some(lasted) = self.failing.ended(Instant::now()) {
            let lasted = lasted.as_secs_f64();
            tracing::info!(lasted, "the node's pods are seen again");
        }
    }

    fn ill(&mut self, why: &str, error: &PodsError) {
        if self.failing.holds(Instant::now()) {
            tracing::warn!(
                why,
                remedy = error.remedy(),
                "the node's pods cannot be seen"
            );
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

/// Feeds `inputs` with what is observed of `pods`, until their receiver is gone. A change of
/// `relist` makes it list again, as [`Effect::Relist`](crate::plan::Effect::Relist) asks.
///
/// # Cancel safety
/// Dropping the future ends the call or the watch that is under way; begun anew, it lists.
pub async fn feed(pods: Arc<dyn Pods>, inputs: mpsc::Sender<Input>, relist: watch::Receiver<()>) {
    feed_from(Freshness::Any, pods, inputs, relist).await;
}

/// The same, beginning with a list that is no staler than this.
pub(crate) async fn feed_from(
    mut freshness: Freshness,
    pods: Arc<dyn Pods>,
    inputs: mpsc::Sender<Input>,
    mut relist: watch::Receiver<()>,
) {
    let mut health = Health {
        failing: Recurring::default(),
        pause: RETRY.0,
        failures: 0,
    };
    // From where a watch can go on.
    let mut version: Option<String> = None;
    // The last version that anything was seen of.
    let mut seen: Option<String> = None;
    loop {
        relist.mark_unchanged();
        let from = match version.take() {
            Some(version) => Ok(version),
            None => match pods.list(freshness).await {
                Ok(listed) => {
                    if inputs.send(Input::Listed(listed.pods)).await.is_err() {
                        return;
                    }
                    Ok(listed.version)
                }
                Err(error) => Err(error),
            },
        };
        let listed = from.is_ok();
        let went = match from {
            Ok(mut from) => {
                let went = follow(&*pods, &mut from, &inputs, &mut relist, &mut health).await;
                seen = Some(from.clone());
                version = Some(from);
                went
            }
            Err(error) => Went::Failed(error),
        };
        // A list from the cache is as good as any other, if it is not older than what was seen.
        // One that fails may ask for a version that the server has lost.
        freshness = match &seen {
            Some(seen) if listed => Freshness::NotOlderThan(seen.clone()),
            Some(_) => Freshness::Latest,
            None => Freshness::Any,
        };
        match went {
            Went::ReceiverGone => return,
            Went::Relist => {
                version = None;
                continue;
            }
            Went::Closed => {}
            Went::Failed(error) => {
                let why = words(&error);
                health.ill(&why, &error);
                health.failures += 1;
                let expired = matches!(error, PodsError::Expired);
                if expired || health.failures.is_multiple_of(BLIND) {
                    version = None;
                }
                if !expired && inputs.send(Input::Unseen(why)).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            biased;
            Ok(()) = relist.changed() => version = None,
            () = sleep(health.pause()) => {}
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
///
/// Where a list is asked for, it is made beside the watch first, which is given up only if it is
/// still suspect after that: in a crowd a watch is late rather than dead, and to open another
/// makes the crowd larger.
async fn follow(
    pods: &dyn Pods,
    version: &mut String,
    inputs: &mpsc::Sender<Input>,
    relist: &mut watch::Receiver<()>,
    health: &mut Health,
) -> Went {
    let mut opening = pods.watch(version.clone());
    let mut changes = None;
    let mut trust = Trust::Whole;
    let mut listing: OptionFuture<_> = None.into();
    loop {
        let watched = tokio::select! {
            biased;
            Ok(()) = relist.changed(), if trust != Trust::Checked => match trust {
                Trust::Whole => {
                    let freshness = Freshness::NotOlderThan(version.clone());
                    listing = Some(pods.list(freshness)).into();
                    trust = Trust::Checked;
                    continue;
                }
                _ => return Went::Relist,
            },
            Some(listed) = &mut listing => {
                listing = None.into();
                let listed = match listed {
                    Ok(listed) => listed,
                    Err(error) => {
                        tracing::debug!(why = words(&error), "no list beside the watch");
                        trust = Trust::Doubted;
                        continue;
                    }
                };
                // What was asked for meanwhile was answered with it.
                relist.mark_unchanged();
                trust = Trust::Silent;
                *version = listed.version;
                if inputs.send(Input::Listed(listed.pods)).await.is_err() {
                    return Went::ReceiverGone;
                }
                continue;
            }
            opened = &mut opening, if changes.is_none() => match opened {
                Ok(opened) => {
                    changes = Some(opened);
                    continue;
                }
                Err(error) => return Went::Failed(error),
            },
            Some(next) = OptionFuture::from(changes.as_mut().map(StreamExt::next)) => match next {
                None => return Went::Closed,
                Some(Err(error)) => return Went::Failed(error),
                Some(Ok(watched)) => watched,
            },
        };
        health.well();
        *version = watched.version;
        match trust {
            // The list may be older than this, and would take it back.
            Trust::Checked => {
                listing = None.into();
                trust = Trust::Doubted;
            }
            Trust::Silent => trust = Trust::Whole,
            Trust::Whole | Trust::Doubted => {}
        }
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

/// How far a watch is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Whole,
    /// A list is under way that tells what it may have missed.
    Checked,
    /// A list was made, and it has said nothing since.
    Silent,
    /// It was suspected and then spoke, perhaps not of what it was suspected for.
    Doubted,
}

/// The pause before a namespace's budgets or ReplicaSets are watched anew: after the server ended the
/// watch as it does, after it failed, and where a permission is missing and was missing before
/// (a server that has just started knows nobody's rights).
const REOPEN: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(30),
];

/// How it goes with a watch that is opened again and again.
#[derive(Default)]
struct Opened {
    failing: Recurring,
    denied: bool,
}

impl Opened {
    /// The server ended it, as it does; the pause before it is opened anew.
    fn well(&mut self) -> Duration {
        self.denied = false;
        self.failing.ended(Instant::now());
        REOPEN[0]
    }

    /// It failed; the pause, and whether that is to be told.
    fn ill(&mut self, error: &PodsError) -> (Duration, bool) {
        let denied_before = std::mem::replace(&mut self.denied, error.is_permission());
        let pause = REOPEN[if self.denied && denied_before { 2 } else { 1 }];
        (pause, self.failing.holds(Instant::now()))
    }
}

/// Feeds `inputs` with the budgets of a namespace, until their receiver is gone, as
/// [`Effect::WatchBudgets`](crate::plan::Effect::WatchBudgets) asks.
///
/// # Cancel safety
/// Dropping the future ends the watch; begun anew, it tells of all budgets again.
pub async fn feed_budgets(pods: Arc<dyn Pods>, namespace: String, inputs: mpsc::Sender<Input>) {
    let mut went = Opened::default();
    loop {
        let ended = follow_budgets(&*pods, &namespace, &inputs).await;
        let error = match ended {
            Ended::ReceiverGone => return,
            Ended::Closed => {
                sleep(went.well()).await;
                continue;
            }
            Ended::Failed(error) => error,
        };
        let (pause, is_news) = went.ill(&error);
        let why = words(&error);
        if is_news {
            tracing::warn!(
                namespace,
                why,
                "budgets cannot be watched; they are asked instead"
            );
        }
        let namespace = namespace.clone();
        let unwatched = Learnt::BudgetsUnwatched { namespace, why };
        if inputs.send(unwatched.into()).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

/// Feeds `inputs` with the ReplicaSets of a namespace that bear one of these hashes, until their
/// receiver is gone, as [`Effect::WatchReplicaSets`](crate::plan::Effect::WatchReplicaSets) asks.
///
/// # Cancel safety
/// Dropping the future ends the watch; begun anew, it tells of all of them again.
pub async fn feed_replica_sets(
    pods: Arc<dyn Pods>,
    namespace: String,
    hashes: Vec<String>,
    inputs: mpsc::Sender<Input>,
) {
    let mut went = Opened::default();
    loop {
        let ended = follow_replica_sets(&*pods, &namespace, &hashes, &inputs).await;
        let error = match ended {
            Ended::ReceiverGone => return,
            Ended::Closed => {
                sleep(went.well()).await;
                continue;
            }
            Ended::Failed(error) => error,
        };
        let (pause, is_news) = went.ill(&error);
        let why = words(&error);
        if is_news {
            tracing::warn!(namespace, why, "ReplicaSets cannot be watched");
        }
        let namespace = namespace.clone();
        let unwatched = Learnt::ReplicaSetsUnwatched { namespace, why };
        if inputs.send(unwatched.into()).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

async fn follow_replica_sets(
    pods: &dyn Pods,
    namespace: &str,
    hashes: &[String],
    inputs: &mpsc::Sender<Input>,
) -> Ended {
    let watch = pods.watch_replica_sets(namespace.to_owned(), hashes.to_vec());
    let mut changes = match watch.await {
        Ok(changes) => changes,
        Err(error) => return Ended::Failed(error),
    };
    let mut learnt = Learnt::ReplicaSetsWatched {
        namespace: namespace.to_owned(),
    };
    loop {
        if inputs.send(learnt.into()).await.is_err() {
            return Ended::ReceiverGone;
        }
        learnt = match changes.next().await {
            None => return Ended::Closed,
            Some(Err(error)) => return Ended::Failed(error),
            Some(Ok(ReplicaSetChange::Seen(set))) => Learnt::ReplicaSet(set),
            Some(Ok(ReplicaSetChange::Deleted(set))) => Learnt::ReplicaSetGone(set),
        };
    }
}

enum Ended {
    Closed,
    Failed(PodsError),
    ReceiverGone,
}

async fn follow_budgets(pods: &dyn Pods, namespace: &str, inputs: &mpsc::Sender<Input>) -> Ended {
    let mut changes = match pods.watch_budgets(namespace.to_owned()).await {
        Ok(changes) => changes,
        Err(error) => return Ended::Failed(error),
    };
    let namespace = || namespace.to_owned();
    let mut learnt = Learnt::BudgetsWatched {
        namespace: namespace(),
    };
    loop {
        if inputs.send(learnt.into()).await.is_err() {
            return Ended::ReceiverGone;
        }
        learnt = match changes.next().await {
            None => return Ended::Closed,
            Some(Err(error)) => return Ended::Failed(error),
            Some(Ok(BudgetChange::Seen(budget))) => Learnt::Budget(budget),
            Some(Ok(BudgetChange::Deleted { name })) => Learnt::BudgetGone {
                namespace: namespace(),
                name,
            },
        };
    }
}

/// An error and what is behind it.
pub(crate) fn words(error: &PodsError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
