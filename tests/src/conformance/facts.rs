//! The recorded facts: one JSON file for each group, one line for each answer.

use std::{fmt::Write as _, path::Path};

use serde_json::{Map, Value};

use super::{case::Group, report::Report, transcript::NOTE};
use crate::{Error, Result, error::Context as _};

/// A group's facts.
pub(super) struct Facts(Map<String, Value>);

impl Facts {
    pub(super) fn parse(group: &Group) -> Result<Self> {
        serde_json::from_str(group.facts)
            .map(Self)
            .map_err(|error| Error::Usage(format!("facts of {}: {error}", group.name)))
    }

    /// Where a case was answered otherwise, one line for each difference.
    pub(super) fn differences(&self, case: &str, transcript: &[Value]) -> Vec<String> {
        let Some(facts) = self.0.get(case).and_then(Value::as_array) else {
            return vec!["nothing is recorded for it".to_owned()];
        };
        let mut differences = Vec::new();
        if facts.len() != transcript.len() {
            differences.push(format!(
                "{} answers instead of {}",
                transcript.len(),
                facts.len()
            ));
        }
        for (number, (fact, seen)) in facts.iter().zip(transcript).enumerate() {
            let step = fact["step"].as_str().unwrap_or_default();
            let mut here = Vec::new();
            compare("", fact, seen, &mut here);
            let place = format!("{} {step}", number + 1);
            differences.extend(here.iter().map(|one| format!("{place}: {one}")));
        }
        differences
    }
}

fn compare(path: &str, fact: &Value, seen: &Value, out: &mut Vec<String>) {
    match (fact, seen) {
        (Value::Object(fact), Value::Object(seen)) => {
            let more = seen.keys().filter(|key| !fact.contains_key(*key));
            for key in fact.keys().chain(more) {
                if key != NOTE {
                    let (fact, seen) = (fact.get(key), seen.get(key));
                    let null = &Value::Null;
                    let path = format!("{path}.{key}");
                    compare(&path, fact.unwrap_or(null), seen.unwrap_or(null), out);
                }
            }
        }
        (Value::Array(fact), Value::Array(seen)) if fact.len() == seen.len() => {
            for (index, (fact, seen)) in fact.iter().zip(seen).enumerate() {
                compare(&format!("{path}[{index}]"), fact, seen, out);
            }
        }
        (fact, seen) if fact == seen => {}
        (fact, seen) => out.push(format!("{path} is {seen}, not {fact}")),
    }
}

/// Writes what was seen as the facts, into the source tree.
///
/// # Errors
/// When a case did not run, or a file cannot be written.
pub fn record(report: &Report, groups: &[Group]) -> Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance/facts");
    for group in groups {
        let mut text = String::from("{");
        for (index, outcome) in report.of(group.name).enumerate() {
            if outcome.transcript.is_empty() {
                return Err(Error::Usage(format!(
                    "{}: {}",
                    outcome.case,
                    outcome.differences.join("; ")
                )));
            }
            let lines: Vec<_> = outcome
                .transcript
                .iter()
                .map(|e| format!("  {e}"))
                .collect();
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}\n{:?}: [\n{}\n]",
                outcome.case,
                lines.join(",\n")
            );
        }
        text.push_str("\n}\n");
        let path = dir.join(format!("{}.json", group.name));
        std::fs::write(&path, text).context(format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{LIMITS, groups},
        *,
    };

    #[test]
    fn every_case_is_recorded_and_nothing_else() {
        let mut names = BTreeSet::new();
        for group in groups() {
            let facts = Facts::parse(&group).unwrap();
            let known = |name: &String| group.cases.iter().any(|case| case.name == name);
            let left_over: Vec<_> = facts.0.keys().filter(|name| !known(name)).collect();
            assert!(left_over.is_empty(), "{left_over:?}");
            for case in &group.cases {
                assert!(facts.0.contains_key(case.name), "{}", case.name);
                assert!(names.insert(case.name), "{} twice", case.name);
                assert!(case.name.len() <= 63, "{} is too long", case.name);
            }
        }
        assert!(names.len() >= 120, "{}", names.len());
        for (limit, _) in LIMITS {
            assert!(names.contains(limit), "{limit} is no case");
        }
    }

    #[test]
    fn a_difference_is_told_with_its_place() {
        let mut out = Vec::new();
        let fact = serde_json::json!({"a": [1, {"b": 2}], "note": "x"});
        let seen = serde_json::json!({"a": [1, {"b": 3}], "c": 4});
        compare("", &fact, &seen, &mut out);
        assert_eq!(out, [".a[1].b is 3, not 2", ".c is 4, not null"]);
    }
}
