//! Would a notice be enough? What a drain of each spot node would meet, found beforehand. Pure.
//!
//! Facts of the cluster in ([`Survey`], which [`Cluster::survey`](crate::cluster::Cluster::survey)
//! reads), [`Finding`]s out. Pods are judged by what judges them in a drain: [`classify`],
//! [`BudgetFacts`](crate::budget::BudgetFacts) and [`Window`]. So a check and a drain never
//! disagree about who is evicted, which budget stands over whom and which grace fits.
//!
//! Each node is looked at as if it alone were taken away, now. [`NOT_CONSIDERED`] says what is left
//! out.
//!
//! ```
//! use spot_drain::check::{CheckSettings, Survey, check};
//! use spot_drain::placement::Host;
//!
//! let spot = Host {
//!     name: "spot-1".into(),
//!     labels: [("lifecycle".to_owned(), "Ec2Spot".to_owned())].into(),
//!     ..Host::default()
//! };
//! let survey = Survey { nodes: vec![spot], ..Survey::default() };
//! let checked = check(&survey, &CheckSettings::default(), tokio::time::Instant::now());
//! assert_eq!(checked.nodes[0].name, "spot-1");
//! assert!(checked.findings.is_empty());
//! ```

mod finding;
mod kind;
mod label;
mod node;
mod over;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::budget::Budgets;
use crate::classify::{Class, DaemonSets, classify};
use crate::facts::{Phase, PodFacts, Uid};
use crate::placement::{Demand, Host, Room};
use crate::plan::{Call, Settings};
use crate::replacement::{Deployments, MakeBeforeBreak};
use crate::reply::Reply;
use crate::window::Window;

pub use finding::{Finding, Reason, Severity};
pub use kind::{ReasonKind, ReasonKindError};
pub use label::{SpotLabel, SpotLabelError};
use node::Replicas;
use over::Over;

/// What a check leaves out when it looks for room elsewhere, and when it looks at nodes.
pub const NOT_CONSIDERED: &str = "affinity, topology spread, host ports, priorities and the zones \
    of volumes; more than one node taken away at once";

/// A pod, and what it would ask of another node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SurveyedPod {
    /// The pod as a drain sees it.
    pub facts: PodFacts,
    /// The pod as a scheduler sees it.
    pub demand: Demand,
}

impl From<&k8s_openapi::api::core::v1::Pod> for SurveyedPod {
    /// For those who have whole pods already, such as a reflector's.
    fn from(pod: &k8s_openapi::api::core::v1::Pod) -> Self {
        Self {
            facts: pod.into(),
            demand: pod.into(),
        }
    }
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// All nodes.
    pub nodes: Vec<Host>,
    /// All pods, of whatever node.
    pub pods: Vec<SurveyedPod>,
    /// The budgets.
    pub budgets: Budgets,
    /// The DaemonSets.
    pub daemon_sets: DaemonSets,
    /// What the API server answered to evictions that were tried as dry runs ([`evictions`]). It
    /// counts more than what budgets were seen to allow.
    pub tried: BTreeMap<Uid, Reply>,
    /// The Deployments; only needed where replacements are made first
    /// ([`Settings::make_before_break`]).
    pub deployments: Deployments,
}

/// How a check is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckSettings {
    /// From the notice to the end of the machine (120 s).
    pub notice: Duration,
    /// Which nodes are spot nodes.
    pub spot: SpotLabel,
    /// Only these of them, where there is anything.
    pub nodes: BTreeSet<String>,
    /// How they would be drained.
    pub drain: Settings,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            notice: Duration::from_secs(120),
            spot: SpotLabel::default(),
            nodes: BTreeSet::new(),
            drain: Settings::default(),
        }
    }
}

impl CheckSettings {
    /// With another time from the notice to the end.
    #[must_use]
    pub fn with_notice(self, notice: Duration) -> Self {
        Self { notice, ..self }
    }

    /// With another label of spot nodes.
    #[must_use]
    pub fn with_spot(self, spot: SpotLabel) -> Self {
        Self { spot, ..self }
    }

    /// Of these nodes alone.
    #[must_use]
    pub fn with_nodes(self, nodes: impl IntoIterator<Item = String>) -> Self {
        Self {
            nodes: nodes.into_iter().collect(),
            ..self
        }
    }

    /// With other settings of the drain.
    #[must_use]
    pub fn with_drain(self, drain: Settings) -> Self {
        Self { drain, ..self }
    }

    /// Whether the node is one that is checked.
    fn checks(&self, node: &Host) -> bool {
        self.spot.is_on(node) && (self.nodes.is_empty() || self.nodes.contains(&node.name))
    }

    fn class(&self, pod: &PodFacts, daemon_sets: &DaemonSets) -> Class {
        let ourselves = self.drain.ourselves.as_ref();
        classify(pod, ourselves, daemon_sets, &*self.drain.rules)
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// From the notice to the end of the machine, in seconds.
    #[serde(rename = "notice_seconds", serialize_with = "seconds")]
    pub notice: Duration,
    /// The longest grace that fits, in seconds.
    pub longest_grace_seconds: u32,
    /// Which nodes are spot nodes.
    pub spot_label: SpotLabel,
    /// The spot nodes, by name.
    pub nodes: Vec<NodeCheck>,
    /// By severity, the worst first, then by node and pod.
    pub findings: Vec<Finding>,
    /// What could not be learnt, and why; no node is said to have enough time then.
    pub unknown: Vec<String>,
}

/// What a check says of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NodeCheck {
    /// Its name.
    pub name: String,
    /// Whether a notice would be enough.
    pub enough: Verdict,
    /// Pods that a drain would evict.
    pub evicted: usize,
}

/// Whether a notice would be enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There is no [`Severity::Problem`].
    Yes,
    /// There is one.
    No,
    /// There is none, and not everything is known.
    Unknown,
}

impl Check {
    /// Findings as grave as this or graver.
    pub fn at_least(&self, severity: Severity) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.severity >= severity)
    }

    /// Leaves out findings that are not to be kept. Verdicts are then of those that are: a node's
    /// notice is enough as far as they say.
    pub fn retain(&mut self, keep: impl FnMut(&Finding) -> bool) {
        self.findings.retain(keep);
        let mut by_node: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in &self.findings {
            by_node.entry(&finding.node).or_default().push(finding);
        }
        for node in &mut self.nodes {
            let of_it = by_node.get(node.name.as_str()).map_or(&[][..], |f| &f[..]);
            node.enough = verdict(of_it.iter().copied(), &self.unknown);
        }
    }
}

/// Checks the spot nodes of a cluster for a notice that comes at `now`. Any moment does.
///
/// Where replacements are made first ([`Settings::make_before_break`]), a pod of which that can be
/// done misses nobody, and a budget that is closed for want of one pod more opens: it is found as
/// [`Reason::MadeFirst`] instead. Of the others [`Reason::NotMadeFirst`] says why.
pub fn check(survey: &Survey, settings: &CheckSettings, now: Instant) -> Check {
    let window = Window::new(now, now + settings.notice);
    let over = Over::of(&survey.budgets);
    let replicas = Replicas::of(survey);
    let holds = |pod: &&SurveyedPod| pod.facts.phase != Phase::Completed;
    let bound = survey.pods.iter().filter(holds);
    let room = Room::new(
        &survey.nodes,
        bound.map(|pod| (pod.facts.node.as_str(), &pod.demand)),
    );
    let unknown = unknown(survey, settings.drain.make_before_break);
    let mut by_node: BTreeMap<&str, Vec<&SurveyedPod>> = BTreeMap::new();
    for pod in &survey.pods {
        by_node.entry(&pod.facts.node).or_default().push(pod);
    }
    let (mut nodes, mut findings) = (Vec::new(), Vec::new());
    for node in survey.nodes.iter().filter(|node| settings.checks(node)) {
        let pods = by_node.get(node.name.as_str()).map_or(&[][..], |p| &p[..]);
        let at = node::Node {
            name: &node.name,
            survey,
            settings,
            window,
            over: &over,
            replicas: &replicas,
        };
        let (evicted, found) = at.check(pods, &room);
        nodes.push(NodeCheck {
            name: node.name.clone(),
            enough: verdict(&found, &unknown),
            evicted,
        });
        findings.extend(found);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    findings.sort_by(Finding::order);
    Check {
        notice: settings.notice,
        longest_grace_seconds: longest_grace(&window),
        spot_label: settings.spot.clone(),
        nodes,
        findings,
        unknown,
    }
}

/// The evictions of a check's pods, as dry runs: with the graces that a notice would leave them.
/// Their answers belong in [`Survey::tried`].
pub fn evictions(survey: &Survey, settings: &CheckSettings, now: Instant) -> Vec<Call> {
    let window = Window::new(now, now + settings.notice);
    let checked = survey.nodes.iter().filter(|node| settings.checks(node));
    let checked: BTreeSet<&str> = checked.map(|node| node.name.as_str()).collect();
    let pods = survey.pods.iter().map(|pod| &pod.facts);
    pods.filter(|pod| checked.contains(pod.node.as_str()))
        .filter(|pod| matches!(settings.class(pod, &survey.daemon_sets), Class::Evict(_)))
        .map(|pod| Call {
            pod: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            grace: window.trimmed(pod.grace, now),
            dry_run: true,
        })
        .collect()
}

fn unknown(survey: &Survey, make_before_break: MakeBeforeBreak) -> Vec<String> {
    let budgets = match &survey.budgets {
        Budgets::Known(_) => None,
        Budgets::Unknown => Some("budgets".to_owned()),
        Budgets::Unavailable(why) => Some(format!("budgets ({why})")),
    };
    let daemon_sets = match &survey.daemon_sets {
        DaemonSets::Exist(_) => None,
        DaemonSets::Unknown => Some("DaemonSets".to_owned()),
        DaemonSets::Unavailable(why) => Some(format!("DaemonSets ({why})")),
    };
    let deployments = match &survey.deployments {
        _ if make_before_break == MakeBeforeBreak::Off => None,
        Deployments::Known(_) => None,
        Deployments::Unknown => Some("Deployments".to_owned()),
        Deployments::Unavailable(why) => Some(format!("Deployments ({why})")),
    };
    let all = budgets.into_iter().chain(daemon_sets);
    all.chain(deployments).collect()
}

fn verdict<'a>(found: impl IntoIterator<Item = &'a Finding>, unknown: &[String]) -> Verdict {
    let mut known = unknown.is_empty();
    for finding in found {
        if finding.severity == Severity::Problem {
            return Verdict::No;
        }
        known &= !matches!(finding.reason, Reason::Untried { .. });
    }
    if known {
        Verdict::Yes
    } else {
        Verdict::Unknown
    }
}

/// The longest grace that need not be cut.
fn longest_grace(window: &Window) -> u32 {
    let endless = Duration::from_secs(u64::MAX);
    window.trimmed(endless, window.start()).unwrap_or(u32::MAX)
}

fn seconds<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests;
