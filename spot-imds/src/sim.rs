//! A simulated metadata service that speaks the real protocol, for tests, rehearsals and demos.
//!
//! Three layers, to be used from whichever suits:
//!
//! | layer | what it is |
//! |---|---|
//! | [`Imds`] | the service as a synchronous function of a request and a moment: no clock, no socket |
//! | [`SharedImds`] | a handle that changes it while it runs, and a [`Transport`](crate::transport::Transport) in memory |
//! | [`Server`] | the same on a port, for any client of HTTP |
//!
//! It knows `IMDSv2` tokens and their failures, every path that this crate reads, notices that
//! show and vanish when you say so ([`Announcement`]), and faults ([`FaultRule`]).
//!
//! # A notice, in no time
//! Under Tokio's paused time (feature `test-util`) an hour of polling takes milliseconds, and
//! every run is the same:
//! ```
//! use std::time::Duration;
//! use spot_core::{notice::{InstanceAction, Signal}, source::NoticeSource};
//! use spot_imds::{sim::Imds, source::ImdsSource};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let imds = Imds::builder()
//!     .instance("i-0123456789abcdef0")
//!     .spot_notice(Duration::from_secs(3_600), InstanceAction::Stop, Duration::from_secs(120))
//!     .build()
//!     .shared();
//!
//! let mut source = ImdsSource::builder(imds.client().build()?).build()?;
//! let notice = loop {
//!     if let Signal::Raised(notice) = source.next().await {
//!         break notice;
//!     }
//! };
//! assert_eq!(notice.action, InstanceAction::Stop);
//! print!("{}", imds.timeline());
//! # Ok::<(), spot_imds::options::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! # What goes wrong
//! Faults use the vocabulary of [`spot_core::sim::Fault`]:
//! ```
//! use std::time::Duration;
//! use spot_core::sim::Fault;
//! use spot_imds::sim::{FaultRule, Imds};
//!
//! let imds = Imds::builder()
//!     // A pod behind a hop limit of 1: the token never arrives.
//!     .fault(FaultRule::new(Fault::BlackHole).on("/latest/api/token").until(Duration::from_secs(60)))
//!     // Throttled, three times.
//!     .fault(FaultRule::new(Fault::status(503)).on("spot/instance-action").times(3))
//!     .build();
//! ```
//!
//! # Limits
//! - Below `/latest/` only `api/token`, `meta-data/` and the instance identity document are
//!   served: no user data, no other dynamic data, no credentials, no dated versions. The identity
//!   document names no account and no image.
//! - There is no throttling of its own; script a [`Fault::Status`](spot_core::sim::Fault).
//! - In memory there are no connections: one that is kept alive cannot be lost. On a port,
//!   connecting is refused only by a rule for every path without a count; any other
//!   `Refused` resets the connection once the request is known.
//! - The instance never ends, whatever was announced.

mod announcement;
mod builder;
mod imds;
mod record;
mod reply;
mod rule;
mod server;
mod shared;
mod tokens;

pub use announcement::{Announcement, AnnouncementId};
pub use builder::ImdsBuilder;
pub use imds::Imds;
pub use record::Asked;
pub use reply::{Delivery, Reply};
pub use rule::FaultRule;
pub use server::Server;
pub use shared::SharedImds;
