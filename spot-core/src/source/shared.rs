//! One source for many readers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::NoticeSource;
use crate::deadline::nearer;
use crate::notice::{Instance, Notice, NoticeEnd, NoticeId, Signal, SourceHealth};

/// How many notices that stand no longer are remembered for readers that are behind.
const ENDS: usize = 64;

/// A source that many read, each at its own pace, while it asks no more often than for one.
///
/// Every reader hears what stands when it begins, then what changes. One that is slow loses no
/// notice that stands and never sees them in another order than: who, what, health; but of what
/// came and went meanwhile it hears nothing. So nothing piles up for a reader that has stopped.
///
/// No task runs: the readers drive the source by turns, and it stands still while none reads. A
/// future of [`next`](NoticeSource::next) that is kept and not polled keeps all readers waiting:
/// poll it or drop it.
///
/// ```
/// use spot_core::notice::{Notice, NoticeId, NoticeKind, Signal};
/// use spot_core::source::{NoticeSource, SharedSource};
/// # use tokio::time::Instant;
/// # struct OneNotice(bool);
/// # #[async_trait::async_trait]
/// # impl NoticeSource for OneNotice {
/// #     async fn next(&mut self) -> Signal {
/// #         if std::mem::replace(&mut self.0, true) {
/// #             std::future::pending::<()>().await;
/// #         }
/// #         let id = NoticeId::new("spot-interruption");
/// #         Signal::Raised(Notice::new(id, NoticeKind::SpotInterruption, Instant::now()))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let shared = SharedSource::new(OneNotice(false));
/// let (mut worker, mut cache) = (shared.reader(), shared.reader());
/// let (a, b) = tokio::join!(worker.next(), cache.next());
/// assert_eq!(a, b);
/// # });
/// ```
#[derive(Clone)]
pub struct SharedSource(Arc<Inner>);

struct Inner {
    source: AsyncMutex<Box<dyn NoticeSource>>,
    known: Mutex<Known>,
    /// Counts the changes of what is known.
    changes: watch::Sender<u64>,
}

/// What the source has said, as far as it still holds.
#[derive(Clone, Debug, Default)]
struct Known {
    instance: Option<Instance>,
    standing: BTreeMap<NoticeId, Standing>,
    /// How many have been raised.
    raised: u64,
    /// How many times the health was said: good health is said again and again.
    health: Option<(u64, SourceHealth)>,
    clock: Option<SignedDuration>,
    /// How the last ones ended.
    ends: VecDeque<(NoticeId, NoticeEnd)>,
}

/// A notice that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    /// Tells one that ended and was raised anew from a repeat.
    number: u64,
    notice: Notice,
}

impl Known {
    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Identified(instance) => self.instance = Some(instance),
            Signal::Raised(notice) => self.raise(notice),
            Signal::Ended { notice, how } => {
                self.standing.remove(&notice);
                self.ends.retain(|(id, _)| *id != notice);
                self.ends.push_back((notice, how));
                if self.ends.len() > ENDS {
                    self.ends.pop_front();
                }
            }
            Signal::Health(health) => {
                let said = self.health.as_ref().map_or(0, |(said, _)| *said);
                self.health = Some((said + 1, health));
            }
            Signal::Clock(ahead) => self.clock = Some(ahead),
        }
    }

    fn raise(&mut self, notice: Notice) {
        if let Some(known) = self.standing.get_mut(&notice.id) {
            let deadline = nearer(known.notice.deadline, notice.deadline);
            known.notice.deadline = deadline;
            known.notice.action = notice.action;
            return;
        }
        self.raised += 1;
        let number = self.raised;
        let id = notice.id.clone();
        self.standing.insert(id, Standing { number, notice });
    }

    /// The first thing that `new` has and this has not; it has it then.
    fn catch_up(&mut self, new: &Self) -> Option<Signal> {
        if self.clock != new.clock {
            self.clock = new.clock;
            return self.clock.map(Signal::Clock);
        }
        if self.instance != new.instance {
            self.instance.clone_from(&new.instance);
            return self.instance.clone().map(Signal::Identified);
        }
        let gone = self.standing.keys().find(|id| {
            let before = self.standing.get(*id).map(|s| s.number);
            new.standing.get(*id).map(|s| s.number) != before
        });
        if let Some(id) = gone.cloned() {
            self.standing.remove(&id);
            let how = new.ends.iter().rev().find(|(ended, _)| *ended == id);
            let how = how.map_or(NoticeEnd::Passed, |(_, how)| *how);
            return Some(Signal::Ended { notice: id, how });
        }
        let raised = |s: &&Standing| self.standing.get(&s.notice.id) != Some(*s);
        if let Some(standing) = new.standing.values().find(raised) {
            let notice = standing.notice.clone();
            self.standing.insert(notice.id.clone(), standing.clone());
            return Some(Signal::Raised(notice));
        }
        if self.health != new.health {
            self.health.clone_from(&new.health);
            return self
                .health
                .clone()
                .map(|(_, health)| Signal::Health(health));
        }
        None
    }
}

impl SharedSource {
    /// Shares a source.
    pub fn new(source: impl NoticeSource + 'static) -> Self {
        let (changes, _) = watch::channel(0);
        Self(Arc::new(Inner {
            source: AsyncMutex::new(Box::new(source)),
            known: Mutex::default(),
            changes,
        }))
    }

    /// A reader that hears what stands, then what changes.
    pub fn reader(&self) -> SourceReader {
        SourceReader {
            changes: self.0.changes.subscribe(),
            shared: Arc::clone(&self.0),
            seen: Known::default(),
        }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, signal: Signal) {
        self.known().take(signal);
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// One reader of a [`SharedSource`].
pub struct SourceReader {
    shared: Arc<Inner>,
    changes: watch::Receiver<u64>,
    seen: Known,
}

#[async_trait]
impl NoticeSource for SourceReader {
    async fn next(&mut self) -> Signal {
        loop {
            self.changes.mark_unchanged();
            let news = self.seen.catch_up(&self.shared.known());
            if let Some(signal) = news {
                return signal;
            }
            tokio::select! {
                biased;
                // The sender lives as long as we do.
                _ = self.changes.changed() => {}
                mut source = self.shared.source.lock() => {
                    // Whoever drove it before may have published and gone.
                    if !self.changes.has_changed().unwrap_or(false) {
                        let signal = source.next().await;
                        self.shared.publish(signal);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::notice::NoticeKind;

    /// Says what the test sends, and counts how often it was asked.
    struct Source(mpsc::UnboundedReceiver<Signal>);

    #[async_trait]
    impl NoticeSource for Source {
        async fn next(&mut self) -> Signal {
            match self.0.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            }
        }
    }

    fn source() -> (mpsc::UnboundedSender<Signal>, SharedSource) {
        let (send, receive) = mpsc::unbounded_channel();
        (send, SharedSource::new(Source(receive)))
    }

    fn raised(id: &str) -> Signal {
        let id = NoticeId::new(id);
        Signal::Raised(Notice::new(
            id,
            NoticeKind::SpotInterruption,
            Instant::now(),
        ))
    }

    fn ended(id: &str, how: NoticeEnd) -> Signal {
        let notice = NoticeId::new(id);
        Signal::Ended { notice, how }
    }

    const GOOD: Signal = Signal::Health(SourceHealth::Good);

    /// All that there is to hear now.
    async fn hear(reader: &mut SourceReader) -> Vec<Signal> {
        let mut heard = Vec::new();
        while let Ok(signal) = timeout(Duration::from_millis(1), reader.next()).await {
            heard.push(signal);
        }
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn every_reader_hears_all_of_it_whoever_drives() {
        let (send, shared) = source();
        let (mut one, mut two) = (shared.reader(), shared.reader());
        let all = [
            Signal::Identified(Instance::new("i-1")),
            raised("spot"),
            GOOD,
        ];
        for signal in &all {
            send.send(signal.clone()).unwrap();
        }
        assert_eq!(hear(&mut one).await, all);
        assert_eq!(hear(&mut two).await, all);
        // One that is dropped while it drives keeps nobody from hearing.
        assert!(timeout(Duration::from_secs(1), one.next()).await.is_err());
        drop(one);
        send.send(ended("spot", NoticeEnd::Cancelled)).unwrap();
        assert_eq!(hear(&mut two).await, [ended("spot", NoticeEnd::Cancelled)]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_wait_at_the_same_time_both_hear() {
        let (send, shared) = source();
        let (mut one, mut two) = (shared.reader(), shared.reader());
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            send.send(GOOD).unwrap();
        };
        let (a, b, ()) = tokio::join!(one.next(), two.next(), later);
        assert_eq!((a, b), (GOOD, GOOD));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_hears_what_stands_and_not_what_is_over() {
        let (send, shared) = source();
        let mut early = shared.reader();
        for signal in [
            raised("a"),
            raised("b"),
            GOOD,
            ended("a", NoticeEnd::Passed),
        ] {
            send.send(signal).unwrap();
        }
        assert_eq!(hear(&mut early).await.len(), 4);
        let heard = hear(&mut shared.reader()).await;
        assert!(
            matches!(&heard[..], [Signal::Raised(n), GOOD] if n.id.as_str() == "b"),
            "{heard:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_hears_that_a_notice_ended_and_came_again() {
        let (send, shared) = source();
        let (mut fast, mut slow) = (shared.reader(), shared.reader());
        send.send(raised("spot")).unwrap();
        hear(&mut fast).await;
        hear(&mut slow).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let again = raised("spot");
        for signal in [ended("spot", NoticeEnd::Passed), again.clone()] {
            send.send(signal).unwrap();
        }
        hear(&mut fast).await;
        let heard = hear(&mut slow).await;
        assert_eq!(heard, [ended("spot", NoticeEnd::Passed), again]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_is_no_end_and_moves_no_deadline_back() {
        let (send, shared) = source();
        let mut reader = shared.reader();
        for _ in 0..3 {
            send.send(raised("spot")).unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(hear(&mut reader).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn good_health_that_is_said_again_is_heard_again() {
        let (send, shared) = source();
        let mut reader = shared.reader();
        for _ in 0..3 {
            send.send(GOOD).unwrap();
            assert_eq!(hear(&mut reader).await, [GOOD]);
        }
    }
}
