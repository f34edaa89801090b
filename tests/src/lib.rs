//! A real Kubernetes control plane for tests: its parts built from their Go modules,
//! started on loopback, and gone when the test process is gone.
//!
//! A test usually needs three lines to get going:
//!
//! ```no_run
//! # async fn example() -> spot_tests::Result<()> {
//! use spot_tests::{cluster::Cluster, control_plane::ControlPlane};
//!
//! let plane = ControlPlane::shared().await?;
//! let client = plane.client("admin")?;
//! let cluster = Cluster::create(&client, "example").await?;
//! # Ok(()) }
//! ```
//!
//! The first run builds the parts (about six minutes on two cores, progress on stderr) into
//! the user's cache directory; later runs find them there.

pub mod audit;
pub mod certificates;

pub mod clock;
pub mod cluster;
pub mod conformance;
pub mod control_plane;
pub mod damage;
pub mod deploy;
pub mod eks;
pub mod error;
pub mod figures;
pub mod handler;
pub mod image;
pub mod interruption;
pub mod kills;
pub mod kwok;
pub mod lock;
pub mod marks;
pub mod metadata_mock;
pub mod metadata_sim;
pub mod plain_http;
pub mod planted;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod python;
pub mod rbac;
pub mod resources;
pub mod scenario;
pub mod scratch;
pub mod simulation;
pub mod tools;
pub mod trail;
pub mod wait;
pub mod webhook;
pub mod wire;

pub use error::{Error, Result};
