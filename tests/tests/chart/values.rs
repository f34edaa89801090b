//! Values: what is wrong is refused by its path, and what there is is documented.

use std::collections::BTreeSet;

use serde_json::Value;
use spot_tests::{
    Result,
    deploy::{
        chart::{self, Render},
        readme,
    },
};

/// A value, and what is to be said of it.
const WRONG: &[(&str, &[&str])] = &[
    // By the schema.
    ("handler.pdb=\"ignore\"", &["/handler/pdb", "respect"]),
    (
        "handler.pollInterval=5",
        &["/handler/pollInterval", "string"],
    ),
    (
        "handler.pollInterval=\"5 seconds\"",
        &["/handler/pollInterval"],
    ),
    ("handler.dryRun=\"yes\"", &["/handler/dryRun", "boolean"]),
    (
        "handler.pollIntervall=\"5s\"",
        &["/handler", "pollIntervall"],
    ),
    ("handler.notices=[\"spot=drain\"]", &["/handler/notices/0"]),
    ("handler.taint=\"a/b:NoExecute\"", &["/handler/taint"]),
    ("handler.shutdownGrace=\"2m\"", &["/handler/shutdownGrace"]),
    ("handler.listen=\":9810\"", &["/handler/listen"]),
    (
        "handler.makeBeforeBreak=\"yes\"",
        &["/handler/makeBeforeBreak", "annotated"],
    ),
    (
        "handler.impersonateNode=\"never\"",
        &["/handler/impersonateNode"],
    ),
    ("image.digest=\"latest\"", &["/image/digest"]),
    ("image.repository=\"\"", &["/image/repository"]),
    ("replicas=2", &["replicas"]),
    ("nodeSelector={\"a\": 1}", &["/nodeSelector/a", "string"]),
    ("tolerations={\"a\": 1}", &["/tolerations", "array"]),
    (
        "terminationGracePeriodSeconds=\"2m\"",
        &["/terminationGracePeriodSeconds", "integer"],
    ),
    ("resources.limit={}", &["/resources", "limit"]),
    ("extraEnv=[{\"value\": \"x\"}]", &["/extraEnv/0", "name"]),
    (
        "admissionPolicy.create=\"maybe\"",
        &["/admissionPolicy/create"],
    ),
    // By what does not fit together.
    (
        "terminationGracePeriodSeconds=60",
        &["terminationGracePeriodSeconds", "140"],
    ),
    ("webhook.headersKey=\"x\"", &["webhook.secretName"]),
    (
        "handler.listen=\"127.0.0.1:9810\"",
        &["handler.listen", "hostNetwork"],
    ),
];

#[tokio::test]
async fn a_wrong_value_is_refused_and_its_path_named() -> Result<()> {
    for (value, words) in WRONG {
        let rendered = Render::of(chart::CURRENT).set(value).text().await;
        let Err(error) = rendered else {
            panic!("{value} is taken");
        };
        let said = error.to_string();
        for word in *words {
            assert!(said.contains(word), "{value}: {word}: {said}");
        }
    }
    Ok(())
}

#[test]
fn the_readme_lists_the_values_as_they_are() {
    let kept = std::fs::read_to_string(chart::dir().join("README.md")).unwrap();
    let values = std::fs::read_to_string(chart::dir().join("values.yaml")).unwrap();
    let written = readme::with_values(&kept, &values).unwrap();
    assert!(
        kept == written,
        "write it anew by `cargo run -p spot-tests --bin deploy`"
    );
    let rows = readme::rows(&values).unwrap();
    let undocumented: Vec<_> = rows.iter().filter(|row| row.what.is_empty()).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
}

/// The paths of a schema's properties, as far as it names them.
fn paths(schema: &Value, at: &str, into: &mut BTreeSet<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        into.insert(at.to_owned());
        return;
    };
    for (name, property) in properties {
        let at = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        paths(property, &at, into);
    }
}

#[test]
fn every_value_of_the_schema_is_in_the_readme() {
    let values = std::fs::read_to_string(chart::dir().join("values.yaml")).unwrap();
    let schema = std::fs::read_to_string(chart::dir().join("values.schema.json")).unwrap();
    let mut named = BTreeSet::new();
    paths(&serde_json::from_str(&schema).unwrap(), "", &mut named);
    let rows = readme::rows(&values).unwrap();
    let documented = |path: &String| {
        let below =
            |row: &readme::Row| path == &row.path || path.starts_with(&format!("{}.", row.path));
        rows.iter().any(below)
    };
    // Helm's own, and what probes have besides.
    let besides = |path: &String| {
        path == "global"
            || path.ends_with("initialDelaySeconds")
            || path.ends_with("successThreshold")
    };
    let missing: Vec<_> = named
        .iter()
        .filter(|p| !documented(p) && !besides(p))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
