//! The simulator as its administrator reaches it: past its faults, its records and its rights,
//! so that a fixture is not what a scenario measures.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use kube::client::Body;
use serde_json::{Value, json};
use spot_drain::sim::{Access, Reply, Sim};
use tokio::time::{Instant, sleep};

/// A service for [`kube::Client::new`].
#[derive(Clone, Debug)]
pub(super) struct Admin(pub(super) Sim);

impl Admin {
    async fn answer(self, request: Request<Body>) -> io::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(io::Error::other)?;
        let request = Request::from_parts(parts, body);
        let answer = self.0.with(|world| {
            let rights = std::mem::take(&mut world.api_mut().access);
            let answer = world.handle(&request, Instant::now());
            if let Some(status) = status_of_a_new_node(&request) {
                world.handle(&status, Instant::now());
            }
            let _: Access = std::mem::replace(&mut world.api_mut().access, rights);
            answer
        });
        sleep(answer.delay).await;
        match answer.reply {
            Reply::Whole(response) => Ok(response.map(Full::new)),
            Reply::Watch(_) => Err(io::Error::other("the administrator does not watch")),
        }
    }
}

/// A node is made with its status, as a kubelet does it; the simulator drops a status that comes
/// with a new object. So it is sent once more.
fn status_of_a_new_node(request: &Request<Bytes>) -> Option<Request<Bytes>> {
    if request.method() != Method::POST || request.uri().path() != "/api/v1/nodes" {
        return None;
    }
    let node: Value = serde_json::from_slice(request.body()).ok()?;
    let name = node["metadata"]["name"].as_str()?;
    let status = json!({"status": node["status"]}).to_string();
    Request::patch(format!("/api/v1/nodes/{name}/status"))
        .header("content-type", "application/merge-patch+json")
        .body(status.into())
        .ok()
}

impl tower::Service<Request<Body>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
