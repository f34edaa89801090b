//! Label and field selectors, as queries write them and as objects hold them.

use serde_json::Value;

use super::check::{LABEL, is_label_value};
use super::failure::Failure;
use super::json::{list, member, text};
use super::kind::Kind;

/// One requirement on an object's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Greater(String, i64),
    Less(String, i64),
}

impl Requirement {
    fn holds(&self, labels: &Value) -> bool {
        let value = |key: &String| labels.get(key).and_then(Value::as_str);
        let number = |value: Option<&str>| value?.parse::<i64>().ok();
        match self {
            Self::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(key, values) => !value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::Exists(key) => value(key).is_some(),
            Self::Missing(key) => value(key).is_none(),
            Self::Greater(key, than) => number(value(key)).is_some_and(|v| v > *than),
            Self::Less(key, than) => number(value(key)).is_some_and(|v| v < *than),
        }
    }
}

/// A label selector; all requirements must hold, and an empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<Requirement>);

impl Labels {
    /// Reads the selector of an object: `matchLabels` and `matchExpressions`. `None` where it
    /// selects nothing: it is missing, or it cannot be used.
    pub(crate) fn of_object(selector: Option<&Value>) -> Option<Self> {
        let selector = selector.filter(|s| s.is_object())?;
        let mut all = Vec::new();
        if let Some(labels) = selector["matchLabels"].as_object() {
            for (key, value) in labels {
                all.push(Requirement::In(
                    key.clone(),
                    vec![value.as_str()?.to_owned()],
                ));
            }
        }
        for expression in list(selector, "/matchExpressions") {
            let key = text(expression, "/key").to_owned();
            let values: Vec<String> = list(expression, "/values")
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            all.push(match text(expression, "/operator") {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Missing(key),
                _ => return None,
            });
        }
        Some(Self(all))
    }

    /// A plain map of labels, such as a Service's selector; an empty one selects nothing.
    pub(crate) fn of_map(map: &Value) -> Option<Self> {
        let map = map.as_object().filter(|m| !m.is_empty())?;
        let all = map.iter().map(|(key, value)| {
            let value = value.as_str().unwrap_or("").to_owned();
            Requirement::In(key.clone(), vec![value])
        });
        Some(Self(all.collect()))
    }

    /// Reads a query's `labelSelector`.
    pub(crate) fn parse(query: &str) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in split(query) {
            let part = part.trim();
            if !part.is_empty() {
                all.push(requirement(part).map_err(|problem| {
                    Failure::bad(format!("unable to parse requirement: {problem}"))
                })?);
            }
        }
        Ok(Self(all))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|r| r.holds(labels))
    }
}

/// Splits at commas that are not within parentheses.
fn split(query: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_u32, 0);
    for (at, c) in query.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&query[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&query[from..]);
    parts
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement::Missing(identifier(key)?));
    }
    if let Some((left, right)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(
            identifier(left)?,
            vec![label_value(left, right)?],
        ));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(
            identifier(left)?,
            vec![label_value(left, right)?],
        ));
    }
    if let Some((left, right)) = part.split_once('>') {
        return Ok(Requirement::Greater(identifier(left)?, bound(right)?));
    }
    if let Some((left, right)) = part.split_once('<') {
        return Ok(Requirement::Less(identifier(left)?, bound(right)?));
    }
    if let Some((left, right)) = part.split_once('(') {
        let Some(inner) = right.trim().strip_suffix(')') else {
            return Err("found '', expected: ',' or ')'".to_owned());
        };
        let values = inner.split(',').map(|v| v.trim().to_owned()).collect();
        let words: Vec<&str> = left.split_whitespace().collect();
        return match words.as_slice() {
            [key, "in"] => Ok(Requirement::In(identifier(key)?, values)),
            [key, "notin"] => Ok(Requirement::NotIn(identifier(key)?, values)),
            [_, other, ..] => Err(format!(
                "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
            )),
            _ => Err("found '(', expected: identifier".to_owned()),
        };
    }
    Ok(Requirement::Exists(identifier(part)?))
}

fn label_value(key: &str, value: &str) -> Result<String, String> {
    let (key, value) = (key.trim(), value.trim());
    if value.starts_with('=') {
        return Err("found '=', expected: identifier".to_owned());
    }
    if is_label_value(value) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "values[0][{key}]: Invalid value: \"{value}\": {LABEL}"
    ))
}

fn bound(value: &str) -> Result<i64, String> {
    let value = value.trim();
    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
    value
        .parse()
        .map_err(|_| format!("values[0]: Invalid value: \"{value}\": {why}"))
}

fn identifier(key: &str) -> Result<String, String> {
    let key = key.trim();
    match key.chars().find(|c| "!=()<> ".contains(*c)) {
        Some(c) => Err(format!("found '{c}', expected: identifier")),
        None if key.is_empty() => Err("found '', expected: identifier".to_owned()),
        None => Ok(key.to_owned()),
    }
}

/// A field selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(&'static str, String, bool)>);

impl Fields {
    /// Reads a query's `fieldSelector`.
    pub(crate) fn parse(kind: Kind, query: &str) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for part in query.split(',').filter(|p| !p.is_empty()) {
            let (label, value, equal) = if let Some((label, value)) = part.split_once("!=") {
                (label, value, false)
            } else if let Some((label, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (label, value, true)
            } else {
                return Err(Failure::bad(format!(
                    "invalid selector: '{part}'; can't understand '{part}'"
                )));
            };
            let Some(at) = kind.field(label) else {
                return Err(Failure::bad(format!("field label not supported: {label}")));
            };
            all.push((at, value.to_owned(), equal));
        }
        Ok(Self(all))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(at, wanted, equal)| {
            let found = match member(object, at) {
                Some(Value::String(text)) => text == wanted,
                Some(Value::Bool(yes)) => yes.to_string() == *wanted,
                // Fields are read from typed objects: a missing flag is false.
                _ if *at == "/spec/unschedulable" => wanted == "false",
                _ => wanted.is_empty(),
            };
            found == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(query: &str, labels: &Value) -> bool {
        let object = json!({"metadata": {"labels": labels}});
        Labels::parse(query).unwrap().matches(&object)
    }

    #[test]
    fn label_queries_of_every_form() {
        let web = json!({"app": "web", "tier": "front", "weight": "9"});
        for query in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app",
            "!gone",
            "app in (db, web)",
            "app notin (db)",
            "gone notin (x)",
            "gone!=x",
            "app in (web),tier=front,!gone",
            "weight>3",
            "weight<10,weight>8",
        ] {
            assert!(holds(query, &web), "{query}");
        }
        for query in [
            "app=db",
            "gone",
            "!app",
            "app in (db)",
            "app notin (web,db)",
            "app!=web",
        ] {
            assert!(!holds(query, &web), "{query}");
        }
    }

    #[test]
    fn label_queries_that_cannot_be_read() {
        for query in [
            "!!",
            "app in (web",
            "app near (web)",
            "=x",
            "app===x",
            "app=a/b",
            "w>x",
        ] {
            assert_eq!(Labels::parse(query).unwrap_err().code, 400, "{query}");
        }
    }

    #[test]
    fn a_missing_selector_selects_nothing_and_an_empty_one_everything() {
        let object = json!({"metadata": {}});
        assert_eq!(Labels::of_object(None), None);
        assert!(
            Labels::of_object(Some(&json!({})))
                .unwrap()
                .matches(&object)
        );
        assert_eq!(Labels::of_map(&json!({})), None);
    }

    #[test]
    fn expressions_of_objects() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["front"]},
            {"key": "old", "operator": "DoesNotExist"}]});
        let labels = Labels::of_object(Some(&selector)).unwrap();
        let pod = |labels: Value| json!({"metadata": {"labels": labels}});
        assert!(labels.matches(&pod(json!({"app": "web", "tier": "front"}))));
        assert!(!labels.matches(&pod(json!({"app": "web", "tier": "front", "old": ""}))));
        assert!(!labels.matches(&pod(json!({"app": "web"}))));
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}});
        let holds = |q: &str| Fields::parse(Kind::Pod, q).unwrap().matches(&pod);
        assert!(holds("spec.nodeName=n,metadata.name!=b"));
        assert!(holds("status.phase="));
        assert!(!holds("spec.nodeName!=n"));
        assert_eq!(
            Fields::parse(Kind::Pod, "spec.bogus=1").unwrap_err().code,
            400
        );
        assert_eq!(
            Fields::parse(Kind::Pod, "spec.nodeName").unwrap_err().code,
            400
        );
    }
}
