//! A controller of somebody else's, of which only the crates' published parts are known.
//!
//! It keeps a queue of jobs on one Spot node: when the node is to go it stops taking jobs, puts
//! those at hand back, and has the node drained.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spot_core::drainer::{DrainOutcome, DrainReport, Drainer, Order};
use spot_core::handler::{Handler, HandlerBuilder};
use spot_core::node::{NodeControl, NodeError, Phase, Quarantine};
use spot_core::notice::{Notice, NoticeKind, Signal};
use spot_core::observer::{Event, Observer};
use spot_core::source::NoticeSource;
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long putting the jobs back takes.
pub const PUTTING_BACK: Duration = Duration::from_secs(4);

/// Puts jobs back, then has somebody else drain the node.
pub struct Jobs<D> {
    after: D,
}

impl<D: Drainer> Jobs<D> {
    /// Jobs that are put back before `after` drains.
    pub fn before(after: D) -> Self {
        Self { after }
    }
}

#[async_trait]
impl<D: Drainer> Drainer for Jobs<D> {
    async fn drain(&self, order: watch::Receiver<Order>) -> DrainReport {
        if order.borrow().cancelled {
            return DrainReport::new(DrainOutcome::Cancelled);
        }
        sleep(PUTTING_BACK).await;
        self.after.drain(order).await
    }
}

/// The controller of `node`, to be given observers and run.
pub fn controller(
    source: impl NoticeSource + 'static,
    cluster: &Cluster,
    node: &str,
) -> HandlerBuilder {
    Handler::builder(Jobs::before(NodeDrainer::new(cluster.pods(node))))
        .source(source)
        .node(cluster.node(node))
}

/// What became of one notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The node is empty.
    Emptied,
    /// Something was left on it.
    LeftSome,
}

/// The controller's parts by themselves: waits for an interruption, and acts on it once.
pub struct Once<S, N, D> {
    /// Where notices come from.
    pub source: S,
    /// The node.
    pub node: N,
    /// Who drains it.
    pub drainer: D,
    /// Who hears of it.
    pub observer: Arc<dyn Observer>,
}

impl<S: NoticeSource, N: NodeControl, D: Drainer> Once<S, N, D> {
    /// Waits for an interruption and acts on it; other notices are let pass.
    ///
    /// # Errors
    /// Where the node cannot be quarantined.
    pub async fn run(mut self, now: jiff::Timestamp) -> Result<Done, NodeError> {
        let notice = self.interruption().await;
        let quarantine = Quarantine::new(&notice, Phase::Draining, now);
        self.node.quarantine(quarantine).await?;
        let (_order, orders) = watch::channel(Order::from_notice(&notice));
        let report = self.drainer.drain(orders).await;
        let done = if report.outcome == DrainOutcome::Complete {
            Done::Emptied
        } else {
            Done::LeftSome
        };
        let finished = spot_core::observer::Occurrence::DrainFinished(Arc::new(report));
        let at = tokio::time::Instant::now();
        self.observer.on(&Event::new(at, now, finished));
        Ok(done)
    }

    async fn interruption(&mut self) -> Notice {
        loop {
            if let Signal::Raised(notice) = self.source.next().await
                && notice.kind == NoticeKind::SpotInterruption
            {
                return notice;
            }
        }
    }
}

/// Whether the metadata service can be asked at all, for a start-up check.
pub async fn is_on_ec2(client: &spot_imds::client::ImdsClient, patience: Duration) -> bool {
    let asked = timeout(patience, client.instance_id()).await;
    matches!(asked, Ok(Ok(Some(_))))
}
