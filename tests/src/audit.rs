//! The API server's audit log: the honest count of who asked for what, and when.

use std::{
    collections::BTreeMap,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{Result, error::Context as _};

/// How long the log must not grow before it is believed to hold all that was asked.
const QUIET: Duration = Duration::from_millis(300);

/// The audit log of one control plane.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in an audit log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One request that was answered (for a watch: that was begun).
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// On whose behalf, if it impersonated.
    pub impersonated: Option<String>,
    /// The node of the pod that its token is bound to, if there is one.
    pub bound_to: Option<String>,
    /// The resource's API group, empty for the core's.
    pub group: String,
    /// Kubernetes' verb: `list`, `watch`, `create`, `patch` and so on.
    pub verb: String,
    /// The resource (`pods`), or the path of what is none (`/readyz`).
    pub resource: String,
    /// The subresource (`eviction`), or empty.
    pub subresource: String,
    /// The object's namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The UID that the body insists on. Known of evictions only: theirs are the bodies that
    /// are logged.
    pub uid: Option<String>,
    /// Path and query.
    pub uri: String,
    /// HTTP status.
    pub code: u16,
    /// When the API server had the request.
    pub received: Timestamp,
    /// When it had answered (for a watch: when it began to).
    pub answered: Timestamp,
}

impl Request {
    /// Verb and resource as one word each: `create pods/eviction`.
    pub fn kind(&self) -> String {
        if self.subresource.is_empty() {
            format!("{} {}", self.verb, self.resource)
        } else {
            format!("{} {}/{}", self.verb, self.resource, self.subresource)
        }
    }

    /// Whether it asked for an eviction.
    pub fn is_eviction(&self) -> bool {
        self.kind() == "create pods/eviction"
    }

    /// Whether it was an eviction that was accepted.
    pub fn has_evicted(&self) -> bool {
        self.is_eviction() && (200..300).contains(&self.code)
    }
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log as it is now. What a client was told a moment ago may still be on
    /// its way into the log: mark before the client starts.
    pub fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    /// All requests logged after `mark`, in the order of their arrival.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn since(&self, mark: Mark) -> Result<Vec<Request>> {
        let what = || format!("read {}", self.path.display());
        let mut file = std::fs::File::open(&self.path).context(what())?;
        file.seek(SeekFrom::Start(mark.0)).context(what())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context(what())?;
        let mut requests: Vec<Request> = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(parse)
            .collect();
        requests.sort_by_key(|request| request.received);
        Ok(requests)
    }

    /// What `user` asked for after `mark`, once there has been nothing new from it for 300 ms.
    /// For a user that never pauses, what there was after five seconds.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn of_user(&self, mark: Mark, user: &str) -> Result<Vec<Request>> {
        let give_up = Instant::now() + Duration::from_secs(5);
        let mut quiet_since = Instant::now();
        let mut seen = Vec::new();
        loop {
            let mut now = self.since(mark)?;
            now.retain(|request| request.user == user);
            if now.len() != seen.len() {
                quiet_since = Instant::now();
            }
            seen = now;
            if quiet_since.elapsed() >= QUIET || Instant::now() >= give_up {
                return Ok(seen);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How many requests of each kind, by [`Request::kind`].
pub fn tally(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for request in requests {
        *tally.entry(request.kind()).or_default() += 1;
    }
    tally
}

/// A line of the log, if it is the one that counts for its request. A last line that is not
/// whole yet is skipped; it will be read next time.
fn parse(line: &[u8]) -> Option<Request> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let counts = if line.verb == "watch" {
        "ResponseStarted"
    } else {
        "ResponseComplete"
    };
    if line.stage != counts {
        return None;
    }
    let object = line.object_ref.unwrap_or_default();
    let path = line.request_uri.split('?').next().unwrap_or_default();
    let uid = line
        .request_object
        .as_ref()
        .and_then(|body| body["deleteOptions"]["preconditions"]["uid"].as_str());
    Some(Request {
        uid: uid.map(String::from),
        bound_to: line.user.extra.into_iter().find_map(node_of),
        user: line.user.username,
        group: object.api_group.unwrap_or_default(),
        impersonated: line.impersonated_user.map(|user| user.username),
        verb: line.verb,
        resource: object.resource.unwrap_or_else(|| path.to_owned()),
        subresource: object.subresource.unwrap_or_default(),
        namespace: object.namespace.unwrap_or_default(),
        name: object.name.unwrap_or_default(),
        code: line.response_status.map_or(0, |status| status.code),
        received: line.request_received_timestamp.parse().ok()?,
        answered: line.stage_timestamp.parse().ok()?,
        uri: line.request_uri,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    object_ref: Option<Object>,
    request_object: Option<serde_json::Value>,
    response_status: Option<Status>,
    request_received_timestamp: String,
    stage_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

/// What a bound token says of its node.
fn node_of((key, values): (String, Vec<String>)) -> Option<String> {
    let is_node = key == "authentication.kubernetes.io/node-name";
    values.into_iter().next().filter(|_| is_node)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_group: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","level":"Metadata","stage":"STAGE","verb":"VERB",
        "requestURI":"/api/v1/namespaces/n/pods/p/eviction?x=1","user":{"username":"handler"},
        "objectRef":{"resource":"pods","namespace":"n","name":"p","subresource":"eviction"},
        "responseStatus":{"metadata":{},"code":201},
        "requestObject":{"kind":"Eviction","deleteOptions":{"preconditions":{"uid":"u-1"}}},
        "requestReceivedTimestamp":"2026-01-02T03:04:05.000001Z",
        "stageTimestamp":"2026-01-02T03:04:05.250001Z"}"#;

    fn line(stage: &str, verb: &str) -> Option<Request> {
        parse(
            LINE.replace("STAGE", stage)
                .replace("VERB", verb)
                .as_bytes(),
        )
    }

    #[test]
    fn a_request_counts_once_by_its_verb() {
        assert!(line("ResponseStarted", "create").is_none());
        assert!(line("ResponseComplete", "watch").is_none());
        assert!(line("ResponseStarted", "watch").is_some());
        let request = line("ResponseComplete", "create").unwrap();
        assert_eq!(request.kind(), "create pods/eviction");
        assert_eq!(request.code, 201);
        assert_eq!(request.uid.as_deref(), Some("u-1"));
        let took = request.answered.duration_since(request.received);
        assert_eq!(took.as_millis(), 250);
    }

    #[test]
    fn a_line_that_is_not_whole_is_skipped() {
        assert!(parse(&LINE.as_bytes()[..40]).is_none());
    }
}
