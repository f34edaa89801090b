//! Health over HTTP: `/healthz` (does it go on?), `/readyz` (would a notice now be acted on?) and
//! `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use spot_core::lifecycle::Readiness;
use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::metrics::{self, HandlerMetrics};
use spot_core::pulse::Pulse;
use spot_drain::metrics::DrainMetrics;
use spot_imds::metrics::ImdsMetrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

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
        Self {
            handler: HandlerMetrics::register(&mut registry, env!("CARGO_PKG_VERSION")),
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

/// Serves until it fails; for ever where there is nothing to serve.
pub(crate) async fn serve(listener: Option<TcpListener>, health: Health) -> io::Result<()> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(health));
    axum::serve(listener, router).await
}

async fn alive(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let stale = health.stale(Instant::now());
    answer(stale.is_empty(), &stale)
}

async fn ready(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let readiness = health.readiness.borrow();
    answer(readiness.ready, &readiness.missing)
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let media = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (media, metrics::text(&health.registry))
}

/// Well, or what is wrong.
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
        assert_eq!(answer(false, &[]).0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
