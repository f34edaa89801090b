//! What tells others beside the handler, and is given a while to finish when that has ended.

use std::time::Duration;

use spot_core::metrics::prometheus_client::registry::Registry;
use spot_core::webhook::{Settings, WebhookObserver, webhook};
use spot_drain::args::DrainArgs;
use spot_drain::cluster::Cluster;
use spot_drain::events::{NodeEvents, node_events};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long it may take to tell the last of it.
const FINISH: Duration = Duration::from_secs(5);

/// The tasks that tell. Each ends when its observers have been dropped and all is told.
#[derive(Default)]
pub(crate) struct Tellers(JoinSet<()>);

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
        self.0.spawn(writer.with_dry_run(drain.dry_run).run());
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
        self.0.spawn(delivery.run());
        observer
    }

    /// Waits until all is told, but not for long.
    pub(crate) async fn finish(mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        if timeout(FINISH, all).await.is_err() {
            let bound = FINISH.as_secs();
            tracing::warn!(bound, "not all could be told in time");
        }
    }
}
