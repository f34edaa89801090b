//! EC2 instance metadata for programs that must know when their Spot instance is taken back.
//!
//! [`source::ImdsSource`] polls the instance metadata service and says what it announces, as a
//! [`spot_core::source::NoticeSource`]: hand it to a `spot_core::handler::Handler`, or read it
//! yourself as below. No Kubernetes and no AWS credentials are needed.
//!
//! | module | what for |
//! |---|---|
//! | [`source`] | interruption notices, for ever, whatever the service does |
//! | [`client`] | single questions to the service, `IMDSv2` only |
//! | [`document`] | a reply: body, `Date`, when it came |
//! | [`decode`] | bodies to values, pure |
//! | [`transport`] | the port to the network, replaceable in tests |
//! | [`options`] | what can be set, and its bounds |
//! | [`error`] | why there is no answer, and what mends it |
//! | `args` (feature `clap`) | arguments for a program |
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
//!             _ => b"unknown",
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
//! # Limits
//! - Only `spot/instance-action` is polled. Rebalance recommendations, scheduled maintenance
//!   and Auto Scaling's target lifecycle state are not read yet.
//! - A notice reaches one reader: several need a source each, or something that passes it on.
//! - Instances that are not Spot, and machines that are not on EC2, are polled like any other.
//! - `IMDSv1` is not spoken, nor TLS, nor proxies.
//! - A deadline that is anchored by the service's `Date` may be late by up to a second, the
//!   resolution of that header, and by the time that the reply took.
//! - A notice that is taken back would not be noticed; EC2 does not do that.

#[cfg(feature = "clap")]
pub mod args;
pub mod client;
pub mod decode;
pub mod document;
pub mod error;
pub mod options;
mod quote;
#[cfg(feature = "sim")]
pub mod sim;
pub mod source;
mod token;
pub mod transport;
