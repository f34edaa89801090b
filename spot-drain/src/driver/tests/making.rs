//! Make before break, performed.

use super::course::Told;
use super::*;

/// The names of pods of one Deployment, ready, in a cluster that wants as many.
fn shop(names: &[&str]) -> Fake {
    let fake = Fake::of(names);
    let mut state = fake.state();
    for pod in state.present.values_mut() {
        pod.labels.insert(HASH_LABEL.into(), "abc".into());
        pod.owner = Some(Owner {
            kind: "ReplicaSet".into(),
            name: "web-abc".into(),
            uid: Uid("r".into()),
            controller: true,
        });
        pod.ready = true;
        pod.version = "1".into();
    }
    let wanted = u32::try_from(names.len()).unwrap();
    let set = ReplicaSetFacts {
        namespace: "shop".into(),
        name: "web-abc".into(),
        uid: Uid("r".into()),
        version: "1".into(),
        hash: Some("abc".into()),
        wanted,
        available: wanted,
        ..ReplicaSetFacts::default()
    };
    state.replica_sets.insert("web-abc".into(), set);
    drop(state);
    fake
}

impl Fake {
    /// The set counts so many that are available, and says so.
    fn counts(&self, available: u32) {
        let mut state = self.state();
        let version = (state.version + 100).to_string();
        let set = state.replica_sets.get_mut("web-abc").unwrap();
        (set.available, set.version) = (available, version);
        let set = set.clone();
        state.live_sets.retain(|to| to.send(set.clone()).is_ok());
    }
}

fn switched_on(fake: &Fake) -> NodeDrainer {
    let settings = Settings::default().with_make_before_break(MakeBeforeBreak::On);
    NodeDrainer::new(fake.clone()).with_settings(settings)
}

fn held(left: u64) -> Order {
    order(left).with_held(true)
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_evicted_when_its_replacement_is_ready() {
    let fake = shop(&["a"]);
    let (_order, orders) = watch::channel(held(120));
    let ready = async {
        tokio::time::sleep(secs(1)).await;
        fake.counts(0);
        tokio::time::sleep(secs(20)).await;
        fake.counts(1);
    };
    let start = Instant::now();
    let (report, ()) = tokio::join!(switched_on(&fake).drain_by(orders), ready);
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert_eq!(report.pods[0].replacement, Some(Replacement::First));
    assert_eq!(fake.times("detach a"), [start]);
    assert_eq!(fake.times("evict a"), [start + secs(21)]);
    let watches = fake.asks("watch replica sets");
    assert_eq!(watches, ["watch replica sets abc"]);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_order_to_say_that_the_node_is_held() {
    let fake = shop(&["a"]);
    let (send, orders) = watch::channel(order(120));
    let holds = async {
        tokio::time::sleep(secs(3)).await;
        send.send_replace(held(120));
        tokio::time::sleep(secs(3)).await;
        fake.counts(0);
        fake.counts(1);
    };
    let start = Instant::now();
    let (report, ()) = tokio::join!(switched_on(&fake).drain_by(orders), holds);
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert_eq!(fake.times("detach a"), [start + secs(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_drain_puts_its_pods_back() {
    let fake = shop(&["a", "b"]);
    let (send, orders) = watch::channel(held(120));
    let cancels = async {
        tokio::time::sleep(secs(5)).await;
        send.send_modify(|order| order.cancelled = true);
    };
    let (report, ()) = tokio::join!(switched_on(&fake).drain_by(orders), cancels);
    assert_eq!(report.outcome, DrainOutcome::Cancelled);
    assert_eq!(fake.asks("put back").len(), 2);
    assert_eq!(fake.asks("evict"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn observers_are_told_what_is_detached_put_back_and_made_first() {
    let fake = shop(&["a"]);
    let told = Told::default();
    let (_order, orders) = watch::channel(held(120));
    let ready = async {
        tokio::time::sleep(secs(1)).await;
        fake.counts(0);
        fake.counts(1);
    };
    let drainer = switched_on(&fake).with_observer(told.clone());
    let (report, ()) = tokio::join!(drainer.drain_by(orders), ready);
    let was = report.pods[0].detachment.as_ref().unwrap();
    assert_eq!((&*was.replica_set, &*was.uid.0), ("web-abc", "r"));
    let expected = [
        "Detach accepted",
        "Eviction a accepted",
        "at the end: first",
    ];
    assert_eq!(told.lines(), expected);

    let fake = shop(&["a"]);
    let told = Told::default();
    let (send, orders) = watch::channel(held(120));
    let cancels = async {
        tokio::time::sleep(secs(5)).await;
        send.send_modify(|order| order.cancelled = true);
    };
    let drainer = switched_on(&fake).with_observer(told.clone());
    tokio::join!(drainer.clone().drain_by(orders), cancels);
    assert!(drainer.take_back().await);
    let expected = [
        "Detach accepted",
        "PutBack accepted",
        "at the end: put-back",
    ];
    assert_eq!(told.lines(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_has_detached_is_put_back() {
    let fake = shop(&["a", "b"]);
    let (_order, orders) = watch::channel(held(120));
    let killed = tokio::time::timeout(secs(5), switched_on(&fake).drain_by(orders));
    assert!(killed.await.is_err());
    assert_eq!(fake.asks("detach").len(), 2);
    assert!(switched_on(&fake).take_back().await);
    assert_eq!(fake.asks("put back").len(), 2);
    let lists = fake.asks("list");
    assert_eq!(lists.last().map(String::as_str), Some("list fresh"));
    // There is nothing left, and one list tells that.
    let before = fake.asks("put back").len();
    assert!(switched_on(&fake).take_back().await);
    let after = (fake.asks("put back").len(), fake.asks("list").len());
    assert_eq!(after, (before, lists.len() + 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_seen_is_not_taken_back() {
    let away = || Answer::Says(Err(unavailable()));
    let fake = shop(&["a"]).lists((0..100).map(|_| away()));
    assert!(!switched_on(&fake).take_back().await);
}

#[tokio::test(start_paused = true)]
async fn switched_off_there_is_nothing_to_take_back_and_nothing_asked() {
    let fake = shop(&["a"]);
    assert!(NodeDrainer::new(fake.clone()).take_back().await);
    assert_eq!(fake.asks(""), Vec::<String>::new());
}
