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
    /// The last answer was none; what was known before it holds.
    failed: bool,
    asked: Instant,
    /// When that was asked which was answered last.
    answered: Option<Instant>,
    /// Its Deployment was being rolled out when it was asked before.
    rolled: bool,
}

impl Known {
    /// When it is asked again.
    fn again(&self) -> Option<Instant> {
        (!self.open && (self.failed || self.is_doubtful())).then(|| self.asked + AGAIN)
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
    /// When it began first, and when it began anew: what has ended in between was not told.
    began: Option<Instant>,
    anew: Option<Instant>,
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

    /// The same, where it was asked `since` then and need not be heard again to be believed.
    pub(super) fn believed(
        &self,
        since: Instant,
        (namespace, replica_set): (&str, &str),
    ) -> Option<&Workload> {
        let key = (namespace.to_owned(), replica_set.to_owned());
        let known = self.known.get(&key).filter(|known| !known.is_doubtful())?;
        let old = known.answered.is_some_and(|asked| asked < since);
        known.workload.as_ref().filter(|_| !old)
    }

    /// When that was asked of a workload which was answered last.
    pub(super) fn asked(&self, namespace: &str, replica_set: &str) -> Option<Instant> {
        let key = (namespace.to_owned(), replica_set.to_owned());
        self.known.get(&key)?.answered
    }

    /// Whether a workload is to be asked about at `now`: once at a time, again where that could not
    /// be learnt, and where it was asked before `since`.
    pub(super) fn wants(
        &self,
        since: Instant,
        (namespace, replica_set): (&str, &str),
        now: Instant,
    ) -> bool {
        let key = (namespace.to_owned(), replica_set.to_owned());
        let wants = |known: &Known| {
            let old = !known.open && known.asked < since;
            old || known.again().is_some_and(|at| now >= at)
        };
        self.known.get(&key).is_none_or(wants)
    }

    /// Asks about a workload. What could be learnt of it before holds until there is an answer.
    pub(super) fn ask(
        &mut self,
        (namespace, replica_set): (&str, &str),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let key = (namespace.to_owned(), replica_set.to_owned());
        effects.push(Effect::LookAtWorkload {
            namespace: key.0.clone(),
            replica_set: key.1.clone(),
        });
        let before = self.known.remove(&key);
        let rolled = before.as_ref().is_some_and(Known::rolls_out);
        let answered = before.as_ref().and_then(|known| known.answered);
        let known = Known {
            workload: before
                .and_then(|known| known.workload)
                .filter(|known| matches!(known, Workload::Known(..) | Workload::Gone) && !rolled),
            open: true,
            failed: false,
            asked: now,
            answered,
            rolled,
        };
        self.known.insert(key, known);
    }

    /// Whether a question about a workload is open.
    pub(super) fn is_asked(&self, (namespace, replica_set): (&str, &str)) -> bool {
        let key = (namespace.to_owned(), replica_set.to_owned());
        self.known.get(&key).is_some_and(|known| known.open)
    }

    /// How many questions are open.
    pub(super) fn open(&self) -> usize {
        self.known.values().filter(|known| known.open).count()
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

    /// When the watch of a namespace began anew, where there was one before.
    pub(super) fn watched_anew(&self, namespace: &str) -> Option<Instant> {
        self.watches.get(namespace)?.anew
    }

    /// The answer to a question.
    pub(super) fn learn(&mut self, namespace: String, replica_set: String, workload: Workload) {
        // What was not asked for is not kept.
        if let Some(known) = self.known.get_mut(&(namespace, replica_set)) {
            known.open = false;
            known.failed = matches!(workload, Workload::Unavailable(_));
            if known.failed && known.workload.is_some() {
                return;
            }
            known.answered = (!known.failed).then_some(known.asked);
            // The watch may have been quicker than the answer.
            known.workload = Some(match (known.workload.take(), workload) {
                (Some(Workload::Known(seen, _)), Workload::Known(set, deployment))
                    if seen.uid == set.uid && is_later(&seen.version, &set.version) =>
                {
                    Workload::Known(seen, deployment)
                }
                (_, workload) => workload,
            });
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
    pub(super) fn watched(&mut self, namespace: &str, failed: Option<String>, now: Instant) {
        if let Some(watch) = self.watches.get_mut(namespace) {
            if failed.is_none() {
                watch.anew = watch.began.map(|_| now);
                watch.began.get_or_insert(now);
            }
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
        assert!(workloads.wants(now, WEB, now));
        workloads.ask(WEB, now, &mut effects);
        assert!(!workloads.wants(now, WEB, now), "asked once");
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
        assert!(!workloads.wants(now, WEB, now + AGAIN / 2));
        assert!(workloads.wants(now, WEB, now + AGAIN));
        workloads.ask(WEB, now + AGAIN, &mut Vec::new());
        assert_eq!(workloads.wake().min(), None);
    }

    #[test]
    fn what_was_known_holds_until_there_is_an_answer_and_longer_where_the_watch_was_quicker() {
        let now = Instant::now();
        let mut workloads = asked(now);
        answer(&mut workloads, Workload::Known(set("r", "5"), None));
        workloads.ask(WEB, now + AGAIN, &mut Vec::new());
        assert!(workloads.of("shop", "web").is_some());
        assert_eq!(workloads.asked("shop", "web"), Some(now));
        workloads.seen(set("r", "9"));
        answer(&mut workloads, Workload::Known(set("r", "7"), None));
        let known = workloads.of("shop", "web");
        assert!(matches!(known, Some(Workload::Known(set, _)) if set.version == "9"));
        assert_eq!(workloads.asked("shop", "web"), Some(now + AGAIN));
    }

    #[test]
    fn an_answer_takes_the_place_of_what_was_seen_before_or_of_another_set() {
        let now = Instant::now();
        let known_after = |seen: ReplicaSetFacts, told: ReplicaSetFacts| {
            let mut workloads = asked(now);
            answer(&mut workloads, Workload::Known(seen, None));
            workloads.ask(WEB, now + AGAIN, &mut Vec::new());
            answer(&mut workloads, Workload::Known(told, None));
            match workloads.of("shop", "web") {
                Some(Workload::Known(set, _)) => (set.uid.0.clone(), set.version.clone()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(known_after(set("r", "5"), set("r", "7")).1, "7");
        assert_eq!(known_after(set("r", "9"), set("anew", "7")).0, "anew");
    }

    #[test]
    fn what_was_asked_before_is_not_believed_and_what_was_asked_then_is() {
        let now = Instant::now();
        let mut workloads = asked(now);
        answer(&mut workloads, Workload::Gone);
        assert!(workloads.believed(now, WEB).is_some());
        assert!(workloads.believed(now + AGAIN, WEB).is_none());
        assert!(
            workloads
                .believed(now.checked_sub(AGAIN).unwrap(), WEB)
                .is_some()
        );
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
        workloads.watched("shop", None, Instant::now());
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
