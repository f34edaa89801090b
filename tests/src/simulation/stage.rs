//! A plot is acted out: both simulators, the handlers, and all others, in one runtime.

mod client;
mod deeds;
mod machine;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use spot_core::sim::{Random, VirtualClock};
use spot_drain::sim::{Node, Sim, World};
use spot_imds::sim::{Imds, SharedImds};
use tokio::time::{Instant, sleep_until};

use crate::marks::{MEMORY, TAINT};

use super::{
    evidence::{Diary, Evidence, Ledger, Trail},
    plot::{Machine, Plot, Weather},
};

/// The label that the handlers' DaemonSet would choose by.
const LIFECYCLE: &str = "lifecycle";

/// Everything that acts.
pub(super) struct Stage<'a> {
    seed: u64,
    plot: &'a Plot,
    start: Instant,
    clock: VirtualClock,
    sim: Sim,
    imds: Vec<SharedImds>,
    diary: Diary,
}

impl<'a> Stage<'a> {
    /// Must be called within a runtime whose time is paused.
    pub(super) fn new(seed: u64, plot: &'a Plot) -> Self {
        let start = Instant::now();
        let imds: Vec<SharedImds> = (plot.machines.iter().zip(0..))
            .map(|(machine, index)| metadata(seed ^ index, machine, start))
            .collect();
        let clock = VirtualClock::new(spot_core::sim::START, start);
        let mut builder = World::builder().seed(seed);
        for machine in &plot.machines {
            let instance = if machine.foreign {
                "i-0feedfacefeedface"
            } else {
                &machine.instance
            };
            let node = Node::new(&machine.name)
                .provider_id(&format!("aws:///eu-west-1a/{instance}"))
                .label(LIFECYCLE, "Ec2Spot")
                .taint("example.com/first", "x", "PreferNoSchedule");
            builder = builder.node(match machine.memory() {
                None => node,
                Some(memory) => node
                    .annotation(MEMORY, &memory.to_string())
                    .taint(TAINT, "spot-interruption", "NoSchedule")
                    .cordoned(),
            });
        }
        for refuge in &plot.refuges {
            builder = builder.node(refuge.node());
        }
        for load in &plot.loads {
            builder = load.add_to(builder);
        }
        let mut world = builder.build(start);
        world.api_mut().remember_at_most(usize::MAX);
        if let Some((verb, resource)) = plot.denied {
            world.api_mut().access.deny(verb, resource);
        }
        let sim = Sim::new(world);
        sim.set_faults(Weather {
            outages: plot.outages.clone(),
            start,
            random: Random::new(seed).fork("weather"),
        });
        Self {
            seed,
            plot,
            start,
            clock,
            sim,
            imds,
            diary: Diary::new(start),
        }
    }

    /// Until the end.
    pub(super) async fn act(self) -> Result<Evidence, String> {
        let trail = Trail::default();
        let machines = (self.plot.machines.iter().zip(&self.imds)).enumerate().map(
            |(index, (machine, imds))| machine::Actor::new(&self, index, machine, imds).live(),
        );
        let deeds = self.deeds(&trail);
        let all = async { tokio::join!(join_all(machines), deeds) };
        let (lives, ()) = tokio::select! {
            biased;
            all = all => all,
            never = self.sim.run() => match never {},
        };
        let lives = lives.into_iter().collect::<Result<Vec<_>, _>>()?;
        let ended = self.sim.with(|world| {
            trail.follow(world);
            world.ended().to_vec()
        });
        let requests = self.sim.requests();
        let ledger = Ledger::new(self.start, &trail.changes(), &requests);
        Ok(Evidence {
            start: self.start,
            requests,
            ledger,
            ended,
            lives,
            diary: self.diary.entries(),
            asked: self.imds.iter().map(SharedImds::asked).collect(),
            announced: self.imds.iter().map(SharedImds::timeline).collect(),
        })
    }

    async fn until(&self, at: Duration) {
        sleep_until(self.start + at).await;
    }

    /// A client of the cluster that says who it is.
    fn client(&self, who: &str) -> kube::Client {
        kube::Client::new(client::Named::new(self.sim.service(), who), "default")
    }
}

fn metadata(seed: u64, machine: &Machine, start: Instant) -> SharedImds {
    let imds = Imds::builder()
        .seed(seed)
        .instance(&machine.instance)
        .auto_scaling_group()
        .remember(100_000);
    let imds = if machine.dated {
        imds
    } else {
        imds.without_date()
    };
    imds.build_at(start).shared()
}

/// A wall clock that may be set.
#[derive(Clone, Debug)]
struct NodeClock {
    clock: VirtualClock,
    skew: Arc<std::sync::Mutex<jiff::SignedDuration>>,
}

impl NodeClock {
    fn new(clock: VirtualClock, skew: jiff::SignedDuration) -> Self {
        let skew = Arc::new(std::sync::Mutex::new(skew));
        Self { clock, skew }
    }

    fn change(&self, change: impl FnOnce(jiff::SignedDuration) -> jiff::SignedDuration) {
        let mut skew = self
            .skew
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *skew = change(*skew);
    }
}

impl spot_core::clock::WallClock for NodeClock {
    fn now(&self) -> jiff::Timestamp {
        let skew = self
            .skew
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.clock.skewed(*skew).now()
    }
}
