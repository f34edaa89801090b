//! Findings as an operator reads them.

use std::fmt;

use super::{Check, Finding, NOT_CONSIDERED, Reason, Verdict};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BudgetClosed { budget, words } => {
                match budget {
                    Some(budget) => write!(f, "PodDisruptionBudget {budget}")?,
                    None => f.write_str("a PodDisruptionBudget")?,
                }
                f.write_str(" allows no disruption")?;
                words.iter().try_for_each(|words| write!(f, " ({words})"))
            }
            Self::TwoBudgets { budgets } if budgets.is_empty() => {
                f.write_str("more than one PodDisruptionBudget selects it")
            }
            Self::TwoBudgets { budgets } => {
                write!(
                    f,
                    "PodDisruptionBudgets {} select it",
                    budgets.join(" and ")
                )
            }
            Self::Grace {
                own_seconds,
                given_seconds,
            } => write!(
                f,
                "its grace of {own_seconds} s is cut to {given_seconds} s"
            ),
            Self::NoRoom { nodes: 0, .. } => f.write_str("there is no other node"),
            Self::NoRoom { nodes, obstacles } => {
                let obstacles = obstacles.join(", ");
                write!(f, "no room on {nodes} other nodes: {obstacles}")
            }
            Self::Denied { status, words } => {
                write!(f, "its eviction is denied with {status} ({words})")
            }
            Self::Crowded => {
                f.write_str("other nodes may have too little room for all pods of the node")
            }
            Self::BudgetSlow {
                budget,
                pods,
                allowed,
                needs_seconds,
            } => write!(
                f,
                "PodDisruptionBudget {budget} lets {pods} pods go {allowed} at a time: {needs_seconds} s with whole graces"
            ),
            Self::SoleReplica { workload, here } => match here {
                1 => write!(f, "the only ready replica of {workload}"),
                _ => write!(
                    f,
                    "all {here} ready replicas of {workload} are on this node"
                ),
            },
            Self::MadeFirst => f.write_str("its replacement is made first"),
            Self::NotMadeFirst { why } => write!(f, "no replacement is made first: {why}"),
            Self::Unmanaged => f.write_str("no controller brings it back"),
            Self::Orphan => f.write_str("its DaemonSet is gone: nothing brings it back"),
            Self::EmptyDir => f.write_str("its emptyDir is lost"),
            Self::Annotation => f.write_str("unknown value of its drain annotation"),
            Self::OptedOut => f.write_str("opted out by annotation: it goes with the machine"),
            Self::Untried { what } => write!(f, "its eviction could not be tried ({what})"),
            Self::BudgetStale { budget } => {
                write!(f, "PodDisruptionBudget {budget} is not up to date")
            }
            Self::LeftAlone { rule } => write!(f, "left alone ({rule})"),
            Self::Awaited => f.write_str("waited for, not evicted"),
            Self::Waits { at_most_seconds } => {
                write!(f, "waits for other pods to go, {at_most_seconds} s at most")
            }
            Self::Last { after_seconds } => write!(f, "goes last, after {after_seconds} s"),
            Self::Volumes => {
                f.write_str("its volumes must be detached before they serve elsewhere")
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (notice, grace) = (self.notice.as_secs(), self.longest_grace_seconds);
        write!(f, "a notice of {notice} s has room for graces of {grace} s")?;
        for node in &self.nodes {
            let (name, pods) = (&node.name, node.evicted);
            write!(
                f,
                "\n  {name}: enough: {}; {pods} pods to evict",
                node.enough
            )?;
        }
        for finding in &self.findings {
            let severity = finding.severity.as_str();
            let (node, subject) = (&finding.node, finding.subject());
            write!(f, "\n  {severity}: {subject} on {node}: {finding}")?;
        }
        for unknown in &self.unknown {
            write!(f, "\n  not known: {unknown}")?;
        }
        write!(f, "\n  not considered: {NOT_CONSIDERED}")
    }
}
