//! How a handler ends.

use super::*;
use crate::drainer::MockDrainer;

#[tokio::test(start_paused = true)]
async fn an_idle_handler_ends_at_once() {
    let mut rig = Rig::new(Node::default());
    rig.say(Signal::Health(SourceHealth::Good));
    settle().await;
    rig.shut_down();
    assert!(rig.ended().await.is_ok());
    assert_eq!(rig.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_idle_handler_s_pulse_beats_until_it_has_ended() {
    let handler = Handler::builder(MockDrainer::new()).build();
    let pulse = handler.pulse();
    let hour = tokio::time::sleep(secs(3600));
    within(handler.run(hour)).await.unwrap();
    assert!(pulse.age(Instant::now()) <= BEAT);
    tokio::time::sleep(secs(60)).await;
    assert!(pulse.age(Instant::now()) >= secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_node_never_answers_ends_at_once_too() {
    let mut rig = Rig::new(Node::default().recalling([Answer::Never]));
    settle().await;
    rig.shut_down();
    assert!(rig.ended().await.is_ok());
    assert_eq!(rig.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_running_drain_is_waited_for_and_its_end_is_written_down() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let end = rig.drain().await;
    rig.shut_down();
    let waits = rig
        .event(|o| matches!(o, Occurrence::ShutdownWaits(_)))
        .await;
    assert!(matches!(waits, Occurrence::ShutdownWaits(bound) if bound == secs(20)));
    tokio::time::sleep(secs(7)).await;
    assert!(rig.run.try_join_next().is_none(), "it did not wait");
    end.send(DrainOutcome::Complete).unwrap();
    assert!(rig.ended().await.is_ok());
    assert_eq!(rig.elapsed(), secs(7));
    assert_eq!(rig.node.count("quarantine Drained"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_waited_for_no_longer_than_the_grace_and_does_not_outlive_the_handler() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let _never = rig.drain().await;
    rig.shut_down();
    assert!(rig.ended().await.is_ok());
    assert_eq!(rig.elapsed(), secs(20));
    assert_eq!(within(rig.alive.recv()).await, None, "the drainer lives on");
}

#[tokio::test(start_paused = true)]
async fn writing_down_the_end_of_a_drain_is_bounded() {
    let mut rig = Rig::new(Node::default().quarantining([Answer::Says(Ok(())), Answer::Never]));
    rig.interrupt();
    let end = rig.drain().await;
    rig.event(|o| is_quarantined(o, Phase::Draining)).await;
    rig.shut_down();
    end.send(DrainOutcome::Complete).unwrap();
    assert!(rig.ended().await.is_ok());
    assert_eq!(rig.elapsed(), WRITE_GRACE);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_ends_the_drain() {
    let mut rig = Rig::new(Node::default());
    rig.interrupt();
    let _never = rig.drain().await;
    rig.run.abort_all();
    assert_eq!(within(rig.alive.recv()).await, None);
}

fn critical_task(ended: Result<(), HandlerError>) -> &'static str {
    match ended {
        Err(HandlerError::CriticalTask { task, source }) if source.is_some() => task,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_the_handler() {
    struct Panics;
    #[async_trait]
    impl NoticeSource for Panics {
        async fn next(&mut self) -> Signal {
            panic!("a bug in a source")
        }
    }
    let (began, _drains) = mpsc::unbounded_channel();
    let (alive, _alive) = mpsc::channel(1);
    let handler = Handler::builder(Drains { began, alive })
        .source(Panics)
        .build();
    assert_eq!(
        critical_task(within(handler.run(pending())).await),
        "source"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drainer_that_panics_ends_the_handler() {
    struct Panics;
    #[async_trait]
    impl Drainer for Panics {
        async fn drain(&self, _: watch::Receiver<Order>) -> DrainReport {
            panic!("a bug in a drainer")
        }
    }
    let (signals, said) = mpsc::unbounded_channel();
    signals.send(Signal::Raised(interruption())).unwrap();
    let handler = Handler::builder(Panics).source(Source(said)).build();
    assert_eq!(critical_task(within(handler.run(pending())).await), "drain");
}

#[tokio::test(start_paused = true)]
async fn a_node_port_that_panics_ends_the_handler() {
    struct Panics;
    #[async_trait]
    impl NodeControl for Panics {
        async fn recall(&self, _: Option<Instance>) -> Result<Recall, NodeError> {
            panic!("a bug in a node port")
        }
        async fn quarantine(&self, _: Quarantine) -> Result<(), NodeError> {
            Ok(())
        }
        async fn release(&self, _: Release) -> Result<(), NodeError> {
            Ok(())
        }
    }
    let (began, _drains) = mpsc::unbounded_channel();
    let (alive, _alive) = mpsc::channel(1);
    let handler = Handler::builder(Drains { began, alive })
        .node(Panics)
        .build();
    assert_eq!(critical_task(within(handler.run(pending())).await), "node");
}
