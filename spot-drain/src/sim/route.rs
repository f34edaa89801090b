//! What a request's path and query ask for.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::failure::Failure;
use super::kind::Kind;

/// A request's target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A document that is not about objects, such as `/version`.
    Document(String),
    /// `selfsubjectaccessreviews`.
    AccessReview,
    /// A kind's objects, or one of them.
    Objects(Place),
}

/// Where objects are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// The group as the path names it: events have two.
    pub(crate) group: String,
    /// Empty: all, or none for what is cluster-wide.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Place {
    /// The key of the object that is named.
    pub(crate) fn key(&self) -> String {
        let name = self.name.as_deref().unwrap_or("");
        super::json::key(&self.namespace, name)
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("")
    }
}

fn decode(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Reads a path.
pub(crate) fn target(path: &str) -> Result<Target, Failure> {
    let parts: Vec<String> = path
        .split('/')
        .filter(|p| !p.is_empty())
        .map(decode)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] if !rest.is_empty() => ("", rest),
        [
            "apis",
            "authorization.k8s.io",
            "v1",
            "selfsubjectaccessreviews",
        ] => {
            return Ok(Target::AccessReview);
        }
        ["apis", group, "v1", rest @ ..] if !rest.is_empty() && Kind::groups().contains(group) => {
            (*group, rest)
        }
        _ => return Ok(Target::Document(path.trim_end_matches('/').to_owned())),
    };
    let find = |plural: &str| Kind::find(group, plural).ok_or_else(Failure::unknown_path);
    let place = |kind: Kind, namespace: &str, rest: &[&str]| {
        let (name, subresource) = match rest {
            [] => (None, None),
            [name] => (Some((*name).to_owned()), None),
            [name, sub] => (Some((*name).to_owned()), Some((*sub).to_owned())),
            _ => return Err(Failure::unknown_path()),
        };
        let place = Place {
            kind,
            group: group.to_owned(),
            namespace: namespace.to_owned(),
            name,
            subresource,
        };
        Ok(Target::Objects(place))
    };
    if let ["namespaces", namespace, plural, rest @ ..] = rest
        && !(group.is_empty() && matches!(*plural, "status" | "finalize"))
    {
        let kind = find(plural)?;
        if !kind.resource().namespaced {
            return Err(Failure::unknown_path());
        }
        return place(kind, namespace, rest);
    }
    let [plural, rest @ ..] = rest else {
        return Err(Failure::unknown_path());
    };
    let kind = find(plural)?;
    if kind.resource().namespaced && !rest.is_empty() {
        return Err(Failure::unknown_path());
    }
    place(kind, "", rest)
}

/// A query's parameters; of those given twice, the first.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut all = BTreeMap::new();
        for pair in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(decode(&key.replace('+', " ")))
                .or_insert_with(|| decode(&value.replace('+', " ")));
        }
        Self(all)
    }

    /// A parameter, empty where it is not given.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), "true" | "1")
    }

    /// A number; one below zero is none, and an unusable one is refused in the words of the server's parser.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Failure> {
        let text = self.get(key);
        if text.is_empty() {
            return Ok(None);
        }
        let problem = || format!("strconv.ParseInt: parsing \"{text}\": invalid syntax");
        let number: i64 = text.parse().map_err(|_| Failure::bad(problem()))?;
        Ok(u64::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(path: &str) -> (Kind, String, Option<String>, Option<String>) {
        match target(path) {
            Ok(Target::Objects(p)) => (p.kind, p.namespace, p.name, p.subresource),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths() {
        let s = |text: &str| Some(text.to_owned());
        assert_eq!(
            objects("/api/v1/nodes"),
            (Kind::Node, String::new(), None, None)
        );
        assert_eq!(
            objects("/api/v1/namespaces/shop/pods/web%2D1/eviction"),
            (Kind::Pod, "shop".into(), s("web-1"), s("eviction"))
        );
        assert_eq!(
            objects("/api/v1/namespaces/shop"),
            (Kind::Namespace, String::new(), s("shop"), None)
        );
        assert_eq!(
            objects("/apis/policy/v1/poddisruptionbudgets").0,
            Kind::PodDisruptionBudget
        );
        assert_eq!(
            objects("/apis/events.k8s.io/v1/namespaces/a/events").0,
            Kind::Event
        );
        assert!(matches!(target("/version"), Ok(Target::Document(_))));
        assert_eq!(target("/api/v1/nonsense").unwrap_err().code, 404);
        assert_eq!(target("/api/v1/pods/web-1").unwrap_err().code, 404);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse(Some("fieldSelector=spec.nodeName%3Dn&watch=true&limit=5"));
        assert_eq!(query.get("fieldSelector"), "spec.nodeName=n");
        assert!(query.flag("watch"));
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(Query::parse(Some("limit=x")).number("limit").is_err());
    }
}
