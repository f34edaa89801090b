//! A cluster around the API: a scheduler, kubelets and controllers, stepped in time.
//!
//! Nothing happens by itself: [`World::advance`] brings everything up to a moment, each
//! thing at the time at which it is due, and [`World::next_event`] says when the next is.

mod agenda;
mod builder;
mod controllers;
mod endpoints;
mod kubelet;
mod nodes;
mod replicas;
mod scheduler;
mod timing;
mod workload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use spot_core::clock::Now;
use tokio::time::Instant;

pub use builder::{Builder, Node};
pub use kubelet::{Ended, How};
pub use timing::{EXIT_AFTER, READY_AFTER, START_AFTER};
pub use workload::{Budget, Workload};

use super::api::{Answer, Api};
use super::store::Change;
use agenda::{Agenda, Work};
use kubelet::Process;

/// How long the parts of the cluster take to notice something.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pace {
    /// The controllers of workloads, namespaces and nodes.
    pub controllers: Duration,
    /// The disruption controller: a budget's numbers are stale for so long.
    pub budgets: Duration,
    /// The scheduler.
    pub scheduler: Duration,
    /// The endpoint slice controller.
    pub endpoints: Duration,
    /// How long a node may be silent before it counts as not ready.
    pub node_lost: Duration,
    /// From a pod's binding to its containers running, where the pod says nothing else.
    pub start: Duration,
    /// From SIGTERM to a process's end, where the pod says nothing else.
    pub exit: Duration,
    /// Whether there are kubelets at all; without, a test plays them over the API.
    pub kubelets: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            controllers: Duration::from_millis(20),
            budgets: Duration::from_millis(5),
            scheduler: Duration::from_millis(20),
            endpoints: Duration::from_millis(50),
            node_lost: Duration::from_secs(40),
            start: Duration::from_secs(1),
            exit: Duration::from_secs(1),
            kubelets: true,
        }
    }
}

/// A cluster.
#[derive(Debug)]
pub struct World {
    api: Api,
    began: Now,
    pace: Pace,
    agenda: Agenda,
    /// The version that a builder left it at.
    built: u64,
    /// Changes up to this version have been noticed.
    noticed: u64,
    /// By when the changes up to a version had happened, while they are remembered.
    times: VecDeque<(u64, Instant)>,
    processes: BTreeMap<String, Process>,
    ended: Vec<Ended>,
    silent: BTreeMap<String, Instant>,
    /// Workloads that a scheduling round left without a place.
    waiting: BTreeSet<String>,
}

impl World {
    /// Begins to describe a cluster.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A cluster of nothing, to be filled through its API.
    pub fn new(api: Api, began: Now, pace: Pace) -> Self {
        Self {
            api,
            began,
            pace,
            agenda: Agenda::default(),
            built: 0,
            noticed: 0,
            times: VecDeque::new(),
            processes: BTreeMap::new(),
            ended: Vec::new(),
            silent: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Both clocks at a moment: the cluster's wall clock never jumps.
    pub fn at(&self, instant: Instant) -> Now {
        let since = instant.saturating_duration_since(self.began.instant);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::MAX);
        let wall = self.began.wall.checked_add(since);
        Now {
            instant,
            wall: wall.unwrap_or(Timestamp::MAX),
        }
    }

    /// The API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The API, to be changed. What was changed is noticed by the next
    /// [`advance`](Self::advance).
    pub fn api_mut(&mut self) -> &mut Api {
        &mut self.api
    }

    /// Brings the cluster up to a moment.
    pub fn advance(&mut self, to: Instant) {
        self.notice(to);
        while let Some((at, work)) = self.agenda.take(to) {
            self.perform(&work, self.at(at));
            self.notice(at);
        }
    }

    /// When the next thing happens, if nobody asks for anything.
    pub fn next_event(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// Answers a request at a moment, after bringing the cluster up to it.
    pub fn handle(&mut self, request: &Request<Bytes>, at: Instant) -> Answer {
        self.handle_stale(request, at, 0)
    }

    /// As [`handle`](Self::handle), with a cache that is behind by `lag` versions, but not by
    /// what a builder made: that has been there for long.
    pub fn handle_stale(&mut self, request: &Request<Bytes>, at: Instant, lag: u64) -> Answer {
        self.advance(at);
        let most = self.api.version().saturating_sub(self.built);
        let answer = self.api.handle_stale(request, self.at(at), lag.min(most));
        self.notice(at);
        answer
    }

    /// What has changed since a version, oldest first, and when, as far as it is remembered
    /// ([`Api::remember_at_most`]).
    pub fn changes(&self, since: u64) -> impl Iterator<Item = (Instant, &Change)> {
        self.api.store.since(since).map(|change| {
            let index = self.times.partition_point(|(to, _)| *to < change.version);
            let at = self.times.get(index).or(self.times.back());
            (at.map_or(self.began.instant, |(_, at)| *at), change)
        })
    }

    /// The processes that have ended so far, in the order of their ends.
    pub fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Does all that is due for what is derived (budgets, endpoints, replicas), at once.
    fn settle(&mut self, now: Now) {
        self.notice(now.instant);
        while let Some(work) = self.agenda.take_derived() {
            self.perform(&work, now);
            self.notice(now.instant);
        }
    }

    fn perform(&mut self, work: &Work, now: Now) {
        match work {
            Work::Deployment(key) => self.sync_deployment(key, now),
            Work::ReplicaSet(key) => self.sync_replica_set(key, now),
            Work::StatefulSet(key) => self.sync_stateful_set(key, now),
            Work::DaemonSet(key) => self.sync_daemon_set(key, now),
            Work::Budget(key) => {
                if let Some(again) = self.api.sync_budget(key, now) {
                    let wait = Duration::try_from(again.duration_since(now.wall));
                    let at = now.instant + wait.unwrap_or_default() + Duration::from_secs(1);
                    self.agenda.add(at, Work::Budget(key.clone()));
                }
            }
            Work::Endpoints(key) => self.sync_endpoints(key, now),
            Work::Node(name) => self.sync_node(name, now),
            Work::Namespace(name) => self.sync_namespace(name, now),
            Work::Schedule => self.schedule(now),
            Work::Pod(key) => self.sync_pod(key, now),
        }
    }
}
