//! Health over HTTP: `/healthz` (does it go on?), `/readyz` (would a notice now be acted on?) and
//! `/metrics`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use spot_core::lifecycle::Readiness;
use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::{self, HandlerMetrics};
use spot_core::pulse::Pulse;
use spot_drain::metrics::DrainMetrics;
use spot_drain::report::PodOutcome;
use spot_imds::metrics::ImdsMetrics;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What a connection may take: one request each, so that no peer can hold one for long.
const REQUEST: Duration = Duration::from_secs(10);
/// How many there are at a time.
const CONNECTIONS: usize = 32;
/// How long to wait where no connection can be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// A loop that has not turned for so long stands still: twice the longest poll interval, and what
/// a request may take.
const STALE: Duration = Duration::from_secs(130);

/// What is counted, and the page that shows it.
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) handler: HandlerMetrics,
    pub(crate) imds: ImdsMetrics,
    pub(crate) drain: DrainMetrics,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let handler = HandlerMetrics::register(&mut registry, env!("CARGO_PKG_VERSION"));
        let outcomes = PodOutcome::LEFT_BEHIND.into_iter();
        Self {
            handler: handler.with_outcomes(outcomes.chain(PodOutcome::DEALT_WITH)),
            imds: ImdsMetrics::register(&mut registry),
            drain: DrainMetrics::register(&mut registry),
            registry,
        }
    }
}

/// What is asked after.
pub(crate) struct Health {
    pub(crate) readiness: watch::Receiver<Readiness>,
    /// What must go on, by name.
    pub(crate) pulses: [(&'static str, Pulse); 2],
    pub(crate) registry: Registry,
}

impl Health {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, body) = match path {
            _ if !matches!(*method, Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, String::new())
            }
            "/healthz" => {
                let stale = self.stale(Instant::now());
                answer(stale.is_empty(), &stale)
            }
            "/readyz" => {
                let readiness = self.readiness.borrow();
                answer(readiness.ready, &readiness.missing)
            }
            "/metrics" => (StatusCode::OK, metrics::text(&self.registry)),
            _ => (StatusCode::NOT_FOUND, String::new()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let media = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, media);
        response
    }

    /// What stands still.
    fn stale(&self, now: Instant) -> Vec<String> {
        let stale = self
            .pulses
            .iter()
            .filter(|(_, pulse)| pulse.age(now) > STALE);
        let line = |(name, pulse): &(&str, Pulse)| {
            format!("{name} stands still for {} s", pulse.age(now).as_secs())
        };
        stale.map(line).collect()
    }
}

/// Binds the address, where one is asked for.
pub(crate) async fn bind(address: Option<SocketAddr>) -> io::Result<Option<TcpListener>> {
    match address {
        Some(address) => TcpListener::bind(address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves for ever; where there is nothing to serve it waits as long.
pub(crate) async fn serve(listener: Option<TcpListener>, health: Health) -> Infallible {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let health = Arc::new(health);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&health)));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// One request and its answer. What goes wrong with it is the peer's affair.
async fn connection(stream: TcpStream, health: Arc<Health>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answer = health.answer(request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut http = http1::Builder::new();
    let served = http
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    let _ = timeout(REQUEST, served).await;
}

/// Text, or what is wrong.
fn answer(is_well: bool, wrong: &[String]) -> (StatusCode, String) {
    if is_well {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_named() {
        let start = Instant::now();
        let (main, polling) = (Pulse::new(start), Pulse::new(start));
        let (_keep, readiness) = watch::channel(Readiness::default());
        let health = Health {
            readiness,
            pulses: [("the main loop", main.clone()), ("polling", polling)],
            registry: Registry::default(),
        };
        let later = start + STALE;
        assert_eq!(health.stale(later), [""; 0]);
        main.beat(later);
        let now = later + Duration::from_secs(1);
        assert_eq!(health.stale(now), ["polling stands still for 131 s"]);
        let status = |path, method| health.answer(&method, path).status().as_u16();
        assert_eq!(status("/healthz", Method::GET), 200);
        assert_eq!(
            status("/readyz", Method::GET),
            503,
            "nothing was looked at yet"
        );
        assert_eq!(status("/", Method::GET), 404);
        assert_eq!(status("/metrics", Method::POST), 405);
    }
}
