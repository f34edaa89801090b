//! The proxy's side of the socket: it listens, or refuses; it closes, or resets.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::forward::Upstream;

/// The largest body that is read of a client.
const BODY: usize = 8 << 20;
/// How long to wait where no connection can be taken, or the port not be bound again.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes connections while `wanted` says so, and says so in `taken`.
pub(super) async fn serve(
    mut listener: TcpListener,
    upstream: Upstream,
    mut wanted: watch::Receiver<bool>,
    taken: watch::Sender<bool>,
) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    loop {
        if accept(listener, &upstream, &mut wanted).await.is_none() {
            return;
        }
        taken.send_replace(false);
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
        listener = bind(address).await;
        taken.send_replace(true);
    }
}

/// Serves all connections until they are no longer wanted; `None` where nobody is left to want
/// any. All of them are reset then.
async fn accept(
    listener: TcpListener,
    upstream: &Upstream,
    wanted: &mut watch::Receiver<bool>,
) -> Option<()> {
    let mut connections = JoinSet::new();
    let wanted = loop {
        tokio::select! {
            biased;
            unwanted = until_unwanted(wanted) => break unwanted,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, upstream.clone()));
                }
                Err(_) => sleep(PAUSE).await,
            },
        }
    };
    drop(listener);
    connections.shutdown().await;
    wanted
}

async fn until_unwanted(wanted: &mut watch::Receiver<bool>) -> Option<()> {
    wanted.wait_for(|wanted| !wanted).await.ok().map(drop)
}

async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// One connection, to its end. Only a client ends it in peace: what ends it here, an error or
/// the task's abortion, resets it.
async fn connection(stream: TcpStream, upstream: Upstream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let upstream = upstream.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, BODY).collect().await;
            let body: Bytes = body.map_err(io::Error::other)?.to_bytes();
            upstream.answer(Request::from_parts(parts, body)).await
        }
    });
    let io = TokioIo::new(Resetting {
        stream,
        shut_down: false,
    });
    // What went wrong is what was asked for, or the client's affair.
    let _ = http1::Builder::new().serve_connection(io, service).await;
}

/// A stream that is reset when it is dropped before it was shut down.
struct Resetting {
    stream: TcpStream,
    shut_down: bool,
}

impl Drop for Resetting {
    /// With no time to linger, the kernel sends an RST in place of a FIN.
    fn drop(&mut self) {
        if !self.shut_down {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resetting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resetting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
