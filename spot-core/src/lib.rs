//! The domain of a spot-interruption handler, with no I/O of its own (but for the feature `webhook`).
//!
//! A [`source::NoticeSource`] says that the machine will be taken away, the pure
//! [`lifecycle`] decides what that means, and the [`handler`] has it done by a
//! [`node::NodeControl`] (cordon and taint) and a [`drainer::Drainer`] (move the work
//! away) while [`observer::Observer`]s listen.
//!
//! | you have | you implement | you get |
//! |---|---|---|
//! | a program that only wants the signal | nothing: read a [`source::NoticeSource`] | [`notice::Signal`]s |
//! | a batch worker, a database | [`drainer::Drainer`] | [`handler::Handler`] |
//! | another cloud | [`source::NoticeSource`] | everything else |
//! | several readers of one source | nothing: [`source::SharedSource`] | a reader for each |
//! | something that a notice needs and that may break | [`armed::SelfCheck`] | proof, from time to time |
//!
//! What is done about which kind of notice, from when on and for how long, is a
//! [`policy::Policy`].
//!
//! Nothing here knows Kubernetes or EC2: `spot-imds` and `spot-drain` do. HTTP is known behind the
//! feature `webhook` alone.
//!
//! Feature `mock` adds a `mockall` mock of every port for your own unit tests; feature `clap`
//! adds arguments for a program; feature `prometheus` adds an observer that counts; feature
//! `webhook` adds one that tells a webhook; feature `sim` adds what the simulators of the other
//! crates share.
//!
//! # Example
//! A worker that saves its work when the machine is to go:
//! ```
//! use spot_core::drainer::{DrainOutcome, DrainReport, Drainer, Order};
//! use spot_core::handler::Handler;
//! use spot_core::notice::{Notice, NoticeId, NoticeKind, Signal};
//! use spot_core::source::NoticeSource;
//! use tokio::{sync::watch, time::Instant};
//!
//! /// Stands in for the metadata service: one notice, then silence.
//! struct OneNotice(bool);
//! #[async_trait::async_trait]
//! impl NoticeSource for OneNotice {
//!     async fn next(&mut self) -> Signal {
//!         if std::mem::replace(&mut self.0, true) {
//!             std::future::pending::<()>().await;
//!         }
//!         let id = NoticeId::new("spot-interruption");
//!         Signal::Raised(Notice::new(id, NoticeKind::SpotInterruption, Instant::now()))
//!     }
//! }
//!
//! struct SaveWork(tokio::sync::mpsc::Sender<()>);
//! #[async_trait::async_trait]
//! impl Drainer for SaveWork {
//!     async fn drain(&self, _order: watch::Receiver<Order>) -> DrainReport {
//!         let _ = self.0.send(()).await; // write the checkpoint here
//!         DrainReport::new(DrainOutcome::Complete)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let (saved, mut wait) = tokio::sync::mpsc::channel(1);
//! let handler = Handler::builder(SaveWork(saved)).source(OneNotice(false)).build();
//! handler.run(async move { wait.recv().await.unwrap_or(()) }).await.unwrap();
//! # });
//! ```

#[cfg(feature = "clap")]
pub mod args;
pub mod armed;
pub mod clock;
pub mod deadline;
pub mod drainer;
pub mod handler;
pub mod lifecycle;
#[cfg(feature = "prometheus")]
pub mod metrics;
pub mod node;
pub mod notice;
pub mod observer;
pub mod policy;
pub mod pulse;
pub mod recurring;
#[cfg(feature = "sim")]
pub mod sim;
pub mod source;
#[cfg(feature = "webhook")]
pub mod webhook;
