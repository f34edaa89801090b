//! Drains without faults, and orders that change.

use super::*;
use crate::observer::{Change, Overview};

#[tokio::test(start_paused = true)]
async fn a_node_is_listed_and_watched_once_and_each_pod_evicted_once() {
    let fake = Fake::of(&["a", "b", "c"]);
    let (report, took) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert_eq!(report.tally().get("gone"), Some(&3));
    assert_eq!(
        took,
        secs(1),
        "it stays for what is bound before the cordon holds"
    );
    assert_eq!(report.requests, 5);
    assert_eq!(fake.asks("").len(), 5);
}

/// Keeps what it is told.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<(Vec<Overview>, Vec<String>)>>);

impl Told {
    /// What was told of answers, and at the end.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

impl DrainObserver for Told {
    fn planned(&self, overview: &Overview) {
        self.0.lock().unwrap().0.push(overview.clone());
    }

    fn answered(&self, removal: Removal, call: &Call, reply: &Reply) {
        let line = format!("{removal:?} {} {}", call.name, reply.kind());
        self.0.lock().unwrap().1.push(line);
    }

    fn patched(&self, change: Change, reply: &Reply) {
        let line = format!("{change:?} {}", reply.kind());
        self.0.lock().unwrap().1.push(line);
    }

    fn finished(&self, report: &Report) {
        let made = report.pods.iter().filter_map(|p| p.replacement.as_ref());
        let lines = made.map(|made| format!("at the end: {}", made.as_str()));
        self.0.lock().unwrap().1.extend(lines);
    }
}

#[tokio::test(start_paused = true)]
async fn observers_are_told_the_plan_once_and_every_answer() {
    let fake = Fake::of(&["a", "b"]).evictions([Answer::Says(Reply::Conflict)]);
    let told = Told::default();
    let drainer = NodeDrainer::new(fake.clone()).with_observer(told.clone());
    // So little that no pod's own grace fits.
    drainer.drain_within(secs(20)).await;
    let (overviews, mut answers) = std::mem::take(&mut *told.0.lock().unwrap());
    assert_eq!(overviews.len(), 1);
    assert_eq!(overviews[0].pods, [("evict", 2)].into());
    assert_eq!(overviews[0].trimmed, 2);
    answers.sort();
    let expected = [
        "Eviction a accepted",
        "Eviction a conflict",
        "Eviction b accepted",
    ];
    assert_eq!(answers, expected);
}

#[tokio::test(start_paused = true)]
async fn only_requests_of_this_drain_are_counted() {
    let fake = Fake::of(&["a"]);
    fake.drained().await;
    fake.add("b");
    let (report, _) = fake.drained().await;
    assert_eq!(report.requests, 3);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_bound_after_the_list_is_evicted() {
    let fake = Fake::of(&["a"]).evictions([Answer::Says(Reply::Unclear { what: "x".into() })]);
    let late = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fake.add("late");
    };
    let ((report, _), ()) = tokio::join!(fake.drained(), late);
    assert_eq!(fake.asks("evict late"), ["evict late"]);
    assert_eq!(report.outcome, DrainOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_drain_within_a_time_needs_no_order() {
    let fake = Fake::of(&["a"]);
    let report = NodeDrainer::new(fake.clone()).drain_within(secs(60)).await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    let start = Instant::now();
    let stuck = Fake::of(&["a"]).evictions([Answer::Never]);
    let report = NodeDrainer::new(stuck).drain_within(secs(60)).await;
    assert_eq!(
        (report.outcome, start.elapsed()),
        (DrainOutcome::Incomplete, secs(56))
    );
    assert_eq!(report.slack, Some(secs(4)));
    // Too long to be added to any moment.
    let drained = NodeDrainer::new(fake).drain_within(Duration::MAX).await;
    assert_eq!(drained.outcome, DrainOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_nearer_deadline_ends_the_drain_earlier() {
    let fake = Fake::of(&["a"]).evictions([Answer::Never]);
    let (sender, orders) = watch::channel(order(120));
    let nearer = async {
        tokio::time::sleep(secs(5)).await;
        sender.send(order(25)).unwrap();
        pending::<()>().await;
    };
    let (report, took) = tokio::select! {
        done = fake.drained_by(orders) => done,
        () = nearer => unreachable!(),
    };
    assert_eq!(report.outcome, DrainOutcome::Incomplete);
    assert!(took > secs(27) && took < secs(30), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_order_taken_back_ends_the_drain_even_where_a_call_hangs() {
    let fake = Fake::of(&["a"]).evictions([Answer::Never]);
    let (sender, orders) = watch::channel(order(120));
    let back = async {
        tokio::time::sleep(secs(5)).await;
        sender.send_modify(|o| o.cancelled = true);
        pending::<()>().await;
    };
    let (report, took) = tokio::select! {
        done = fake.drained_by(orders) => done,
        () = back => unreachable!(),
    };
    // Two seconds are left for its answer.
    assert_eq!((report.outcome, took), (DrainOutcome::Cancelled, secs(7)));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_taken_back_before_it_began_evicts_nothing() {
    let fake = Fake::of(&["a"]);
    let mut order = order(120);
    order.cancelled = true;
    let (_sender, orders) = watch::channel(order);
    let (report, took) = fake.drained_by(orders).await;
    assert_eq!(
        (report.outcome, took),
        (DrainOutcome::Cancelled, Duration::ZERO)
    );
    assert_eq!(fake.asks("evict"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_sender_is_gone_stands_as_it_was() {
    let fake = Fake::of(&["a"]).evictions([Answer::Never]);
    let (sender, orders) = watch::channel(order(120));
    drop(sender);
    let (report, took) = fake.drained_by(orders).await;
    assert_eq!(
        (report.outcome, took),
        (DrainOutcome::Incomplete, secs(115))
    );
}

#[tokio::test(start_paused = true)]
async fn the_port_of_the_domain_carries_the_whole_report() {
    let fake = Fake::of(&["a"]);
    let drainer: Box<dyn Drainer> = Box::new(NodeDrainer::new(fake));
    let (_sender, orders) = watch::channel(order(120));
    let report = drainer.drain(orders).await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert_eq!(report.tally.get("gone"), Some(&1));
    assert_eq!(report.details::<Report>().unwrap().pods.len(), 1);
}
