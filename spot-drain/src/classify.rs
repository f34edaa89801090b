//! Which pods are evicted and which are left alone, each with a reason. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::facts::{Phase, PodFacts, Uid};
use crate::rules::{Rules, Turn, Verdict};

/// What is done with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Left alone.
    Skip(Skip),
    /// Its containers have ended; it holds up nothing.
    Completed,
    /// It is going already.
    Terminating,
    /// It ends by itself, and is waited for.
    Awaited,
    /// Evicted.
    Evict(Turn),
    /// A DaemonSet owns it, and whether that still exists is not known yet.
    Undecided,
}

impl Class {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip(_) => "skip",
            Self::Completed => "completed",
            Self::Terminating => "terminating",
            Self::Awaited => "awaited",
            Self::Evict(_) => "evict",
            Self::Undecided => "undecided",
        }
    }
}

/// Why a pod is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It mirrors a static pod: the kubelet would not end it.
    Mirror,
    /// A DaemonSet owns it and would put it back: its pods tolerate the cordon.
    DaemonSet,
    /// A DaemonSet owns it, and whether that still exists could not be learnt.
    DaemonSetUnchecked,
    /// It is the pod that drains.
    Ourselves,
    /// Its annotation says so.
    OptedOut,
    /// The embedder's [`Rules`] say so, with this reason.
    Rule(&'static str),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mirror => "mirror pod of the kubelet",
            Self::DaemonSet => "owned by a DaemonSet",
            Self::DaemonSetUnchecked => "owned by a DaemonSet that could not be looked up",
            Self::Ourselves => "the handler's own pod",
            Self::OptedOut => "opted out by annotation",
            Self::Rule(reason) => reason,
        })
    }
}

/// Something that the report says of an evicted pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// No controller brings it back.
    Unmanaged,
    /// Its DaemonSet is gone: no controller brings it back.
    Orphan,
    /// Its `emptyDir` goes with it.
    EmptyDir,
    /// Its annotation is neither `skip` nor `last`, and is not followed.
    Annotation,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmanaged => "no controller brings it back",
            Self::Orphan => "its DaemonSet is gone: nothing brings it back",
            Self::EmptyDir => "its emptyDir is lost",
            Self::Annotation => "unknown value of its drain annotation",
        })
    }
}

/// What is known of the DaemonSets of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DaemonSets {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It could not be learnt, and why.
    Unavailable(String),
    /// These exist.
    Exist(BTreeSet<Uid>),
}

/// What is done with `pod`. `ourselves` is the namespace and name of the pod that drains.
///
/// `rules` are asked about what would be evicted, and about nothing else: no rule makes a
/// mirror pod, a pod of a live DaemonSet or our own one be evicted.
pub fn classify(
    pod: &PodFacts,
    ourselves: Option<&(String, String)>,
    daemon_sets: &DaemonSets,
    rules: &dyn Rules,
) -> Class {
    if pod.mirror {
        return Class::Skip(Skip::Mirror);
    }
    if ourselves.is_some_and(|(ns, name)| *ns == pod.namespace && *name == pod.name) {
        return Class::Skip(Skip::Ourselves);
    }
    let daemon_set = pod.owner.as_ref().filter(|o| o.kind == "DaemonSet");
    if let Some(owner) = daemon_set {
        match daemon_sets {
            DaemonSets::Exist(uids) if !uids.contains(&owner.uid) => {}
            DaemonSets::Exist(_) => return Class::Skip(Skip::DaemonSet),
            DaemonSets::Unavailable(_) => return Class::Skip(Skip::DaemonSetUnchecked),
            DaemonSets::Unknown => return Class::Undecided,
        }
    }
    if pod.wish.as_deref() == Some("skip") {
        return Class::Skip(Skip::OptedOut);
    }
    if pod.phase == Phase::Completed {
        return Class::Completed;
    }
    if pod.terminating.is_some() {
        return Class::Terminating;
    }
    // What is said of it must not change because its ReplicaSet was made to let go of it.
    match rules.judge(&pod.as_owned(), Turn::of(pod)) {
        Verdict::Evict(turn) => Class::Evict(turn),
        Verdict::Await => Class::Awaited,
        Verdict::Leave(reason) => Class::Skip(Skip::Rule(reason)),
    }
}

/// What the report says of `pod` when it is evicted.
pub fn warnings(pod: &PodFacts) -> Vec<Warning> {
    let mut warnings = Vec::new();
    match pod.owner.as_ref().map(|o| o.kind.as_str()) {
        // Its replacement has been made already.
        None if pod.detached.is_some() => {}
        None => warnings.push(Warning::Unmanaged),
        Some("DaemonSet") => warnings.push(Warning::Orphan),
        Some(_) => {}
    }
    if pod.empty_dir {
        warnings.push(Warning::EmptyDir);
    }
    if pod
        .wish
        .as_deref()
        .is_some_and(|w| w != "skip" && w != "last")
    {
        warnings.push(Warning::Annotation);
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Owner;
    use crate::replacement::Detachment;
    use crate::rules::Usual;
    use proptest::prelude::*;

    fn classify(
        pod: &PodFacts,
        ourselves: Option<&(String, String)>,
        daemon_sets: &DaemonSets,
    ) -> Class {
        super::classify(pod, ourselves, daemon_sets, &Usual)
    }

    fn in_turn(last: bool) -> Class {
        Class::Evict(Turn {
            last,
            ..Turn::default()
        })
    }

    fn owned_by(kind: &str) -> PodFacts {
        let owner = Owner {
            kind: kind.into(),
            uid: Uid("o".into()),
            ..Owner::default()
        };
        PodFacts {
            owner: Some(owner),
            ..PodFacts::default()
        }
    }

    fn exist(uids: &[&str]) -> DaemonSets {
        DaemonSets::Exist(uids.iter().map(|u| Uid((*u).into())).collect())
    }

    #[test]
    fn daemon_set_pods_go_only_when_their_owner_is_known_to_be_gone() {
        let pod = owned_by("DaemonSet");
        assert_eq!(classify(&pod, None, &DaemonSets::Unknown), Class::Undecided);
        assert_eq!(
            classify(&pod, None, &exist(&["o"])),
            Class::Skip(Skip::DaemonSet)
        );
        assert_eq!(
            classify(&pod, None, &DaemonSets::Unavailable("403".into())),
            Class::Skip(Skip::DaemonSetUnchecked)
        );
        assert_eq!(classify(&pod, None, &exist(&["x"])), in_turn(false));
        assert_eq!(warnings(&pod), [Warning::Orphan]);
    }

    #[test]
    fn mirror_and_own_pods_stay_whatever_else_they_are() {
        let mirror = PodFacts {
            mirror: true,
            terminating: Some(crate::facts::DEFAULT_GRACE),
            ..owned_by("Node")
        };
        assert_eq!(
            classify(&mirror, None, &exist(&[])),
            Class::Skip(Skip::Mirror)
        );
        let own = PodFacts {
            namespace: "a".into(),
            name: "b".into(),
            ..owned_by("DaemonSet")
        };
        let ourselves = ("a".to_owned(), "b".to_owned());
        assert_eq!(
            classify(&own, Some(&ourselves), &exist(&[])),
            Class::Skip(Skip::Ourselves)
        );
    }

    #[test]
    fn completed_pods_hold_up_nothing_and_terminating_ones_are_waited_for() {
        let pod = PodFacts {
            phase: Phase::Completed,
            ..owned_by("Job")
        };
        assert_eq!(classify(&pod, None, &DaemonSets::Unknown), Class::Completed);
        let pod = PodFacts {
            terminating: Some(crate::facts::DEFAULT_GRACE),
            ..owned_by("ReplicaSet")
        };
        assert_eq!(
            classify(&pod, None, &DaemonSets::Unknown),
            Class::Terminating
        );
    }

    #[test]
    fn the_annotation_is_followed_or_named() {
        let with = |wish: &str| PodFacts {
            wish: Some(wish.into()),
            ..owned_by("ReplicaSet")
        };
        let class = |wish| classify(&with(wish), None, &DaemonSets::Unknown);
        assert_eq!(class("skip"), Class::Skip(Skip::OptedOut));
        assert_eq!(class("last"), in_turn(true));
        assert_eq!(class("\u{0}nonsense"), in_turn(false));
        assert_eq!(warnings(&with("\u{0}nonsense")), [Warning::Annotation]);
        for known in ["skip", "last"] {
            assert_eq!(warnings(&with(known)), []);
        }
    }

    #[test]
    fn each_class_has_a_name_of_its_own() {
        let classes = [
            Class::Skip(Skip::Mirror),
            Class::Completed,
            Class::Terminating,
            Class::Awaited,
            in_turn(false),
            Class::Undecided,
        ];
        let names = classes.map(Class::as_str);
        let expected = [
            "skip",
            "completed",
            "terminating",
            "awaited",
            "evict",
            "undecided",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_lost_is_named() {
        let pod = PodFacts {
            empty_dir: true,
            ..PodFacts::default()
        };
        assert_eq!(warnings(&pod), [Warning::Unmanaged, Warning::EmptyDir]);
    }

    #[test]
    fn what_was_detached_has_a_replacement_and_is_not_lost() {
        let pod = PodFacts {
            detached: Some(Detachment::default()),
            ..PodFacts::default()
        };
        assert_eq!(warnings(&pod), []);
    }

    #[test]
    fn rules_are_asked_only_about_what_would_be_evicted() {
        #[derive(Debug)]
        struct Meddler;
        impl Rules for Meddler {
            fn judge(&self, pod: &PodFacts, usual: Turn) -> Verdict {
                match pod.name.as_str() {
                    "keep" => Verdict::Leave("kept"),
                    "wait" => Verdict::Await,
                    _ => Verdict::Evict(usual),
                }
            }
        }
        let judged = |pod: &PodFacts| super::classify(pod, None, &exist(&["o"]), &Meddler);
        let named = |name: &str| PodFacts {
            name: name.into(),
            ..owned_by("ReplicaSet")
        };
        assert_eq!(judged(&named("keep")), Class::Skip(Skip::Rule("kept")));
        assert_eq!(judged(&named("wait")), Class::Awaited);
        assert_eq!(judged(&named("web")), in_turn(false));
        assert_eq!(judged(&owned_by("DaemonSet")), Class::Skip(Skip::DaemonSet));
    }

    /// Wants everything evicted.
    #[derive(Debug)]
    struct Ruthless;
    impl Rules for Ruthless {
        fn judge(&self, _: &PodFacts, usual: Turn) -> Verdict {
            Verdict::Evict(usual)
        }
    }

    fn any_pod() -> impl Strategy<Value = PodFacts> {
        let kinds = prop::sample::select(vec![None, Some("ReplicaSet"), Some("DaemonSet")]);
        let phases = prop::sample::select(vec![Phase::Pending, Phase::Running, Phase::Completed]);
        let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
        (kinds, phases, flags, ".{0,5}").prop_map(|(kind, phase, flags, wish)| {
            let (mirror, terminating, ours, live) = flags;
            let mut pod = kind.map_or_else(PodFacts::default, owned_by);
            if let Some(owner) = &mut pod.owner {
                owner.uid = Uid(if live { "live" } else { "gone" }.into());
            }
            PodFacts {
                name: if ours { "ourselves" } else { "other" }.into(),
                mirror,
                phase,
                terminating: terminating.then_some(crate::facts::DEFAULT_GRACE),
                wish: Some(wish),
                ..pod
            }
        })
    }

    proptest! {
        #[test]
        fn whatever_the_rules_say_some_pods_are_never_evicted(pod in any_pod(), known in 0..3) {
            let sets = match known {
                0 => DaemonSets::Unknown,
                1 => DaemonSets::Unavailable("403".into()),
                _ => exist(&["live"]),
            };
            let ourselves = (String::new(), "ourselves".to_owned());
            let class = super::classify(&pod, Some(&ourselves), &sets, &Ruthless);
            let owner = pod.owner.as_ref().filter(|o| o.kind == "DaemonSet");
            let may_live = owner.is_some_and(|o| o.uid == Uid("live".into()) || known < 2);
            let spared = pod.mirror || pod.name == "ourselves" || may_live;
            prop_assert!(!(spared && matches!(class, Class::Evict(_) | Class::Awaited)), "{class:?}");
            let wanted = pod.phase != Phase::Completed && pod.terminating.is_none();
            prop_assert_eq!(!spared && wanted, matches!(class, Class::Evict(_)));
        }
    }
}
