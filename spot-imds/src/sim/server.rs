//! The simulator on a port, for any client of HTTP.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::reply::{Delivery, Reply, pace};
use super::shared::SharedImds;

/// How long what is sent has to leave before a connection is cut off, and how long a failed
/// attempt to listen or accept waits.
const MOMENT: Duration = Duration::from_millis(5);

/// How many pieces a second a slow body comes in.
const PIECES: u32 = 20;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 256;

/// A [`SharedImds`] on a port: HTTP/1.1, connections kept alive.
///
/// Its faults are real: a reset is an RST, a refusal a closed port, a black hole a connection on
/// which nothing comes. Needs Tokio with I/O and time, in real time: under paused time every
/// request over a socket times out.
///
/// ```
/// use spot_imds::{client::ImdsClient, sim::{Imds, Server}};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let imds = Imds::builder().instance("i-0abc").build().shared();
/// let server = Server::bind(imds, "127.0.0.1:0".parse()?)?;
/// let client = ImdsClient::builder().endpoint(server.url()).build()?;
/// let ask = async { assert_eq!(client.instance_id().await.unwrap().unwrap(), "i-0abc") };
/// server.run(ask).await; // until that is done
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Server {
    imds: SharedImds,
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// Never listens: it keeps the port while connections are refused.
    _keeper: TcpSocket,
}

impl Server {
    /// Takes an address; port 0 is any that is free.
    ///
    /// # Errors
    /// As the system says.
    pub fn bind(imds: SharedImds, address: SocketAddr) -> io::Result<Self> {
        let keeper = socket(address)?;
        let address = keeper.local_addr()?;
        let listener = Some(socket(address)?.listen(BACKLOG)?);
        Ok(Self {
            imds,
            address,
            listener,
            _keeper: keeper,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, for a client's `endpoint` or a handler's `--metadata-url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `shutdown` is done; connections are then cut off.
    ///
    /// # Cancel safety
    /// Dropping the future ends everything at once.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = JoinSet::new();
        loop {
            let imds = self.imds.clone();
            let changed = imds.changed();
            let refusing = self.imds.is_refusing();
            if refusing {
                self.listener = None;
                connections.abort_all();
            } else if self.listener.is_none() {
                self.listener = socket(self.address)
                    .and_then(|socket| socket.listen(BACKLOG))
                    .ok();
            }
            let retry = !refusing && self.listener.is_none();
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = changed => {}
                Some(_) = connections.join_next() => {}
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(stream) => {
                        connections.spawn(serve(self.imds.clone(), stream));
                    }
                    // Out of descriptors, or it was gone again.
                    Err(_) => sleep(MOMENT).await,
                },
                () = sleep(MOMENT), if retry => {}
            }
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Serves one connection to its end.
async fn serve(imds: SharedImds, stream: TcpStream) {
    // Small replies at once; where that cannot be had, later.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let wire = Wire {
        stream,
        imds: imds.clone(),
        reset: Arc::clone(&reset),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (imds, reset) = (imds.clone(), Arc::clone(&reset));
        async move { answer(&imds, &request, &reset).await }
    });
    // A broken connection is its client's business.
    let _ = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

async fn answer(
    imds: &SharedImds,
    request: &Request<Incoming>,
    reset: &AtomicBool,
) -> Result<Response<Paced>, Cut> {
    let Reply { delay, delivery } = imds.handle(request);
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let (response, pacing) = match delivery {
        Delivery::Truncated(response, bytes) if bytes < response.body().len() => {
            (response, Pacing::Cut(bytes))
        }
        Delivery::Whole(response) | Delivery::Truncated(response, _) => (response, Pacing::AtOnce),
        Delivery::Slow(response, rate) => (response, Pacing::Slow(rate.max(1))),
        Delivery::Refused | Delivery::Reset => {
            reset.store(true, Ordering::Relaxed);
            return Err(Cut);
        }
        Delivery::Never => return std::future::pending().await,
    };
    let length = HeaderValue::from(response.body().len());
    let mut response = response.map(|body| Paced::new(body, pacing));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    Ok(response)
}

/// The connection is to end here.
#[derive(Debug, thiserror::Error)]
#[error("cut off on purpose")]
struct Cut;

/// How a body leaves.
enum Pacing {
    AtOnce,
    Cut(usize),
    Slow(u32),
}

/// A body that leaves as it should.
struct Paced {
    rest: Bytes,
    pacing: Pacing,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    fn new(mut rest: Bytes, pacing: Pacing) -> Self {
        let wait = match pacing {
            Pacing::Cut(bytes) => {
                rest.truncate(bytes);
                // What there is goes first: an error would take it along.
                Some(Box::pin(sleep(MOMENT)))
            }
            Pacing::AtOnce | Pacing::Slow(_) => None,
        };
        Self { rest, pacing, wait }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let piece = match self.pacing {
            Pacing::Slow(rate) if !self.rest.is_empty() => {
                let share = usize::try_from(rate / PIECES).unwrap_or(usize::MAX);
                let length = share.clamp(1, self.rest.len());
                let wait = self
                    .wait
                    .get_or_insert_with(|| Box::pin(sleep(pace(length, rate))));
                ready!(wait.as_mut().poll(context));
                self.wait = None;
                self.rest.split_to(length)
            }
            Pacing::Cut(_) if self.rest.is_empty() => {
                if let Some(wait) = &mut self.wait {
                    ready!(wait.as_mut().poll(context));
                }
                return Poll::Ready(Some(Err(Cut)));
            }
            _ => std::mem::take(&mut self.rest),
        };
        let frame = (!piece.is_empty()).then(|| Ok(Frame::data(piece)));
        Poll::Ready(frame)
    }
}

/// A connection that is reset rather than closed where it is to be.
struct Wire {
    stream: TcpStream,
    imds: SharedImds,
    reset: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) || self.imds.is_refusing() {
            // Without it the client sees an ordinary end, which is as broken.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
