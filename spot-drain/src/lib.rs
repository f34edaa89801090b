//! A Kubernetes node drain that is planned from its deadline.
//!
//! Cordon and taint go out in one conflict-safe patch, pods are evicted within their
//! PodDisruptionBudgets with graces that fit the time left, and the drain returns by its
//! deadline whatever the API server does.
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
//! | [`plan`] | the drain of one node, or of many, as a state machine (pure) |
//! | [`report`] | what became of every pod |
//! | [`pods`] | the port: list, watch, evict, delete |
//! | [`feed`] | list-and-watch of pods, and watches of budgets, that never give up |
//! | [`driver`] | performs a plan: a [`spot_core::drainer::Drainer`] |
//! | [`cluster`] | the connection to the API server, the node and its pods |
//!
//! The crate knows no cloud: the deadline comes with the order.
//!
//! # Example
//! Drain a node within two minutes, from any program:
//! ```no_run
//! use spot_core::deadline::Deadline;
//! use spot_core::drainer::Order;
//! use spot_core::notice::{Notice, NoticeId, NoticeKind};
//! use spot_drain::{cluster::Cluster, driver::NodeDrainer};
//!
//! # async fn example(wall: jiff::Timestamp, clock: jiff::Timestamp) -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::connect(kube::Config::infer().await?)?;
//! let drainer = NodeDrainer::new(cluster.pods("worker-1"));
//!
//! let now = tokio::time::Instant::now();
//! let notice = Notice::new(NoticeId::new("maintenance"), NoticeKind::ScheduledMaintenance, now)
//!     .with_deadline(Deadline::anchored(wall, clock, now));
//! let (_order, orders) = tokio::sync::watch::channel(Order::from_notice(&notice));
//! let report = drainer.drain(orders).await;
//! println!("{report}");
//! # Ok(()) }
//! ```

#[cfg(feature = "clap")]
pub mod args;
pub mod budget;
pub mod classify;
pub mod cluster;
pub mod driver;
pub mod facts;
pub mod feed;
pub mod plan;
pub mod pods;
pub mod reply;
pub mod report;
pub mod rules;
#[cfg(feature = "sim")]
pub mod sim;
pub mod taint;
pub mod window;
