//! What others do, done.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use spot_core::clock::Now;
use spot_drain::sim::{Kind, World};
use tokio::time::Instant;

use super::Stage;
use crate::{
    marks::TAINT,
    simulation::{evidence::Trail, plot::Deed},
};

impl Stage<'_> {
    /// Each at its time.
    pub(super) async fn deeds(&self, trail: &Trail) {
        for (at, deed) in &self.plot.deeds {
            self.until(*at).await;
            self.sim.with(|world| {
                if matches!(deed, Deed::Compact) {
                    trail.follow(world);
                }
                let now = world.at(Instant::now());
                perform(deed, world, now);
            });
        }
    }
}

fn perform(deed: &Deed, world: &mut World, now: Now) {
    match deed {
        Deed::Label { node, value } => change_node(world, node, now, |node| {
            set(&mut node["metadata"]["labels"], "example.com/rank", *value);
        }),
        Deed::Annotate { node, value } => change_node(world, node, now, |node| {
            set(
                &mut node["metadata"]["annotations"],
                "example.com/note",
                *value,
            );
        }),
        Deed::Taint { node, value } => change_node(world, node, now, |node| {
            let mut taints = taken(&mut node["spec"]["taints"]);
            taints.retain(|taint| taint["key"] != "example.com/other");
            if let Some(value) = value {
                taints.push(json!({ "key": "example.com/other",
                        "value": value.to_string(), "effect": "PreferNoSchedule" }));
            }
            node["spec"]["taints"] = taints.into();
        }),
        Deed::Cordon { node, cordoned } => change_node(world, node, now, |node| {
            node["spec"]["unschedulable"] = (*cordoned).into();
        }),
        Deed::Untaint { node } => change_node(world, node, now, |node| {
            let mut taints = taken(&mut node["spec"]["taints"]);
            taints.retain(|taint| taint["key"] != TAINT);
            node["spec"]["taints"] = taints.into();
        }),
        Deed::Evict { load } => {
            if let Some(pod) = pod_of(world, load) {
                let name = &pod["metadata"]["name"];
                let body = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
                        "metadata": { "name": name } });
                ask(world, now, "POST", &path(&pod, "/eviction"), &body);
            }
        }
        Deed::Delete { load } => {
            if let Some(pod) = pod_of(world, load) {
                let body = json!({ "gracePeriodSeconds": 0 });
                ask(world, now, "DELETE", &path(&pod, ""), &body);
            }
        }
        Deed::Scale { load, replicas } => {
            change(world, Kind::Deployment, load, now, |deployment| {
                deployment["spec"]["replicas"] = (*replicas).into();
            });
        }
        Deed::Orphan { load } => {
            if let Some(key) = key_of(world, Kind::DaemonSet, load) {
                world.api_mut().remove(Kind::DaemonSet, &key);
            }
        }
        Deed::Namespace { name } => {
            ask(
                world,
                now,
                "DELETE",
                &format!("/api/v1/namespaces/{name}"),
                &json!({}),
            );
        }
        Deed::Budget { load, allows } => {
            change(world, Kind::PodDisruptionBudget, load, now, |budget| {
                if let Some(spec) = budget["spec"].as_object_mut() {
                    spec.remove("minAvailable");
                    spec.insert("maxUnavailable".to_owned(), (*allows).into());
                }
            });
        }
        Deed::Compact => {
            let version = world.api().version();
            world.api_mut().compact(version);
        }
    }
}

fn set(map: &mut Value, key: &str, value: Option<u64>) {
    if !map.is_object() {
        *map = json!({});
    }
    if let Some(map) = map.as_object_mut() {
        match value {
            Some(value) => drop(map.insert(key.to_owned(), value.to_string().into())),
            None => drop(map.remove(key)),
        }
    }
}

fn taken(list: &mut Value) -> Vec<Value> {
    match list.take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn change_node(world: &mut World, name: &str, now: Now, with: impl FnOnce(&mut Value)) {
    change(world, Kind::Node, name, now, with);
}

/// Changes an object of this name, in whatever namespace, as its administrator does.
fn change(world: &mut World, kind: Kind, name: &str, now: Now, with: impl FnOnce(&mut Value)) {
    let key = key_of(world, kind, name);
    let object = key.and_then(|key| world.api().object(kind, &key));
    if let Some(object) = object {
        let mut changed = (*object).clone();
        with(&mut changed);
        world.api_mut().put(kind, changed, now);
    }
}

fn key_of(world: &World, kind: Kind, name: &str) -> Option<String> {
    let mut objects = world.api().objects(kind);
    let object = objects.find(|object| object["metadata"]["name"] == name)?;
    Some(match object["metadata"]["namespace"].as_str() {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
        _ => name.to_owned(),
    })
}

/// The first pod of a workload.
fn pod_of(world: &World, load: &str) -> Option<Value> {
    let mut pods = world.api().objects(Kind::Pod);
    pods.find(|pod| pod["metadata"]["labels"]["app"] == load)
        .cloned()
}

fn path(pod: &Value, of: &str) -> String {
    let text = |name: &str| {
        pod["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (namespace, name) = (text("namespace"), text("name"));
    format!("/api/v1/namespaces/{namespace}/pods/{name}{of}")
}

fn ask(world: &mut World, now: Now, method: &str, path: &str, body: &Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()));
    if let Ok(request) = request {
        world.handle(&request, now.instant);
    }
}
