//! The simulator in use: changed while it runs, and answering in memory.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use spot_core::sim::{Timeline, VirtualClock};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::announcement::{Announcement, AnnouncementId};
use super::imds::Imds;
use super::record::Asked;
use super::reply::{Delivery, Reply, pace};
use super::rule::FaultRule;
use crate::client::{ImdsClient, ImdsClientBuilder};
use crate::transport::{Transport, TransportError};

/// A simulator that answers: clones share it.
///
/// It is a [`Transport`]: [`client`](Self::client) gives a client that asks it in memory, with
/// no socket, so that paused time works. It never waits for anything but time.
#[derive(Clone, Debug)]
pub struct SharedImds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    imds: Mutex<Imds>,
    changed: Notify,
    clock: VirtualClock,
}

impl SharedImds {
    pub(super) fn new(imds: Imds) -> Self {
        Self(Arc::new(Inner {
            clock: imds.clock(),
            imds: Mutex::new(imds),
            changed: Notify::new(),
        }))
    }

    /// Changes or reads anything, at one moment.
    ///
    /// ```
    /// # use spot_imds::sim::Imds;
    /// let imds = Imds::builder().build().shared();
    /// imds.with(|imds, _now| imds.revoke_tokens());
    /// ```
    pub fn with<T>(&self, change: impl FnOnce(&mut Imds, Instant) -> T) -> T {
        let changed = self.locked(change);
        self.0.changed.notify_waiters();
        changed
    }

    fn locked<T>(&self, change: impl FnOnce(&mut Imds, Instant) -> T) -> T {
        let mut imds = self.0.imds.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: moments never go back.
        change(&mut imds, Instant::now())
    }

    /// Announces something; its times count from now.
    pub fn announce(&self, announcement: Announcement) -> AnnouncementId {
        self.with(|imds, now| imds.announce(announcement, now))
    }

    /// Takes something back now.
    pub fn cancel(&self, id: AnnouncementId) {
        self.with(|imds, now| imds.cancel(id, now));
    }

    /// Something has happened as announced, now.
    pub fn complete(&self, id: AnnouncementId) {
        self.with(|imds, now| imds.complete(id, now));
    }

    /// A maintenance is to begin so long from now instead.
    pub fn reschedule(&self, id: AnnouncementId, left: Duration) {
        self.with(|imds, now| imds.reschedule(id, left, now));
    }

    /// Makes some requests go wrong; the rule's times count from now.
    pub fn fault(&self, rule: FaultRule) {
        self.with(|imds, now| imds.fault(rule, now));
    }

    /// The requests that were made, oldest first; the last ones, where there were many.
    pub fn asked(&self) -> Vec<Asked> {
        self.locked(|imds, _| imds.asked().cloned().collect())
    }

    /// What has happened so far.
    pub fn timeline(&self) -> Timeline {
        self.locked(|imds, now| imds.timeline(now))
    }

    /// The simulator's clock, without the skew of the header `Date`.
    pub fn clock(&self) -> VirtualClock {
        self.0.clock
    }

    /// A client that asks it in memory, to be changed further.
    pub fn client(&self) -> ImdsClientBuilder {
        ImdsClient::builder().transport(Arc::new(self.clone()))
    }

    /// Answers one request as of now.
    pub(super) fn handle<B>(&self, request: &Request<B>) -> Reply {
        self.locked(|imds, now| imds.handle(request, now))
    }

    /// Whether connections are refused now.
    pub(super) fn is_refusing(&self) -> bool {
        self.locked(|imds, now| imds.is_refusing(now))
    }

    /// Until it is changed from outside, counted from this call, or connections may be refused
    /// or taken again.
    pub(super) fn changed(&self) -> impl Future<Output = ()> {
        let changed = self.0.changed.notified();
        let next = self.locked(|imds, now| imds.next_refusal(now));
        async move {
            tokio::select! {
                biased;
                () = changed => {}
                () = until(next) => {}
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Transport for SharedImds {
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let Reply { delay, delivery } = self.handle(&request);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let fault = |kind: io::ErrorKind| io::Error::from(kind).into();
        let broken = |kind| Err(TransportError::Broken(fault(kind)));
        let (response, sent) = match delivery {
            Delivery::Whole(response) => (response, usize::MAX),
            Delivery::Truncated(response, bytes) => (response, bytes),
            Delivery::Slow(response, rate) => {
                // No more is read than may be.
                let read = response.body().len().min(max_body.saturating_add(1));
                sleep(pace(read, rate)).await;
                (response, usize::MAX)
            }
            Delivery::Refused => {
                let kind = io::ErrorKind::ConnectionRefused;
                return Err(TransportError::Connect(fault(kind)));
            }
            Delivery::Reset => return broken(io::ErrorKind::ConnectionReset),
            Delivery::Never => return std::future::pending().await,
        };
        let length = response.body().len();
        if length.min(sent) > max_body {
            Err(TransportError::TooLarge)
        } else if sent < length {
            broken(io::ErrorKind::UnexpectedEof)
        } else {
            Ok(response)
        }
    }
}
