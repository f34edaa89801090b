//! One request on its way to the server and back, with what goes wrong on it.

use std::{future::pending, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use spot_drain::sim::Fault;
use tokio::time::sleep;

use super::{record::Records, watch};

/// The body of an answer.
pub(super) type ProxyBody = UnsyncBoxBody<Bytes, io::Error>;

/// What concerns one connection only (RFC 9110, section 7.6.1), and what is written anew.
const OF_ONE_CONNECTION: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// The way to the server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Upstream {
    client: Client,
    records: Arc<Records>,
}

impl Upstream {
    pub(super) fn new(client: Client, records: Arc<Records>) -> Self {
        Self { client, records }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Where a fault breaks the connection, or the server does.
    pub(super) async fn answer(&self, request: Request<Bytes>) -> io::Result<Response<ProxyBody>> {
        let (number, fault) = self.records.received(&request);
        pause(fault.before).await;
        match &fault.fault {
            Some(Fault::Status {
                code,
                retry_after,
                body,
            }) => {
                pause(fault.after).await;
                let head = head(*code, *retry_after, body);
                return Ok(self.whole(number, head, body.clone().into()));
            }
            Some(Fault::ResetBefore | Fault::Refused) => return Err(reset()),
            Some(Fault::BlackHole) => return pending().await,
            _ => {}
        }
        let is_watch = is_watch(&request);
        let (mut response, body) = self.send(request).await?.into_parts();
        for name in &OF_ONE_CONNECTION {
            response.headers.remove(name);
        }
        let response = Response::from_parts(response, ());
        if is_watch && response.status() == StatusCode::OK {
            pause(fault.after).await;
            if let Some(cut) = cut(fault.fault.as_ref()) {
                return cut.await;
            }
            self.records.answered(number, response.status().as_u16());
            let lines = watch::lines(body, fault.watch);
            let frames = StreamBody::new(lines.map(|line| line.map(Frame::data)));
            return Ok(response.map(|()| frames.boxed_unsync()));
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        pause(fault.after).await;
        if let Some(cut) = cut(fault.fault.as_ref()) {
            return cut.await;
        }
        Ok(match fault.fault {
            Some(Fault::Truncate(at)) => self.truncated(number, response, &body, at),
            Some(Fault::Delay(by)) => {
                pause(by).await;
                self.whole(number, response, body)
            }
            _ => self.whole(number, response, body),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> io::Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        for name in &OF_ONE_CONNECTION {
            parts.headers.remove(name);
        }
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        self.client.send(request).await.map_err(io::Error::other)
    }

    fn whole(&self, number: usize, response: Response<()>, body: Bytes) -> Response<ProxyBody> {
        self.records.answered(number, response.status().as_u16());
        response.map(|()| {
            Full::new(body)
                .map_err(|never| match never {})
                .boxed_unsync()
        })
    }

    /// The whole length is promised and not kept.
    fn truncated(
        &self,
        number: usize,
        mut response: Response<()>,
        body: &Bytes,
        at: usize,
    ) -> Response<ProxyBody> {
        self.records.answered(number, response.status().as_u16());
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let half = body.slice(..at.min(body.len()));
        let sent = stream::iter([Ok(Frame::data(half))]);
        response.map(|()| StreamBody::new(sent.chain(broken())).boxed_unsync())
    }
}

/// What is left of an answer that the server has given and nobody hears.
fn cut(trouble: Option<&Fault>) -> Option<impl Future<Output = io::Result<Response<ProxyBody>>>> {
    let reset_now = match trouble {
        Some(Fault::ResetAfter) => true,
        Some(Fault::BlackHoleAfter) => false,
        _ => return None,
    };
    Some(async move {
        if reset_now {
            return Err(reset());
        }
        pending().await
    })
}

/// A stream's violent end, after what came before it has been written to the socket: what is
/// not written yet goes when the connection does.
pub(super) fn broken<T>() -> impl futures_util::Stream<Item = io::Result<T>> {
    stream::once(async {
        tokio::task::yield_now().await;
        Err(reset())
    })
}

pub(super) fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "reset by the proxy")
}

fn is_watch(request: &Request<Bytes>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query
        .split('&')
        .any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
}

fn head(status: u16, retry_after: Option<Duration>, body: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: &mut HeaderMap = response.headers_mut();
    let media = if body.starts_with('{') {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(after) = retry_after {
        headers.insert(header::RETRY_AFTER, after.as_secs().into());
    }
    response
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
