//! A drain of one node: told what to do, started, followed, ended, and held to what every drain
//! promises.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use spot_core::{
    deadline::Deadline,
    drainer::Order,
    notice::{Notice, NoticeId, NoticeKind},
};
use spot_drain::{
    cluster::Cluster as Connection, driver::NodeDrainer, plan::Settings, report::Report,
    window::Window as Times,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    drained::Drained,
    stage::{Rights, Stage},
};
use crate::{Error, Result, cluster::Node};

/// How long after its end a drain may return.
pub(super) const EPSILON: Duration = Duration::from_secs(1);
/// How much later than that a test gives up on it.
const GIVE_UP: Duration = Duration::from_secs(20);

/// A drain that is about to start.
pub struct DrainOf<'a> {
    stage: &'a Stage,
    node: &'a Node,
    left: Duration,
    rights: Rights,
    connection: Option<Connection>,
    settings: Settings,
    cordon: bool,
}

impl<'a> DrainOf<'a> {
    pub(super) fn new(stage: &'a Stage, node: &'a Node) -> Self {
        Self {
            stage,
            node,
            left: Duration::from_secs(20),
            rights: Rights::all(),
            connection: None,
            settings: Settings::default(),
            cordon: true,
        }
    }

    /// The machine goes in so many seconds (20 unless told).
    #[must_use]
    pub fn window(mut self, seconds: u64) -> Self {
        self.left = Duration::from_secs(seconds);
        self
    }

    /// With other rights than a handler's.
    #[must_use]
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// Over a connection of one's own.
    #[must_use]
    pub fn through(mut self, connection: Connection) -> Self {
        self.connection = Some(connection);
        self
    }

    /// With other settings.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// The node stays as it is. Otherwise it is cordoned first, or its pods would come back.
    #[must_use]
    pub fn uncordoned(mut self) -> Self {
        self.cordon = false;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the cordon or the connection fails.
    pub async fn start(self) -> Result<Drain<'a>> {
        if self.cordon {
            self.stage.cluster.cordon(&self.node.name, true).await?;
        }
        let connection = match self.connection {
            Some(connection) => connection,
            None => self.stage.connect(&self.rights).await?,
        };
        let before = self.stage.requests().len();
        let pods = connection.pods(&self.node.name);
        let drainer = NodeDrainer::new(pods).with_settings(self.settings.clone());
        let began = Instant::now();
        let order = order_for(began, self.left).with_held(self.cordon);
        let deadline = began + self.left;
        let (orders, ordered) = watch::channel(order);
        let mut task = JoinSet::new();
        task.spawn(async move { (drainer.drain(ordered).await, Instant::now()) });
        Ok(Drain {
            stage: self.stage,
            began,
            times: Times::new(began, deadline),
            settings: self.settings,
            before,
            orders,
            task,
        })
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// When it cannot start or breaks a promise.
    pub async fn run(self) -> Result<Drained> {
        self.start().await?.end().await
    }
}

/// An order to leave a machine that goes `left` after `now`.
pub(super) fn order_for(now: Instant, left: Duration) -> Order {
    let reference = Timestamp::UNIX_EPOCH;
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
    let deadline = Deadline::anchored(reference + left, reference, now);
    let notice = Notice::new(NoticeId::new("scenario"), NoticeKind::SpotInterruption, now);
    Order::from_notice(&notice.with_deadline(deadline))
}

/// A drain under way. Dropping it ends it.
pub struct Drain<'a> {
    stage: &'a Stage,
    began: Instant,
    times: Times,
    settings: Settings,
    before: usize,
    orders: watch::Sender<Order>,
    task: JoinSet<(Report, Instant)>,
}

impl Drain<'_> {
    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Its times, as they are without a change of the order.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Takes the notice back.
    pub fn cancel(&self) {
        self.orders.send_modify(|order| order.cancelled = true);
    }

    /// The machine goes so much after the drain's beginning, and not when it was said.
    pub fn bring_nearer(&self, left: Duration) {
        let nearer = order_for(self.began, left).deadline;
        self.orders.send_modify(|order| order.deadline = nearer);
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not return by its end, or has broken another promise.
    pub async fn end(mut self) -> Result<Drained> {
        let latest = self.times.end() + GIVE_UP;
        let ended = timeout_at(latest, self.task.join_next()).await;
        let (report, ended) = match ended {
            Ok(Some(Ok(ended))) => ended,
            Ok(Some(Err(error))) => return Err(Error::Usage(format!("the drain: {error}"))),
            Ok(None) => return Err(Error::Usage("the drain has no task".to_owned())),
            Err(_) => {
                return Err(Error::Usage(format!(
                    "the drain is not over {GIVE_UP:?} late"
                )));
            }
        };
        let requests = self.stage.requests().split_off(self.before);
        let drained = Drained {
            report,
            began: self.began,
            ended,
            times: self.times,
            requests,
        };
        drained.keeps_promises(&self.settings, EPSILON + self.stage.noise())?;
        Ok(drained)
    }
}
