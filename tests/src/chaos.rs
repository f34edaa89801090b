//! An hour in which everything goes wrong, in virtual time: the whole handler on both simulators,
//! with every kind of notice, a metadata service and an API server that break in every way that
//! the simulators know, clocks that jump, and kills.
//!
//! The same seed is the same hour. Whatever happens: nothing panics, no notice that was served
//! intact twice is missed, none is drained twice, no drain outlives its deadline, and in the end
//! the node is as what stands demands.

mod judge;
mod plot;

use std::{
    fmt,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use serde_json::json;
use spot_core::{
    handler::Handler,
    notice::NoticeKind,
    observer::{Event, Observer, Occurrence},
    sim::{Random, VirtualClock},
};
use spot_drain::{
    cluster::Cluster,
    driver::NodeDrainer,
    sim::{Kind, Node, Sim, Workload, World},
};
use spot_imds::{
    sim::{AnnouncementId, Asked, Imds, SharedImds},
    source::ImdsSource,
};
use tokio::time::{Instant, sleep_until};

use plot::Plot;

/// How long it lasts, and from when on nothing breaks any more.
const HOUR: Duration = Duration::from_secs(3_600);
const PEACE: Duration = Duration::from_secs(3_240);

const NODE: &str = "doomed";
const INSTANCE: &str = "i-0123456789abcdef0";

/// What one hour held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hour {
    /// Notices that were announced.
    pub notices: usize,
    /// Of them, those that were served intact at least twice.
    pub served: usize,
    /// Drains that began.
    pub drains: usize,
    /// Requests that the metadata service had.
    pub polls: usize,
    /// Of them, those that went wrong.
    pub broken: usize,
    /// Times that the handler was killed.
    pub kills: usize,
}

impl AddAssign for Hour {
    fn add_assign(&mut self, other: Self) {
        self.notices += other.notices;
        self.served += other.served;
        self.drains += other.drains;
        self.polls += other.polls;
        self.broken += other.broken;
        self.kills += other.kills;
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            notices,
            served,
            drains,
            polls,
            broken,
            kills,
        } = self;
        write!(
            f,
            "{notices} notices, {served} of them served intact twice or more; {drains} drains; \
             {polls} polls, {broken} of them broken; {kills} kills"
        )
    }
}

/// Lives through the hour of a seed.
///
/// # Errors
/// What was not as it must be, with the story of the hour.
pub fn live(seed: u64) -> Result<Hour, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(Stage::new(seed).live())
}

/// Everything that was told, in which life of the handler, and when.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<Entry>>>);

#[derive(Clone)]
struct Entry {
    at: Duration,
    life: usize,
    what: Occurrence,
}

impl Diary {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one life into the diary.
struct Writer {
    diary: Diary,
    start: Instant,
    life: usize,
}

impl Observer for Writer {
    fn on(&self, event: &Event) {
        self.diary.lock().push(Entry {
            at: event.at.saturating_duration_since(self.start),
            life: self.life,
            what: event.what.clone(),
        });
    }
}

struct Stage {
    seed: u64,
    start: Instant,
    clock: VirtualClock,
    plot: Plot,
    imds: SharedImds,
    sim: Sim,
    diary: Diary,
}

/// What is left to judge by.
struct Ended {
    start: Instant,
    diary: Vec<Entry>,
    asked: Vec<Asked>,
    node: serde_json::Value,
    /// When each life began and ended.
    lives: Vec<(Duration, Duration)>,
    failed: Option<String>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = Instant::now();
        let plot = Plot::draw(&mut random.fork("plot"));
        let imds = Imds::builder()
            .seed(seed)
            .instance(INSTANCE)
            .auto_scaling_group()
            .remember(100_000);
        let imds = if plot.dated {
            imds
        } else {
            imds.without_date()
        };
        let imds = imds.build_at(start).shared();
        let clock = imds.clock();
        let world = World::builder()
            .seed(seed)
            .wall(clock.at(start))
            .node(Node::new(NODE).provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
            .node(Node::new("refuge"))
            .workload(
                Workload::deployment("web")
                    .replicas(3)
                    .on(NODE)
                    .exit_after("2"),
            )
            .workload(Workload::daemon_set("agent"));
        let sim = Sim::new(world.build(start));
        Self {
            seed,
            start,
            clock,
            plot,
            imds,
            sim,
            diary: Diary::default(),
        }
    }

    fn handler(&self, life: usize) -> Result<Handler, String> {
        let client = self.imds.client().build().map_err(|e| e.to_string())?;
        let clock = Arc::new(self.clock.skewed(self.plot.skew));
        let source = ImdsSource::builder(client)
            .clock(clock)
            .jitter_seed(self.seed ^ life as u64)
            .build()
            .map_err(|e| e.to_string())?;
        let cluster = Cluster::from_client(self.sim.client());
        let handler = Handler::builder(NodeDrainer::new(cluster.pods(NODE)))
            .named_source("imds", source)
            .policy(self.plot.policy.clone())
            .node(cluster.node(NODE))
            .self_check(cluster.self_check(NODE))
            .jitter_seed(self.seed ^ life as u64)
            .clock(self.clock.skewed(self.plot.skew))
            .observer(Writer {
                diary: self.diary.clone(),
                start: self.start,
                life,
            });
        Ok(handler.build())
    }

    /// What the plot does to the metadata service, at its times.
    async fn turns(&self, maintenance: Option<AnnouncementId>) {
        let jumps = async {
            for (at, skew) in &self.plot.jumps {
                sleep_until(self.start + *at).await;
                self.imds.with(|imds, _| {
                    imds.set_date_skew(*skew);
                    imds.revoke_tokens();
                });
            }
        };
        let moves = async {
            if let (Some((at, left)), Some(event)) = (self.plot.moved, maintenance) {
                sleep_until(self.start + at).await;
                self.imds.reschedule(event, left);
            }
        };
        tokio::join!(jumps, moves);
    }

    /// The machine boots anew: its kubelet shows another boot.
    fn reboot(&self, life: usize) {
        let body = json!({"status": {"nodeInfo": {"bootID": format!("boot-{life}")}}});
        let request = Request::patch(format!("/api/v1/nodes/{NODE}/status"))
            .header("content-type", "application/merge-patch+json")
            .body(Bytes::from(body.to_string()));
        if let Ok(request) = request {
            self.sim
                .with(|world| world.handle(&request, Instant::now()));
        }
    }

    /// Whether the handler ended by itself before `end`, and how.
    async fn live_until(
        &self,
        end: Duration,
        life: Option<usize>,
    ) -> Result<Option<String>, String> {
        let handler = life.map(|life| self.handler(life)).transpose()?;
        let running = async {
            match handler {
                Some(handler) => handler.run(std::future::pending()).await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            biased;
            ended = running => Some(format!("the handler ended by itself: {ended:?}")),
            never = self.sim.run() => match never {},
            () = sleep_until(self.start + end) => None,
        })
    }

    /// One life after the other, with what lies between them.
    async fn lives(&self) -> Result<(Vec<(Duration, Duration)>, Option<String>), String> {
        let mut lives = Vec::new();
        let kills = self.plot.kills.iter().map(|kill| (kill.at, Some(kill)));
        for (life, (end, kill)) in kills.chain([(HOUR, None)]).enumerate() {
            let from = self.start.elapsed();
            let failed = self.live_until(end, Some(life)).await?;
            lives.push((from, self.start.elapsed()));
            if failed.is_some() {
                return Ok((lives, failed));
            }
            if let Some(kill) = kill {
                if kill.reboot {
                    self.reboot(life);
                }
                self.live_until(self.start.elapsed() + kill.down, None)
                    .await?;
            }
        }
        Ok((lives, None))
    }

    async fn live(self) -> Result<Hour, String> {
        let mut maintenance = None;
        for announced in &self.plot.announced {
            let id = self.imds.announce(announced.announcement.clone());
            if announced.kind == NoticeKind::ScheduledMaintenance {
                maintenance = Some(id);
            }
        }
        for rule in &self.plot.faults {
            self.imds.fault(rule.clone());
        }
        self.sim.set_faults(self.plot.api_faults(self.start));
        let (lives, ()) = tokio::join!(self.lives(), self.turns(maintenance));
        let (lives, failed) = lives?;
        let node = self.sim.with(|world| {
            let nodes = world.api().objects(Kind::Node);
            let ours = nodes
                .into_iter()
                .find(|node| node["metadata"]["name"] == NODE);
            ours.cloned().unwrap_or_default()
        });
        let ended = Ended {
            start: self.start,
            diary: self.diary.lock().clone(),
            asked: self.imds.asked(),
            node,
            lives,
            failed,
        };
        let wrong = judge::wrongs(&self.plot, &ended);
        if wrong.is_empty() {
            return Ok(judge::tally(&self.plot, &ended));
        }
        let seed = self.seed;
        let story = judge::story(&self.plot, &ended, self.imds.timeline());
        Err(format!("seed {seed}: {}\n{story}", wrong.join("; ")))
    }
}
