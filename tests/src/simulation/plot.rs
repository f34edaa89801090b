//! What happens in a simulation, drawn from its seed: data only.

mod aim;
mod cluster;
mod deeds;
mod machine;
mod outage;

use std::time::Duration;

use spot_core::sim::Random;
use spot_drain::plan::{BudgetPolicy, Limits};

pub(super) use aim::Aim;
pub(super) use cluster::{Load, Make, Refuge};
pub(super) use deeds::Deed;
pub(super) use machine::{Announced, Left, Machine};
pub(super) use outage::{Outage, Weather};

/// One in so many seeds is a whole hour of one machine; the others are a few minutes of several.
const HOURS: u64 = 50;

const EVICTIONS: (&str, &str) = ("create", "pods/eviction");

/// Of these one may be missing, as verb and resource.
const RIGHTS: [(&str, &str); 12] = [
    EVICTIONS,
    ("patch", "nodes"),
    ("list", "daemonsets"),
    ("list", "poddisruptionbudgets"),
    ("watch", "poddisruptionbudgets"),
    ("get", "nodes"),
    ("list", "pods"),
    ("watch", "pods"),
    ("patch", "pods"),
    ("get", "replicasets"),
    ("watch", "replicasets"),
    ("get", "deployments"),
];

/// How long it lasts, and from when on nothing breaks any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) length: Duration,
    pub(super) peace: Duration,
}

impl Span {
    /// A moment in the time of trouble.
    fn moment(self, random: &mut Random) -> Duration {
        random.duration(Duration::ZERO..self.peace)
    }

    /// A time of trouble of `longest` at the most, over before the peace.
    fn window(self, random: &mut Random, longest: Duration) -> (Duration, Duration) {
        let from = self.moment(random);
        let until = from + random.duration(Duration::from_millis(100)..longest);
        (from, until.min(self.peace))
    }
}

/// How the handlers drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) budgets: BudgetPolicy,
    pub(super) limits: Limits,
    pub(super) dry_run: bool,
    /// Replacements are made first.
    pub(super) makes_first: bool,
}

/// Everything that a seed says.
pub(super) struct Plot {
    pub(super) span: Span,
    /// The spot nodes.
    pub(super) machines: Vec<Machine>,
    /// The other nodes.
    pub(super) refuges: Vec<Refuge>,
    pub(super) loads: Vec<Load>,
    pub(super) outages: Vec<Outage>,
    /// What others do to the cluster, by time.
    pub(super) deeds: Vec<(Duration, Deed)>,
    pub(super) manner: Manner,
    /// What the handlers are not allowed to do, as verb and resource.
    pub(super) denied: Option<(&'static str, &'static str)>,
    /// What it is to meet, where it aims.
    pub(super) aim: Option<Aim>,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One of some things.
fn one<T: Copy>(random: &mut Random, of: &[T], or: T) -> T {
    random.pick(of).copied().unwrap_or(or)
}

impl Plot {
    pub(super) fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_hour = random.below(HOURS) == 0;
        let calm = random.chance(1, 4);
        let (span, mut machines) = if is_hour {
            let span = Span {
                length: secs(3_600),
                peace: secs(3_240),
            };
            (
                span,
                vec![Machine::hour(&mut random.fork("machine"), 0, span, calm)],
            )
        } else {
            storm(&mut random, calm)
        };
        let names: Vec<String> = machines.iter().map(|m| m.name.clone()).collect();
        let mut fork = random.fork("cluster");
        let refuges = cluster::refuges(&mut fork);
        let loads = cluster::loads(&mut fork, &names, is_hour);
        let mut fork = random.fork("outages");
        let outages = if calm {
            0
        } else {
            fork.below(if is_hour { 12 } else { 7 })
        };
        let mut outages: Vec<_> = (0..outages)
            .map(|_| Outage::draw(&mut fork, span, &names))
            .collect();
        let mut fork = random.fork("deeds");
        let deeds = if is_hour { 0 } else { fork.below(8) };
        let mut deeds: Vec<_> = (0..deeds)
            .map(|_| Deed::draw(&mut fork, span, &names, &loads))
            .collect();
        let mut fork = random.fork("manner");
        let denied = (!is_hour && fork.chance(1, 25))
            .then(|| fork.pick(&RIGHTS).copied())
            .flatten();
        let manner = manner(&mut fork, is_hour);
        let mut fork = random.fork("called off");
        if !is_hour && manner.makes_first && fork.chance(1, 8) {
            for machine in &mut machines {
                machine.call_off(&mut fork);
            }
        }
        let mut fork = random.fork("cordoned before");
        if fork.chance(1, 12) {
            deeds.extend(Deed::cordon_before(&mut fork, &names));
        }
        let mut fork = random.fork("doubt");
        if denied == Some(EVICTIONS) && fork.chance(1, 2) {
            outages.push(Outage::of_reviews(&mut fork, span));
        }
        deeds.sort_by_key(|(at, _)| *at);
        let mut plot = Self {
            span,
            machines,
            refuges,
            loads,
            outages,
            deeds,
            manner,
            denied,
            aim: None,
        };
        let mut fork = random.fork("aim");
        if !is_hour
            && plot.machines.len() == 1
            && fork.chance(1, 2)
            && let Some(aim) = Aim::draw(&mut fork)
        {
            aim.arrange(&mut plot);
        }
        plot
    }

    /// The workload of a pod, by the value of its label `app`.
    pub(super) fn load(&self, app: &str) -> Option<&Load> {
        self.loads.iter().find(|load| load.name == app)
    }

    /// The wishes of others that touch what a handler does to this node.
    pub(super) fn is_handled_by_others(&self, node: &str) -> bool {
        self.deeds
            .iter()
            .any(|(_, deed)| deed.is_about_cordon(node))
    }
}

fn manner(random: &mut Random, is_hour: bool) -> Manner {
    let budgets = match random.below(4) {
        0 if !is_hour => BudgetPolicy::DeleteAt {
            grace: secs(one(random, &[0, 5, 30, 60], 5)),
        },
        _ => BudgetPolicy::Respect,
    };
    let limits = match random.below(4) {
        0 => Limits::default().with_in_flight(2),
        1 => Limits::default().with_rate(5, 3),
        _ => Limits::default(),
    };
    Manner {
        budgets,
        limits,
        dry_run: !is_hour && random.chance(1, 25),
        makes_first: random.chance(1, 2),
    }
}

/// A few minutes in which several machines are taken.
fn storm(random: &mut Random, calm: bool) -> (Span, Vec<Machine>) {
    let machines = match random.below(20) {
        0..10 => 1,
        10..16 => 2,
        16..18 => 3,
        18 => 4,
        _ => 5,
    };
    let longest = one(random, &[30, 60, 90, 120], 60);
    let span = Span {
        length: secs(longest + 25),
        peace: secs(longest),
    };
    let machines = (0..machines)
        .map(|index| Machine::storm(&mut random.fork("machine"), index, span, calm))
        .collect();
    (span, machines)
}
