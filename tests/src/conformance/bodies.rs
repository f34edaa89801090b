//! What an eviction's body may be.

use serde_json::{Value, json};

use super::{
    case::{Case, Group, case, post},
    fixtures::{evict, eviction, look_at_pod, running},
};

pub(super) fn group() -> Group {
    Group {
        name: "bodies",
        facts: include_str!("facts/bodies.json"),
        cases: cases(),
    }
}

/// An eviction whose body is `eviction` without options, with these fields put over it.
fn with(name: &'static str, change: &Value) -> Case {
    let mut body = eviction("a", &json!({}));
    for (key, value) in change.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    case(name)
        .given(running("a"))
        .when(post("pods/a/eviction", &body))
        .when(look_at_pod("a"))
}

fn raw(name: &'static str, body: &str) -> Case {
    case(name)
        .given(running("a"))
        .when(evict("a").raw(body))
        .when(look_at_pod("a"))
}

fn cases() -> Vec<Case> {
    let json_media = "application/json";
    let bare = json!({"metadata": {"name": "a"}});
    vec![
        raw("body-missing", ""),
        raw("body-malformed", "{\"apiVersion\": \"policy/v1\", "),
        raw("body-not-an-object", "[]"),
        raw("body-text", "evict it"),
        raw("body-null", "null"),
        raw("body-without-kind", &bare.to_string()),
        with(
            "body-wrong-kind",
            &json!({"kind": "Pod", "apiVersion": "v1"}),
        ),
        with("body-unknown-kind", &json!({"kind": "Evicted"})),
        with("body-unknown-version", &json!({"apiVersion": "policy/v9"})),
        with(
            "body-policy-v1beta1",
            &json!({"apiVersion": "policy/v1beta1"}),
        ),
        with(
            "body-other-name",
            &json!({"metadata": {"name": "b", "namespace": "<ns>"}}),
        ),
        with("body-without-name", &json!({"metadata": {}})),
        with(
            "body-other-namespace",
            &json!({"metadata": {"name": "a", "namespace": "default"}}),
        ),
        with(
            "body-without-namespace",
            &json!({"metadata": {"name": "a"}}),
        ),
        with(
            "body-options-misspelt",
            &json!({"delete_options": {"gracePeriodSeconds": 3}, "deleteOptions": null}),
        ),
        with(
            "body-options-with-kind",
            &json!({"deleteOptions": {
                "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 4,
            }}),
        ),
        with(
            "body-unknown-field-in-options",
            &json!({"deleteOptions": {"gracePeriod": 3}}),
        ),
        case("body-strict-with-unknown-field")
            .given(running("a"))
            .when(post(
                "pods/a/eviction?fieldValidation=Strict",
                &json!({
                    "apiVersion": "policy/v1", "kind": "Eviction",
                    "metadata": {"name": "a"}, "delete_options": {},
                }),
            ))
            .when(look_at_pod("a")),
        case("body-unknown-media")
            .given(running("a"))
            .when(evict("a").media("text/plain"))
            .when(look_at_pod("a")),
        case("body-media-with-charset")
            .given(running("a"))
            .when(evict("a").media("application/json; charset=utf-8"))
            .when(look_at_pod("a")),
        case("body-malformed-with-media")
            .given(running("a"))
            .when(evict("a").raw("{").media(json_media))
            .when(look_at_pod("a")),
    ]
}
