//! What the API server's answer to an eviction or a deletion means. Pure.
//!
//! Answers are told apart by status, reason and causes, not by their words; words are kept
//! for the report.

use std::time::Duration;

use serde::Deserialize;

/// The most of a server's own words that is kept.
const WORDS: usize = 300;

/// An answer as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The HTTP status.
    pub status: u16,
    /// The `Retry-After` header, in seconds.
    pub retry_after: Option<u64>,
    /// The body; JSON or not.
    pub body: Vec<u8>,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The pod goes, or was going already.
    Accepted,
    /// No such pod.
    Gone,
    /// Something else is under that name, or another writer came in between: look again.
    Conflict,
    /// A budget has no room now.
    BudgetClosed(Refusal),
    /// More than one budget selects the pod, which the API cannot serve.
    Misconfigured {
        /// The server's words.
        words: String,
    },
    /// The server has too much to do.
    Overloaded {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The pod's namespace is being deleted, and the pod with it.
    NamespaceTerminating,
    /// 403, by RBAC or by a policy.
    Forbidden {
        /// The server's words.
        words: String,
    },
    /// 401: the token is no longer good.
    Unauthorized,
    /// Refused for a reason of the cluster's own, such as a webhook.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        words: String,
    },
    /// It is not known whether it took effect: the server answered with a 5xx.
    Unclear {
        /// What it said.
        what: String,
    },
    /// Nothing answered: no connection, a reset, no answer in time. It may have taken effect.
    Lost {
        /// What happened.
        what: String,
    },
}

impl Reply {
    /// Every name that [`Reply::kind`] gives.
    pub const KINDS: [&'static str; 12] = [
        "accepted",
        "gone",
        "conflict",
        "budget-closed",
        "misconfigured",
        "overloaded",
        "namespace-terminating",
        "forbidden",
        "unauthorized",
        "denied",
        "unclear",
        "lost",
    ];

    /// The name in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
            Self::BudgetClosed(_) => "budget-closed",
            Self::Misconfigured { .. } => "misconfigured",
            Self::Overloaded { .. } => "overloaded",
            Self::NamespaceTerminating => "namespace-terminating",
            Self::Forbidden { .. } => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Denied { .. } => "denied",
            Self::Unclear { .. } => "unclear",
            Self::Lost { .. } => "lost",
        }
    }
}

/// A budget's refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The budget's name, where the server tells it.
    pub budget: Option<String>,
    /// The budget's numbers are not up to date yet.
    pub stale: bool,
    /// The server's words.
    pub words: String,
}

/// The part of a `Status` object that matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    kind: String,
    message: String,
    pub(crate) reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

impl Status {
    pub(crate) fn of(raw: &Raw) -> Self {
        serde_json::from_slice(&raw.body).unwrap_or_default()
    }

    /// What the server said, fit for a log.
    pub(crate) fn words(&self, raw: &Raw) -> String {
        match self.message.as_str() {
            "" => quote(&String::from_utf8_lossy(&raw.body)),
            message => quote(message),
        }
    }

    /// Whether it is an object of the API at all.
    fn is_an_object(&self) -> bool {
        !self.kind.is_empty()
    }

    /// Whether the server knows no such object; not the 404 of a proxy that knows no such path.
    pub(crate) fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }

    /// Whether it is about an object, as what a policy or a check of objects says is.
    pub(crate) fn is_about_an_object(&self) -> bool {
        !self.details.kind.is_empty() || !self.details.causes.is_empty()
    }

    /// Whether an admission webhook has effects that it cannot leave out. The API server gives
    /// this no reason of its own.
    pub(crate) fn is_no_dry_run(&self) -> bool {
        self.reason == "BadRequest" && self.message.ends_with(" does not support dry run")
    }

    fn cause(&self, reason: &str) -> Option<&Cause> {
        self.details.causes.iter().find(|c| c.reason == reason)
    }
}

/// What an answer means.
pub fn decode(raw: &Raw) -> Reply {
    let status = Status::of(raw);
    let words = || status.words(raw);
    match raw.status {
        200..300 if status.is_an_object() => Reply::Accepted,
        // Something before the server, such as a page that asks to sign in.
        code @ 200..300 => Reply::Unclear {
            what: format!("{code} without an answer of the API server: {}", words()),
        },
        401 => Reply::Unauthorized,
        403 if status.cause("NamespaceTerminating").is_some() => Reply::NamespaceTerminating,
        403 => Reply::Forbidden { words: words() },
        404 if status.is_not_found() => Reply::Gone,
        409 => Reply::Conflict,
        429 => match status.cause("DisruptionBudget") {
            Some(cause) => Reply::BudgetClosed(Refusal {
                budget: budget_name(&cause.message),
                stale: status.details.retry_after_seconds > 0,
                words: quote(&cause.message),
            }),
            None => Reply::Overloaded {
                retry_after: raw
                    .retry_after
                    .or(Some(status.details.retry_after_seconds).filter(|s| *s > 0))
                    .map(Duration::from_secs),
            },
        },
        // The eviction handler answers so and names no reason of its own.
        500 if status.reason.is_empty() && status.message.contains("PodDisruptionBudget") => {
            Reply::Misconfigured { words: words() }
        }
        code @ (408 | 500..) => Reply::Unclear {
            what: format!("{code} {}", words()),
        },
        code => Reply::Denied {
            status: code,
            words: words(),
        },
    }
}

/// The name in `The disruption budget NAME needs …`; the API has no field for it.
fn budget_name(message: &str) -> Option<String> {
    let rest = message.strip_prefix("The disruption budget ")?;
    let name = rest.split(' ').next()?;
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    is_name.then(|| name.to_owned())
}

/// Somebody else's words, fit for a log: one line, no control characters, not endless.
pub(crate) fn quote(words: &str) -> String {
    let mut out: String = words
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS + 1)
        .collect();
    if out.chars().count() > WORDS {
        out = out.chars().take(WORDS).collect();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn raw(status: u16, body: &serde_json::Value) -> Raw {
        Raw {
            status,
            retry_after: None,
            body: body.to_string().into_bytes(),
        }
    }

    fn plain(status: u16, body: &str) -> Raw {
        Raw {
            status,
            retry_after: None,
            body: body.into(),
        }
    }

    fn caused(status: u16, reason: &str, message: &str, retry: u64) -> Raw {
        raw(
            status,
            &json!({"kind": "Status", "message": "m", "details": {
                "causes": [{"reason": reason, "message": message}], "retryAfterSeconds": retry}}),
        )
    }

    #[test]
    fn accepted_by_the_api_server_and_not_by_something_before_it() {
        for kind in ["Status", "Pod"] {
            assert_eq!(decode(&raw(201, &json!({"kind": kind}))), Reply::Accepted);
        }
        for page in ["", "{}", "<html>sign in</html>"] {
            let unclear = decode(&plain(200, page));
            assert!(matches!(unclear, Reply::Unclear { .. }), "{unclear:?}");
        }
    }

    #[test]
    fn a_closed_budget_is_named() {
        let words = "The disruption budget web needs 3 healthy pods and has 3 currently";
        assert_eq!(
            decode(&caused(429, "DisruptionBudget", words, 0)),
            Reply::BudgetClosed(Refusal {
                budget: Some("web".into()),
                stale: false,
                words: words.into()
            })
        );
    }

    #[test]
    fn a_stale_budget_is_told_from_a_closed_one() {
        let words = "The disruption budget web is still being processed by the server.";
        let Reply::BudgetClosed(refusal) = decode(&caused(429, "DisruptionBudget", words, 10))
        else {
            panic!("not a budget")
        };
        assert!(refusal.stale);
    }

    #[test]
    fn an_unknown_wording_still_names_the_budget_as_the_cause() {
        let Reply::BudgetClosed(refusal) = decode(&caused(429, "DisruptionBudget", "new words", 0))
        else {
            panic!("not a budget")
        };
        assert_eq!(
            (refusal.budget, refusal.words.as_str()),
            (None, "new words")
        );
    }

    #[test]
    fn what_cannot_be_a_name_names_no_budget() {
        let named = |name: &str| budget_name(&format!("The disruption budget {name} needs 3"));
        let longest = "b".repeat(253);
        assert_eq!(named(&longest), Some(longest.clone()));
        assert_eq!(named("web-1.a"), Some("web-1.a".into()));
        for none in [String::new(), longest + "b", "we\nb".into(), "wéb".into()] {
            assert_eq!(named(&none), None);
        }
    }

    #[test]
    fn words_of_others_are_one_line_and_not_endless() {
        assert_eq!(quote(" a\nb\u{7}c\n"), "a b c");
        let fits = "é".repeat(WORDS);
        assert_eq!(quote(&fits), fits);
        assert_eq!(quote(&format!("{fits}é")), format!("{fits}…"));
    }

    #[test]
    fn overload_is_not_a_budget() {
        let mut storm = plain(429, "Too many requests, please try again later.\n");
        assert_eq!(decode(&storm), Reply::Overloaded { retry_after: None });
        storm.retry_after = Some(3);
        let retry_after = Some(Duration::from_secs(3));
        assert_eq!(decode(&storm), Reply::Overloaded { retry_after });
        // Flow control names it in the answer's text only.
        let told = json!({"kind": "Status", "details": {"retryAfterSeconds": 3}});
        assert_eq!(decode(&raw(429, &told)), Reply::Overloaded { retry_after });
    }

    #[test]
    fn two_budgets_are_a_misconfiguration_and_other_500s_are_unclear() {
        let two = json!({"kind": "Status", "code": 500, "message":
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."});
        assert!(matches!(
            decode(&raw(500, &two)),
            Reply::Misconfigured { .. }
        ));
        for other in [
            json!({"message": "etcd", "reason": "InternalError"}),
            json!({"message": "watch of PodDisruptionBudgets", "reason": "InternalError"}),
            json!({"message": "etcd"}),
        ] {
            assert!(matches!(decode(&raw(500, &other)), Reply::Unclear { .. }));
        }
        assert!(matches!(decode(&plain(504, "")), Reply::Unclear { .. }));
    }

    #[test]
    fn the_kinds_of_403() {
        let ns = caused(403, "NamespaceTerminating", "", 0);
        assert_eq!(decode(&ns), Reply::NamespaceTerminating);
        assert!(matches!(decode(&plain(403, "no")), Reply::Forbidden { words } if words == "no"));
    }

    #[test]
    fn the_rest_of_the_table() {
        assert_eq!(decode(&plain(401, "")), Reply::Unauthorized);
        let gone = r#"{"kind": "Status", "reason": "NotFound", "code": 404}"#;
        assert_eq!(decode(&plain(404, gone)), Reply::Gone);
        let proxy = decode(&plain(404, "404 page not found"));
        assert!(matches!(proxy, Reply::Denied { status: 404, .. }));
        assert_eq!(decode(&plain(409, "")), Reply::Conflict);
        assert!(matches!(
            decode(&plain(422, "bad")),
            Reply::Denied { status: 422, .. }
        ));
        assert!(matches!(
            decode(&plain(400, "x")),
            Reply::Denied { status: 400, .. }
        ));
        assert!(matches!(
            decode(&plain(302, "x")),
            Reply::Denied { status: 302, .. }
        ));
    }

    #[test]
    fn words_are_one_line_and_not_endless() {
        let Reply::Denied { words, .. } = decode(&plain(400, &"a\n\u{1b}[31m".repeat(1000))) else {
            panic!("not denied")
        };
        assert!(words.chars().count() <= WORDS + 1);
        assert!(!words.chars().any(char::is_control));
    }

    proptest! {
        #[test]
        fn nothing_panics(status in 100u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&Raw { status, retry_after: None, body });
        }

        #[test]
        fn only_2xx_is_accepted(status in 100u16..600, rubbish in ".{0,100}") {
            let accepted = decode(&raw(status, &json!({"kind": "Status"}))) == Reply::Accepted;
            prop_assert_eq!(accepted, (200..300).contains(&status));
            prop_assert!(decode(&plain(status, &rubbish)) != Reply::Accepted);
        }
    }
}
