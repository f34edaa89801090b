//! Performs a [`Plan`] against a node's pods: a [`Drainer`].

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use spot_core::deadline::HORIZON;
use spot_core::drainer::{DrainReport, Drainer, Order};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::budget::Budgets;
use crate::classify::DaemonSets;
use crate::feed::{feed_budgets, feed_from, feed_replica_sets, words};
use crate::observer::{Change, DrainObserver, Removal};
use crate::plan::{Call, Effect, Input, Learnt, Plan, Settings};
use crate::pods::{Freshness, Pods};
use crate::replacement::{MakeBeforeBreak, Workload};
use crate::reply::Reply;
use crate::report::{PodReport, Replacement, Report};

/// The pause before a feed that panicked is begun anew.
const FEED_PAUSE: Duration = Duration::from_secs(1);

/// Drains a node's pods: evicts them within their budgets, and waits until they are gone.
///
/// Returns by its end, whatever the API server does, and leaves nothing running. The end is the
/// deadline less a margin of 1 to 5 s (a fifteenth of the time that there is at the start), and 2 s
/// from the start at the earliest. It cordons nothing: [`KubeNode::cordon`] and
/// [`NodeControl::quarantine`](spot_core::node::NodeControl::quarantine) do, at the same time.
///
/// [`KubeNode::cordon`]: crate::cluster::KubeNode::cordon
#[derive(Clone)]
pub struct NodeDrainer {
    pods: Arc<dyn Pods>,
    settings: Settings,
    observers: Observers,
}

type Observers = Vec<Arc<dyn DrainObserver>>;

impl NodeDrainer {
    /// A drainer with default settings.
    pub fn new(pods: impl Pods + 'static) -> Self {
        Self {
            pods: Arc::new(pods),
            settings: Settings::default(),
            observers: Vec::new(),
        }
    }

    /// The same drainer with other settings.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The same drainer with one more that is told how its drains go.
    #[must_use]
    pub fn with_observer(mut self, observer: impl DrainObserver + 'static) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Drains a node whose machine goes after `time`. The node is taken to be cordoned: where
    /// replacements are made first ([`Settings::make_before_break`]), they would come back to one
    /// that is not.
    ///
    /// # Cancel safety
    /// As of [`NodeDrainer::drain`].
    pub async fn drain_within(&self, time: Duration) -> Report {
        let now = Instant::now();
        let deadline = now + time.min(HORIZON);
        let plan = Plan::new(self.settings.clone(), Some(deadline), now);
        let mut run = self.run(plan, Freshness::Any);
        run.feed(Input::Cordoned);
        run.drain(None).await
    }

    /// Drains as [`Drainer::drain`] does, following an order that may change, and returns the
    /// whole report.
    ///
    /// # Cancel safety
    /// Dropping the future ends every call and the watch; evictions that were accepted go on.
    pub async fn drain(&self, mut order: watch::Receiver<Order>) -> Report {
        let first = order.borrow_and_update().clone();
        let deadline = first.deadline.map(|d| d.instant());
        let mut settings = self.settings.clone();
        settings.notice = Some(first.notice.to_string());
        let plan = Plan::new(settings, deadline, Instant::now());
        let mut run = self.run(plan, Freshness::Any);
        if first.cancelled {
            run.feed(Input::Cancelled);
        } else if first.held {
            run.feed(Input::Cordoned);
        }
        run.drain(Some(order)).await
    }

    /// Puts back what an earlier drain of the node has detached and not evicted, and says whether
    /// all of it is. Without replacements that are made first there is nothing to ask for.
    ///
    /// # Cancel safety
    /// As of [`NodeDrainer::drain`].
    async fn put_back(&self) -> bool {
        if self.settings.make_before_break == MakeBeforeBreak::Off || self.settings.dry_run {
            return true;
        }
        let mut plan = Plan::new(self.settings.clone(), None, Instant::now());
        // Before anything is seen: it evicts nothing.
        plan.on(Input::Cancelled, Instant::now(), &mut Vec::new());
        // What was written a moment ago must be seen.
        let mut run = self.run(plan, Freshness::Latest);
        run.told = true; // nothing is planned
        let report = run.drain(None).await;
        let stands = |pod: &PodReport| pod.replacement == Some(Replacement::Awaited);
        report.listed && !report.pods.iter().any(stands)
    }

    /// A drain that begins with a list that is no staler than this.
    fn run(&self, plan: Plan, freshness: Freshness) -> Run {
        let observers = self.observers.clone();
        Run::new(Arc::clone(&self.pods), plan, freshness, observers)
    }
}

#[async_trait]
impl Drainer for NodeDrainer {
    async fn drain(&self, order: watch::Receiver<Order>) -> DrainReport {
        NodeDrainer::drain(self, order).await.into()
    }

    async fn take_back(&self) -> bool {
        self.put_back().await
    }
}

/// One drain under way.
struct Run {
    pods: Arc<dyn Pods>,
    plan: Plan,
    observers: Observers,
    /// It has been told what is to be done.
    told: bool,
    before: u64,
    inputs: mpsc::Sender<Input>,
    observed: mpsc::Receiver<Input>,
    relist: watch::Sender<()>,
    /// The watches of ReplicaSets, by namespace: another takes the place of the one before.
    replica_sets: BTreeMap<String, AbortHandle>,
    /// Calls and the feed; all end with the run.
    calls: JoinSet<Option<Input>>,
}

impl Run {
    fn new(pods: Arc<dyn Pods>, plan: Plan, freshness: Freshness, observers: Observers) -> Self {
        let before = pods.requests();
        let (inputs, observed) = mpsc::channel(64);
        let (relist, relisted) = watch::channel(());
        let mut calls = JoinSet::new();
        let (seen, heard) = (Arc::clone(&pods), inputs.clone());
        calls.spawn(async move {
            let feed = || {
                let (seen, heard) = (Arc::clone(&seen), heard.clone());
                feed_from(freshness.clone(), seen, heard, relisted.clone())
            };
            never_ending(feed).await;
            None
        });
        Self {
            pods,
            plan,
            observers,
            told: false,
            before,
            inputs,
            observed,
            relist,
            replica_sets: BTreeMap::new(),
            calls,
        }
    }

    /// Drains to the end; `orders` may change the drain while there is somebody to send them.
    async fn drain(mut self, mut orders: Option<watch::Receiver<Order>>) -> Report {
        let drains = orders.is_some();
        loop {
            let now = Instant::now();
            if self.plan.outcome(now).is_some() {
                break;
            }
            let wake = self.plan.next_wake(now);
            tokio::select! {
                biased;
                // First of all the end: a flood of events must not put it off.
                () = sleep_until(self.plan.window().end()) => break,
                Some(changed) = changed(&mut orders) => match changed {
                    Ok(new) if new.cancelled => self.feed(Input::Cancelled),
                    Ok(new) => self.amend(&new),
                    Err(_) => orders = None,
                },
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(Some(input)) => self.feed(input),
                    Ok(None) => {}
                    // A watch that another has taken the place of.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "a call of the drain panicked"),
                },
                Some(input) = self.observed.recv() => self.feed(input),
                () = sleep_until(wake) => self.feed(Input::Woken),
            }
        }
        let now = Instant::now();
        self.calls.shutdown().await;
        let mut report = self.plan.report(now);
        report.requests = self.pods.requests().saturating_sub(self.before);
        // Of what is only taken back nobody is told where nothing came of it.
        let came = |pod: &PodReport| {
            let replacement = pod.replacement.as_ref();
            matches!(
                replacement,
                Some(Replacement::PutBack | Replacement::Stuck { .. })
            )
        };
        if drains || report.pods.iter().any(came) {
            for observer in &self.observers {
                observer.finished(&report);
            }
        }
        report
    }

    /// Follows an order that has changed.
    fn amend(&mut self, order: &Order) {
        if order.held {
            self.feed(Input::Cordoned);
        }
        if let Some(deadline) = order.deadline {
            self.feed(Input::Nearer(deadline.instant()));
        }
    }

    /// Hands an input to the plan and performs what follows.
    fn feed(&mut self, input: Input) {
        let mut effects = Vec::new();
        let now = Instant::now();
        self.plan.on(input, now, &mut effects);
        for effect in effects {
            self.perform(effect);
        }
        if !self.told
            && let Some(overview) = self.plan.overview(now)
        {
            self.told = true;
            for observer in &self.observers {
                observer.planned(&overview);
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Relist => {
                self.relist.send_replace(());
            }
            Effect::WatchBudgets { namespace } => {
                let (pods, inputs) = (Arc::clone(&self.pods), self.inputs.clone());
                self.calls.spawn(async move {
                    let feed =
                        || feed_budgets(Arc::clone(&pods), namespace.clone(), inputs.clone());
                    never_ending(feed).await;
                    None
                });
            }
            Effect::WatchReplicaSets { namespace, hashes } => {
                let (pods, inputs) = (Arc::clone(&self.pods), self.inputs.clone());
                let of = namespace.clone();
                let feed = move || {
                    let (pods, inputs) = (Arc::clone(&pods), inputs.clone());
                    feed_replica_sets(pods, of.clone(), hashes.clone(), inputs)
                };
                let feed = self.calls.spawn(async move {
                    never_ending(feed).await;
                    None
                });
                if let Some(before) = self.replica_sets.insert(namespace, feed) {
                    before.abort();
                }
            }
            call => {
                let pods = Arc::clone(&self.pods);
                let end = self.plan.window().end();
                let observers = self.observers.clone();
                self.calls.spawn(async move {
                    let told = told(&call).filter(|_| !observers.is_empty());
                    let input = perform(call, &*pods, end).await;
                    for observer in &observers {
                        match (&told, &input) {
                            (
                                Some(Told::Removal(removal, call)),
                                Some(Input::Answered { reply, .. }),
                            ) => observer.answered(*removal, call, reply),
                            (Some(Told::Change(change)), Some(Input::Patched { reply, .. })) => {
                                observer.patched(*change, reply);
                            }
                            _ => {}
                        }
                    }
                    input
                });
            }
        }
    }
}

/// The next order, or the end of orders; `None` where there are none.
async fn changed(
    orders: &mut Option<watch::Receiver<Order>>,
) -> Option<Result<Order, watch::error::RecvError>> {
    let orders = orders.as_mut()?;
    let changed = orders.changed().await;
    Some(changed.map(|()| orders.borrow_and_update().clone()))
}

/// What observers are told of.
enum Told {
    Removal(Removal, Call),
    Change(Change),
}

/// What observers are told of an effect's answer, if anything.
fn told(effect: &Effect) -> Option<Told> {
    match effect {
        Effect::Evict(call) => Some(Told::Removal(Removal::Eviction, call.clone())),
        Effect::Delete(call) => Some(Told::Removal(Removal::Deletion, call.clone())),
        Effect::Detach(_) => Some(Told::Change(Change::Detach)),
        Effect::Reattach(_) => Some(Told::Change(Change::PutBack)),
        _ => None,
    }
}

/// Makes the call that an effect asks for; what to tell the plan, by `until` at the latest and
/// whatever happens. `None` for [`Effect::Relist`], [`Effect::WatchBudgets`] and
/// [`Effect::WatchReplicaSets`], which are no single calls: an embedder's reflectors perform them.
///
/// # Cancel safety
/// Dropping the future ends the call; what the API server did by then is not undone.
pub async fn perform(effect: Effect, pods: &dyn Pods, until: Instant) -> Option<Input> {
    Some(match effect {
        Effect::Evict(call) => {
            let pod = call.pod.clone();
            let (name, namespace, grace) = (&call.name, &call.namespace, call.grace);
            tracing::debug!(pod = name, namespace, grace, "evict");
            let reply = bounded(until, pods.evict(call)).await;
            let reply = reply.unwrap_or_else(no_answer);
            Input::Answered { pod, reply }
        }
        Effect::Delete(call) => {
            let pod = call.pod.clone();
            let (name, namespace, grace) = (&call.name, &call.namespace, call.grace);
            tracing::warn!(pod = name, namespace, grace, "delete, past its budget");
            let reply = bounded(until, pods.delete(call)).await;
            let reply = reply.unwrap_or_else(no_answer);
            Input::Answered { pod, reply }
        }
        Effect::ListDaemonSets => {
            let known = bounded(until, pods.daemon_sets()).await;
            let known = known.unwrap_or_else(|| DaemonSets::Unavailable(NO_ANSWER.to_owned()));
            Learnt::DaemonSets(known).into()
        }
        Effect::ListBudgets => {
            let known = bounded(until, pods.budgets()).await;
            let known = known.unwrap_or_else(|| Budgets::Unavailable(NO_ANSWER.to_owned()));
            Learnt::Budgets(known).into()
        }
        Effect::CheckAccess { namespace } => {
            let allowed = bounded(until, pods.may_evict(namespace.clone())).await;
            let allowed = allowed.flatten();
            Learnt::Access { namespace, allowed }.into()
        }
        Effect::LookAtVolumes => {
            let answer = bounded(until, pods.volumes()).await;
            let answer = answer.map(|answer| answer.map_err(|error| words(&error)));
            Input::Attached(answer.unwrap_or_else(|| Err(NO_ANSWER.to_owned())))
        }
        Effect::Detach(detach) => {
            let pod = detach.pod.clone();
            let (name, namespace) = (&detach.name, &detach.namespace);
            tracing::debug!(pod = name, namespace, "detach");
            let reply = bounded(until, pods.detach(detach)).await;
            let reply = reply.unwrap_or_else(no_answer);
            Input::Patched { pod, reply }
        }
        Effect::Reattach(reattach) => {
            let pod = reattach.pod.clone();
            let (name, namespace) = (&reattach.name, &reattach.namespace);
            tracing::debug!(pod = name, namespace, "put back");
            let reply = bounded(until, pods.reattach(reattach)).await;
            let reply = reply.unwrap_or_else(no_answer);
            Input::Patched { pod, reply }
        }
        Effect::LookAtWorkload {
            namespace,
            replica_set,
        } => {
            let look = pods.workload(namespace.clone(), replica_set.clone());
            let workload = bounded(until, look).await;
            let workload = workload.unwrap_or_else(|| Workload::Unanswered(NO_ANSWER.to_owned()));
            Learnt::Workload {
                namespace,
                replica_set,
                workload,
            }
            .into()
        }
        Effect::Relist | Effect::WatchBudgets { .. } | Effect::WatchReplicaSets { .. } => {
            return None;
        }
    })
}

/// Begins anew what a bug ends: without its feeds a drain is blind.
async fn never_ending<F: Future<Output = ()>>(mut feed: impl FnMut() -> F) {
    while unpanicked(feed()).await.is_none() {
        sleep(FEED_PAUSE).await;
    }
}

/// The call's answer, or `None` where none came in time, or ever will.
async fn bounded<T>(end: Instant, call: impl Future<Output = T>) -> Option<T> {
    timeout_at(end, unpanicked(call)).await.ok().flatten()
}

/// What comes of `work`, or `None` where it panics: a bug in one call must not lose the pod
/// that it was for, nor the drain.
async fn unpanicked<T>(work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        tracing::error!("a part of the drain panicked; it is tried again");
    }
    done.ok()
}

const NO_ANSWER: &str = "no answer in time";

fn no_answer() -> Reply {
    Reply::Lost {
        what: NO_ANSWER.to_owned(),
    }
}

#[cfg(test)]
mod tests;
