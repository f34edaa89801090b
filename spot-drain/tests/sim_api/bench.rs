//! A world to ask things of.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{Answer, Budget, Followed, Node, Reply, Watch, Workload, World};
use tokio::time::Instant;

pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const POD: &str = "/api/v1/namespaces/default/pods/web-0";
pub(crate) const EVICTION: &str = "/api/v1/namespaces/default/pods/web-0/eviction";

/// A world that stands still but for what is asked, and its clock.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) now: Instant,
}

impl Bench {
    pub(crate) fn new(pods: u32, budget: Option<Budget>) -> Self {
        Self::with_kubelets(pods, budget, true)
    }

    pub(crate) fn with_kubelets(pods: u32, budget: Option<Budget>, kubelets: bool) -> Self {
        let now = Instant::now();
        let mut web = Workload::stateful_set("web")
            .replicas(pods)
            .on("n1")
            .exit_after("5");
        if let Some(budget) = budget {
            web = web.budget(budget);
        }
        let world = World::builder()
            .pace(|pace| pace.kubelets = kubelets)
            .node(Node::new("n1").provider_id("aws:///z/i-1"))
            .workload(web)
            .build(now);
        Self { world, now }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media);
        self.world.handle(&request.body(body).unwrap(), self.now)
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let media = match (method, body) {
            ("PATCH", Value::Array(_)) => JSON_PATCH,
            ("PATCH", _) => MERGE,
            _ => "application/json",
        };
        whole(self.send(method, path, media, body))
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &Value::Null)
    }

    pub(crate) fn evict(&mut self, options: &Value) -> (u16, Value) {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "web-0", "namespace": "default"}, "deleteOptions": options});
        self.ask("POST", EVICTION, &body)
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.world.advance(self.now);
    }

    pub(crate) fn watch(&mut self, path: &str) -> Watch {
        match self.send("GET", path, "", &Value::Null).reply {
            Reply::Watch(watch) => watch,
            Reply::Whole(response) => panic!("{response:?}"),
        }
    }

    /// The types and versions of what is new to a watch.
    pub(crate) fn follow(&self, watch: &mut Watch) -> Vec<(String, Value)> {
        let now: Now = self.world.at(self.now);
        match self.world.api().follow(watch, now) {
            Followed::Events(lines) => lines
                .iter()
                .map(|line| {
                    let event: Value = serde_json::from_slice(line).unwrap();
                    (
                        event["type"].as_str().unwrap().to_owned(),
                        event["object"].clone(),
                    )
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

pub(crate) fn whole(answer: Answer) -> (u16, Value) {
    match answer.reply {
        Reply::Whole(response) => {
            let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
            (response.status().as_u16(), body)
        }
        Reply::Watch(_) => panic!("a watch"),
    }
}

pub(crate) fn cause(status: &Value) -> (&str, &str) {
    let cause = &status["details"]["causes"][0];
    (
        cause["reason"].as_str().unwrap_or(""),
        cause["message"].as_str().unwrap_or(""),
    )
}
