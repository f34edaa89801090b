//! GET and LIST: versions, pages, selectors.

use serde_json::{Value, json};

use super::api::{Answer, Api, Asked};
use super::failure::{Failure, respond};
use super::selector::{Fields, Labels};
use super::store::Objects;

/// What a list is selected by.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) fields: Fields,
    pub(crate) labels: Labels,
}

impl Filter {
    pub(crate) fn of(asked: &Asked<'_>) -> Result<Self, Failure> {
        Ok(Self {
            namespace: asked.place.namespace.clone(),
            name: String::new(),
            labels: Labels::parse(asked.query.get("labelSelector"))?,
            fields: Fields::parse(asked.place.kind, asked.query.get("fieldSelector"))?,
        })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        (self.namespace.is_empty() || metadata["namespace"] == *self.namespace)
            && (self.name.is_empty() || metadata["name"] == *self.name)
            && self.fields.matches(object)
            && self.labels.matches(object)
    }
}

/// A `resourceVersion` parameter; `None` where it is not given.
pub(crate) fn version(asked: &Asked<'_>, lead: &str) -> Result<Option<u64>, Failure> {
    let text = asked.query.get("resourceVersion");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Failure::bad(format!(
            "{lead}resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}

/// Where a list goes on.
struct Token {
    /// The version of the first page; `None`: whatever is there now.
    version: Option<u64>,
    after: String,
}

impl Token {
    fn write(&self) -> String {
        let version = self
            .version
            .map_or_else(|| "now".to_owned(), |v| v.to_string());
        format!("{version}.{}", super::json::hex(self.after.as_bytes()))
    }

    fn read(text: &str) -> Option<Self> {
        let (version, after) = text.split_once('.')?;
        let version = match version {
            "now" => None,
            number => Some(number.parse().ok()?),
        };
        let digits: Option<Vec<u8>> = after
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        let after = String::from_utf8(digits?).ok()?;
        Some(Self { version, after })
    }
}

impl Api {
    pub(crate) fn get(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let place = &asked.place;
        if let Some(wanted) = version(asked, "")?
            && wanted > self.store.version()
        {
            return Err(Failure::too_new(wanted, self.store.version()));
        }
        let resource = place.kind.resource();
        let object = self
            .store
            .get(place.kind, &place.key())
            .ok_or_else(|| Failure::not_found(resource, place.name()))?;
        Ok(respond(200, &asked.form.one(asked, object)).into())
    }

    pub(crate) fn list(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let (kind, query) = (asked.place.kind, &asked.query);
        check_match(asked)?;
        let filter = Filter::of(asked)?;
        let limit = query.number("limit")?.filter(|limit| *limit > 0);
        query.number("timeoutSeconds")?;
        let wanted = version(asked, "invalid resource version: ")?;
        let now = self.store.version();
        if let Some(wanted) = wanted.filter(|wanted| *wanted > now) {
            return Err(Failure::too_new(wanted, now));
        }
        let token = query.get("continue");
        if !token.is_empty() && wanted.is_some_and(|wanted| wanted > 0) {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Failure::bad(message));
        }
        let exact = query.get("resourceVersionMatch") == "Exact"
            || (limit.is_some() && query.get("resourceVersionMatch").is_empty());
        let (objects, version, after): (Objects, u64, String) = if !token.is_empty() {
            let token = Token::read(token)
                .ok_or_else(|| Failure::bad("invalid continue token: continue key is not valid"))?;
            let version = token.version.unwrap_or(now);
            let Some(objects) = self.store.at(kind, version) else {
                return Err(gone(token));
            };
            (objects, version, token.after)
        } else if let Some(version) = wanted.filter(|v| exact && *v > 0) {
            let objects = self.store.at(kind, version).ok_or_else(|| {
                Failure::expired("The resourceVersion for the provided list is too old.")
            })?;
            (objects, version, String::new())
        } else if wanted == Some(0) && asked.lag > 0 {
            let version = now.saturating_sub(asked.lag).max(self.store.compacted());
            let objects = self.store.at(kind, version).unwrap_or_default();
            (objects, version, String::new())
        } else {
            (self.store.all(kind).clone(), now, String::new())
        };
        // A cache gives all of it at once.
        let limit = limit.filter(|_| wanted != Some(0));
        let mut found = objects
            .iter()
            .filter(|(key, object)| **key > after && filter.matches(object));
        let most = limit.map_or(usize::MAX, |l| usize::try_from(l).unwrap_or(usize::MAX));
        let items: Vec<(&String, &Value)> =
            found.by_ref().take(most).map(|(k, o)| (k, &**o)).collect();
        let left = found.count();
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if let Some((last, _)) = items.last().filter(|_| left > 0) {
            let token = Token {
                version: Some(version),
                after: (*last).clone(),
            };
            metadata["continue"] = token.write().into();
            if query.get("labelSelector").is_empty() && query.get("fieldSelector").is_empty() {
                metadata["remainingItemCount"] = left.into();
            }
        }
        let items = items.into_iter().map(|(_, object)| object);
        Ok(respond(200, &asked.form.many(asked, items, &metadata)).into())
    }
}

fn check_match(asked: &Asked<'_>) -> Result<(), Failure> {
    use super::failure::Wrong;
    let (wanted, version) = (
        asked.query.get("resourceVersionMatch"),
        asked.query.get("resourceVersion"),
    );
    let (reason, message) = match (wanted, version) {
        ("", _) => return Ok(()),
        (other, _) if !matches!(other, "Exact" | "NotOlderThan") => (
            "FieldValueNotSupported",
            format!(
                "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
            ),
        ),
        (_, "") => (
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
                .to_owned(),
        ),
        ("Exact", "0") => (
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
                .to_owned(),
        ),
        _ => return Ok(()),
    };
    let wrong = Wrong {
        reason,
        message,
        field: "resourceVersionMatch".to_owned(),
    };
    Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &[wrong]))
}

/// The pages of a list have outlived their version.
fn gone(token: Token) -> Failure {
    let rest = Token {
        version: None,
        ..token
    };
    Failure::expired(
        "The provided continue parameter is too old to display a consistent list result. You \
         can start a new list without the continue parameter, or use the continue token in \
         this response to retrieve the remainder of the results. Continuing with the provided \
         token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .with_continue(&rest.write())
}
