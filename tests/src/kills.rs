//! Handlers that are killed at a random moment of their drain, and started again at once.
//!
//! Each round has a node of its own, with pods that go at once and pods that a budget lets go
//! one at a time, so that there is something to do all the while. The first handler is killed
//! (SIGKILL) at a moment after the notice that the seed decides; the second one carries on. Both
//! are users of their own to the API server, so that the audit log tells them apart.

mod budget;
mod check;

use std::{
    cell::RefCell,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use spot_core::{node::Phase, sim::Random};
use tokio::time::Instant;

pub use check::{evicted_again, quarantine};

use crate::{
    Error, Result,
    clock::{after, sleep_until_wall, whole_second_in},
    cluster::{Budget, Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    handler::{Flags, Handler},
    metadata_mock::{Action, MetadataMock},
    wait::wait_until,
};

/// What the notice leaves, and how long after that a round is given up.
const LEFT: Duration = Duration::from_secs(60);
const LATE: Duration = Duration::from_secs(10);
/// From the first handler's start to the notice.
const UNTIL_NOTICE: Duration = Duration::from_secs(2);
/// Pods that go at once, and pods that go one at a time.
const FREE_PODS: usize = 4;
const GUARDED_PODS: usize = 5;
/// The workload and the budget of the latter.
const GUARDED: &str = "guarded";
/// Seconds until a replacement is ready, and so between two evictions under the budget.
const READY_AFTER: f64 = 0.8;
/// Kills come no later after the notice: by then no drain can be at its end, which takes the
/// last of five pods that each wait for the replacement of the one before.
const SPREAD: Duration = Duration::from_millis(3200);
/// The grain of moments.
const GRAIN: u32 = 1000;

/// How often, and when, handlers are killed.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// How many drains, with one kill each.
    pub times: usize,
    /// What the moments are drawn from.
    pub seed: u64,
    /// How many drains go on at the same time.
    pub at_once: usize,
}

/// What came of one kill.
#[derive(Debug)]
#[non_exhaustive]
pub struct Round {
    /// Which one, from 1 on.
    pub number: usize,
    /// When the handler was killed, counted from the notice.
    pub moment: Duration,
    /// Whether its quarantine had been accepted.
    pub quarantined: bool,
    /// Evictions that were accepted before and after.
    pub evicted: [usize; 2],
    /// Evictions that were under way at the kill: some take effect and some do not.
    pub cut_off: usize,
    /// Pods on whose eviction, cut off half-way, the API server had spent the budget.
    pub spent: Vec<String>,
    /// From the kill to an empty node that remembers the end of its drain.
    pub converged: Option<Duration>,
    /// What is not as it must be.
    pub wrong: Vec<String>,
}

impl Kills {
    /// Runs all rounds, whatever becomes of each; `say` hears of each as it ends.
    ///
    /// # Errors
    /// When the control plane or a process fails that is not under test.
    pub async fn run(
        &self,
        plane: &ControlPlane,
        mut say: impl FnMut(&Round),
    ) -> Result<Vec<Round>> {
        crate::handler::binary().await?; // built before any clock runs
        let pairs = (0..self.at_once)
            .map(|_| Ok([plane.take_handler_user()?, plane.take_handler_user()?]))
            .collect::<Result<Vec<_>>>()?;
        let pairs = &Mutex::new(pairs);
        let locked = || pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rounds = stream::iter(self.moments().into_iter().zip(1..))
            .map(|(moment, number)| async move {
                let users = locked().pop();
                let users = users.ok_or_else(|| Error::Usage("more rounds than users".into()))?;
                let round = round(plane, &users, number, moment).await;
                locked().push(users);
                round
            })
            .buffer_unordered(self.at_once);
        let mut all = Vec::new();
        while let Some(round) = rounds.next().await {
            let round = round?;
            say(&round);
            all.push(round);
        }
        Ok(all)
    }

    /// More of them early, when more is going on.
    fn moments(&self) -> Vec<Duration> {
        let mut random = Random::new(self.seed);
        let mut draw = || u32::try_from(random.below(GRAIN.into())).unwrap_or_default();
        (0..self.times)
            .map(|_| {
                let part = draw();
                SPREAD * part / GRAIN * part / GRAIN
            })
            .collect()
    }
}

async fn round(
    plane: &ControlPlane,
    users: &[String; 2],
    number: usize,
    moment: Duration,
) -> Result<Round> {
    let (cluster, node) = fixture(plane).await?;
    let shows_at = whole_second_in(UNTIL_NOTICE);
    let id = &node.instance_id;
    let metadata = MetadataMock::spot_at(id, Action::Terminate, LEFT, shows_at).await?;
    let mark = plane.audit().mark();
    let start = async |user: &str| {
        let kubeconfig = plane.kubeconfig(user)?;
        Handler::start(&Flags::run(&node.name, &kubeconfig, &metadata.url())).await
    };
    let first = start(&users[0]).await?;
    first.hears_notices().await?;
    sleep_until_wall(after(shows_at, moment)).await;
    first.process().kill()?;
    let killed = Instant::now();
    let second = start(&users[1]).await?;

    let mut wrong = Vec::new();
    let spent = RefCell::new(Vec::new());
    let drained = wait_until("the end of the drain", LEFT + LATE, async || {
        let relieved = budget::relieve(&cluster, GUARDED).await;
        let relieved = relieved.map_err(|error| error.to_string())?;
        spent.borrow_mut().extend(relieved);
        is_drained(&cluster, &node).await
    })
    .await;
    let converged = match drained {
        Ok(()) => Some(killed.elapsed()),
        Err(late) => {
            wrong.push(second.process().problem(late.to_string()).to_string());
            None
        }
    };
    if let Some(status) = second.process().exit_status() {
        wrong.push(format!("the second handler ended: {status}"));
    }

    let before = plane.audit().of_user(mark, &users[0]).await?;
    let then = plane.audit().of_user(mark, &users[1]).await?;
    let evicted =
        [&before, &then].map(|requests| requests.iter().filter(|r| r.has_evicted()).count());
    let quarantined = before
        .iter()
        .any(|r| r.kind() == "patch nodes" && r.code == 200);
    let cut_off = before.iter().filter(|r| check::is_cut_off(r)).count();
    let spent = spent.into_inner();
    wrong.extend(check::spent_by_others(&spent, &before));
    wrong.extend(evicted_again(&[before, then].concat()));
    let seen = cluster.node(&node.name).await?;
    wrong.extend(quarantine(&seen, &node, after(shows_at, LEFT)));
    cluster.delete().await?;
    Ok(Round {
        number,
        moment,
        quarantined,
        evicted,
        cut_off,
        spent,
        converged,
        wrong,
    })
}

/// Whether the node is empty and remembers the end of its drain; if not, what it is like.
async fn is_drained(cluster: &Cluster, node: &Node) -> Result<(), String> {
    let left = cluster.pods_on(&node.name).await;
    let left = left.map_err(|error| error.to_string())?.len();
    let seen = cluster.node(&node.name).await;
    let seen = seen.map_err(|error| error.to_string())?;
    let phase = check::memory(&seen).map(|memory| memory.phase);
    match (left, phase) {
        (0, Some(Phase::Drained)) => Ok(()),
        _ => Err(format!("{left} pods, phase {phase:?}")),
    }
}

async fn fixture(plane: &ControlPlane) -> Result<(Cluster, Node)> {
    let cluster = Cluster::create(&plane.client("admin")?, "kills").await?;
    let node = cluster.add_node(&NodeSpec::spot("doomed")).await?;
    cluster.add_node(&NodeSpec::spot("room")).await?;
    let guarded = Workload::new(GUARDED, GUARDED_PODS).ready_after(READY_AFTER);
    let free = Workload::new("free", FREE_PODS).exit_after(1.0);
    cluster.deploy_on(&node, &free).await?;
    cluster.deploy_on(&node, &guarded).await?;
    cluster.budget(&guarded, Budget::MaxUnavailable(1)).await?;
    cluster.wait_budget(GUARDED, 1).await?;
    Ok((cluster, node))
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, then] = self.evicted;
        write!(
            f,
            "kill {} at {:.3} s, {}: evicted {before} + {then}, {} cut off, \
             {}",
            self.number,
            self.moment.as_secs_f64(),
            if self.quarantined {
                "quarantined"
            } else {
                "not quarantined"
            },
            self.cut_off,
            self.converged
                .map_or("not converged".to_owned(), |after| format!(
                    "converged after {after:.1?}"
                )),
        )?;
        if !self.spent.is_empty() {
            write!(f, "; budget spent on {}", self.spent.join(", "))?;
        }
        self.wrong
            .iter()
            .try_for_each(|wrong| write!(f, "\n  WRONG: {wrong}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_moments() {
        let kills = |seed| Kills {
            times: 50,
            seed,
            at_once: 1,
        };
        assert_eq!(kills(7).moments(), kills(7).moments());
        assert_ne!(kills(7).moments(), kills(8).moments());
        assert!(kills(7).moments().iter().all(|moment| *moment < SPREAD));
    }
}
