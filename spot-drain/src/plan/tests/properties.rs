//! Random courses of events against the properties of the specification.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::replacement::{
    DeploymentFacts, Detachment, HASH_LABEL, MakeBeforeBreak, ReplicaSetFacts, Workload,
};

/// Names are few, so that pods are made again under the same one.
const NAMES: usize = 6;
const LIVE: &str = "ds-live";
const IN_FLIGHT: usize = 5;

#[derive(Clone, Debug)]
enum Op {
    Seen(PodFacts),
    Changed(Index, PodFacts),
    Deleted(Index),
    Listed(Vec<Index>, Vec<PodFacts>),
    DaemonSets(bool),
    Answered(Index, Reply),
    /// An answer that nobody waits for.
    Stray(Index, Reply),
    Access(Option<bool>),
    Learnt(Learnt),
    Nearer(u64),
    Cordoned,
    Patched(Index, Reply),
    Cancelled,
    Passes(u64),
    Sleeps,
}

fn facts() -> impl Strategy<Value = PodFacts> {
    let owners = prop_oneof![
        1 => Just(None),
        4 => Just(owner("ReplicaSet", "rs-a")),
        2 => Just(owner("ReplicaSet", "rs-b")),
        1 => Just(owner("DaemonSet", LIVE)),
        1 => Just(owner("DaemonSet", "ds-gone")),
    ];
    let graces = prop_oneof![
        8 => prop::sample::select(vec![0u64, 1, 5, 30, 600]),
        1 => Just(i64::MAX.unsigned_abs()),
    ];
    let wishes = prop::sample::select(vec![
        None,
        None,
        None,
        Some("skip"),
        Some("last"),
        Some("?"),
    ]);
    let rarely = || prop::bool::weighted(0.1);
    // Its hash, what it says of make before break, and whether it was detached.
    let makes = prop::sample::select(vec![None, None, None, Some("on"), Some("off"), Some("?")]);
    let making = (prop::bool::weighted(0.8), makes, rarely());
    let flags = (
        rarely(),
        rarely(),
        prop::bool::weighted(0.2),
        any::<bool>(),
        rarely(),
        any::<bool>(),
    );
    (
        0..NAMES,
        owners,
        graces,
        wishes,
        flags,
        prop::option::weighted(0.15, 0u64..90),
        making,
    )
        .prop_map(
            |(
                name,
                owner,
                grace,
                wish,
                (mirror, completed, critical, claims, pending, ready),
                going,
                (hash, make, was_detached),
            )| PodFacts {
                owner: owner.filter(|o| !was_detached || o.kind != "ReplicaSet"),
                labels: (hash && !was_detached)
                    .then(|| (HASH_LABEL.to_owned(), "abc".to_owned()))
                    .into_iter()
                    .collect(),
                make: make.map(Into::into),
                detached: was_detached.then(|| Detachment {
                    hash: "abc".into(),
                    replica_set: "rs-a".into(),
                    uid: uid("rs-a"),
                    notice: None,
                }),
                version: "20".into(),
                wish: wish.map(Into::into),
                mirror,
                phase: match (completed, pending) {
                    (true, _) => Phase::Completed,
                    (_, true) => Phase::Pending,
                    _ => Phase::Running,
                },
                ready,
                critical,
                claims,
                bound: claims,
                terminating: going.map(secs),
                ..graced(&format!("p{name}"), grace)
            },
        )
}

fn reply() -> impl Strategy<Value = Reply> {
    let budget = prop::option::of(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]));
    let refusal = (budget, any::<bool>()).prop_map(|(budget, stale)| {
        let words = "no".into();
        Reply::BudgetClosed(Refusal {
            budget,
            stale,
            words,
        })
    });
    prop_oneof![
        4 => Just(Reply::Accepted),
        1 => Just(Reply::Gone),
        1 => Just(Reply::Conflict),
        4 => refusal,
        1 => Just(Reply::Misconfigured { words: "two".into() }),
        1 => prop::option::of(0u64..100).prop_map(|s| Reply::Overloaded { retry_after: s.map(secs) }),
        1 => Just(Reply::NamespaceTerminating),
        1 => Just(forbidden()),
        1 => Just(Reply::Unauthorized),
        1 => Just(Reply::Denied { status: 400, words: "no".into() }),
        2 => Just(unclear()),
        2 => Just(Reply::Lost { what: "reset".into() }),
    ]
}

/// Budgets `a` and `b` of the pods' namespace, over all of its pods or none.
fn budget_news() -> impl Strategy<Value = Learnt> {
    let namespace = || "shop".to_owned();
    let name = || prop::sample::select(vec!["a", "b"]);
    let status = (prop::option::of(0u32..4), any::<bool>(), any::<bool>());
    let facts = (name(), status, any::<bool>()).prop_map(
        |(name, (allowed, healthy, unhealthy_always), covers)| {
            let mut budget = budget_over(name, if covers { "{}" } else { "null" });
            budget.allowed = allowed;
            budget.healthy = healthy;
            budget.unhealthy_always = unhealthy_always;
            budget
        },
    );
    prop_oneof![
        1 => prop::collection::vec(facts.clone(), 0..3)
            .prop_map(|known| Learnt::Budgets(Budgets::Known(known))),
        1 => Just(Learnt::Budgets(Budgets::Unavailable("403".into()))),
        4 => facts.prop_map(Learnt::Budget),
        1 => name().prop_map(move |name| Learnt::BudgetGone {
            namespace: namespace(),
            name: name.into()
        }),
        1 => Just(Learnt::BudgetsWatched { namespace: "shop".into() }),
        1 => Just(Learnt::BudgetsUnwatched { namespace: "shop".into(), why: "403".into() }),
    ]
}

/// What is learnt of the pods' ReplicaSets.
fn workload_news() -> impl Strategy<Value = Learnt> {
    let name = || prop::sample::select(vec!["rs-a", "rs-b"]);
    let set = (
        name(),
        0u32..4,
        0u32..4,
        10u64..40,
        prop::bool::weighted(0.1),
        prop::option::weighted(0.1, Just("exceeded quota".to_owned())),
    )
        .prop_map(
            |(name, wanted, available, version, going, failure)| ReplicaSetFacts {
                namespace: "shop".into(),
                name: name.into(),
                uid: uid(name),
                version: version.to_string(),
                hash: Some("abc".into()),
                owner: owner("Deployment", "web"),
                wanted,
                available,
                made: available,
                failure,
                going,
            },
        );
    let deployment = (
        prop::bool::weighted(0.9),
        0u32..3,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(rolls, surge, rolled_out)| DeploymentFacts {
            rolls,
            surge,
            rolled_out,
            going: false,
        });
    let known = (set.clone(), prop::option::weighted(0.9, deployment))
        .prop_map(|(set, deployment)| Workload::Known(set, deployment));
    let workload = prop_oneof![
        8 => known,
        1 => Just(Workload::Gone),
        1 => Just(Workload::Unavailable("away".into())),
    ];
    let namespace = || "shop".to_owned();
    prop_oneof![
        6 => (name(), workload).prop_map(move |(replica_set, workload)| Learnt::Workload {
            namespace: namespace(),
            replica_set: replica_set.into(),
            workload,
        }),
        3 => Just(Learnt::ReplicaSetsWatched { namespace: "shop".into() }),
        1 => Just(Learnt::ReplicaSetsUnwatched { namespace: "shop".into(), why: "403".into() }),
        4 => set.clone().prop_map(Learnt::ReplicaSet),
        1 => set.prop_map(Learnt::ReplicaSetGone),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    let few = |n| prop::collection::vec(any::<Index>(), 0..n);
    prop_oneof![
        6 => facts().prop_map(Op::Seen),
        3 => (index(), facts()).prop_map(|(i, f)| Op::Changed(i, f)),
        3 => index().prop_map(Op::Deleted),
        2 => (few(8), prop::collection::vec(facts(), 0..5)).prop_map(|(k, f)| Op::Listed(k, f)),
        1 => any::<bool>().prop_map(Op::DaemonSets),
        10 => (index(), reply()).prop_map(|(i, r)| Op::Answered(i, r)),
        1 => (index(), reply()).prop_map(|(i, r)| Op::Stray(i, r)),
        1 => any::<Option<bool>>().prop_map(Op::Access),
        3 => budget_news().prop_map(Op::Learnt),
        1 => (1u64..150).prop_map(Op::Nearer),
        2 => Just(Op::Cordoned),
        4 => workload_news().prop_map(Op::Learnt),
        5 => (index(), reply()).prop_map(|(i, r)| Op::Patched(i, r)),
        1 => prop::bool::weighted(0.05).prop_map(|c| if c { Op::Cancelled } else { Op::Sleeps }),
        4 => (0u64..5_000).prop_map(Op::Passes),
        4 => Just(Op::Sleeps),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let makes = prop::sample::select(vec![
        MakeBeforeBreak::Off,
        MakeBeforeBreak::Annotated,
        MakeBeforeBreak::On,
    ]);
    let drawn = (prop::option::of(0u64..60), prop::bool::weighted(0.3), makes);
    drawn.prop_map(|(delete, dry_run, make_before_break)| Settings {
        make_before_break,
        budgets: delete.map_or(BudgetPolicy::Respect, |s| BudgetPolicy::DeleteAt {
            grace: secs(s),
        }),
        limits: Limits {
            in_flight: IN_FLIGHT,
            ..Limits::default()
        },
        ourselves: Some(("shop".into(), "p0".into())),
        dry_run,
        ..Settings::default()
    })
}

/// What an onlooker knows.
struct World {
    bench: Bench,
    settings: Settings,
    /// Every pod that was ever seen, as it was seen last.
    seen: BTreeMap<Uid, PodFacts>,
    gone: BTreeSet<Uid>,
    under_way: Vec<(Uid, bool)>,
    patches: Vec<Uid>,
    cordoned: bool,
    knows_daemon_sets: bool,
    cancelled: bool,
    /// ReplicaSets of which it was heard that they cannot make pods.
    lacking: BTreeSet<Uid>,
    made: usize,
}

impl World {
    fn new(settings: Settings, left: u64) -> Self {
        Self {
            bench: Bench::new(settings.clone(), left),
            settings,
            seen: BTreeMap::new(),
            gone: BTreeSet::new(),
            under_way: Vec::new(),
            patches: Vec::new(),
            cordoned: false,
            knows_daemon_sets: false,
            cancelled: false,
            lacking: BTreeSet::new(),
            made: 0,
        }
    }

    fn pick(&self, index: Index) -> Option<Uid> {
        let present: Vec<&Uid> = self
            .seen
            .keys()
            .filter(|u| !self.gone.contains(*u))
            .collect();
        (!present.is_empty()).then(|| (*index.get(&present)).clone())
    }

    /// A pod under a UID of its own; what was under its name is gone.
    fn make(&mut self, facts: PodFacts) -> PodFacts {
        self.made += 1;
        let new = PodFacts {
            uid: uid(&format!("u{}", self.made)),
            ..facts
        };
        let same = self.seen.values().filter(|p| p.name == new.name);
        self.gone.extend(same.map(|p| p.uid.clone()));
        self.seen.insert(new.uid.clone(), new.clone());
        new
    }

    /// The same pod with other facts; what never changes stays.
    fn change(&mut self, uid: &Uid, facts: PodFacts) -> PodFacts {
        let old = &self.seen[uid];
        let new = PodFacts {
            uid: uid.clone(),
            name: old.name.clone(),
            owner: old.owner.clone(),
            mirror: old.mirror,
            grace: old.grace,
            critical: old.critical,
            ..facts
        };
        self.seen.insert(uid.clone(), new.clone());
        new
    }

    fn input(&mut self, op: Op) -> Option<Input> {
        Some(match op {
            Op::Seen(facts) => Input::Seen(self.make(facts)),
            Op::Changed(index, facts) => {
                let uid = self.pick(index)?;
                Input::Seen(self.change(&uid, facts))
            }
            Op::Deleted(index) => {
                let uid = self.pick(index)?;
                self.gone.insert(uid.clone());
                Input::Deleted(uid)
            }
            Op::Listed(kept, new) => {
                let kept: BTreeSet<Uid> = kept.iter().filter_map(|i| self.pick(*i)).collect();
                self.gone = self
                    .seen
                    .keys()
                    .filter(|u| !kept.contains(*u))
                    .cloned()
                    .collect();
                // A name occurs once in a list.
                let mut pods: BTreeMap<String, PodFacts> =
                    new.into_iter().map(|f| (f.name.clone(), f)).collect();
                for pod in pods.values_mut() {
                    *pod = self.make(pod.clone());
                }
                for uid in kept {
                    let pod = &self.seen[&uid];
                    pods.entry(pod.name.clone()).or_insert_with(|| pod.clone());
                }
                Input::Listed(pods.into_values().collect())
            }
            Op::DaemonSets(_)
                if !self
                    .bench
                    .log
                    .iter()
                    .any(|(_, e)| *e == Effect::ListDaemonSets) =>
            {
                return None;
            }
            Op::DaemonSets(known) => {
                self.knows_daemon_sets |= known;
                daemon_sets(if known {
                    DaemonSets::Exist([uid(LIVE)].into())
                } else {
                    DaemonSets::Unavailable("403".into())
                })
            }
            Op::Answered(index, reply) => {
                if self.under_way.is_empty() {
                    return None;
                }
                let (pod, _) = self.under_way.remove(index.index(self.under_way.len()));
                if reply == Reply::Gone {
                    self.gone.insert(pod.clone());
                }
                Input::Answered { pod, reply }
            }
            Op::Stray(index, reply) => {
                let pod = uid(&format!("u{}", index.index(self.made + 2)));
                if self.under_way.iter().any(|(u, _)| *u == pod) {
                    return None;
                }
                Input::Answered { pod, reply }
            }
            Op::Access(allowed) => access(allowed),
            Op::Learnt(learnt) => learnt.into(),
            Op::Nearer(left) => Input::Nearer(self.bench.start + secs(left)),
            Op::Cordoned => {
                self.cordoned = true;
                Input::Cordoned
            }
            Op::Patched(index, reply) => {
                if self.patches.is_empty() {
                    return None;
                }
                let pod = self.patches.remove(index.index(self.patches.len()));
                if reply == Reply::Gone {
                    self.gone.insert(pod.clone());
                }
                Input::Patched { pod, reply }
            }
            Op::Cancelled => {
                self.cancelled = true;
                Input::Cancelled
            }
            Op::Passes(ms) => {
                self.bench.now += millis(ms);
                Input::Woken
            }
            Op::Sleeps => {
                self.bench.now = self
                    .bench
                    .now
                    .max(self.bench.plan.next_wake(self.bench.now));
                Input::Woken
            }
        })
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        let Some(input) = self.input(op) else {
            return Ok(());
        };
        if let Input::Learnt(
            Learnt::ReplicaSet(set)
            | Learnt::Workload {
                workload: Workload::Known(set, _),
                ..
            },
        ) = &input
            && set.failure.is_some()
        {
            self.lacking.insert(set.uid.clone());
        }
        for effect in self.bench.on(input) {
            match &effect {
                Effect::Evict(call) => self.check(call, false)?,
                Effect::Delete(call) => self.check(call, true)?,
                Effect::Detach(detach) => self.check_detach(&detach.pod)?,
                Effect::Reattach(back) => self.check_reattach(&back.pod)?,
                _ => {}
            }
        }
        let (plan, now) = (&self.bench.plan, self.bench.now);
        prop_assert!(self.under_way.len() + self.patches.len() <= IN_FLIGHT, "P9");
        let end = plan.window().end();
        let wake = plan.next_wake(now);
        prop_assert!(wake == end || now < wake && wake < end, "wakes in the past");
        prop_assert!(plan.outcome(now).is_some() || now < end, "P5");
        self.check_report()
    }

    fn check(&mut self, call: &Call, delete: bool) -> Result<(), TestCaseError> {
        let (now, window) = (self.bench.now, self.bench.plan.window());
        let stranded = self
            .seen
            .get(&call.pod)
            .is_some_and(|p| p.detached.is_some());
        prop_assert!(now < window.end(), "after the end");
        prop_assert!(!self.cancelled || stranded, "after it was cancelled");
        let Some(pod) = self.seen.get(&call.pod) else {
            return Err(TestCaseError::fail("P3: a UID that nobody saw"));
        };
        prop_assert_eq!(
            (&call.namespace, &call.name),
            (&pod.namespace, &pod.name),
            "P3"
        );
        prop_assert!(
            !self.gone.contains(&call.pod),
            "a call for a pod that is gone"
        );
        prop_assert!(!pod.mirror, "P1 mirror");
        prop_assert!(pod.name != "p0", "P1 our own pod");
        if let Some(owner) = pod.owner.as_ref().filter(|o| o.kind == "DaemonSet") {
            prop_assert!(
                owner.uid != uid(LIVE) && self.knows_daemon_sets,
                "P1 DaemonSet"
            );
        }
        prop_assert!(pod.wish.as_deref() != Some("skip"), "opted out");
        prop_assert!(
            pod.phase != Phase::Completed && pod.terminating.is_none(),
            "nothing to do"
        );
        let twice = self.under_way.iter().any(|(u, _)| *u == call.pod);
        prop_assert!(!twice, "two calls for one pod");
        // P4
        match call.grace.map(u64::from) {
            None => prop_assert!(
                pod.grace <= secs(1)
                    || now
                        .checked_add(pod.grace)
                        .is_some_and(|t| t <= window.end())
            ),
            Some(grace) => {
                prop_assert!(1 <= grace && secs(grace) <= pod.grace);
                prop_assert!(grace == 1 || now + secs(grace) <= window.end());
            }
        }
        if delete {
            let BudgetPolicy::DeleteAt { grace } = self.settings.budgets else {
                return Err(TestCaseError::fail("P2"));
            };
            let left = pod.grace.min(grace).max(secs(1));
            prop_assert!(now + left >= window.end(), "P12");
        }
        self.under_way.push((call.pod.clone(), delete));
        Ok(())
    }

    fn check_detach(&mut self, uid: &Uid) -> Result<(), TestCaseError> {
        let (now, window) = (self.bench.now, self.bench.plan.window());
        let pod = &self.seen[uid];
        let switch = self.settings.make_before_break;
        prop_assert!(!self.settings.dry_run, "P13");
        prop_assert!(self.cordoned && !self.cancelled, "detached into the blue");
        prop_assert!(
            switch.considers(pod) && switch.obstacle(pod).is_none(),
            "not allowed"
        );
        prop_assert!(now < window.latest_for(pod.grace), "too late for its grace");
        prop_assert!(pod.wish.as_deref() != Some("skip") && !pod.mirror && pod.name != "p0");
        prop_assert!(!self.gone.contains(uid) && pod.terminating.is_none());
        prop_assert!(!self.patches.contains(uid), "two patches of one pod");
        self.patches.push(uid.clone());
        Ok(())
    }

    fn check_reattach(&mut self, uid: &Uid) -> Result<(), TestCaseError> {
        let was = self.seen[uid].detached.as_ref();
        // Where the watch has not told of it yet, it is not seen whose it was.
        let in_vain = was.map_or(!self.lacking.is_empty(), |was| {
            self.lacking.contains(&was.uid)
        });
        prop_assert!(
            self.cancelled || in_vain,
            "put back though the machine goes"
        );
        prop_assert!(!self.gone.contains(uid));
        prop_assert!(!self.patches.contains(uid), "two patches of one pod");
        self.patches.push(uid.clone());
        Ok(())
    }

    fn check_report(&self) -> Result<(), TestCaseError> {
        let report = self.bench.plan.report(self.bench.now);
        let mut uids: Vec<&Uid> = report.pods.iter().map(|p| &p.uid).collect();
        uids.sort();
        prop_assert_eq!(uids, self.seen.keys().collect::<Vec<_>>(), "P10");
        for pod in &report.pods {
            let gone = pod.outcome == PodOutcome::Gone;
            prop_assert_eq!(gone, self.gone.contains(&pod.uid), "P8 {}", pod.name);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_course_of_events_breaks_a_promise(
        settings in settings(),
        left in 0u64..200,
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new(settings, left);
        for op in ops {
            world.step(op)?;
        }
    }
}

fn some_pods() -> impl Strategy<Value = Vec<PodFacts>> {
    let named = |(n, facts): (usize, PodFacts)| PodFacts {
        name: format!("pod{n}"),
        uid: uid(&format!("u{n}")),
        ..facts
    };
    prop::collection::vec(facts(), 0..40)
        .prop_map(move |all| all.into_iter().enumerate().map(named).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_server_that_accepts_everything_has_every_pod_gone(
        settings in settings(), left in 120u64..600, pods in some_pods(), took in 1u64..300,
    ) {
        let mut bench = Bench::new(settings, left);
        let going: Vec<Uid> = pods.iter().filter(|p| p.terminating.is_some()).map(|p| p.uid.clone()).collect();
        bench.list(pods);
        for uid in going {
            bench.agenda.insert((bench.start + secs(3), bench.agenda.len()), Input::Deleted(uid));
        }
        bench.run(secs(700), |effect, _| match effect {
            Effect::Evict(call) | Effect::Delete(call) => {
                let pod = call.pod.clone();
                let answered = Input::Answered { pod: pod.clone(), reply: Reply::Accepted };
                vec![(millis(took), answered), (millis(took + 700), Input::Deleted(pod))]
            }
            Effect::ListDaemonSets => {
                vec![(millis(took), daemon_sets(DaemonSets::Exist([uid(LIVE)].into())))]
            }
            Effect::LookAtVolumes => vec![(millis(took), Input::Attached(Ok(Vec::new())))],
            _ => Vec::new(),
        });
        prop_assert_eq!(bench.outcome(), Some(DrainOutcome::Complete));
        prop_assert!(bench.now < bench.plan.window().end());
        prop_assert_eq!(bench.deletions(), vec![]);
    }

    #[test]
    fn a_server_that_refuses_everything_has_the_drain_end_in_time_without_a_storm(
        settings in settings(), left in 0u64..300, pods in some_pods(), reply in reply(), silent in any::<bool>(),
    ) {
        prop_assume!(reply != Reply::Accepted && reply != Reply::Gone);
        let count = pods.len();
        let mut bench = Bench::new(settings, left);
        let end = bench.plan.window().end();
        bench.list(pods);
        bench.run(secs(700), |effect, _| match effect {
            Effect::Evict(call) | Effect::Delete(call) if !silent => replies(call, reply.clone()),
            _ => Vec::new(),
        });
        prop_assert!(bench.outcome().is_some() && bench.now <= end);
        // Even where each pod is tried as often as it may be.
        let most = count * (usize::try_from(left).unwrap() + 12);
        prop_assert!(bench.log.len() <= most + 60, "{} for {count} pods in {left} s", bench.log.len());
    }
}
