//! Every fault: the drain returns in time, loses no pod, and leaves nothing running.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_list_that_never_answers_does_not_hold_up_the_end() {
    let (report, took) = Fake::of(&["a"]).lists([Answer::Never]).drained().await;
    assert_eq!(
        (report.outcome, took),
        (DrainOutcome::Incomplete, secs(115))
    );
    assert!(!report.listed && report.pods.is_empty());
    assert!(
        report.to_string().contains("could not be listed"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn evictions_that_never_answer_do_not_hold_up_the_end() {
    let never = (0..3).map(|_| Answer::Never);
    let (report, took) = Fake::of(&["a", "b", "c"]).evictions(never).drained().await;
    assert_eq!(
        (report.outcome, took),
        (DrainOutcome::Incomplete, secs(115))
    );
    for pod in &report.pods {
        assert!(
            matches!(pod.outcome, PodOutcome::Unreachable { .. }),
            "{pod:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_never_opens_does_not_hold_up_the_end() {
    let fake = Fake::of(&["a"]).watches([Answer::Never]);
    let (report, took) = fake.drained().await;
    assert_eq!(
        report.outcome,
        DrainOutcome::Complete,
        "a list tells as well"
    );
    assert!(took < secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_watch_misses_a_list_finds() {
    let fake = Fake::of(&["a", "b"]).watches([Answer::Says(Ok(Watch::Silent))]);
    let (report, took) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert_eq!(report.tally().get("gone"), Some(&2));
    assert!(took < secs(5), "{took:?}");
    assert_eq!(fake.asks("list"), ["list cached", "list from 0"]);
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_all_silent_are_made_up_for_by_lists() {
    let silent = (0..100).map(|_| Answer::Says(Ok(Watch::Silent)));
    let fake = Fake::of(&["a"]).watches(silent);
    let unclear = || {
        Answer::Says(Reply::Unclear {
            what: "reset".into(),
        })
    };
    let fake = fake.evictions((0..20).map(|_| unclear()));
    let (report, _) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_tried_until_it_succeeds() {
    let failures = (0..10).map(|_| Answer::Says(Err(unavailable())));
    let fake = Fake::of(&["a"]).lists(failures);
    let (report, took) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert!(took < secs(10), "{took:?}");
    assert_eq!(fake.asks("list").len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_does_not_lose_its_pod() {
    let fake = Fake::of(&["a", "b"]).evictions([Answer::Panics]);
    let (report, took) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert!(took < secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_or_watch_that_panics_does_not_blind_the_drain() {
    let fake = Fake::of(&["a"])
        .lists([Answer::Panics])
        .watches([Answer::Panics]);
    let (report, took) = fake.drained().await;
    assert_eq!(report.outcome, DrainOutcome::Complete);
    assert!(took < secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn daemon_sets_that_are_never_told_leave_their_pods_alone() {
    let fake = Fake::of(&["a"]);
    let mut agent = pod("agent");
    agent.owner.as_mut().unwrap().kind = "DaemonSet".into();
    fake.state().present.insert("agent".into(), agent);
    let (report, took) = fake.drained().await;
    assert_eq!(took, secs(115));
    assert_eq!(fake.asks("evict"), ["evict a"]);
    assert_eq!(report.tally().get("gone"), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn evictions_that_are_forbidden_end_the_drain_at_once() {
    let forbidden = || Answer::Says(Reply::Forbidden { words: "no".into() });
    let fake = Fake::of(&["a", "b"]).evictions((0..10).map(|_| forbidden()));
    let (report, took) = fake.drained().await;
    assert_eq!((report.outcome, took), (DrainOutcome::Incomplete, secs(1)));
    assert_eq!(report.tally().get("forbidden"), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_drain_ends_its_calls_and_its_watch() {
    let fake = Fake::of(&["a"]).evictions([Answer::Never]);
    let (_sender, orders) = watch::channel(order(120));
    let drain = NodeDrainer::new(fake.clone()).drain_by(orders);
    let dropped = tokio::time::timeout(secs(5), drain).await;
    assert!(dropped.is_err());
    // What was aborted ends when it is next looked at.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.alive(), 0);
}
