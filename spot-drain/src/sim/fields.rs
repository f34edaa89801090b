//! The fields of an eviction: a misspelt one is warned of and ignored, which costs a client
//! its grace and its preconditions.

use http::HeaderValue;
use serde_json::Value;

use super::api::Asked;
use super::failure::Failure;

const EVICTION: [&str; 4] = ["apiVersion", "kind", "metadata", "deleteOptions"];
const OPTIONS: [&str; 8] = [
    "apiVersion",
    "kind",
    "gracePeriodSeconds",
    "preconditions",
    "orphanDependents",
    "propagationPolicy",
    "dryRun",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
];

/// Warnings of unknown fields; refused where the request wants that, or where a grace is no
/// number.
pub(crate) fn check(asked: &Asked<'_>) -> Result<Vec<HeaderValue>, Failure> {
    // A body that cannot be read is refused by its reader.
    let eviction: Value = serde_json::from_slice(asked.body).unwrap_or_default();
    let refuse = |problem: &str| {
        Failure::bad(format!(
            "Eviction in version \"v1\" cannot be handled as a Eviction: {problem}"
        ))
    };
    let options = &eviction["deleteOptions"];
    let grace = &options["gracePeriodSeconds"];
    if !grace.is_null() && grace.as_i64().is_none() {
        let found = if grace.is_string() { "string" } else { "value" };
        return Err(refuse(&format!(
            "json: cannot unmarshal {found} into Go struct field \
             DeleteOptions.deleteOptions.gracePeriodSeconds of type int64"
        )));
    }
    let mut unknown = others(&eviction, "", &EVICTION);
    unknown.extend(others(options, "deleteOptions.", &OPTIONS));
    match asked.query.get("fieldValidation") {
        "Ignore" => Ok(Vec::new()),
        "Strict" if !unknown.is_empty() => Err(refuse(&format!(
            "strict decoding error: {}",
            unknown.join(", ")
        ))),
        _ => Ok(unknown.iter().filter_map(|field| warning(field)).collect()),
    }
}

fn others(object: &Value, lead: &str, known: &[&str]) -> Vec<String> {
    let members = object.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, _)| format!("unknown field \"{lead}{name}\""))
        .collect()
}

/// As RFC 7234 has it, with the code that Kubernetes uses.
fn warning(text: &str) -> Option<HeaderValue> {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{quoted}\"")).ok()
}
