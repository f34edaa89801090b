//! EC2 instance metadata for programs that must know when their instance is taken away.
//!
//! [`source::ImdsSource`] polls the instance metadata service and says what it announces (Spot
//! interruptions, rebalance recommendations, scheduled maintenance, terminations by an Auto
//! Scaling group) as a [`spot_core::source::NoticeSource`]: hand it to a
//! `spot_core::handler::Handler`, or read it yourself as below. No Kubernetes and no AWS
//! credentials are needed.
//!
//! | module | what for |
//! |---|---|
//! | [`source`] | notices of every kind, for ever, whatever the service does |
//! | [`client`] | single questions to the service, `IMDSv2` only |
//! | [`document`] | a reply: body, `Date`, when it came |
//! | [`decode`] | bodies to values, pure |
//! | [`transport`] | the port to the network, replaceable in tests |
//! | [`options`] | what can be set, and its bounds |
//! | [`observer`] | the port that is told of every request |
//! | [`error`] | why there is no answer, and what mends it |
//! | [`hardware`] | whether this machine is EC2's, for when nothing answers |
//! | `args` (feature `clap`) | arguments for a program |
//! | `metrics` (feature `prometheus`) | an observer that counts |
//! | `sim` (feature `sim`) | a simulated metadata service, in memory or on a port |
//!
//! Feature `mock` adds mockall's mocks of the ports: `transport::MockTransport`,
//! `observer::MockExchangeObserver`, and `MockNoticeSource` in `spot-core`.
//!
//! # Example
//! A worker that wants the signal and nothing else. It runs anywhere, because its metadata is
//! canned; leave the `transport` out to ask the real service.
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use spot_core::{notice::Signal, source::NoticeSource};
//! use spot_imds::{client::ImdsClient, source::ImdsSource};
//! use spot_imds::transport::{Transport, TransportError};
//!
//! struct Canned;
//! #[async_trait::async_trait]
//! impl Transport for Canned {
//!     async fn send(
//!         &self,
//!         request: Request<Bytes>,
//!         _max_body: usize,
//!     ) -> Result<Response<Bytes>, TransportError> {
//!         let body: &[u8] = match request.uri().path() {
//!             "/latest/api/token" => b"a-token",
//!             "/latest/meta-data/instance-id" => b"i-0123456789abcdef0",
//!             "/latest/meta-data/spot/instance-action" => {
//!                 br#"{"action":"terminate","time":"2099-01-01T00:00:00Z"}"#
//!             }
//!             _ => {
//!                 let mut absent = Response::new(Bytes::new());
//!                 *absent.status_mut() = http::StatusCode::NOT_FOUND;
//!                 return Ok(absent);
//!             }
//!         };
//!         Ok(Response::new(Bytes::from_static(body)))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let client = ImdsClient::builder().transport(Arc::new(Canned)).build()?;
//! let mut source = ImdsSource::builder(client).build()?;
//! let notice = loop {
//!     if let Signal::Raised(notice) = source.next().await {
//!         break notice;
//!     }
//! };
//! println!("save your work: {} at {:?}", notice.action, notice.deadline.map(|d| d.wall()));
//! # Ok::<(), spot_imds::options::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! # Where there may be no notice
//! A program that also runs on a laptop, on demand or behind a hop limit tells these apart by
//! types, not by text:
//!
//! | the machine | what the source says |
//! |---|---|
//! | a Spot instance | [`Signal::Identified`](spot_core::notice::Signal::Identified) with [`LifeCycle::Spot`](spot_core::notice::LifeCycle::Spot), then good health |
//! | an instance on demand | the same with [`LifeCycle::OnDemand`](spot_core::notice::LifeCycle::OnDemand): no interruption will come, but maintenance or its Auto Scaling group may |
//! | no EC2 instance | failing health with [`Trouble::NotHere`](spot_core::notice::Trouble::NotHere): something else answers, or nothing does and the [hardware](hardware::Hardware) is somebody else's |
//! | an instance that cannot reach its metadata | failing health with [`Trouble::Unreachable`](spot_core::notice::Trouble::Unreachable): a hop limit, a firewall; also where nothing answers and the hardware does not tell |
//! | an instance whose metadata is switched off | failing health with [`Trouble::Refused`](spot_core::notice::Trouble::Refused) |
//! | one that asks too often | failing health with [`Trouble::Overloaded`](spot_core::notice::Trouble::Overloaded) |
//! | one that is answered nonsense, by a proxy perhaps | failing health with [`Trouble::Garbled`](spot_core::notice::Trouble::Garbled) |
//!
//! In every one of them the source goes on asking.
//!
//! # Your own tests
//! ```toml
//! [dev-dependencies]
//! spot-imds = { version = "0.1", features = ["sim"] }
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! ```
//! From the smallest to the largest:
//!
//! 1. **What your program does about a notice.** Let it take any
//!    [`NoticeSource`](spot_core::source::NoticeSource), and hand it one of your own, or the mock.
//! 2. **Your program with the real client.** The simulator in memory, under paused time: two
//!    minutes' notice, a service that is away for an hour, a token that expires, all in
//!    milliseconds and always the same.
//! 3. **Your binary as it is shipped.** The simulator on a port (`sim::Server`), and its URL for
//!    the binary's setting. Real time; never paused time, under which every request over a
//!    socket times out.
//! 4. **A rehearsal** on a machine or a cluster: `spot-interrupt-handler simulate`.
//!
//! The second, for a function `work` that is to end with its work saved:
#![cfg_attr(feature = "sim", doc = "```")]
#![cfg_attr(not(feature = "sim"), doc = "```ignore")]
//! use std::time::Duration;
//! use spot_core::{notice::{InstanceAction, Signal}, sim::Fault, source::NoticeSource};
//! use spot_imds::{sim::{FaultRule, Imds}, source::ImdsSource};
//! use tokio::time::Instant;
//!
//! /// Returns how much time was left when the work was saved.
//! async fn work(mut source: impl NoticeSource) -> Duration {
//!     loop {
//!         if let Signal::Raised(notice) = source.next().await {
//!             tokio::time::sleep(Duration::from_secs(20)).await; // saving takes a while
//!             let now = Instant::now();
//!             return notice.deadline.map_or(Duration::ZERO, |d| d.remaining(now));
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! // #[tokio::test(start_paused = true)]
//! let seconds = Duration::from_secs;
//! let imds = Imds::builder()
//!     .spot_notice(seconds(600), InstanceAction::Terminate, seconds(120))
//!     // The service is overloaded when the notice comes.
//!     .fault(FaultRule::new(Fault::status(503)).from(seconds(590)).until(seconds(630)))
//!     .build()
//!     .shared();
//! let source = ImdsSource::builder(imds.client().build()?).build()?;
//! assert!(work(source).await > seconds(60));
//! // What the service saw, for a test that fails:
//! println!("{}{:?}", imds.timeline(), imds.asked().last());
//! # Ok::<(), spot_imds::options::ConfigError>(())
//! # }).unwrap();
//! ```
//!
//! # Limits
//! - A notice reaches one reader: several need a source each, or something that passes it on.
//! - Instances that are not Spot, and machines that are not on EC2, are polled like any other.
//! - Health speaks of one path at a time: of those that fail, the one of the weightiest kind.
//! - Of a list of maintenance the first 64 events are read; a longer one shows as failing
//!   health.
//! - An event of maintenance that is scheduled again under another id is another notice.
//! - After a suspend a deadline is corrected only where replies carry a `Date`.
//! - `IMDSv1` is not spoken, nor TLS, nor proxies.
//! - A deadline that is anchored by the service's `Date` may be late by up to a second, the
//!   resolution of that header, and by the time that the reply took.
//! - An interruption that is taken back stands until its deadline, and three minutes at least;
//!   EC2 does not do that.

#[cfg(feature = "clap")]
pub mod args;
pub mod client;
pub mod decode;
pub mod document;
pub mod error;
pub mod hardware;
#[cfg(feature = "prometheus")]
pub mod metrics;
pub mod observer;
pub mod options;
mod quote;
#[cfg(feature = "sim")]
pub mod sim;
pub mod source;
mod token;
pub mod transport;
