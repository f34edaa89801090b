//! What was asked through the proxy, and who decides what goes wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, header};
use spot_core::clock::Now;
use spot_drain::sim::{Fault, Faults};
use tokio::time::Instant;

use crate::clock::wall_now;

/// A request as it was on the wire, and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it had come, body and all.
    pub at: Instant,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its query, empty where there is none.
    pub query: String,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// Its body.
    pub body: Bytes,
    /// The status that it was answered with; `None` where it was not answered.
    pub status: Option<u16>,
    /// When the answer went out (for a watch: when it began to); `None` where none did.
    pub answered: Option<Instant>,
}

/// All requests so far.
#[derive(Default)]
pub(super) struct Records(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    exchanges: Vec<Exchange>,
    faults: Option<Box<dyn Faults>>,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_faults(&self, faults: Box<dyn Faults>) {
        self.lock().faults = Some(faults);
    }

    pub(super) fn all(&self) -> Vec<Exchange> {
        self.lock().exchanges.clone()
    }

    /// Writes a request down and asks what goes wrong with it.
    pub(super) fn received(&self, request: &Request<Bytes>) -> (usize, Fault) {
        let now = Now {
            instant: Instant::now(),
            wall: wall_now(),
        };
        let agent = request.headers().get(header::USER_AGENT);
        let mut inner = self.lock();
        let number = inner.exchanges.len();
        inner.exchanges.push(Exchange {
            at: now.instant,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            user_agent: agent.and_then(|a| a.to_str().ok()).unwrap_or("").to_owned(),
            body: request.body().clone(),
            status: None,
            answered: None,
        });
        let count = u64::try_from(number).unwrap_or(u64::MAX);
        let fault = match &mut inner.faults {
            Some(faults) => faults.decide(count, request, now),
            None => Fault::none(),
        };
        (number, fault)
    }

    pub(super) fn answered(&self, number: usize, status: u16) {
        if let Some(exchange) = self.lock().exchanges.get_mut(number) {
            exchange.status = Some(status);
            exchange.answered = Some(Instant::now());
        }
    }
}
