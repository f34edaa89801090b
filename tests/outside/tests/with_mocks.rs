//! Its units with a mock of every port: no simulator, no protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{Response, StatusCode};
use mockall::Sequence;
use mockall::predicate::{always, eq, function};
use outside::{Done, Jobs, Once, PUTTING_BACK, is_on_ec2};
use spot_core::drainer::{DrainOutcome, DrainReport, Drainer as _, MockDrainer, Order};
use spot_core::node::{MockNodeControl, NodeError, Phase, Quarantine};
use spot_core::notice::{Notice, NoticeId, NoticeKind, Signal};
use spot_core::observer::{Event, MockObserver, Occurrence};
use spot_core::source::MockNoticeSource;
use spot_drain::budget::Budgets;
use spot_drain::classify::DaemonSets;
use spot_drain::driver::NodeDrainer;
use spot_drain::facts::{PodFacts, Uid};
use spot_drain::plan::Call;
use spot_drain::pods::{Change, Freshness, Listed, MockPods, PodsError, Watched};
use spot_drain::reply::Reply;
use spot_imds::client::ImdsClient;
use spot_imds::transport::{MockTransport, TransportError};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

fn notice(kind: NoticeKind) -> Notice {
    Notice::new(NoticeId::new(kind.as_str()), kind, Instant::now())
}

fn order() -> Order {
    Order::from_notice(&notice(NoticeKind::SpotInterruption))
}

/// Says these signals, and then no more.
fn source(signals: Vec<Signal>) -> MockNoticeSource {
    let mut source = MockNoticeSource::new();
    let mut said = Sequence::new();
    for signal in signals {
        source
            .expect_next()
            .once()
            .in_sequence(&mut said)
            .return_once(move || signal);
    }
    source
}

fn drainer(outcome: DrainOutcome) -> MockDrainer {
    let mut drainer = MockDrainer::new();
    drainer
        .expect_drain()
        .withf(|order| order.borrow().kind == NoticeKind::SpotInterruption)
        .once()
        .returning(move |_| DrainReport::new(outcome));
    drainer
}

fn hears(outcome: DrainOutcome) -> Arc<MockObserver> {
    let mut observer = MockObserver::new();
    let finished = move |event: &Event| matches!(&event.what, Occurrence::DrainFinished(r) if r.outcome == outcome);
    observer
        .expect_on()
        .with(function(finished))
        .once()
        .return_const(());
    Arc::new(observer)
}

#[tokio::test(start_paused = true)]
async fn it_acts_on_the_interruption_and_lets_the_rest_pass() {
    let mut node = MockNodeControl::new();
    let draining =
        |q: &Quarantine| q.phase == Phase::Draining && q.kind == NoticeKind::SpotInterruption;
    node.expect_quarantine()
        .withf(draining)
        .once()
        .returning(|_| Ok(()));
    let rebalance = Signal::Raised(notice(NoticeKind::RebalanceRecommendation));
    let interruption = Signal::Raised(notice(NoticeKind::SpotInterruption));
    let once = Once {
        source: source(vec![rebalance, interruption]),
        node,
        drainer: drainer(DrainOutcome::Complete),
        observer: hears(DrainOutcome::Complete),
    };
    assert_eq!(
        once.run(jiff::Timestamp::UNIX_EPOCH).await.unwrap(),
        Done::Emptied
    );
}

#[tokio::test(start_paused = true)]
async fn it_says_when_something_was_left() {
    let mut node = MockNodeControl::new();
    node.expect_quarantine().once().returning(|_| Ok(()));
    let once = Once {
        source: source(vec![Signal::Raised(notice(NoticeKind::SpotInterruption))]),
        node,
        drainer: drainer(DrainOutcome::Incomplete),
        observer: hears(DrainOutcome::Incomplete),
    };
    assert_eq!(
        once.run(jiff::Timestamp::UNIX_EPOCH).await.unwrap(),
        Done::LeftSome
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_quarantined_is_not_drained() {
    let mut node = MockNodeControl::new();
    node.expect_quarantine().once().returning(|_| {
        Err(NodeError::Forbidden {
            verb: "patch",
            resource: "nodes",
            source: None,
        })
    });
    let once = Once {
        source: source(vec![Signal::Raised(notice(NoticeKind::SpotInterruption))]),
        node,
        drainer: MockDrainer::new(),
        observer: Arc::new(MockObserver::new()),
    };
    assert!(
        once.run(jiff::Timestamp::UNIX_EPOCH)
            .await
            .unwrap_err()
            .is_permission()
    );
}

#[tokio::test(start_paused = true)]
async fn jobs_are_put_back_first_and_not_at_all_for_an_order_taken_back() {
    let start = Instant::now();
    let (_send, orders) = watch::channel(order());
    let jobs = Jobs::before(drainer(DrainOutcome::Complete));
    assert_eq!(jobs.drain(orders).await.outcome, DrainOutcome::Complete);
    assert_eq!(start.elapsed(), PUTTING_BACK);
    let mut cancelled = order();
    cancelled.cancelled = true;
    let (_send, orders) = watch::channel(cancelled);
    let jobs = Jobs::before(MockDrainer::new());
    assert_eq!(jobs.drain(orders).await.outcome, DrainOutcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn the_real_drainer_drains_pods_that_are_a_mock() {
    let pod = PodFacts {
        namespace: "shop".to_owned(),
        name: "web-1".to_owned(),
        uid: Uid("u1".to_owned()),
        grace: Duration::from_secs(5),
        ..PodFacts::default()
    };
    // The pod is seen to be gone once it was evicted.
    let evicted = Arc::new(Notify::new());
    let mut pods = MockPods::new();
    let listed = Listed {
        pods: vec![pod.clone()],
        version: "7".to_owned(),
    };
    pods.expect_list()
        .with(eq(Freshness::Any))
        .once()
        .return_once(|_| Ok(listed));
    let gone = Arc::clone(&evicted);
    pods.expect_watch()
        .with(eq("7".to_owned()))
        .once()
        .return_once(move |_| {
            let deleted = stream::once(async move {
                gone.notified().await;
                let change = Change::Deleted(pod);
                Ok::<_, PodsError>(Watched {
                    change,
                    version: "8".to_owned(),
                })
            });
            Ok(deleted.chain(stream::pending()).boxed())
        });
    let web = |call: &Call| (call.pod.0.as_str(), call.name.as_str()) == ("u1", "web-1");
    pods.expect_evict().withf(web).once().returning(move |_| {
        evicted.notify_one();
        Reply::Accepted
    });
    pods.expect_daemon_sets()
        .returning(|| DaemonSets::Exist(BTreeSet::new()));
    pods.expect_budgets()
        .returning(|| Budgets::Known(Vec::new()));
    pods.expect_requests().return_const(0u64);
    let (_send, orders) = watch::channel(order());
    let report = NodeDrainer::new(pods).drain(orders).await;
    assert_eq!(report.outcome, DrainOutcome::Complete, "{report}");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_answers_means_ec2_and_silence_does_not() {
    let mut transport = MockTransport::new();
    transport
        .expect_send()
        .with(always(), always())
        .returning(|request, _| {
            let body: &[u8] = match request.uri().path() {
                "/latest/api/token" => b"a-token",
                "/latest/meta-data/instance-id" => b"i-0123456789abcdef0",
                _ => panic!("not asked for: {}", request.uri()),
            };
            let reply = Response::builder().status(StatusCode::OK);
            Ok(reply.body(Bytes::from_static(body)).unwrap())
        });
    let client = ImdsClient::builder().transport(Arc::new(transport));
    assert!(is_on_ec2(&client.build().unwrap(), Duration::from_secs(3)).await);

    let mut transport = MockTransport::new();
    transport
        .expect_send()
        .times(1..)
        .returning(|_, _| Err(TransportError::ConnectTimedOut));
    let client = ImdsClient::builder().transport(Arc::new(transport));
    assert!(!is_on_ec2(&client.build().unwrap(), Duration::from_secs(3)).await);
}
