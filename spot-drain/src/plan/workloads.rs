//! What is known of the workloads whose pods may have their replacements made first.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use tokio::time::Instant;

use super::Effect;
use crate::replacement::{Obstacle, ReplicaSetFacts, Workload};

/// The pause before what could not be learnt is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The workloads that were asked about, by namespace and the name of their ReplicaSet.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    known: BTreeMap<(String, String), Known>,
    watches: BTreeMap<String, Watch>,
}

#[derive(Debug)]
struct Known {
    workload: Option<Workload>,
    /// A question has not been answered yet.
    open: bool,
    asked: Instant,
    /// Its Deployment was being rolled out when it was asked before.
    rolled: bool,
}

impl Known {
    /// When it is asked again.
    fn again(&self) -> Option<Instant> {
        let failed = matches!(self.workload, Some(Workload::Unavailable(_)));
        (!self.open && (failed || self.is_doubtful())).then(|| self.asked + AGAIN)
    }

    /// Whether what is known must be heard twice to be believed: the numbers of a Deployment come
    /// from its ReplicaSets one after the other.
    fn is_doubtful(&self) -> bool {
        !self.rolled && self.rolls_out()
    }

    fn rolls_out(&self) -> bool {
        match &self.workload {
            Some(Workload::Known(_, Some(deployment))) => {
                deployment.obstacle() == Some(Obstacle::RollingOut)
            }
            _ => false,
        }
    }
}

/// The watch of a namespace's ReplicaSets.
#[derive(Debug, Default)]
struct Watch {
    hashes: BTreeSet<String>,
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Asked,
    Live,
    Dead(String),
}

/// Where a namespace's ReplicaSets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight<'a> {
    /// Not yet.
    Coming,
    Live,
    /// They cannot be seen, and why.
    Blind(&'a str),
}

impl Workloads {
    /// What is known of a workload.
    pub(super) fn of(&self, namespace: &str, replica_set: &str) -> Option<&Workload> {
        let key = (namespace.to_owned(), replica_set.to_owned());
        self.known.get(&key)?.workload.as_ref()
    }

    /// The same, where it need not be heard again to be believed.
    pub(super) fn believed(&self, namespace: &str, replica_set: &str) -> Option<&Workload> {
        let key = (namespace.to_owned(), replica_set.to_owned());
        let known = self.known.get(&key).filter(|known| !known.is_doubtful())?;
        known.workload.as_ref()
    }

    /// Asks about a workload, once at a time; what could not be learnt is asked again.
    pub(super) fn ask(
        &mut self,
        (namespace, replica_set): (&str, &str),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let key = (namespace.to_owned(), replica_set.to_owned());
        let known = self.known.get(&key);
        if known.is_none_or(|known| known.again().is_some_and(|at| now >= at)) {
            effects.push(Effect::LookAtWorkload {
                namespace: key.0.clone(),
                replica_set: key.1.clone(),
            });
            let known = Known {
                workload: None,
                open: true,
                asked: now,
                rolled: known.is_some_and(Known::rolls_out),
            };
            self.known.insert(key, known);
        }
    }

    /// The same, where what is known of it was asked before `since`.
    pub(super) fn ask_since(
        &mut self,
        since: Instant,
        (namespace, replica_set): (&str, &str),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let key = (namespace.to_owned(), replica_set.to_owned());
        if self
            .known
            .get(&key)
            .is_some_and(|k| !k.open && k.asked < since)
        {
            self.known.remove(&key);
        }
        self.ask((namespace, replica_set), now, effects);
    }

    /// When something is asked again.
    pub(super) fn wake(&self) -> impl Iterator<Item = Instant> {
        self.known.values().filter_map(Known::again)
    }

    /// Asks for a watch of the ReplicaSets with one of these hashes, beside those that are
    /// watched in that namespace already.
    pub(super) fn watch(
        &mut self,
        namespace: &str,
        hashes: BTreeSet<String>,
        effects: &mut Vec<Effect>,
    ) {
        let watch = self.watches.entry(namespace.to_owned()).or_default();
        let before = watch.hashes.len();
        watch.hashes.extend(hashes);
        if watch.hashes.len() > before {
            watch.state = State::Asked;
            effects.push(Effect::WatchReplicaSets {
                namespace: namespace.to_owned(),
                hashes: watch.hashes.iter().cloned().collect(),
            });
        }
    }

    /// How far a namespace's ReplicaSets are seen.
    pub(super) fn sight(&self, namespace: &str) -> Sight<'_> {
        match self.watches.get(namespace).map(|watch| &watch.state) {
            None | Some(State::Asked) => Sight::Coming,
            Some(State::Live) => Sight::Live,
            Some(State::Dead(why)) => Sight::Blind(why),
        }
    }

    /// The answer to a question.
    pub(super) fn learn(&mut self, namespace: String, replica_set: String, workload: Workload) {
        // What was not asked for is not kept.
        if let Some(known) = self.known.get_mut(&(namespace, replica_set)) {
            known.open = false;
            known.workload = Some(workload);
        }
    }

    /// A watched ReplicaSet was seen.
    pub(super) fn seen(&mut self, seen: ReplicaSetFacts) {
        let key = (seen.namespace.clone(), seen.name.clone());
        // Others with the same hash are of no interest, and what was not answered yet will be.
        let known = self.known.get_mut(&key).and_then(|k| k.workload.as_mut());
        if let Some(Workload::Known(set, deployment)) = known {
            if set.uid != seen.uid {
                *deployment = None;
            } else if is_later(&set.version, &seen.version) {
                return; // a watch begins with what its server has in its cache
            }
            *set = seen;
        }
    }

    /// A watched ReplicaSet is gone.
    pub(super) fn gone(&mut self, gone: ReplicaSetFacts) {
        let key = (gone.namespace, gone.name);
        let known = self.known.get_mut(&key).and_then(|k| k.workload.as_mut());
        if let Some(known) = known
            && !matches!(known, Workload::Known(set, _) if set.uid != gone.uid)
        {
            *known = Workload::Gone;
        }
    }

    /// The watch of a namespace has begun, or has failed.
    pub(super) fn watched(&mut self, namespace: &str, failed: Option<String>) {
        if let Some(watch) = self.watches.get_mut(namespace) {
            watch.state = failed.map_or(State::Live, State::Dead);
        }
    }
}

/// Whether a version is later than another.
///
/// Kubernetes promises an order only among the versions of one resource. ReplicaSets and pods come
/// from one etcd, whose revisions they are; where they do not, a replacement is at worst not seen
/// to be ready, or its pod's budget holds what goes too early.
pub(super) fn is_later(version: &str, than: &str) -> bool {
    match (version.parse::<u64>(), than.parse::<u64>()) {
        (Ok(version), Ok(than)) => version > than,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Uid;

    fn set(uid: &str, version: &str) -> ReplicaSetFacts {
        ReplicaSetFacts {
            namespace: "shop".into(),
            name: "web".into(),
            uid: Uid(uid.into()),
            version: version.into(),
            ..ReplicaSetFacts::default()
        }
    }

    const WEB: (&str, &str) = ("shop", "web");

    fn asked(now: Instant) -> Workloads {
        let (mut workloads, mut effects) = (Workloads::default(), Vec::new());
        workloads.ask(WEB, now, &mut effects);
        workloads.ask(WEB, now, &mut effects);
        assert_eq!(effects.len(), 1, "asked once");
        workloads
    }

    fn answer(workloads: &mut Workloads, workload: Workload) {
        workloads.learn("shop".into(), "web".into(), workload);
    }

    #[test]
    fn what_could_not_be_learnt_is_asked_again_after_a_second() {
        let now = Instant::now();
        let mut workloads = asked(now);
        answer(&mut workloads, Workload::Unavailable("away".into()));
        let again = workloads.wake().min();
        assert_eq!(again, Some(now + AGAIN));
        let mut effects = Vec::new();
        workloads.ask(WEB, now + AGAIN / 2, &mut effects);
        assert_eq!(effects, vec![]);
        workloads.ask(WEB, now + AGAIN, &mut effects);
        assert_eq!((effects.len(), workloads.wake().min()), (1, None));
    }

    #[test]
    fn a_watch_that_begins_with_what_is_old_takes_nothing_back() {
        let mut workloads = asked(Instant::now());
        answer(&mut workloads, Workload::Known(set("r", "5"), None));
        workloads.seen(set("r", "9"));
        workloads.seen(set("r", "7"));
        let known = workloads.of("shop", "web");
        assert!(matches!(known, Some(Workload::Known(set, _)) if set.version == "9"));
    }

    #[test]
    fn the_end_of_a_former_set_is_not_that_of_the_present_one() {
        let mut workloads = asked(Instant::now());
        answer(&mut workloads, Workload::Known(set("new", "5"), None));
        workloads.gone(set("old", "6"));
        assert!(matches!(
            workloads.of("shop", "web"),
            Some(Workload::Known(..))
        ));
        workloads.gone(set("new", "7"));
        assert_eq!(workloads.of("shop", "web"), Some(&Workload::Gone));
    }

    #[test]
    fn a_watch_is_asked_for_anew_where_it_must_see_more() {
        let (mut workloads, mut effects) = (Workloads::default(), Vec::new());
        let hashes = |all: &[&str]| all.iter().map(|h| (*h).to_owned()).collect();
        workloads.watch("shop", hashes(&["b"]), &mut effects);
        workloads.watched("shop", None);
        assert_eq!(workloads.sight("shop"), Sight::Live);
        workloads.watch("shop", hashes(&["b"]), &mut effects);
        assert_eq!(effects.len(), 1);
        workloads.watch("shop", hashes(&["a"]), &mut effects);
        assert_eq!(workloads.sight("shop"), Sight::Coming);
        let (namespace, hashes) = ("shop".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        let wanted = Effect::WatchReplicaSets { namespace, hashes };
        assert_eq!(effects.last(), Some(&wanted));
    }
}
