//! What tells others beside the handler, and is given a while to finish when that has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::observer::{Event, Observer, Occurrence};
use spot_core::webhook::{Settings, WebhookObserver, webhook};
use spot_drain::args::DrainArgs;
use spot_drain::cluster::Cluster;
use spot_drain::events::{NodeEvents, node_events};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long it may take to tell the last of it. The chart gives a pod ten seconds more than the
/// grace to end in.
const FINISH: Duration = Duration::from_secs(5);

/// The tasks that tell. Each ends when its observers have been dropped and all is told.
#[derive(Default)]
pub(crate) struct Tellers {
    tasks: JoinSet<()>,
    drained: Drained,
}

/// Whether the node is drained, so that nothing is left to do but to tell it.
#[derive(Clone, Default)]
pub(crate) struct Drained(Arc<AtomicBool>);

impl Observer for Drained {
    fn on(&self, event: &Event) {
        match event.what {
            Occurrence::DrainFinished(_) => self.0.store(true, Ordering::Relaxed),
            Occurrence::Released => self.0.store(false, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl Tellers {
    /// Starts to write events; the observer that is told of them.
    pub(crate) fn events(
        &mut self,
        cluster: &Cluster,
        drain: &DrainArgs,
        registry: &mut Registry,
    ) -> NodeEvents {
        let (events, writer) = node_events(cluster, &drain.node_name);
        events.register(registry);
        self.tasks.spawn(writer.with_dry_run(drain.dry_run).run());
        events
    }

    /// Starts to tell a webhook; the observer that has it told.
    pub(crate) fn webhook(
        &mut self,
        node: &str,
        settings: Settings,
        registry: &mut Registry,
    ) -> WebhookObserver {
        let (observer, delivery) = webhook(node, settings);
        observer.register(registry);
        self.tasks.spawn(delivery.run());
        observer
    }

    /// What is to see how far the handler has come.
    pub(crate) fn drained(&self) -> Drained {
        self.drained.clone()
    }

    /// Waits until all is told, but not for long: the next process begins only then. For `left`
    /// where there is a drained node, of which nothing else tells.
    pub(crate) async fn finish(mut self, left: Duration) {
        let drained = self.drained.0.load(Ordering::Relaxed);
        let bound = if drained { left.max(FINISH) } else { FINISH };
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(bound, all).await.is_err() {
            let bound = bound.as_secs();
            tracing::warn!(bound, "not all could be told in time");
        }
    }
}
