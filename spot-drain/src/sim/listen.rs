//! The simulator on a port: HTTP/1.1, for `kubectl` and for binaries as they ship.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::service::Sim;

/// The largest body that is read.
const BODY: usize = 8 << 20;
/// How long to wait where no connection can be taken.
const PAUSE: Duration = Duration::from_millis(100);

impl Sim {
    /// Serves this cluster on a listener and lets it live, as [`Sim::run`] does. It never
    /// returns; dropping it closes all connections.
    ///
    /// There is no TLS and no authentication: listen on a loopback address.
    pub async fn serve(&self, listener: TcpListener) -> Infallible {
        let mut connections = JoinSet::new();
        let accept = async {
            loop {
                tokio::select! {
                    biased;
                    Some(_) = connections.join_next() => {}
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(connection(self.clone(), stream));
                        }
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    },
                }
            }
        };
        tokio::select! {
            never = accept => never,
            never = self.run() => never,
        }
    }
}

/// One connection to its end. What breaks it is the client's affair, or a fault's.
async fn connection(sim: Sim, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let sim = sim.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, BODY).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            sim.respond(Request::from_parts(parts, body)).await
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the simulator ended");
    }
}
