//! What is not about objects: versions, health, and which resources there are.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use spot_core::clock::Now;

use super::failure::{Failure, answer, respond};
use super::json::stamp;
use super::kind::Kind;

/// The version that the simulator claims.
const VERSION: (&str, &str, &str) = ("1", "36", "v1.36.3");

pub(crate) fn document(path: &str, now: Now) -> Response<Bytes> {
    match path {
        "/version" => {
            let (major, minor, version) = VERSION;
            let body = json!({ "major": major, "minor": minor, "gitVersion": version,
                "gitCommit": "simulator", "gitTreeState": "", "buildDate": stamp(now.wall),
                "goVersion": "", "compiler": "", "platform": "" });
            respond(200, &body)
        }
        "/readyz" | "/livez" | "/healthz" => answer(200, "text/plain; charset=utf-8", "ok"),
        "/api" => respond(
            200,
            &json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
        ),
        "/apis" => {
            let groups: Vec<Value> = Kind::groups().into_iter().map(group).collect();
            respond(
                200,
                &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }),
            )
        }
        "/api/v1" => resources(""),
        other => {
            let mut parts = other.split('/').skip(1);
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some("apis"), Some(name), None, None) if Kind::groups().contains(&name) => {
                    let mut body = group(name);
                    body["kind"] = "APIGroup".into();
                    body["apiVersion"] = "v1".into();
                    respond(200, &body)
                }
                (Some("apis"), Some(name), Some("v1"), None) if Kind::groups().contains(&name) => {
                    resources(name)
                }
                (Some("api"), ..) => Failure::unknown_path().response(),
                (Some("apis"), Some(name), ..) if Kind::groups().contains(&name) => {
                    Failure::unknown_path().response()
                }
                _ => answer(404, "text/plain; charset=utf-8", "404 page not found\n"),
            }
        }
    }
}

fn group(name: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn resources(group: &str) -> Response<Bytes> {
    let verbs = json!([
        "create", "delete", "get", "list", "patch", "update", "watch"
    ]);
    let mut all = Vec::new();
    for kind in Kind::all() {
        let resource = kind.resource();
        let here = resource.group == group || (group == "events.k8s.io" && kind == Kind::Event);
        if !here {
            continue;
        }
        let short: Vec<&str> = Some(resource.short)
            .filter(|s| !s.is_empty())
            .into_iter()
            .collect();
        all.push(
            json!({ "name": resource.plural, "singularName": resource.name.to_lowercase(),
            "namespaced": resource.namespaced, "kind": resource.name, "verbs": verbs,
            "shortNames": short }),
        );
        if resource.status {
            all.push(
                json!({ "name": format!("{}/status", resource.plural), "singularName": "",
                "namespaced": resource.namespaced, "kind": resource.name,
                "verbs": ["get", "patch", "update"] }),
            );
        }
        if kind == Kind::Pod {
            all.push(
                json!({ "name": "pods/eviction", "singularName": "", "namespaced": true,
                "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"] }),
            );
            all.push(
                json!({ "name": "pods/binding", "singularName": "", "namespaced": true,
                "kind": "Binding", "verbs": ["create"] }),
            );
        }
    }
    let version = if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    };
    let mut body = json!({ "kind": "APIResourceList", "groupVersion": version, "resources": all });
    // The core group is older than this member.
    if !group.is_empty() {
        body["apiVersion"] = "v1".into();
    }
    respond(200, &body)
}
