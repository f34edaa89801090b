//! One machine: its handler's lives, its clocks, its kubelet, its end.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http::Request;
use jiff::SignedDuration;
use serde_json::json;
use spot_core::{handler::Handler, notice::NoticeKind};
use spot_drain::{
    cluster::Cluster, driver::NodeDrainer, plan::Settings, replacement::MakeBeforeBreak, sim::Kind,
};
use spot_imds::{
    sim::{AnnouncementId, SharedImds},
    source::ImdsSource,
};
use tokio::time::Instant;

use super::{NodeClock, Stage};
use crate::simulation::{
    evidence::{Life, Who},
    plot::Machine,
};

/// A machine on the stage.
pub(super) struct Actor<'a> {
    stage: &'a Stage<'a>,
    index: usize,
    machine: &'a Machine,
    imds: &'a SharedImds,
    clock: NodeClock,
}

impl<'a> Actor<'a> {
    pub(super) fn new(
        stage: &'a Stage<'a>,
        index: usize,
        machine: &'a Machine,
        imds: &'a SharedImds,
    ) -> Self {
        Self {
            stage,
            index,
            machine,
            imds,
            clock: NodeClock::new(stage.clock, machine.skew),
        }
    }

    /// Until the end of the simulation, or of the machine.
    pub(super) async fn live(self) -> Result<Vec<Life>, String> {
        let mut maintenance = None;
        for announced in &self.machine.announced {
            let id = self.imds.announce(announced.announcement.clone());
            if announced.kind == NoticeKind::ScheduledMaintenance {
                maintenance = Some(id);
            }
        }
        for rule in &self.machine.faults {
            self.imds.fault(rule.clone());
        }
        let turns = async {
            tokio::join!(self.clocks(), self.moves(maintenance), self.kubelet());
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            lives = self.lives() => lives,
            () = turns => Ok(Vec::new()),
        }
    }

    fn end(&self) -> Duration {
        let length = self.stage.plot.span.length;
        self.machine.dies.map_or(length, |dies| dies.min(length))
    }

    fn handler(&self, who: Who, own: Option<&str>) -> Result<Handler, String> {
        let seed = self.stage.seed ^ (who.life as u64) << 32 ^ self.index as u64;
        let name = &self.machine.name;
        let client = self.imds.client().build().map_err(|e| e.to_string())?;
        let source = ImdsSource::builder(client)
            .poll_interval(self.machine.poll)
            .clock(std::sync::Arc::new(self.clock.clone()))
            .jitter_seed(seed)
            .build()
            .map_err(|e| e.to_string())?;
        let manner = &self.stage.plot.manner;
        let cluster = Cluster::from_client(self.stage.client(&format!("{name}/{}", who.life)));
        let mut check = cluster.self_check(name);
        let mut settings = Settings::default()
            .with_budgets(manner.budgets)
            .with_limits(manner.limits)
            .with_dry_run(manner.dry_run);
        if manner.makes_first {
            settings = settings.with_make_before_break(MakeBeforeBreak::On);
            check = check.with_make_before_break(MakeBeforeBreak::On);
        }
        if let Some(own) = own {
            settings = settings.with_ourselves("kube-system", own);
        }
        let handler =
            Handler::builder(NodeDrainer::new(cluster.pods(name)).with_settings(settings))
                .named_source("imds", source)
                .policy(self.machine.policy.clone())
                .node(cluster.node(name).with_dry_run(manner.dry_run))
                .self_check(check)
                .jitter_seed(seed)
                .clock(self.clock.clone())
                .observer(self.stage.diary.writer(who));
        Ok(handler.build())
    }

    /// The pod of the handlers' DaemonSet on this node.
    fn own_pod(&self) -> Option<String> {
        self.stage.sim.with(|world| {
            let mut pods = world.api().objects(Kind::Pod);
            let ours = pods.find(|pod| {
                pod["metadata"]["namespace"] == "kube-system"
                    && pod["spec"]["nodeName"] == self.machine.name.as_str()
            });
            ours.and_then(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        })
    }

    /// One life after the other, with what lies between them.
    async fn lives(&self) -> Result<Vec<Life>, String> {
        let end = self.end();
        let mut lives = Vec::new();
        let kills = self.machine.kills.iter().filter(|kill| kill.at < end);
        let kills = kills.map(|kill| (kill.at, Some(kill)));
        for (life, (until, kill)) in kills.chain([(end, None)]).enumerate() {
            let from = self.stage.start.elapsed();
            if from >= until.min(end) && kill.is_some() {
                continue;
            }
            let who = Who {
                machine: self.index,
                life,
            };
            let own = self.own_pod();
            let handler = self.handler(who, own.as_deref())?;
            let failed = tokio::select! {
                biased;
                ended = handler.run(pending()) => Some(format!("{ended:?}")),
                () = self.stage.until(until) => None,
            };
            lives.push(Life {
                who,
                from,
                until: self.stage.start.elapsed(),
                own: own.map(|name| format!("kube-system/{name}")),
                failed,
            });
            if let Some(kill) = kill {
                if kill.reboot {
                    self.reboot(life);
                }
                self.stage
                    .until((self.stage.start.elapsed() + kill.down).min(end))
                    .await;
            }
        }
        if self.machine.dies.is_some_and(|dies| dies <= end) {
            let now = Instant::now();
            self.stage
                .sim
                .with(|world| world.stop_machine(&self.machine.name, now));
        }
        self.stage.until(self.stage.plot.span.length).await;
        Ok(lives)
    }

    /// The metadata service's `Date`, the node's wall clock, and a suspend that both outlive.
    async fn clocks(&self) {
        let jumps = async {
            for (at, skew) in &self.machine.jumps {
                self.stage.until(*at).await;
                self.imds.with(|imds, _| {
                    imds.set_date_skew(*skew);
                    imds.revoke_tokens();
                });
            }
        };
        let sets = async {
            for (at, skew) in &self.machine.sets {
                self.stage.until(*at).await;
                self.clock.change(|_| *skew);
            }
        };
        let suspend = async {
            if let Some((at, by)) = self.machine.suspend {
                self.stage.until(at).await;
                let by = SignedDuration::try_from(by).unwrap_or_default();
                self.clock.change(|skew| skew + by);
                self.imds.with(|imds, _| imds.set_date_skew(by));
            }
        };
        tokio::join!(jumps, sets, suspend);
    }

    async fn moves(&self, maintenance: Option<AnnouncementId>) {
        if let (Some((at, left)), Some(event)) = (self.machine.moved, maintenance) {
            self.stage.until(at).await;
            self.imds.reschedule(event, left);
        }
    }

    async fn kubelet(&self) {
        let Some((at, silent)) = self.machine.kubelet else {
            return;
        };
        let name = &self.machine.name;
        let sim = &self.stage.sim;
        self.stage.until(at).await;
        sim.with(|world| world.stop_kubelet(name, Instant::now()));
        self.stage.until(at + silent).await;
        sim.with(|world| world.start_kubelet(name, Instant::now()));
    }

    /// The machine boots anew: its kubelet shows another boot.
    fn reboot(&self, life: usize) {
        let name = &self.machine.name;
        let body = json!({"status": {"nodeInfo": {"bootID": format!("boot-{life}")}}});
        let request = Request::patch(format!("/api/v1/nodes/{name}/status"))
            .header("content-type", "application/merge-patch+json")
            .body(Bytes::from(body.to_string()));
        if let Ok(request) = request {
            self.stage
                .sim
                .with(|world| world.handle(&request, Instant::now()));
        }
    }
}
