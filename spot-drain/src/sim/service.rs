//! The simulator as a service: a client's requests, with faults, into a [`World`] that is
//! brought up to the time of each.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use spot_core::sim::Fault;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::api::{Answer, Reply};
use super::failure::{Failure, answer};
use super::fault::{Faults, Injection, WatchFault};
use super::record::{Effect, Recorded};
use super::watch::{Followed, Watch};
use super::world::World;

/// The body of an answer.
pub type SimBody = UnsyncBoxBody<Bytes, io::Error>;

/// A simulated cluster that clients can reach. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Mutex<Inner>>,
    /// Says that something has changed. It wakes in the order in which was waited: a channel of
    /// tokio's that wakes all of its readers does so in an order that is drawn anew in each run.
    changed: Arc<Notify>,
}

struct Inner {
    world: World,
    faults: Option<Box<dyn Faults>>,
    requests: Vec<Recorded>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

impl Sim {
    /// Makes a cluster reachable.
    pub fn new(world: World) -> Self {
        let inner = Inner {
            world,
            faults: None,
            requests: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who decides what goes wrong from now on.
    pub fn set_faults(&self, faults: impl Faults + 'static) {
        self.lock().faults = Some(Box::new(faults));
    }

    /// Looks at the cluster, or changes it, at this moment.
    pub fn with<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut inner = self.lock();
        let before = inner.world.api().version();
        inner.world.advance(Instant::now());
        let out = look(&mut inner.world);
        inner.world.advance(Instant::now());
        self.tell(&inner, before);
        out
    }

    /// The requests that came so far, in the order in which they were taken.
    pub fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.clone()
    }

    /// A client of this cluster, without a socket. It must be made within a tokio runtime.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// This cluster as a service.
    pub fn service(&self) -> SimService {
        SimService(self.clone())
    }

    /// Lets the cluster live: what is due happens at its time. It never returns; drop it to
    /// stop the cluster's time.
    ///
    /// Without it the cluster only moves on when it is asked something.
    pub async fn run(&self) -> Infallible {
        loop {
            let (next, changed) = {
                let mut inner = self.lock();
                let before = inner.world.api().version();
                inner.world.advance(Instant::now());
                self.tell(&inner, before);
                // What changes from here on is told.
                (inner.world.next_event(), self.changed.notified())
            };
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = due => {}
            }
        }
    }

    fn tell(&self, inner: &Inner, before: u64) {
        if inner.world.api().version() != before {
            self.changed.notify_waiters();
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Where a fault breaks the connection.
    pub async fn respond(&self, request: Request<Bytes>) -> Result<Response<SimBody>, io::Error> {
        let (number, injected) = self.record(&request);
        // Whoever asked may go away at any moment.
        let _open = Open { sim: self, number };
        pause(injected.before).await;
        let answered = match &injected.fault {
            Some(Fault::Status {
                code,
                retry_after,
                body,
            }) => {
                pause(injected.after).await;
                return Ok(self.whole(number, canned(*code, *retry_after, body)));
            }
            Some(Fault::Refused) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Fault::ResetBefore) => return Err(reset()),
            Some(Fault::BlackHole) => return pending().await,
            _ => self.perform(number, &request, injected.lag),
        };
        pause(answered.delay + injected.after).await;
        let fault = injected.fault;
        match fault {
            Some(Fault::ResetAfter) => return Err(reset()),
            Some(Fault::BlackHoleAfter) => return pending().await,
            Some(Fault::Delay(by)) => pause(by).await,
            _ => {}
        }
        match answered.reply {
            Reply::Whole(response) => match fault {
                Some(Fault::Truncate(at)) => Ok(self.truncated(number, response, at)),
                Some(Fault::Oversize(size)) => Ok(self.whole(number, padded(response, size))),
                Some(Fault::Slow(rate)) => {
                    let millis = response.body().len() * 1_000;
                    let millis = u64::try_from(millis).unwrap_or(u64::MAX) / u64::from(rate.max(1));
                    pause(Duration::from_millis(millis)).await;
                    Ok(self.whole(number, response))
                }
                _ => Ok(self.whole(number, response)),
            },
            Reply::Watch(watch) => {
                self.answered(number, 200);
                let lines = Lines::new(self.clone(), watch, injected.watch).stream();
                let body = StreamBody::new(lines.map(|line| line.map(Frame::data)));
                let mut response = Response::new(body.boxed_unsync());
                let json = header::HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                Ok(response)
            }
        }
    }

    /// Lets a request take effect.
    fn perform(&self, number: usize, request: &Request<Bytes>, lag: u64) -> Answer {
        let now = Instant::now();
        let mut inner = self.lock();
        let old = inner.world.api().version();
        inner.world.advance(now);
        let before = inner.world.api().version();
        let answer = inner.world.handle_stale(request, now, lag);
        let after = inner.world.api().version();
        if let Some(recorded) = inner.requests.get_mut(number) {
            recorded.effect = Some(Effect::new(now, before + 1..after + 1, &answer.reply));
        }
        self.tell(&inner, old);
        answer
    }

    /// Writes the request down, and asks what goes wrong with it.
    fn record(&self, request: &Request<Bytes>) -> (usize, Injection) {
        let mut inner = self.lock();
        let number = inner.requests.len();
        let now = inner.world.at(Instant::now());
        let count = u64::try_from(number).unwrap_or(u64::MAX);
        let injected = inner
            .faults
            .as_mut()
            .map_or_else(Injection::none, |faults| faults.decide(count, request, now));
        let mut recorded = Recorded::new(request, now.instant);
        recorded.injected = injected.clone();
        inner.requests.push(recorded);
        (number, injected)
    }

    fn answered(&self, number: usize, status: u16) {
        if let Some(request) = self.lock().requests.get_mut(number) {
            request.status = Some(status);
        }
    }

    fn whole(&self, number: usize, response: Response<Bytes>) -> Response<SimBody> {
        self.answered(number, response.status().as_u16());
        response.map(|body| {
            Full::new(body)
                .map_err(|never| match never {})
                .boxed_unsync()
        })
    }

    fn truncated(&self, number: usize, response: Response<Bytes>, at: usize) -> Response<SimBody> {
        self.answered(number, response.status().as_u16());
        response.map(|body| {
            let half = body.slice(..at.min(body.len()));
            let frames = stream::iter([Ok(Frame::data(half)), Err(reset())]);
            StreamBody::new(frames).boxed_unsync()
        })
    }
}

/// A request that is under way; dropped, it has ended.
struct Open<'a> {
    sim: &'a Sim,
    number: usize,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.sim.lock().requests.get_mut(self.number) {
            request.ended = Some(Instant::now());
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

fn reset() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "connection reset by the simulator",
    )
}

/// An answer that no server has thought about. A body that begins with `{` is sent as JSON, any
/// other as plain text.
fn canned(status: u16, retry_after: Option<Duration>, body: &str) -> Response<Bytes> {
    let media = if body.starts_with('{') {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    let mut response = answer(status, media, body.to_owned());
    if let Some(after) = retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, after.as_secs().into());
    }
    response
}

/// The same with spaces after it: JSON all the same.
fn padded(response: Response<Bytes>, size: usize) -> Response<Bytes> {
    response.map(|body| {
        let mut body = body.to_vec();
        body.resize(size.max(body.len()), b' ');
        body.into()
    })
}

/// The lines of a watch, as they come.
struct Lines {
    sim: Sim,
    watch: Watch,
    fault: WatchFault,
    opened: Instant,
    over: bool,
}

impl Lines {
    fn new(sim: Sim, watch: Watch, fault: WatchFault) -> Self {
        Self {
            sim,
            watch,
            fault,
            opened: Instant::now(),
            over: false,
        }
    }

    fn stream(self) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
        stream::unfold(self, |mut lines| async move {
            let next = lines.next().await?;
            Some((next, lines))
        })
    }

    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.over {
            return None;
        }
        let at = |after: Option<Duration>| after.map(|after| self.opened + after);
        let (closed, broken) = (at(self.fault.closed_after), at(self.fault.reset_after));
        let (silent, expired) = (at(self.fault.silent_after), at(self.fault.expired_after));
        let end = [closed, broken, expired].into_iter().flatten().min();
        let told = async {
            let told = self.tell(silent).await?;
            pause(self.fault.late).await;
            Some(told)
        };
        let told = match end {
            None => Ok(told.await),
            Some(end) => timeout_at(end, told).await.map_err(|_| end),
        };
        let told = match told {
            Ok(told) => told,
            Err(end) => {
                self.over = true;
                if expired == Some(end) {
                    let status = Failure::expired("too old resource version: 1 (2)").status();
                    let line = serde_json::json!({ "type": "ERROR", "object": status });
                    return Some(Ok(format!("{line}\n").into()));
                }
                return (broken == Some(end)).then(|| Err(reset()));
            }
        };
        self.over = told.is_none();
        told.map(Ok)
    }

    async fn tell(&mut self, silent: Option<Instant>) -> Option<Bytes> {
        loop {
            let now = Instant::now();
            if silent.is_some_and(|silent| silent <= now) {
                return pending().await;
            }
            let (followed, changed) = {
                let mut inner = self.sim.lock();
                let before = inner.world.api().version();
                inner.world.advance(now);
                self.sim.tell(&inner, before);
                let now = inner.world.at(now);
                let followed = inner.world.api().follow(&mut self.watch, now);
                (followed, self.sim.changed.notified())
            };
            match followed {
                Followed::Ended => return None,
                Followed::Events(lines) => {
                    let times = if self.fault.twice { 2 } else { 1 };
                    let all = lines.iter().flat_map(|line| vec![line.clone(); times]);
                    return Some(all.collect::<Vec<_>>().concat().into());
                }
                Followed::Nothing(until) => {
                    let until = silent.map_or(until, |silent| silent.min(until));
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(until) => {}
                    }
                }
            }
        }
    }
}

/// A [`Sim`] as a [`tower::Service`], for `kube::Client::new`.
#[derive(Clone, Debug)]
pub struct SimService(Sim);

impl tower::Service<Request<kube::client::Body>> for SimService {
    type Response = Response<SimBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let sim = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.map_err(io::Error::other)?;
            sim.respond(Request::from_parts(parts, body)).await
        })
    }
}
