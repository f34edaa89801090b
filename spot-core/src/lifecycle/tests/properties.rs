//! Every pair of state and input, and random courses of events.

use proptest::prelude::*;

use super::*;
use crate::policy::Rule;

const IDS: [&str; 3] = ["a", "b", "spot"];

#[derive(Clone, Debug)]
enum Op {
    Raised(usize, NoticeKind, Option<u64>),
    Cancelled(usize),
    /// The second source says it.
    Echoed(usize, NoticeKind),
    /// The second source says it no more.
    Fades(usize),
    Quarantined,
    Identified(bool),
    Health(bool),
    SecondHeard,
    Recalled(Option<Memory>),
    NotOurs,
    DrainFinished,
    Woken,
    Passes(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let kind = || prop::sample::select(NoticeKind::ALL.to_vec());
    let phases = [
        Phase::Cordoned,
        Phase::Draining,
        Phase::Drained,
        Phase::Settled,
    ];
    let phase = prop::sample::select(phases.to_vec());
    let remembered = (
        0..IDS.len(),
        phase,
        prop::option::of(0u64..600),
        any::<bool>(),
    )
        .prop_map(|(id, phase, deadline, ours)| {
            let mut memory = memory(IDS[id], phase, deadline);
            memory.boot = Some(if ours { BOOT } else { "boot-0" }.into());
            if id == 0 {
                memory.notice.kind = NoticeKind::ScheduledMaintenance;
            }
            memory
        });
    prop_oneof![
        5 => (0..IDS.len(), kind(), prop::option::of(0u64..600)).prop_map(|(i, k, d)| Op::Raised(i, k, d)),
        3 => (0..IDS.len()).prop_map(Op::Cancelled),
        1 => (0..IDS.len(), kind()).prop_map(|(i, k)| Op::Echoed(i, k)),
        1 => (0..IDS.len()).prop_map(Op::Fades),
        2 => Just(Op::Quarantined),
        1 => any::<bool>().prop_map(Op::Identified),
        1 => any::<bool>().prop_map(Op::Health),
        1 => Just(Op::SecondHeard),
        3 => prop::option::of(remembered).prop_map(Op::Recalled),
        1 => Just(Op::NotOurs),
        3 => Just(Op::DrainFinished),
        1 => Just(Op::Woken),
        2 => (0u64..200).prop_map(Op::Passes),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let response = || {
        prop::sample::select(vec![
            Response::Ignore,
            Response::Notify,
            Response::Cordon,
            Response::Drain,
        ])
    };
    let rule = || {
        let time = || prop::option::of((0u64..400).prop_map(Duration::from_secs));
        (response(), time(), time())
            .prop_map(|(r, lead, ttl)| Rule::new(r).with_lead(lead).with_ttl(ttl))
    };
    let all = (rule(), rule(), rule(), rule());
    all.prop_map(|(a, b, c, d)| {
        let rules = NoticeKind::ALL.into_iter().zip([a, b, c, d]);
        rules.map(|(kind, rule)| KindRule { kind, rule }).collect()
    })
}

/// What an onlooker knows.
struct World {
    bench: Bench,
    /// The running drain's last order.
    running: Option<Order>,
    /// We quarantined, or a memory was read that may be stale.
    releasable: bool,
    ours: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut bench = Bench::with(policy.clone());
        bench.life = Lifecycle::new(policy, ["first", "second"].map(str::to_owned));
        bench.on(Input::Started);
        Self {
            bench,
            running: None,
            releasable: false,
            ours: false,
        }
    }

    fn input(&mut self, op: Op) -> Option<Input> {
        Some(match op {
            Op::Raised(id, kind, after) => {
                let after = after.map(|s| s + self.bench.seconds);
                said(Signal::Raised(self.bench.notice(IDS[id], kind, after)))
            }
            Op::Cancelled(id) => cancelled(IDS[id]),
            Op::Echoed(id, kind) => Input::Signal {
                source: 1,
                signal: Signal::Raised(self.bench.notice(IDS[id], kind, None)),
            },
            Op::Fades(id) => Input::Signal {
                source: 1,
                signal: Signal::Ended {
                    notice: NoticeId::new(IDS[id]),
                    how: NoticeEnd::Passed,
                },
            },
            Op::Quarantined => Input::Quarantined,
            Op::Identified(first) => {
                let id = if first { "i-1" } else { "i-2" };
                let known = self.bench.life.instance.as_ref();
                self.ours &= known.is_some_and(|i| i.id == id);
                identified(id)
            }
            Op::Health(true) => good(),
            Op::SecondHeard => Input::Signal {
                source: 1,
                signal: Signal::Health(SourceHealth::Good),
            },
            Op::Health(false) => failing(),
            Op::Recalled(memory) => {
                self.ours = true;
                self.releasable |= memory.is_some();
                recalled(memory)
            }
            Op::NotOurs => {
                self.ours = false;
                Input::NotOurs
            }
            Op::DrainFinished => {
                self.running.take()?;
                Input::DrainFinished
            }
            Op::Woken => Input::Woken,
            Op::Passes(seconds) => {
                self.bench.seconds += seconds;
                Input::Woken
            }
        })
    }

    fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        let Some(input) = self.input(op) else {
            return Ok(());
        };
        for effect in self.bench.on(input) {
            match effect {
                Effect::Recall(_) => {}
                Effect::Abandon => prop_assert!(!self.ours),
                Effect::Quarantine(_) => {
                    prop_assert!(self.ours, "a node that is not known to be ours");
                    self.releasable = true;
                }
                Effect::Release(release) => {
                    prop_assert!(self.ours, "a node that is not known to be ours");
                    prop_assert!(self.running.is_none(), "released under a drain");
                    prop_assert!(std::mem::take(&mut self.releasable), "nothing of ours");
                    // What is written down is to be forgotten later.
                    self.releasable = release.settled.is_some();
                }
                Effect::StartDrain(order) => {
                    prop_assert!(self.ours, "a node that is not known to be ours");
                    prop_assert!(self.running.is_none(), "a second drain");
                    prop_assert!(!order.cancelled);
                    self.running = Some(order);
                }
                Effect::AmendDrain(order) => {
                    let Some(before) = self.running.replace(order.clone()) else {
                        return Err(TestCaseError::fail("no drain to amend"));
                    };
                    prop_assert!(!before.cancelled, "stopped is stopped");
                    prop_assert!(self.ours || order.cancelled);
                    if !order.cancelled {
                        let at = |o: &Order| o.deadline.map(|d| d.instant());
                        let back = at(&before).is_some_and(|b| at(&order).is_none_or(|a| a > b));
                        prop_assert!(!back, "the deadline moved back");
                    }
                }
            }
        }
        prop_assert_eq!(self.bench.life.is_draining(), self.running.is_some());
        let (wake, now) = (self.bench.life.next_wake(), self.bench.now().instant);
        prop_assert!(
            wake.is_none_or(|wake| wake > now),
            "a wake-up that changes nothing"
        );
        Ok(())
    }

    /// Whether a notice stands that asks for a drain now.
    fn is_to_drain(&self) -> bool {
        let (life, now) = (&self.bench.life, self.bench.now());
        (life.notices.leader(now))
            .is_some_and(|n| life.notices.rule(&n).response == Response::Drain)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_course_of_events_breaks_a_promise(
        policy in policy(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(policy);
        for op in ops {
            world.step(op)?;
        }
        // Whatever has been: once the node is ours and what had to stop has stopped, a notice
        // that stands is drained or has been.
        world.step(Op::Recalled(None))?;
        if world.running.as_ref().is_some_and(|o| o.cancelled) {
            world.step(Op::DrainFinished)?;
        }
        let lead = world.bench.life.lead.as_ref().map(|l| l.drain);
        if world.is_to_drain() {
            prop_assert!(matches!(lead, Some(Drain::Running | Drain::Done)), "{lead:?}");
        } else {
            prop_assert!(matches!(lead, None | Some(Drain::None | Drain::Done)), "{lead:?}");
        }
    }
}

/// Courses of events that lead to every state there is.
fn states() -> Vec<(&'static str, Vec<Op>)> {
    use NoticeKind::{RebalanceRecommendation as Cordons, SpotInterruption as Drains};
    let ours = || vec![Op::Identified(true), Op::Recalled(None), Op::Health(true)];
    let then = |mut ops: Vec<Op>, more: &[Op]| {
        ops.extend_from_slice(more);
        ops
    };
    let cordons = Op::Raised(0, Cordons, None);
    let drains = Op::Raised(2, Drains, Some(120));
    let remembered = Op::Recalled(Some(memory("spot", Phase::Draining, Some(80))));
    let running = then(ours(), std::slice::from_ref(&drains));
    vec![
        ("new", vec![]),
        ("unknown with a notice", vec![drains.clone()]),
        ("blind", vec![Op::Recalled(None)]),
        ("idle", ours()),
        ("cordoned", then(ours(), &[cordons])),
        ("draining", running.clone()),
        ("stopping", then(running.clone(), &[Op::Cancelled(2)])),
        ("drained", then(running.clone(), &[Op::DrainFinished])),
        ("resumed", vec![Op::Identified(true), remembered]),
        (
            "draining, identity changed",
            then(running.clone(), &[Op::Identified(false)]),
        ),
        ("not ours", vec![Op::Identified(true), Op::NotOurs]),
        ("not ours, stopping", then(running.clone(), &[Op::NotOurs])),
        (
            "not ours, stopped",
            then(running, &[Op::NotOurs, Op::DrainFinished]),
        ),
    ]
}

#[test]
fn no_input_in_any_state_panics_or_touches_a_node_that_is_not_ours() {
    let inputs = [
        Op::Raised(0, NoticeKind::RebalanceRecommendation, None),
        Op::Raised(2, NoticeKind::SpotInterruption, Some(60)),
        Op::Raised(2, NoticeKind::SpotInterruption, Some(0)),
        Op::Raised(
            1,
            NoticeKind::AsgTermination,
            Some(u64::MAX / 4_000_000_000),
        ),
        Op::Cancelled(0),
        Op::Cancelled(2),
        Op::Identified(true),
        Op::Identified(false),
        Op::Health(true),
        Op::Health(false),
        Op::Recalled(None),
        Op::Recalled(Some(memory("spot", Phase::Drained, Some(80)))),
        Op::NotOurs,
        Op::DrainFinished,
        Op::Woken,
        Op::Passes(10_000),
    ];
    let policy = Policy::default().on(NoticeKind::RebalanceRecommendation, Response::Cordon);
    for (state, course) in states() {
        for input in &inputs {
            let mut world = World::new(policy.clone());
            for op in course.iter().chain([input]) {
                let step = world.step(op.clone());
                assert!(step.is_ok(), "{state}, then {input:?}: {step:?}");
            }
        }
    }
}

#[test]
fn the_end_of_a_drain_that_nobody_runs_is_nothing() {
    let mut bench = Bench::ready();
    assert_eq!(bench.on(Input::DrainFinished), []);
}
