//! What is said, about what, and in which words. Pure.

use jiff::Timestamp;
use spot_core::armed::Armed;
use spot_core::drainer::{DrainOutcome, DrainReport};
use spot_core::notice::{Notice, NoticeKind};
use spot_core::observer::{Event, Occurrence};
use spot_core::policy::Response;

use crate::facts::Uid;
use crate::observer::Overview;
use crate::plan::Call;
use crate::reply::Refusal;
use crate::report::{PodReport, Replacement};

/// The most of a message that an event holds, in bytes.
const MESSAGE: usize = 1024;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Node,
    Object {
        /// Its API version and kind.
        kind: (&'static str, &'static str),
        namespace: String,
        name: String,
        uid: Uid,
    },
}

impl About {
    pub(super) fn pod(namespace: &str, name: &str, uid: &Uid) -> Self {
        Self::Object {
            kind: ("v1", "Pod"),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.clone(),
        }
    }
}

/// An event before it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) about: About,
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) at: Timestamp,
}

impl Note {
    fn normal(reason: &'static str, message: impl AsRef<str>, at: Timestamp) -> Self {
        Self {
            about: About::Node,
            warning: false,
            reason,
            message: short(message.as_ref()),
            at,
        }
    }

    pub(super) fn warning(
        about: About,
        reason: &'static str,
        message: impl AsRef<str>,
        at: Timestamp,
    ) -> Self {
        Self {
            about,
            warning: true,
            ..Self::normal(reason, message, at)
        }
    }

    /// What is said of the node when this happens, if anything.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let at = event.wall;
        let warning = |reason, message| Self::warning(About::Node, reason, message, at);
        Some(match &event.what {
            Occurrence::NoticeRaised { notice, response } => {
                warning(reason(notice.kind), raised(notice, *response))
            }
            Occurrence::NoticeExpired(id) => {
                let message = format!("the time to live of {id} is over");
                Self::normal("NoticeEnded", message, at)
            }
            Occurrence::NoticeEnded { notice, how } => {
                Self::normal("NoticeEnded", format!("{notice} {how}"), at)
            }
            Occurrence::Quarantined { quarantine, after } => {
                // Later ones only write down how far it has come.
                let phase = quarantine.phase;
                let is_first = matches!(
                    phase,
                    spot_core::node::Phase::Cordoned | spot_core::node::Phase::Draining
                );
                if !is_first {
                    return None;
                }
                let after = after.as_secs_f64();
                let kind = quarantine.kind;
                let message =
                    format!("cordoned and tainted {after:.3} s after the {kind} was seen");
                Self::normal("Cordon", message, at)
            }
            Occurrence::NodeFailed(error) => {
                let message = format!("{}; {}", error.describe(), error.remedy());
                warning("CordonError", message)
            }
            Occurrence::DrainFinished(report) => Self::finished(report, at),
            Occurrence::Released => Self::normal(
                "Uncordon",
                "what the handler had written was taken back",
                at,
            ),
            _ => return None,
        })
    }

    fn finished(report: &DrainReport, at: Timestamp) -> Self {
        let message = one_line(&report.text);
        match report.outcome {
            DrainOutcome::Complete => Self::normal("CordonAndDrain", message, at),
            DrainOutcome::Cancelled => Self::normal("DrainCancelled", message, at),
            _ => Self::warning(About::Node, "CordonAndDrainError", message, at),
        }
    }

    pub(super) fn planned(overview: &Overview, at: Timestamp) -> Self {
        let count = |(class, count): (&&str, &u32)| format!("{count} {class}");
        let counts: Vec<String> = overview.pods.iter().map(count).collect();
        let counts = match counts.as_slice() {
            [] => "none".to_owned(),
            counts => counts.join(", "),
        };
        let trimmed = match overview.trimmed {
            0 => String::new(),
            trimmed => format!("; the grace of {trimmed} does not fit the time left"),
        };
        Self::normal("DrainPlanned", format!("pods: {counts}{trimmed}"), at)
    }

    pub(super) fn armed(armed: &Armed, at: Timestamp) -> Self {
        let broken: Vec<String> = armed.broken().map(ToString::to_string).collect();
        if broken.is_empty() {
            return Self::normal("Armed", "a notice now would be acted on", at);
        }
        Self::warning(About::Node, "NotArmed", broken.join("; "), at)
    }

    pub(super) fn left_behind(pod: &PodReport, at: Timestamp) -> Self {
        let about = About::pod(&pod.namespace, &pod.name, &pod.uid);
        let message = format!("still there when the drain ended: {}", pod.outcome);
        Self::warning(about, "LeftBehind", message, at)
    }

    /// What is said of a pod's workload: in the same words of each of its pods, so that they count
    /// up.
    pub(super) fn replaced(pod: &PodReport, at: Timestamp) -> Option<Self> {
        let was = pod.detachment.as_ref()?;
        let about = About::Object {
            kind: ("apps/v1", "ReplicaSet"),
            namespace: pod.namespace.clone(),
            name: was.replica_set.clone(),
            uid: was.uid.clone(),
        };
        Some(match pod.replacement.as_ref()? {
            Replacement::First => Self {
                about,
                ..Self::normal(
                    "ReplacedFirst",
                    "a pod served until another was ready in its place, and was then evicted",
                    at,
                )
            },
            Replacement::Late => {
                let message = "a pod had to be evicted before another was ready in its place";
                Self::warning(about, "ReplacementLate", message, at)
            }
            Replacement::Stuck { why } => {
                let message = format!("a pod is left detached: {why}");
                Self::warning(about, "LeftDetached", message, at)
            }
            Replacement::Awaited | Replacement::PutBack | Replacement::NotFirst { .. } => {
                return None;
            }
        })
    }
}

pub(super) fn deleted(call: &Call) -> String {
    let grace = call
        .grace
        .map(|grace| format!(" with a grace of {grace} s"));
    let grace = grace.unwrap_or_default();
    format!("deleted past its budget{grace}, before its machine goes")
}

pub(super) fn trimmed(grace: u32) -> String {
    format!("evicted with a grace of {grace} s: its own does not fit the time left")
}

pub(super) fn blocked(refusal: &Refusal) -> String {
    let words = &refusal.words;
    match &refusal.budget {
        Some(budget) => format!("held by PodDisruptionBudget {budget}: {words}"),
        None => format!("held by a PodDisruptionBudget: {words}"),
    }
}

/// The reason that says which kind of notice it is.
fn reason(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::SpotInterruption => "SpotInterruption",
        NoticeKind::RebalanceRecommendation => "RebalanceRecommendation",
        NoticeKind::ScheduledMaintenance => "ScheduledEvent",
        NoticeKind::AsgTermination => "ASGLifecycle",
        _ => "UnknownInterruption",
    }
}

fn raised(notice: &Notice, response: Response) -> String {
    let Notice { kind, action, .. } = notice;
    let at = notice
        .deadline
        .map(|deadline| format!(" at {:.0}", deadline.wall()));
    let at = at.unwrap_or_default();
    format!("{kind}: {action}{at}; response: {response}")
}

/// Several lines as one.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line += if line.ends_with(':') { " " } else { "; " };
        }
        line += part;
    }
    line
}

/// No longer than an event may hold.
fn short(message: &str) -> String {
    if message.len() <= MESSAGE {
        return message.to_owned();
    }
    let mut out = String::with_capacity(MESSAGE);
    for c in message.chars() {
        if out.len() + c.len_utf8() + '…'.len_utf8() > MESSAGE {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::replacement::Detachment;
    use crate::report::PodOutcome;

    #[test]
    fn a_message_fits_an_event() {
        assert_eq!(short("short"), "short");
        let long = short(&"é".repeat(2000));
        assert!(long.len() <= MESSAGE && long.ends_with("é…"));
    }

    #[test]
    fn a_report_becomes_one_line() {
        let text = "drain incomplete\n  left behind:\n    shop/web: blocked\n  notes:\n    x";
        let line = "drain incomplete; left behind: shop/web: blocked; notes: x";
        assert_eq!(one_line(text), line);
    }

    #[test]
    fn of_a_workload_that_was_replaced_first_the_same_is_said_of_each_pod() {
        let said = |name: &str, replacement: Replacement| {
            let detachment = Detachment {
                replica_set: "web-abc".to_owned(),
                ..Detachment::default()
            };
            let pod = PodReport {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
                uid: Uid(name.to_owned()),
                class: "evict",
                outcome: PodOutcome::Gone,
                last_refusal: None,
                warnings: Vec::new(),
                replacement: Some(replacement),
                detachment: Some(detachment),
                finalizers: Vec::new(),
                tries: 1,
                grace: None,
                own_grace: Duration::ZERO,
                deleted: false,
                accepted_after: None,
                gone_after: None,
            };
            Note::replaced(&pod, Timestamp::UNIX_EPOCH)
        };
        let first = said("a", Replacement::First).unwrap();
        assert_eq!(Some(&first), said("b", Replacement::First).as_ref());
        assert_eq!((first.reason, first.warning), ("ReplacedFirst", false));
        assert!(
            matches!(&first.about, About::Object { kind: (_, "ReplicaSet"), name, .. } if name == "web-abc")
        );
        let late = said("a", Replacement::Late).unwrap();
        assert_eq!((late.reason, late.warning), ("ReplacementLate", true));
        let why = "no right".to_owned();
        let stuck = said("a", Replacement::Stuck { why }).unwrap();
        assert_eq!(stuck.message, "a pod is left detached: no right");
        for nothing in [Replacement::PutBack, Replacement::Awaited] {
            assert_eq!(said("a", nothing), None);
        }
    }

    #[test]
    fn every_kind_has_the_reason_that_alerts_know() {
        let reasons = NoticeKind::ALL.map(reason);
        assert!(!reasons.contains(&"UnknownInterruption"), "{reasons:?}");
    }
}
