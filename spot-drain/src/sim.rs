//! A Kubernetes API server and the cluster around it, simulated (feature `sim`).
//!
//! A real client runs against it: [`Sim::client`] without a socket and under paused time,
//! or any program at all over [`Sim::serve`]. [`Api`] is the server as one synchronous
//! function; [`World`] adds the scheduler, the kubelets and the controllers and moves them
//! in time; [`Sim`] makes a world reachable and lets [`Faults`] break what they like.
//!
//! The same seed, requests and times give the same bytes.
//!
//! # Example
//! ```
//! use spot_drain::cluster::Cluster;
//! use spot_drain::sim::{Budget, Node, Sim, Workload, World};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let world = World::builder()
//!     .node(Node::new("spot-1"))
//!     .node(Node::new("other-1"))
//!     .workload(
//!         Workload::deployment("web").replicas(3).on("spot-1").budget(Budget::min_available("2")),
//!     )
//!     .build(tokio::time::Instant::now());
//! let sim = Sim::new(world);
//! let cluster = Cluster::from_client(sim.client());
//! // … drive `cluster.pods("spot-1")` while `sim.run()` is awaited beside it.
//! # drop(cluster); }
//! ```
//!
//! # Limits
//! What differs from a real API server (1.36), or is not there:
//!
//! - Only JSON; no protobuf, no YAML, no server-side apply (415), no `managedFields`.
//! - No authentication and no RBAC objects: [`Api::access`] refuses what it is told to.
//! - No admission but the namespace's life cycle; objects are checked as far as a drain can
//!   meet it (names, labels, taints, a budget's numbers, what a pod or a node may not change).
//! - Unknown fields are kept and types are not checked, but for an eviction's.
//! - Objects have few defaults; a pod gets no service account volume.
//! - No `deletecollection`, `scale`, `log`, `exec` or `proxy`; kinds as in [`Kind`].
//! - Concurrent evictions under one budget never conflict: requests are taken one by one.
//! - A list's `continue` token has another form; a version that is too new is refused after
//!   three seconds, as the server does, and never awaited.
//! - Strategic merge patches know `conditions`, `ownerReferences`, `containers`, `volumes`,
//!   `env` and `finalizers`, and `$patch: delete`; other lists are replaced.
//! - A changed template of a Deployment replaces its pods at once, not step by step.
//! - `StatefulSets` start their pods in no order and never scale down; Jobs do nothing.
//! - The scheduler knows readiness, taints, `nodeSelector` and the number of pods; no
//!   resources, affinity, volumes or priorities.
//! - Nothing is garbage collected when its owner goes; `NoExecute` deletes no pods.
//! - Kubelets run one process per pod, know no probes or hooks, and restart nothing.
//! - Events are objects without a time to live.
//! - Events read through `events.k8s.io` lack the `deprecated*` members.
//! - [`WatchFault`]'s delay holds back each batch of events in turn.

mod access;
mod api;
mod bind;
mod budget;
mod check;
mod delete;
mod discovery;
mod evict;
mod failure;
mod fault;
mod fields;
mod json;
mod kind;
mod listen;
mod patch;
mod read;
mod record;
mod render;
mod route;
mod selector;
mod service;
mod store;
mod table;
mod watch;
mod world;
mod write;

pub use access::Access;
pub use api::{Answer, Api, Reply};
pub use fault::{Faults, Injection, WatchFault};
pub use kind::Kind;
pub use record::{Effect, Recorded};
pub use service::{Sim, SimBody, SimService};
pub use spot_core::sim::Fault;
pub use store::{Change, What};
pub use watch::{Followed, Watch};
pub use world::{
    Budget, Builder, EXIT_AFTER, Ended, How, Node, Pace, READY_AFTER, START_AFTER, Workload, World,
};
