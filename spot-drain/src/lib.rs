//! A Kubernetes node drain that is planned from its deadline.
//!
//! Cordon and taint go out in one conflict-safe patch, pods are evicted within their
//! PodDisruptionBudgets with graces that fit the time left, and the drain returns by its
//! deadline whatever the API server does.
//!
//! ```no_run
//! use spot_drain::{cluster::Cluster, driver::NodeDrainer, plan::Settings};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::connect(kube::Config::infer().await?)?;
//! let drainer = NodeDrainer::new(cluster.pods("worker-1"))
//!     .with_settings(Settings::default().with_dry_run(true));
//! cluster.node("worker-1").cordon().await?;
//! let report = drainer.drain_within(Duration::from_secs(120)).await;
//! println!("{report}");
//! # Ok(()) }
//! ```
//!
//! The defaults are what a Spot interruption wants: [`plan::Settings`] says which they are. A drain
//! whose deadline may move, or that may be called off, follows an order:
//! [`driver::NodeDrainer::drain`]. A controller that drains many nodes drives [`plan::Fleet`] over
//! its own reflector. `examples/drain-only` in the repository is such a program.
//!
//! | module | what it is for |
//! |---|---|
//! | [`facts`] | what a drain needs to know of a pod |
//! | [`classify`] | which pods are evicted, which are left alone, and why (pure) |
//! | [`rules`] | what an embedder decides about pods (pure) |
//! | [`budget`] | which budgets stand over a pod (pure) |
//! | [`taint`] | the patch that quarantines or releases a node (pure) |
//! | [`reply`] | what the API server's answer to an eviction means (pure) |
//! | [`window`] | the drain's times, made from the deadline (pure) |
//! | [`replacement`] | which pods have a replacement made before they are evicted (pure) |
//! | [`check`] | what a drain of each spot node would meet, found beforehand (pure) |
//! | [`placement`] | whether a pod finds room on another node (pure) |
//! | [`plan`] | the drain of one node, or of many, as a state machine (pure) |
//! | [`report`] | what became of every pod |
//! | [`pods`] | the port: list, watch, evict, delete |
//! | [`feed`] | list-and-watch of pods, and watches of budgets, that never give up |
//! | [`observer`] | the ports that are told how a drain goes, and of every request |
//! | `events` (feature `events`) | Kubernetes Events, an observer |
//! | `metrics` (feature `prometheus`) | an observer that counts |
//! | [`driver`] | performs a plan: a [`spot_core::drainer::Drainer`] |
//! | [`cluster`] | the connection to the API server, the node and its pods, and the self-check of the way there |
//!
//! The crate knows no cloud: the deadline comes with the order.
//!

#[cfg(feature = "clap")]
pub mod args;
pub mod budget;
pub mod check;
pub mod classify;
pub mod cluster;
pub mod driver;
#[cfg(feature = "events")]
pub mod events;
pub mod facts;
pub mod feed;
#[cfg(feature = "prometheus")]
pub mod metrics;
pub mod observer;
pub mod placement;
pub mod plan;
pub mod pods;
pub mod replacement;
pub mod reply;
pub mod report;
pub mod rules;
#[cfg(feature = "sim")]
pub mod sim;
pub mod taint;
pub mod window;
