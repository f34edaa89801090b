//! What is told, as JSON. Pure.
//!
//! | field | what it says |
//! |---|---|
//! | `version` | 1; fields may be added, none is taken away or changed within a version |
//! | `event` | `notice`, `drain-finished` or `notice-ended` |
//! | `time` | when, RFC 3339 |
//! | `node` | the machine's name in its cluster |
//! | `dry_run` | whether nothing is changed |
//! | `text` | all of it in a line for a person |
//! | `instance.id`, `.zone`, `.region`, `.life_cycle` | the machine; `null` where not known |
//! | `notice.id`, `.kind`, `.action` | the notice; `null` where none is known |
//! | `notice.deadline`, `notice.remaining_seconds` | when the machine goes, RFC 3339, and how long that is; `null` where no time is named |
//! | `response` | of a `notice`: what is done about it |
//! | `ended` | of a `notice-ended`: how; `expired`: it stands still, and is acted on no more |
//! | `drain.outcome`, `.elapsed_seconds`, `.slack_seconds`, `.pods`, `.report` | of a `drain-finished` |

use crate::drainer::DrainReport;
use crate::notice::{Instance, LifeCycle, Notice, NoticeId};
use crate::policy::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    event: &'static str,
    json: Value,
}

/// What a message is made from.
pub(crate) struct Facts<'a> {
    pub(crate) node: &'a str,
    pub(crate) dry_run: bool,
    pub(crate) instance: Option<&'a Instance>,
    pub(crate) notice: Option<&'a Notice>,
    pub(crate) at: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) what: What<'a>,
}

/// What has happened.
#[derive(Clone, Copy)]
pub(crate) enum What<'a> {
    /// A notice was seen, to which this is the response.
    Notice(Response),
    /// A drain has ended.
    Drained(&'a DrainReport),
    /// A notice stands no longer, or is acted on no more.
    Ended(&'a NoticeId, &'static str),
}

impl What<'_> {
    fn event(self) -> &'static str {
        match self {
            Self::Notice(_) => "notice",
            Self::Drained(_) => "drain-finished",
            Self::Ended(..) => "notice-ended",
        }
    }
}

impl Message {
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        let event = facts.what.event();
        let ended = match facts.what {
            What::Ended(id, how) => Some((id.as_str(), how)),
            _ => None,
        };
        let json = json!({
            "version": 1,
            "event": event,
            "time": second(facts.wall),
            "node": facts.node,
            "dry_run": facts.dry_run,
            "text": text(facts),
            "instance": {
                "id": facts.instance.map(|i| &i.id),
                "zone": facts.instance.and_then(|i| i.zone.as_ref()),
                "region": facts.instance.and_then(|i| i.region.as_ref()),
                "life_cycle": facts.instance.and_then(|i| i.life_cycle.as_ref()).map(LifeCycle::as_str),
            },
            "notice": {
                "id": facts.notice.map(|n| n.id.as_str()).or(ended.map(|(id, _)| id)),
                "kind": facts.notice.map(|n| n.kind.as_str()),
                "action": facts.notice.map(|n| n.action.as_str()),
                "deadline": facts.notice.and_then(|n| n.deadline).map(|d| second(d.wall())),
                "remaining_seconds": remaining(facts),
            },
            "response": match facts.what {
                What::Notice(response) => Some(response.to_string()),
                _ => None,
            },
            "ended": ended.map(|(_, how)| how),
            "drain": drain(facts.what),
        });
        Self { event, json }
    }

    /// Which of the three events it is.
    pub fn event(&self) -> &'static str {
        self.event
    }

    /// All of it.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// A message with every field that there is, to check a template against.
    pub(crate) fn fields() -> Value {
        let now = Instant::now();
        let what = What::Drained(&DrainReport::new(crate::drainer::DrainOutcome::Complete));
        let (instance, notice) = (None, None);
        let wall = Timestamp::UNIX_EPOCH;
        let node = "";
        let facts = Facts {
            node,
            dry_run: false,
            instance,
            notice,
            at: now,
            wall,
            what,
        };
        Self::new(&facts).json
    }
}

fn drain(what: What<'_>) -> Value {
    let report = match what {
        What::Drained(report) => Some(report),
        _ => None,
    };
    json!({
        "outcome": report.map(|r| r.outcome.as_str()),
        "elapsed_seconds": report.map(|r| r.elapsed.as_secs_f64()),
        "slack_seconds": report.and_then(|r| r.slack).map(|slack| slack.as_secs_f64()),
        "pods": report.map(|r| &r.tally),
        "report": report.map(|r| &r.text),
    })
}

fn remaining(facts: &Facts<'_>) -> Option<u64> {
    let deadline = facts.notice?.deadline?;
    Some(deadline.remaining(facts.at).as_secs())
}

/// All of it in a line.
fn text(facts: &Facts<'_>) -> String {
    let dry = if facts.dry_run { " (dry run)" } else { "" };
    let node = format_args!("{}{dry}", facts.node);
    match (facts.what, facts.notice) {
        (What::Notice(response), Some(notice)) => {
            let (kind, action) = (notice.kind, notice.action);
            let left = remaining(facts).map(|left| format!(" in {left} s"));
            let left = left.unwrap_or_default();
            format!("{node}: {kind}, {action}{left}; response: {response}")
        }
        (What::Notice(response), None) => format!("{node}: a notice; response: {response}"),
        (What::Drained(report), _) => {
            let first = report.text.lines().next();
            let outcome = report.outcome;
            first.map_or_else(
                || format!("{node}: drain {outcome}"),
                |l| format!("{node}: {l}"),
            )
        }
        (What::Ended(notice, how), _) => format!("{node}: {notice} {how}"),
    }
}

/// To the second.
fn second(at: Timestamp) -> String {
    format!("{at:.0}")
}
