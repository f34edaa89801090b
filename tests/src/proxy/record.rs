//! What was asked through the proxy, and who decides what goes wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use spot_core::clock::Now;
use spot_drain::sim::{Faults, Injection, Recorded};
use tokio::time::Instant;

use crate::clock::wall_now;

/// All requests so far.
#[derive(Default)]
pub(super) struct Records(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    exchanges: Vec<Recorded>,
    faults: Option<Box<dyn Faults>>,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_faults(&self, faults: Box<dyn Faults>) {
        self.lock().faults = Some(faults);
    }

    pub(super) fn all(&self) -> Vec<Recorded> {
        self.lock().exchanges.clone()
    }

    /// Writes a request down and asks what goes wrong with it.
    pub(super) fn received(&self, request: &Request<Bytes>) -> (usize, Injection) {
        let now = Now {
            instant: Instant::now(),
            wall: wall_now(),
        };
        let mut inner = self.lock();
        let number = inner.exchanges.len();
        inner.exchanges.push(Recorded::new(request, now.instant));
        let count = u64::try_from(number).unwrap_or(u64::MAX);
        let fault = match &mut inner.faults {
            Some(faults) => faults.decide(count, request, now),
            None => Injection::none(),
        };
        (number, fault)
    }

    pub(super) fn answered(&self, number: usize, status: u16) {
        if let Some(exchange) = self.lock().exchanges.get_mut(number) {
            exchange.status = Some(status);
            exchange.ended = Some(Instant::now());
        }
    }
}
