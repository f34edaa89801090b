//! What the answers about make before break mean.

use serde_json::{Value, json};
use spot_core::armed::{Finding, Link};

use super::{Findings, Heard, reviewed};
use crate::cluster::CallError;
use crate::facts::PodFacts;
use crate::reply::{Raw, Status};

/// A right that make before break needs.
pub(in super::super) struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
}

/// All of them.
pub(in super::super) const RIGHTS: [Right; 4] = [
    Right::new("patch", "", "pods"),
    Right::new("get", "apps", "replicasets"),
    Right::new("watch", "apps", "replicasets"),
    Right::new("get", "apps", "deployments"),
];

impl Right {
    const fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
        }
    }

    /// As an access review names it, in a namespace, or in all where it is empty.
    pub(in super::super) fn of(&self, namespace: &str) -> Value {
        json!({ "verb": self.verb, "group": self.group, "resource": self.resource,
            "namespace": namespace })
    }
}

impl Findings {
    /// Whether a right is there, as far as its access review says; `None` where nothing more can be
    /// tried.
    pub(in super::super) fn right(&mut self, answer: Result<Raw, CallError>) -> Option<bool> {
        let unanswered = match self.heard(answer) {
            Heard::Answer(raw) => match reviewed(&raw) {
                Some(allowed) => return Some(allowed),
                None => format!("{} {}", raw.status, Status::of(&raw).words(&raw)),
            },
            Heard::Silence(words) => words,
            Heard::Broken => return None,
        };
        let reason = format!("no access review: {unanswered}");
        self.set(Finding::unproven(Link::Replacement, reason));
        Some(true)
    }

    /// What the rights come to that are missing; whether none is.
    pub(in super::super) fn rights(&mut self, missing: &[&Right]) -> bool {
        if missing.is_empty() {
            self.hold([Link::Replacement]);
            return true;
        }
        let all = |quote: &str| {
            let each = missing.iter().map(|right| {
                let Right { verb, resource, .. } = right;
                let on = if quote.is_empty() { "" } else { "on " };
                format!("{quote}{verb}{quote} {on}{quote}{resource}{quote}")
            });
            each.collect::<Vec<_>>().join(", ")
        };
        self.found.insert(
            Link::Replacement,
            Finding::broken(
                Link::Replacement,
                format!("not allowed to {}", all("")),
                format!(
                    "grant {} to the handler's account, or switch --make-before-break off",
                    all("`")
                ),
            ),
        );
        false
    }

    /// What the answer to the trial of a patch says. A policy or a webhook may be about this one pod.
    pub(in super::super) fn detached(
        &mut self,
        answer: Result<Raw, CallError>,
        pod: &PodFacts,
    ) -> Option<()> {
        let words = match self.heard(answer) {
            Heard::Answer(raw) if raw.status == 200 => return Some(()),
            Heard::Answer(raw) => format!("{} {}", raw.status, Status::of(&raw).words(&raw)),
            Heard::Silence(words) => words,
            Heard::Broken => return None,
        };
        let PodFacts {
            namespace, name, ..
        } = pod;
        let reason = format!("the patch of {namespace}/{name} was refused: {words}");
        self.set(Finding::unproven(Link::Replacement, reason));
        Some(())
    }
}
