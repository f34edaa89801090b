//! Health over HTTP: `/healthz` (alive) and `/readyz` (would a notice now be acted on?).

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use spot_core::lifecycle::Readiness;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Binds the address, where one is asked for.
pub(crate) async fn bind(address: Option<SocketAddr>) -> io::Result<Option<TcpListener>> {
    match address {
        Some(address) => TcpListener::bind(address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves until it fails; for ever where there is nothing to serve.
pub(crate) async fn serve(
    listener: Option<TcpListener>,
    readiness: watch::Receiver<Readiness>,
) -> io::Result<()> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(readiness);
    axum::serve(listener, router).await
}

async fn ready(State(readiness): State<watch::Receiver<Readiness>>) -> (StatusCode, String) {
    let readiness = readiness.borrow();
    if readiness.ready {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            readiness.missing.join("\n") + "\n",
        )
    }
}
