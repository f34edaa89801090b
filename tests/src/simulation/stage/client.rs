//! The API server as one handler reaches it.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{HeaderValue, Request, header};
use kube::client::Body;
use spot_drain::sim::SimService;
use tokio::time::Instant;
use tower::Service;

/// After so many requests within one moment there are no more answers in it: a storm would have
/// no end, as time only passes when all is done.
const STORM: usize = 1_000;

/// Every request says whose it is.
#[derive(Clone, Debug)]
pub(super) struct Named {
    inner: SimService,
    name: HeaderValue,
    moment: Arc<Mutex<Moment>>,
}

/// The requests of one moment.
#[derive(Debug)]
struct Moment {
    at: Instant,
    requests: usize,
}

impl Named {
    pub(super) fn new(inner: SimService, who: &str) -> Self {
        let (at, requests) = (Instant::now(), 0);
        Self {
            inner,
            name: HeaderValue::from_str(who).unwrap_or(HeaderValue::from_static("nobody")),
            moment: Arc::new(Mutex::new(Moment { at, requests })),
        }
    }

    /// Counts a request, and tells whether there are too many at once.
    fn storm(&self) -> bool {
        let now = Instant::now();
        let mut moment = self.moment.lock().unwrap_or_else(PoisonError::into_inner);
        if moment.at != now {
            *moment = Moment {
                at: now,
                requests: 0,
            };
        }
        moment.requests += 1;
        moment.requests > STORM
    }
}

impl Service<Request<Body>> for Named {
    type Response = <SimService as Service<Request<Body>>>::Response;
    type Error = <SimService as Service<Request<Body>>>::Error;
    type Future = <SimService as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.storm() {
            return Box::pin(pending());
        }
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.name.clone());
        self.inner.call(request)
    }
}
