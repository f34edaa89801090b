//! One node's pods.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::over::Over;
use super::{CheckSettings, Finding, Reason, Survey, SurveyedPod};
use crate::classify::{Class, Skip, warnings};
use crate::facts::{Phase, PodFacts};
use crate::placement::Room;
use crate::replacement::{DeploymentFacts, Deployments, HASH_LABEL, Obstacle, worth_until};
use crate::reply::Reply;
use crate::rules::Turn;
use crate::window::Window;

/// A workload: its namespace, kind and name.
type Workload<'a> = (&'a str, &'a str, &'a str);

/// The ready pods of each workload, by node.
pub(super) struct Replicas<'a>(BTreeMap<Workload<'a>, BTreeMap<&'a str, usize>>);

impl<'a> Replicas<'a> {
    pub(super) fn of(survey: &'a Survey) -> Self {
        let mut replicas: BTreeMap<Workload<'a>, BTreeMap<&str, usize>> = BTreeMap::new();
        for SurveyedPod { facts, .. } in &survey.pods {
            let serves = facts.ready && facts.terminating.is_none();
            if let Some(workload) = workload(facts).filter(|_| serves) {
                let nodes = replicas.entry(workload).or_default();
                *nodes.entry(&facts.node).or_default() += 1;
            }
        }
        Self(replicas)
    }

    /// How many are on `node`, where no other node has any.
    fn only_on(&self, node: &str, pod: &'a PodFacts) -> Option<usize> {
        let nodes = self.0.get(&workload(pod)?)?;
        nodes.get(node).copied().filter(|_| nodes.len() == 1)
    }
}

/// What the pod is a replica of. Pods of one Deployment belong together, whichever of its
/// `ReplicaSets` they come from. A Job's pod is a piece of work and no replica.
fn workload(pod: &PodFacts) -> Option<Workload<'_>> {
    let owner = pod.owner.as_ref()?;
    if matches!(owner.kind.as_str(), "Job" | "DaemonSet") {
        return None;
    }
    // The name of a Deployment's ReplicaSet ends in its hash.
    let of_set = owner.kind == "ReplicaSet";
    let hash = pod.labels.get(HASH_LABEL).filter(|_| of_set);
    let deployment = hash
        .and_then(|hash| owner.name.strip_suffix(hash.as_str()))
        .and_then(|name| name.strip_suffix('-'));
    Some(match deployment {
        Some(name) => (&pod.namespace, "Deployment", name),
        None => (&pod.namespace, &owner.kind, &owner.name),
    })
}

/// A node, as if it were taken away now.
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) survey: &'a Survey,
    pub(super) settings: &'a CheckSettings,
    pub(super) window: Window,
    pub(super) over: &'a Over<'a>,
    pub(super) replicas: &'a Replicas<'a>,
}

impl<'a> Node<'a> {
    /// How many of its pods would be evicted, and what they would meet.
    pub(super) fn check(&self, pods: &[&'a SurveyedPod], room: &Room<'_>) -> (usize, Vec<Finding>) {
        let mut found = Vec::new();
        let mut longest: BTreeMap<u8, Duration> = BTreeMap::new();
        let mut evicted: Vec<(&SurveyedPod, Turn)> = Vec::new();
        for pod in pods {
            let class = self.settings.class(&pod.facts, &self.survey.daemon_sets);
            let turn = match class {
                Class::Evict(turn) => {
                    evicted.push((*pod, turn));
                    turn
                }
                Class::Terminating | Class::Awaited => Turn::of(&pod.facts),
                Class::Skip(_) | Class::Completed | Class::Undecided => {
                    self.skipped(class, &pod.facts, &mut found);
                    continue;
                }
            };
            if class == Class::Awaited {
                found.push(self.finding(&pod.facts, Reason::Awaited));
            }
            let grace = longest.entry(turn.wave).or_default();
            *grace = pod.facts.grace.max(*grace);
        }
        let waves = self.window.waves(&longest);
        for (pod, turn) in &evicted {
            let reasons = self.reasons(&pod.facts, *turn, &waves);
            found.extend(reasons.into_iter().map(|r| self.finding(&pod.facts, r)));
        }
        self.budgets(&evicted, &mut found);
        self.room(&evicted, room, &mut found);
        (evicted.len(), found)
    }

    fn finding(&self, pod: &PodFacts, reason: Reason) -> Finding {
        Finding {
            pod: Some(pod.name.clone()),
            ..self.of_many(&pod.namespace, reason)
        }
    }

    fn of_many(&self, namespace: &str, reason: Reason) -> Finding {
        Finding {
            severity: reason.severity(self.settings.drain.budgets),
            node: self.name.to_owned(),
            namespace: namespace.to_owned(),
            pod: None,
            reason,
        }
    }

    fn skipped(&self, class: Class, pod: &PodFacts, found: &mut Vec<Finding>) {
        // One that has ended loses nothing.
        if pod.phase == Phase::Completed {
            return;
        }
        let reason = match class {
            Class::Skip(Skip::OptedOut) => Reason::OptedOut,
            Class::Skip(Skip::Rule(rule)) => Reason::LeftAlone { rule },
            _ => return,
        };
        found.push(self.finding(pod, reason));
    }

    /// What an evicted pod meets by itself.
    fn reasons(&self, pod: &'a PodFacts, turn: Turn, waves: &BTreeMap<u8, Instant>) -> Vec<Reason> {
        let start = self.window.start();
        let mut reasons: Vec<Reason> = warnings(pod).into_iter().map(Into::into).collect();
        let made = self.made_first(pod);
        let made_first = made == Some(Reason::MadeFirst);
        reasons.extend(made);
        reasons.extend(
            self.hold(pod)
                .filter(|held| !(made_first && self.opens(pod, held))),
        );
        if let Some(given_seconds) = self.window.trimmed(pod.grace, start) {
            reasons.push(Reason::Grace {
                own_seconds: pod.grace.as_secs(),
                given_seconds,
            });
        }
        if let Some(here) = self
            .replicas
            .only_on(self.name, pod)
            .filter(|_| pod.ready && !made_first)
            && let Some((_, kind, name)) = workload(pod)
        {
            let workload = format!("{kind}/{name}");
            reasons.push(Reason::SoleReplica { workload, here });
        }
        if turn.last {
            let at = self.window.latest_for(pod.grace);
            let after_seconds = at.duration_since(start).as_secs();
            reasons.push(Reason::Last { after_seconds });
        } else if let Some(at) = waves.get(&turn.wave) {
            let at_most_seconds = at.duration_since(start).as_secs();
            reasons.push(Reason::Waits { at_most_seconds });
        }
        if pod.claims {
            reasons.push(Reason::Volumes);
        }
        reasons
    }

    /// Whether its replacement is made first, where that is looked at.
    fn made_first(&self, pod: &PodFacts) -> Option<Reason> {
        let switch = self.settings.drain.make_before_break;
        if !switch.considers(pod) {
            return None;
        }
        let not = |obstacle: &Obstacle| Reason::NotMadeFirst {
            why: obstacle.to_string(),
        };
        if let Some(obstacle) = switch.obstacle(pod) {
            return Some(not(&obstacle));
        }
        if worth_until(&self.window, pod.grace) <= self.window.start() {
            return Some(not(&Obstacle::NoTime));
        }
        let Deployments::Known(deployments) = &self.survey.deployments else {
            return None;
        };
        let (namespace, kind, name) = workload(pod)?;
        let key = (namespace.to_owned(), name.to_owned());
        let deployment = deployments.get(&key).filter(|_| kind == "Deployment");
        let obstacle = deployment.map_or(Some(Obstacle::NoDeployment), DeploymentFacts::obstacle);
        Some(obstacle.as_ref().map_or(Reason::MadeFirst, not))
    }

    /// Whether what holds a pod is a budget that one pod more opens: as many are healthy as it
    /// wants.
    fn opens(&self, pod: &PodFacts, held: &Reason) -> bool {
        matches!(held, Reason::BudgetClosed { .. })
            && matches!(self.over.pod(pod)[..], [budget] if budget.healthy)
    }

    /// What keeps a pod from being evicted: the API server's own answer where there is one, else
    /// what its budgets were seen to allow.
    fn hold(&self, pod: &PodFacts) -> Option<Reason> {
        let over = self.over.pod(pod);
        let names = || over.iter().map(|b| b.name.clone()).collect();
        let first = over.first().map(|b| b.name.clone());
        let untried = |what: &str| Some(Reason::Untried { what: what.into() });
        match self.survey.tried.get(&pod.uid) {
            None => {}
            Some(Reply::BudgetClosed(refusal)) => {
                return Some(Reason::BudgetClosed {
                    budget: refusal.budget.clone().or(first),
                    words: Some(refusal.words.clone()),
                });
            }
            Some(Reply::Misconfigured { .. }) => {
                return Some(Reason::TwoBudgets { budgets: names() });
            }
            Some(Reply::Denied { status, words }) => {
                let (status, words) = (*status, words.clone());
                return Some(Reason::Denied { status, words });
            }
            Some(Reply::Forbidden { words }) => return untried(words),
            Some(Reply::Unclear { what } | Reply::Lost { what }) => return untried(what),
            Some(Reply::Unauthorized) => return untried("not authorized"),
            Some(Reply::Overloaded { .. }) => return untried("the API server was overloaded"),
            Some(Reply::Accepted | Reply::Gone | Reply::Conflict | Reply::NamespaceTerminating) => {
                return None;
            }
        }
        match over.as_slice() {
            // The API server asks no budget about a pod that has not started.
            _ if pod.phase == Phase::Pending => None,
            [] => None,
            [budget] if budget.exempts(pod) => None,
            [budget] => match budget.allowed {
                Some(0) => Some(Reason::BudgetClosed {
                    budget: first,
                    words: None,
                }),
                Some(_) => None,
                None => Some(Reason::BudgetStale {
                    budget: budget.name.clone(),
                }),
            },
            _ => Some(Reason::TwoBudgets { budgets: names() }),
        }
    }

    /// Budgets that let the node's pods go, but too slowly. How long replacements take to be ready
    /// is not known; that each pod may take its whole grace is.
    fn budgets(&self, evicted: &[(&SurveyedPod, Turn)], found: &mut Vec<Finding>) {
        let mut under: BTreeMap<(&str, &str), (u32, usize, Duration)> = BTreeMap::new();
        for (pod, _) in evicted {
            let pod = &pod.facts;
            if let [budget] = self.over.pod(pod)[..]
                && let Some(allowed @ 1..) = budget.allowed
                && !budget.exempts(pod)
                && self.made_first(pod) != Some(Reason::MadeFirst)
            {
                let key = (budget.namespace.as_str(), budget.name.as_str());
                let (_, pods, grace) = under.entry(key).or_insert((allowed, 0, Duration::ZERO));
                *pods += 1;
                *grace = pod.grace.max(*grace);
            }
        }
        for ((namespace, budget), (allowed, pods, grace)) in under {
            let rounds = u32::try_from(pods).unwrap_or(u32::MAX).div_ceil(allowed);
            let needs = grace.saturating_mul(rounds);
            // A single round is a matter of the pods' graces.
            if rounds > 1 && self.window.trimmed(needs, self.window.start()).is_some() {
                let reason = Reason::BudgetSlow {
                    budget: budget.to_owned(),
                    pods,
                    allowed,
                    needs_seconds: needs.as_secs(),
                };
                found.push(self.of_many(namespace, reason));
            }
        }
    }

    /// Pods that come back, and would find no room.
    fn room(&self, evicted: &[(&SurveyedPod, Turn)], room: &Room<'_>, found: &mut Vec<Finding>) {
        let elsewhere = room.without(self.name);
        let comes_back = |pod: &&SurveyedPod| {
            let owner = pod.facts.owner.as_ref();
            owner.is_some_and(|owner| owner.kind != "DaemonSet")
        };
        let back = evicted.iter().map(|(pod, _)| *pod).filter(comes_back);
        let (fit, homeless): (Vec<_>, Vec<_>) = back.partition(|p| elsewhere.fits(&p.demand));
        for pod in homeless {
            let obstacles = elsewhere.obstacles(&pod.demand).into_iter();
            let reason = Reason::NoRoom {
                nodes: elsewhere.nodes(),
                obstacles: obstacles.map(|(why, n)| format!("{n} {why}")).collect(),
            };
            found.push(self.finding(&pod.facts, reason));
        }
        let crowded = ["cpu", "memory"].map(|first| left_over(&fit, first, &elsewhere));
        let least = crowded.into_iter().min_by_key(Vec::len);
        for pod in least.into_iter().flatten() {
            found.push(self.finding(&pod.facts, Reason::Crowded));
        }
    }
}

/// The pods that find no room when all are placed one after the other, those that request most of
/// a resource first. Another order may place more of them: what is left over here may fit.
fn left_over<'p>(
    pods: &[&'p SurveyedPod],
    most: &str,
    elsewhere: &Room<'_>,
) -> Vec<&'p SurveyedPod> {
    let mut room = elsewhere.clone();
    let mut pods = pods.to_vec();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.demand.requests.of(most)));
    pods.retain(|pod| !room.place(&pod.demand));
    pods
}
