//! A report as an operator reads it: first what was saved, then what was not and what held it.

use std::collections::BTreeMap;
use std::fmt;

use super::{Hindrance, PodOutcome, PodReport, Replacement, Report};

/// How many pods of one fate are named.
const NAMED: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        let dry = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        write!(f, "drain {} after {seconds:.1} s{dry}: ", self.outcome)?;
        let tally = self.tally();
        if tally.is_empty() {
            f.write_str("no pods")?;
        }
        for (n, (outcome, count)) in tally.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {outcome}")?;
        }
        if let Some(slack) = self.slack {
            write!(f, "; {:.1} s left to the deadline", slack.as_secs_f64())?;
        }
        if !self.listed {
            f.write_str("\n  the node's pods could not be listed: nothing is known of them")?;
        }
        let left = self.pods.iter().filter(|pod| pod.outcome.is_left_behind());
        list(f, "left behind", left.map(|pod| (pod, fate(pod))))?;
        if !self.attached.is_empty() {
            write!(f, "\n  still attached: {}", self.attached.join(", "))?;
        }
        for hindrance in &self.hindrances {
            write!(f, "\n  {hindrance}")?;
        }
        let notes = self.pods.iter().filter_map(|pod| Some((pod, notes(pod)?)));
        list(f, "notes", notes)
    }
}

/// Pods under what is said of them: many have one fate, and few have to be read.
fn list<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    said: impl Iterator<Item = (&'a PodReport, String)>,
) -> fmt::Result {
    let mut by_words: BTreeMap<String, Vec<&PodReport>> = BTreeMap::new();
    for (pod, words) in said {
        by_words.entry(words).or_default().push(pod);
    }
    if !by_words.is_empty() {
        write!(f, "\n  {title}:")?;
    }
    for (words, pods) in by_words {
        f.write_str("\n    ")?;
        for (n, pod) in pods.iter().take(NAMED).enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}/{}", pod.namespace, pod.name)?;
        }
        if pods.len() > NAMED {
            write!(f, " and {} more", pods.len() - NAMED)?;
        }
        write!(f, ": {words}")?;
    }
    Ok(())
}

/// What became of a pod that was left behind, and what held it.
fn fate(pod: &PodReport) -> String {
    let mut fate = pod.outcome.to_string();
    if matches!(pod.outcome, PodOutcome::Terminating) && !pod.finalizers.is_empty() {
        fate += ", held by finalizers ";
        fate += &pod.finalizers.join(", ");
    }
    fate
}

/// What an operator should know of a pod besides.
fn notes(pod: &PodReport) -> Option<String> {
    let cut = |grace| format!("grace cut from {} to {grace} s", pod.own_grace.as_secs());
    let deleted = pod.deleted.then(|| "deleted past its budget".to_owned());
    let replacement = pod.replacement.as_ref().map(ToString::to_string);
    let notes = pod.grace.map(cut).into_iter().chain(deleted);
    let notes = notes.chain(replacement);
    let notes: Vec<String> = notes.chain(pod.warnings.iter().cloned()).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

impl fmt::Display for PodOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked {
                budget: Some(name),
                words,
            } => {
                write!(f, "blocked by PodDisruptionBudget {name} ({words})")
            }
            Self::Blocked {
                budget: None,
                words,
            } => {
                write!(f, "blocked by a PodDisruptionBudget ({words})")
            }
            Self::Misconfigured { words } => write!(f, "more than one budget ({words})"),
            Self::Forbidden { words } => write!(f, "forbidden ({words})"),
            Self::Denied { status, words } => write!(f, "denied with {status} ({words})"),
            Self::Unreachable { what } => write!(f, "unreachable ({what})"),
            Self::Skipped { reason } => write!(f, "skipped ({reason})"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("its replacement was ready first"),
            Self::Late => f.write_str("its replacement was not ready in time"),
            Self::Awaited => f.write_str("detached, its replacement not ready yet"),
            Self::PutBack => f.write_str("put back"),
            Self::Stuck { why } => write!(f, "left detached ({why})"),
            Self::NotFirst { why } => write!(f, "no replacement first: {why}"),
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods { why } => write!(f, "the node's pods could not be seen at the end ({why})"),
            Self::DaemonSets { why } => {
                write!(f, "DaemonSets unknown, their pods left alone ({why})")
            }
            Self::Budgets { why } => {
                write!(
                    f,
                    "budgets unknown, pods of one owner went carefully ({why})"
                )
            }
            Self::BudgetWatch { namespace, why } => write!(
                f,
                "budgets of {namespace} could not be watched, closed ones were asked every few seconds ({why})"
            ),
            Self::Workload { namespace, why } => write!(
                f,
                "workloads of {namespace} unknown, no replacement made first ({why})"
            ),
            Self::ReplicaSetWatch { namespace, why } => write!(
                f,
                "ReplicaSets of {namespace} could not be watched, replacements not seen to be ready ({why})"
            ),
            Self::Volumes { why } => write!(f, "attached volumes unknown ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::facts::Uid;
    use spot_core::drainer::DrainOutcome;

    fn pod(name: &str, outcome: PodOutcome) -> PodReport {
        PodReport {
            namespace: "shop".into(),
            name: name.into(),
            uid: Uid(name.into()),
            class: "evict",
            outcome,
            last_refusal: None,
            warnings: Vec::new(),
            replacement: None,
            detachment: None,
            finalizers: Vec::new(),
            tries: 1,
            grace: None,
            own_grace: Duration::from_secs(30),
            deleted: false,
            accepted_after: None,
            gone_after: None,
        }
    }

    fn report(pods: Vec<PodReport>) -> Report {
        Report {
            outcome: DrainOutcome::Incomplete,
            elapsed: Duration::from_millis(115_020),
            slack: Some(Duration::from_secs(5)),
            dry_run: false,
            listed: true,
            requests: 40,
            pods,
            attached: Vec::new(),
            hindrances: Vec::new(),
        }
    }

    fn blocked() -> PodOutcome {
        PodOutcome::Blocked {
            budget: Some("web".into()),
            words: "needs 3 healthy pods and has 3 currently".into(),
        }
    }

    #[test]
    fn it_says_what_was_saved_what_was_not_and_what_held_it() {
        let stuck = PodReport {
            finalizers: vec!["example.com/hold".into()],
            ..pod("stuck", PodOutcome::Terminating)
        };
        let hurried = PodReport {
            grace: Some(90),
            own_grace: Duration::from_secs(600),
            warnings: vec!["unmanaged: nothing brings it back".into()],
            ..pod("hurried", PodOutcome::Gone)
        };
        let mut report = report(vec![
            hurried,
            pod("web-1", blocked()),
            pod("web-2", blocked()),
            stuck,
        ]);
        report.attached = vec!["kubernetes.io/csi/ebs.csi.aws.com^vol-1".into()];
        report.hindrances = vec![Hindrance::DaemonSets {
            why: "403 no".into(),
        }];
        let expected = "\
drain incomplete after 115.0 s: 2 blocked, 1 gone, 1 terminating; 5.0 s left to the deadline
  left behind:
    shop/web-1, shop/web-2: blocked by PodDisruptionBudget web (needs 3 healthy pods and has 3 currently)
    shop/stuck: terminating, held by finalizers example.com/hold
  still attached: kubernetes.io/csi/ebs.csi.aws.com^vol-1
  DaemonSets unknown, their pods left alone (403 no)
  notes:
    shop/hurried: grace cut from 600 to 90 s; unmanaged: nothing brings it back";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn a_hundred_pods_of_one_fate_take_one_line() {
        let pods = (0..110).map(|n| pod(&format!("web-{n:03}"), blocked()));
        let text = report(pods.collect()).to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("shop/web-009 and 100 more: blocked"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_node_has_no_list() {
        let text = report(Vec::new()).to_string();
        assert!(
            text.contains(": no pods;") && text.lines().count() == 1,
            "{text}"
        );
    }
}
