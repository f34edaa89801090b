//! Tells a webhook of an interruption notice when it is detected, and of what became of it.
//!
//! [`webhook`] makes an observer for a [`Handler`](crate::handler::Handler) and a [`Delivery`], a future
//! that its owner runs. The observer puts a message into a bounded queue and is done: a receiver
//! that is late, fails or says nothing delays nothing. The delivery sends one message at a time,
//! again and again until the receiver takes it or the machine goes. One whose answer is lost comes
//! twice: event, node and time are the same.
//!
//! | module | what for |
//! |---|---|
//! | [`message`] | what is told, as JSON (pure) |
//! | [`template`] | a receiver's own JSON with our values in it (pure) |
//! | [`target`] | where to: a URL and headers, which are secrets |
//! | [`transport`] | the port to the network, and HTTP/1.1 over TLS and proxies |
//! | `args` (feature `clap`) | arguments for a program |
//!
//! With the feature `mock` there is a mock of the port, with `prometheus` a count of messages by
//! what became of them.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use spot_core::{drainer::{DrainOutcome, DrainReport, Drainer, Order}, handler::Handler};
//! use spot_core::webhook::{Settings, target::Target, webhook};
//!
//! # struct SaveWork;
//! # #[async_trait::async_trait]
//! # impl Drainer for SaveWork {
//! #     async fn drain(&self, _: tokio::sync::watch::Receiver<Order>) -> DrainReport {
//! #         DrainReport::new(DrainOutcome::Complete)
//! #     }
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let target = Target::new("https://hooks.example/T000/B000/secret")?;
//! let (observer, delivery) = webhook("worker-1", Settings::new(target));
//! let handler = Handler::builder(SaveWork).observer(observer).build();
//! // The delivery ends when the handler has, and all is sent.
//! let (ended, ()) = tokio::join!(handler.run(std::future::ready(())), delivery.run());
//! ended.unwrap();
//! # Ok::<(), spot_core::webhook::target::TargetError>(()) }).unwrap();
//! ```

#[cfg(feature = "clap")]
pub mod args;
mod delivery;
pub mod message;
#[cfg(feature = "prometheus")]
mod metrics;
pub mod target;
pub mod template;
pub mod transport;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::drainer::Order;
use crate::notice::{Instance, Notice, NoticeId};
use crate::observer::{Event, Observer, Occurrence};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use delivery::{Delivery, PATIENCE, REQUEST};
use message::{Facts, Message, What};
use target::Target;
use template::Template;
use transport::{HttpTransport, Transport};

/// How many messages wait at most.
const ROOM: usize = 32;

/// What can be set.
pub struct Settings {
    target: Target,
    template: Template,
    transport: Arc<dyn Transport>,
    dry_run: bool,
}

impl Settings {
    /// Our own JSON, sent over the network, with the proxies that the environment names.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            template: Template::default(),
            transport: Arc::new(HttpTransport::from_env()),
            dry_run: false,
        }
    }

    /// The same of a handler that changes nothing, as the messages then say.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// The same with a receiver's own JSON.
    #[must_use]
    pub fn with_template(mut self, template: Template) -> Self {
        self.template = template;
        self
    }

    /// The same over another way.
    #[must_use]
    pub fn with_transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Arc::new(transport);
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("target", &self.target)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

/// What became of messages.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// A message, and until when it is of use.
#[derive(Debug)]
struct Queued {
    message: Message,
    until: Instant,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Known {
    instance: Option<Instance>,
    /// Those that were seen or carried on, and have not ended.
    notices: BTreeMap<NoticeId, Notice>,
    /// The one that a drain runs for, with the drain's own deadline. It may have ended by now.
    drained: Option<Notice>,
}

impl Known {
    fn keep(&mut self, notice: &Notice) {
        self.notices.insert(notice.id.clone(), notice.clone());
    }

    /// A drain that runs goes on for this notice, by the nearer of the deadlines.
    fn take_over(&mut self, id: &NoticeId) {
        if let (Some(drained), Some(notice)) = (&mut self.drained, self.notices.get(id)) {
            let deadline = drained.deadline;
            *drained = notice.clone();
            drained.deadline = deadline;
        }
    }

    /// The notice that an order is for.
    fn ordered(&self, order: &Order, now: Instant) -> Notice {
        let known = self.notices.get(&order.notice);
        let unseen = || Notice::new(order.notice.clone(), order.kind, now);
        Notice {
            deadline: order.deadline,
            ..known.cloned().unwrap_or_else(unseen)
        }
    }
}

/// An observer that has a webhook told. Clones tell through one delivery.
#[derive(Clone)]
pub struct WebhookObserver {
    node: Arc<str>,
    dry_run: bool,
    queue: mpsc::Sender<Queued>,
    known: Arc<Mutex<Known>>,
    counts: Arc<Counts>,
}

/// An observer, and what delivers its messages. `node` names the machine in them.
pub fn webhook(node: impl Into<String>, settings: Settings) -> (WebhookObserver, Delivery) {
    let (queue, queued) = mpsc::channel(ROOM);
    let counts = Arc::new(Counts::default());
    let dry_run = settings.dry_run;
    let delivery = Delivery::new(settings, queued, Arc::clone(&counts));
    let observer = WebhookObserver {
        node: Arc::from(node.into()),
        dry_run,
        queue,
        known: Arc::default(),
        counts,
    };
    (observer, delivery)
}

impl WebhookObserver {
    /// How many messages did not fit the queue.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    fn tell(
        &self,
        event: &Event,
        instance: Option<&Instance>,
        notice: Option<&Notice>,
        what: What<'_>,
    ) {
        let deadline = notice.and_then(|notice| notice.deadline);
        let message = Message::new(&Facts {
            node: &self.node,
            dry_run: self.dry_run,
            instance,
            notice,
            at: event.at,
            wall: event.wall,
            what,
        });
        let until = until(deadline.map(|d| d.instant()), event.at);
        if self.queue.try_send(Queued { message, until }).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Until when a message is tried: until the machine goes, and a while in any case.
fn until(deadline: Option<Instant>, now: Instant) -> Instant {
    match deadline {
        Some(deadline) => deadline.max(now + Duration::from_secs(30)),
        None => now + PATIENCE,
    }
}

impl Observer for WebhookObserver {
    fn on(&self, event: &Event) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut *known;
        let instance = known.instance.as_ref();
        match &event.what {
            Occurrence::Identified(instance) => known.instance = Some(instance.clone()),
            Occurrence::Resumed(notice) => known.keep(notice),
            Occurrence::NoticeRaised { notice, response } => {
                self.tell(event, instance, Some(notice), What::Notice(*response));
                known.keep(notice);
            }
            Occurrence::NoticeChanged(notice) => {
                if let Some(drained) = known.drained.as_mut().filter(|d| d.id == notice.id) {
                    drained.action = notice.action;
                }
                known.keep(notice);
            }
            Occurrence::NoticeSuperseded { new, .. } => known.take_over(new),
            Occurrence::DrainStarted(order) | Occurrence::DeadlineNearer(order) => {
                known.drained = Some(known.ordered(order, event.at));
            }
            Occurrence::DrainFinished(report) => {
                let drained = known.drained.take();
                self.tell(event, instance, drained.as_ref(), What::Drained(report));
            }
            Occurrence::NoticeExpired(id) => {
                let notice = known.notices.get(id);
                self.tell(event, instance, notice, What::Ended(id, "expired"));
            }
            Occurrence::NoticeEnded { notice: id, how } => {
                let notice = known.notices.remove(id);
                let ended = What::Ended(id, how.as_str());
                self.tell(event, instance, notice.as_ref(), ended);
            }
            _ => {}
        }
    }
}

impl fmt::Debug for WebhookObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookObserver")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
