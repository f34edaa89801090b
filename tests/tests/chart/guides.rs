//! The guides name what there is.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;
use spot_tests::{Result, deploy};

use crate::rendered::options;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// What is written `like this`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[tokio::test]
async fn every_option_in_the_guide_for_migrating_is_one() -> Result<()> {
    let options = options().await?;
    let guide = read("docs/migrating.md");
    let named = quoted(&guide).filter_map(|words| words.strip_prefix("--"));
    let named: BTreeSet<&str> = named
        .map(|words| words.split([' ', '=', '…']).next().unwrap())
        .collect();
    assert!(named.len() >= 12, "{named:?}");
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !options.contains(**name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    Ok(())
}

/// Fields of the values, as in `handler.pdb=delete-at`.
#[test]
fn every_value_in_the_guides_is_one() {
    let values = std::fs::read_to_string(deploy::path("chart/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let sections = values.as_object().unwrap();
    let mut known = 0;
    for guide in ["docs/operating.md", "docs/migrating.md", "docs/security.md"] {
        let text = read(guide);
        for words in quoted(&text) {
            let path = words.split(['=', ' ']).next().unwrap();
            let mut parts = path.split('.');
            let section = parts.next().unwrap();
            let is_path = path.contains('.') && sections.contains_key(section);
            if is_path {
                let found = parts.fold(&sections[section], |value, part| &value[part]);
                assert!(!found.is_null(), "{guide}: {path}");
                known += 1;
            }
        }
    }
    assert!(known >= 8, "{known}");
}

#[test]
fn every_alert_has_an_answer_in_the_guide() {
    let alerts = std::fs::read_to_string(deploy::path("dashboard/alerts.yaml")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&alerts).unwrap();
    let groups = alerts["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let names: BTreeSet<&str> = rules.filter_map(|rule| rule["alert"].as_str()).collect();
    assert!(names.len() >= 8, "{names:?}");
    let guide = read("docs/operating.md");
    let answered: BTreeSet<&str> = quoted(&guide)
        .filter(|words| words.starts_with("SpotHandler"))
        .collect();
    assert_eq!(names, answered);
}

/// Links between files lead somewhere.
#[test]
fn links_between_the_guides_lead_to_files() {
    for guide in [
        "docs/operating.md",
        "docs/migrating.md",
        "docs/security.md",
        "deploy/chart/README.md",
        "deploy/dashboard/README.md",
        "deploy/webhook/README.md",
        "README.md",
    ] {
        let text = read(guide);
        let from = Path::new(guide).parent().unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            let elsewhere = link.is_empty() || link.contains("://");
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let there = elsewhere || root.join(from).join(link).exists();
            assert!(there, "{guide}: {link}");
        }
    }
}
