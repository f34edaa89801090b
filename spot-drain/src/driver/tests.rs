//! The driver and its feed with a fake of the pods and paused time.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use spot_core::deadline::Deadline;
use spot_core::drainer::DrainOutcome;
use spot_core::notice::{Notice, NoticeId, NoticeKind};

use super::*;
use crate::budget::Budgets;
use crate::classify::DaemonSets;
use crate::facts::{Owner, PodFacts, Uid};
use crate::plan::{Call, Detach, Reattach};
use crate::pods::{BudgetChange, Change, Freshness, Listed, PodsError, ReplicaSetChange, Watched};
use crate::replacement::{DeploymentFacts, HASH_LABEL, ReplicaSetFacts};
use crate::report::PodOutcome;

mod course;
mod faults;
mod feed;
mod making;

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn pod(name: &str) -> PodFacts {
    let owner = Owner {
        kind: "ReplicaSet".into(),
        uid: Uid(format!("rs-{name}")),
        ..Owner::default()
    };
    PodFacts {
        namespace: "shop".into(),
        name: name.into(),
        uid: Uid(name.into()),
        owner: Some(owner),
        grace: secs(30),
        ..PodFacts::default()
    }
}

/// What a call comes to.
enum Answer<T> {
    Says(T),
    Never,
    Panics,
}

impl<T> Answer<T> {
    async fn give(self) -> T {
        match self {
            Self::Says(value) => value,
            Self::Never => pending().await,
            Self::Panics => panic!("a bug in a port"),
        }
    }
}

type Items = Vec<Result<Watched, PodsError>>;

/// What a watch says.
enum Watch {
    /// Whatever happens to the pods.
    Live,
    /// Nothing, ever.
    Silent,
    /// This, and then it is closed.
    Says(Items),
}

#[derive(Default)]
struct State {
    present: BTreeMap<String, PodFacts>,
    version: u64,
    /// What comes first; then all is well.
    lists: VecDeque<Answer<Result<(), PodsError>>>,
    watches: VecDeque<Answer<Result<Watch, PodsError>>>,
    evictions: VecDeque<Answer<Reply>>,
    /// What a watch of budgets begins with.
    budgets: VecDeque<Result<Vec<Result<BudgetChange, PodsError>>, PodsError>>,
    /// What is attached, look by look; then nothing.
    volumes: VecDeque<Vec<String>>,
    live: Vec<mpsc::UnboundedSender<Watched>>,
    replica_sets: BTreeMap<String, ReplicaSetFacts>,
    live_sets: Vec<mpsc::UnboundedSender<ReplicaSetFacts>>,
    /// What was asked, and when.
    asked: Vec<(Instant, String)>,
}

/// A node's pods, which go at once when they are evicted.
#[derive(Clone, Default)]
struct Fake {
    state: Arc<Mutex<State>>,
    /// Calls and watches that have not ended.
    alive: Arc<AtomicUsize>,
}

/// A call that has not ended.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    fn of(names: &[&str]) -> Self {
        let fake = Self::default();
        let present = names.iter().map(|n| ((*n).to_owned(), pod(n)));
        fake.state().present = present.collect();
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn lists(self, answers: impl IntoIterator<Item = Answer<Result<(), PodsError>>>) -> Self {
        self.state().lists.extend(answers);
        self
    }

    fn watches(self, answers: impl IntoIterator<Item = Answer<Result<Watch, PodsError>>>) -> Self {
        self.state().watches.extend(answers);
        self
    }

    fn evictions(self, answers: impl IntoIterator<Item = Answer<Reply>>) -> Self {
        self.state().evictions.extend(answers);
        self
    }

    fn asked(&self, what: String) -> Alive {
        self.state().asked.push((Instant::now(), what));
        self.alive.fetch_add(1, Ordering::SeqCst);
        Alive(Arc::clone(&self.alive))
    }

    /// What was asked that begins so.
    fn asks(&self, what: &str) -> Vec<String> {
        let state = self.state();
        let asked = state.asked.iter().map(|(_, a)| a.clone());
        asked.filter(|a| a.starts_with(what)).collect()
    }

    fn times(&self, what: &str) -> Vec<Instant> {
        let state = self.state();
        let asked = state.asked.iter().filter(|(_, a)| a.starts_with(what));
        asked.map(|(at, _)| *at).collect()
    }

    fn add(&self, name: &str) {
        let mut state = self.state();
        state.present.insert(name.to_owned(), pod(name));
        tell(&mut state, &Change::Seen(pod(name)));
    }

    fn remove(&self, name: &str) {
        let mut state = self.state();
        if let Some(gone) = state.present.remove(name) {
            tell(&mut state, &Change::Deleted(gone));
        }
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    /// Drains for two minutes at most; also what time it took.
    async fn drained(&self) -> (Report, Duration) {
        let (_order, orders) = watch::channel(order(120));
        self.drained_by(orders).await
    }

    async fn drained_by(&self, orders: watch::Receiver<Order>) -> (Report, Duration) {
        let start = Instant::now();
        let drain = NodeDrainer::new(self.clone()).drain_by(orders);
        let report = tokio::time::timeout(secs(3600), drain).await;
        let report = report.expect("it never returned");
        assert_eq!(self.alive(), 0, "something outlived the drain");
        (report, start.elapsed())
    }
}

impl NodeDrainer {
    async fn drain_by(self, orders: watch::Receiver<Order>) -> Report {
        NodeDrainer::drain(&self, orders).await
    }
}

fn tell(state: &mut State, change: &Change) {
    state.version += 1;
    let version = state.version.to_string();
    state.live.retain(|to| {
        let change = change.clone();
        let version = version.clone();
        to.send(Watched { change, version }).is_ok()
    });
}

/// An order with so many seconds left.
fn order(left: u64) -> Order {
    let wall = Timestamp::UNIX_EPOCH;
    let now = Instant::now();
    let deadline = Deadline::anchored(wall + secs(left), wall, now);
    let id = NoticeId::new("spot");
    Order::from_notice(&Notice::new(id, NoticeKind::SpotInterruption, now).with_deadline(deadline))
}

#[async_trait]
impl Pods for Fake {
    async fn list(&self, freshness: Freshness) -> Result<Listed, PodsError> {
        let _alive = self.asked(match freshness {
            Freshness::Any => "list cached".to_owned(),
            Freshness::NotOlderThan(version) => format!("list from {version}"),
            Freshness::Latest => "list fresh".to_owned(),
        });
        let answer = self.state().lists.pop_front();
        answer.unwrap_or(Answer::Says(Ok(()))).give().await?;
        let state = self.state();
        Ok(Listed {
            pods: state.present.values().cloned().collect(),
            version: state.version.to_string(),
        })
    }

    async fn watch(
        &self,
        version: String,
    ) -> Result<BoxStream<'static, Result<Watched, PodsError>>, PodsError> {
        let alive = self.asked(format!("watch {version}"));
        let answer = self.state().watches.pop_front();
        let watch = answer
            .unwrap_or(Answer::Says(Ok(Watch::Live)))
            .give()
            .await?;
        let items = match watch {
            Watch::Silent => stream::pending().boxed(),
            Watch::Says(items) => stream::iter(items).boxed(),
            Watch::Live => {
                let (send, receive) = mpsc::unbounded_channel();
                self.state().live.push(send);
                let next = |mut from: mpsc::UnboundedReceiver<_>| async {
                    from.recv().await.map(|item| (Ok(item), from))
                };
                stream::unfold(receive, next).boxed()
            }
        };
        let guarded = items.map(move |item| {
            let _ = &alive;
            item
        });
        Ok(guarded.boxed())
    }

    async fn evict(&self, call: Call) -> Reply {
        let _alive = self.asked(format!("evict {}", call.name));
        let answer = self.state().evictions.pop_front();
        let reply = answer.unwrap_or(Answer::Says(Reply::Accepted)).give().await;
        if reply == Reply::Accepted {
            self.remove(&call.name);
        }
        reply
    }

    async fn delete(&self, call: Call) -> Reply {
        let _alive = self.asked(format!("delete {}", call.name));
        self.remove(&call.name);
        Reply::Accepted
    }

    async fn detach(&self, detach: Detach) -> Reply {
        let _alive = self.asked(format!("detach {}", detach.name));
        let mut state = self.state();
        let Some(pod) = state.present.get_mut(&detach.name) else {
            return Reply::Gone;
        };
        pod.labels.remove(HASH_LABEL);
        (pod.detached, pod.owner) = (Some(detach.detachment), None);
        let pod = pod.clone();
        tell(&mut state, &Change::Seen(pod));
        Reply::Accepted
    }

    async fn reattach(&self, reattach: Reattach) -> Reply {
        let _alive = self.asked(format!("put back {}", reattach.name));
        let mut state = self.state();
        let Some(pod) = state.present.get_mut(&reattach.name) else {
            return Reply::Gone;
        };
        pod.labels.insert(HASH_LABEL.into(), reattach.hash);
        pod.detached = None;
        let pod = pod.clone();
        tell(&mut state, &Change::Seen(pod));
        Reply::Accepted
    }

    async fn workload(&self, _namespace: String, replica_set: String) -> Workload {
        let _alive = self.asked(format!("workload {replica_set}"));
        let set = self.state().replica_sets.get(&replica_set).cloned();
        let deployment = DeploymentFacts {
            rolls: true,
            surge: 1,
            rolled_out: true,
            going: false,
        };
        set.map_or(Workload::Gone, |set| Workload::Known(set, Some(deployment)))
    }

    async fn watch_replica_sets(
        &self,
        _namespace: String,
        hashes: Vec<String>,
    ) -> Result<BoxStream<'static, Result<ReplicaSetChange, PodsError>>, PodsError> {
        let alive = self.asked(format!("watch replica sets {}", hashes.join(",")));
        let (send, receive) = mpsc::unbounded_channel();
        self.state().live_sets.push(send);
        let next = |mut from: mpsc::UnboundedReceiver<_>| async {
            let set = from.recv().await?;
            Some((Ok(ReplicaSetChange::Seen(set)), from))
        };
        let guarded = stream::unfold(receive, next).map(move |item| {
            let _ = &alive;
            item
        });
        Ok(guarded.boxed())
    }

    async fn daemon_sets(&self) -> DaemonSets {
        let _alive = self.asked("daemon sets".into());
        pending().await
    }

    async fn budgets(&self) -> Budgets {
        Budgets::Unknown
    }

    async fn watch_budgets(
        &self,
        namespace: String,
    ) -> Result<BoxStream<'static, Result<BudgetChange, PodsError>>, PodsError> {
        let alive = self.asked(format!("watch budgets of {namespace}"));
        let answer = self.state().budgets.pop_front();
        let changes = answer.unwrap_or_else(|| Err(unavailable()))?;
        let guarded = stream::iter(changes)
            .chain(stream::pending())
            .map(move |item| {
                let _ = &alive;
                item
            });
        Ok(guarded.boxed())
    }

    async fn volumes(&self) -> Result<Vec<String>, PodsError> {
        let _alive = self.asked("volumes".into());
        Ok(self.state().volumes.pop_front().unwrap_or_default())
    }

    async fn may_evict(&self, _namespace: String) -> Option<bool> {
        let _alive = self.asked("may evict".into());
        Some(false)
    }

    fn requests(&self) -> u64 {
        self.state().asked.len() as u64
    }
}

fn unavailable() -> PodsError {
    PodsError::Unavailable("away".into())
}
