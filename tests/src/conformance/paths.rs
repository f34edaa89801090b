//! What is not there, not allowed, or not understood.

use http::Method;
use serde_json::json;

use super::{
    case::{Case, Group, Request, case, delete, get, json_patch, merge_patch, post, put},
    fixtures::{BUDGETS, evict, pod, running},
    target::User,
};

pub(super) fn group() -> Group {
    Group {
        name: "paths",
        facts: include_str!("facts/paths.json"),
        cases: cases(),
    }
}

fn method(method: Method, request: Request) -> Request {
    Request { method, ..request }
}

fn cases() -> Vec<Case> {
    vec![
        case("path-unknown").when(get("/nothing/here")),
        case("path-unknown-kind").when(get("things")),
        case("path-unknown-kind-posted").when(post("things", &json!({}))),
        case("path-unknown-group").when(get("/apis/example.com/v1/things")),
        case("path-unknown-version").when(get("/api/v9/namespaces/<ns>/pods")),
        case("path-unknown-version-of-a-group").when(get(
            "/apis/policy/v1beta1/namespaces/<ns>/poddisruptionbudgets",
        )),
        case("path-unknown-subresource")
            .given(running("a"))
            .when(get("pods/a/nothing")),
        case("path-eviction-read")
            .given(running("a"))
            .when(get("pods/a/eviction")),
        case("path-eviction-deleted")
            .given(running("a"))
            .when(delete("pods/a/eviction")),
        case("path-eviction-patched")
            .given(running("a"))
            .when(merge_patch("pods/a/eviction", &json!({}))),
        case("path-trailing-slash")
            .given(running("a"))
            .when(get("pods/")),
        case("path-collection-put").when(put("pods", &pod("a"))),
        case("path-collection-patched").when(json_patch("pods", &json!([]))),
        case("path-object-posted")
            .given(running("a"))
            .when(post("pods/a", &pod("a"))),
        case("path-head")
            .given(running("a"))
            .when(method(Method::HEAD, get("pods/a"))),
        case("path-options")
            .given(running("a"))
            .when(method(Method::OPTIONS, get("pods/a"))),
        case("path-all-namespaces-posted").when(post("/api/v1/pods", &pod("a"))),
        case("accept-unknown")
            .given(running("a"))
            .when(get("pods/a").accept("application/xml")),
        case("accept-anything")
            .given(running("a"))
            .when(get("pods/a").accept("*/*")),
        case("accept-by-weight")
            .given(running("a"))
            .when(get("pods/a").accept("application/xml;q=0.9,application/json;q=0.5")),
        case("accept-unknown-for-a-list").when(get("pods").accept("text/html")),
        case("accept-unknown-for-an-eviction")
            .given(running("a"))
            .when(evict("a").accept("application/xml"))
            .when(get("pods/a")),
        case("media-unknown-posted").when(post("pods", &pod("a")).media("application/xml")),
        case("media-missing-posted").when(post("pods", &pod("a")).media("")),
        case("json-malformed-posted").when(post("pods", &json!({})).raw("{\"kind\": \"Pod\",,}")),
        case("json-truncated-posted").when(post("pods", &json!({})).raw("{\"kind\": \"Pod\"")),
        case("json-of-another-kind-posted").when(post(
            "pods",
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}),
        )),
        case("json-wrong-type-posted").when(post(
            "pods",
            &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 5}}),
        )),
        case("json-unknown-field-posted").when(post(
            BUDGETS,
            &json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
                "metadata": {"name": "b"}, "spec": {"minAvailabel": 1, "selector": {}},
            }),
        )),
        case("health").when(get("/livez")),
        case("version").when(get("/version").see("/major")),
        case("version-for-a-stranger").when(get("/version").user(User::Stranger)),
        case("discovery-of-core").when(get("/api/v1").see("/groupVersion")),
    ]
}
