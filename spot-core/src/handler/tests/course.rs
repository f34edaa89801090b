//! From a signal to the end of a drain.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_notice_is_drained_and_the_end_is_written_down() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let end = rig.drain().await;
    rig.event(|o| is_quarantined(o, Phase::Draining)).await;
    end.send(DrainOutcome::Complete).unwrap();
    rig.event(|o| matches!(o, Occurrence::DrainFinished(r) if r.outcome == DrainOutcome::Complete))
        .await;
    rig.event(|o| is_quarantined(o, Phase::Drained)).await;
    assert_eq!(rig.elapsed(), Duration::ZERO, "nothing of it waits");
}

#[tokio::test(start_paused = true)]
async fn the_drain_does_not_wait_for_the_quarantine() {
    let mut rig = Rig::new(Node::default().quarantining([Answer::Never]));
    rig.interrupt();
    rig.drain().await;
    assert_eq!(rig.elapsed(), Duration::ZERO);
    assert_eq!(rig.node.count("quarantine"), 1, "and is asked for as early");
}

#[tokio::test(start_paused = true)]
async fn the_quarantine_does_not_wait_for_the_drain() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let _never = rig.drain().await;
    rig.event(|o| is_quarantined(o, Phase::Draining)).await;
    assert_eq!(rig.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_that_fails_neither_delays_nor_ends_the_drain() {
    for failure in [unavailable, forbidden] {
        let mut rig = Rig::new(Node::default().quarantining((0..1000).map(|_| failure())));
        rig.interrupt();
        let end = rig.drain().await;
        assert_eq!(rig.elapsed(), Duration::ZERO);
        rig.event(is_failure).await;
        end.send(DrainOutcome::Complete).unwrap();
        rig.event(|o| matches!(o, Occurrence::DrainFinished(_)))
            .await;
        assert_eq!(rig.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_ended_before_the_quarantine_held_is_done_again() {
    let slow = [
        unavailable(),
        unavailable(),
        unavailable(),
        unavailable(),
        unavailable(),
    ];
    let mut rig = Rig::new(Node::default().quarantining(slow));
    rig.interrupt();
    rig.drain().await.send(DrainOutcome::Complete).unwrap();
    let again = rig.drain().await;
    assert!(rig.elapsed() > secs(1));
    again.send(DrainOutcome::Complete).unwrap();
    rig.event(|o| is_quarantined(o, Phase::Drained)).await;
    settle().await;
    assert!(rig.drains.try_recv().is_err(), "and no third time");
}

#[tokio::test(start_paused = true)]
async fn a_notice_taken_back_stops_the_drain_and_releases_the_node() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let _never = rig.drain().await;
    rig.say(cancelled());
    rig.event(
        |o| matches!(o, Occurrence::DrainFinished(r) if r.outcome == DrainOutcome::Cancelled),
    )
    .await;
    rig.event(|o| matches!(o, Occurrence::Released)).await;
    assert_eq!(rig.node.count("release"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_changes_reaches_the_running_drain() {
    struct Until(mpsc::UnboundedSender<(Option<Duration>, bool)>);
    #[async_trait]
    impl Drainer for Until {
        async fn drain(&self, mut order: watch::Receiver<Order>) -> DrainReport {
            loop {
                let Order { deadline, held, .. } = order.borrow_and_update().clone();
                let left = deadline.map(|d| d.remaining(Instant::now()));
                self.0.send((left, held)).unwrap();
                if order.changed().await.is_err() {
                    pending::<()>().await;
                }
            }
        }
    }
    let (send, mut orders) = mpsc::unbounded_channel();
    let (signals, said) = mpsc::unbounded_channel();
    let handler = Handler::builder(Until(send)).source(Source(said)).build();
    let mut run = JoinSet::new();
    run.spawn(handler.run(pending()));
    signals.send(Signal::Raised(interruption())).unwrap();
    let mut order = async || within(orders.recv()).await;
    assert_eq!(order().await, Some((Some(secs(120)), false)));
    // The quarantine holds.
    assert_eq!(order().await, Some((Some(secs(120)), true)));
    let wall = Timestamp::UNIX_EPOCH;
    let nearer = Deadline::anchored(wall + secs(40), wall, Instant::now());
    signals
        .send(Signal::Raised(interruption().with_deadline(nearer)))
        .unwrap();
    assert_eq!(order().await, Some((Some(secs(40)), true)));
}

/// Has something to take back, and says so the third time that it is asked to.
struct Prepared(Node, AtomicUsize);

#[async_trait]
impl Drainer for Prepared {
    async fn drain(&self, mut order: watch::Receiver<Order>) -> DrainReport {
        let taken_back = order.wait_for(|o| o.cancelled).await;
        assert!(taken_back.is_ok());
        DrainReport::new(DrainOutcome::Cancelled)
    }

    async fn take_back(&self) -> bool {
        self.0.asked("take back");
        self.1.fetch_add(1, Ordering::SeqCst) >= 2
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_drain_has_prepared_is_taken_back_before_the_node_is_released() {
    let node = Node::default();
    let drainer = Prepared(node.clone(), AtomicUsize::new(0));
    let (signals, said) = mpsc::unbounded_channel();
    let (events, mut heard) = mpsc::unbounded_channel();
    let handler = Handler::builder(drainer)
        .source(Source(said))
        .node(node.clone())
        .observer(Events(events))
        .build();
    let mut run = JoinSet::new();
    run.spawn(handler.run(pending()));
    signals.send(Signal::Raised(interruption())).unwrap();
    let mut until = async |fits: fn(&Occurrence) -> bool| {
        while !within(heard.recv()).await.is_some_and(|o| fits(&o)) {}
    };
    until(|o| matches!(o, Occurrence::Quarantined { .. })).await;
    signals.send(cancelled()).unwrap();
    until(|o| matches!(o, Occurrence::Released)).await;
    let asked: Vec<String> = node.script().asked.iter().map(|(_, a)| a.clone()).collect();
    let last: Vec<&str> = asked
        .iter()
        .rev()
        .take(4)
        .rev()
        .map(String::as_str)
        .collect();
    assert_eq!(last, ["take back", "take back", "take back", "release"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_cluster_is_drained_too() {
    let (began, mut drains) = mpsc::unbounded_channel();
    let (alive, _alive) = mpsc::channel(1);
    let (signals, said) = mpsc::unbounded_channel();
    let handler = Handler::builder(Drains { began, alive })
        .source(Source(said))
        .build();
    let mut run = JoinSet::new();
    run.spawn(handler.run(pending()));
    signals.send(Signal::Raised(interruption())).unwrap();
    assert!(within(drains.recv()).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_what_is_known() {
    let mut rig = Rig::new(Node::default());
    let missing = |rig: &Rig| rig.readiness.borrow().missing.clone();
    settle().await;
    assert_eq!(missing(&rig), ["source has not been heard yet"]);
    rig.say(Signal::Health(SourceHealth::Good));
    within(rig.readiness.wait_for(|r| r.ready)).await.unwrap();
    rig.say(failing());
    within(rig.readiness.wait_for(|r| !r.ready)).await.unwrap();
    assert_eq!(missing(&rig), ["source cannot be heard: away"]);
    rig.say(Signal::Health(SourceHealth::Good));
    within(rig.readiness.wait_for(|r| r.ready)).await.unwrap();
}
