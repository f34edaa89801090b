//! The list-and-watch behind a drain.

use super::*;
use crate::feed::feed;

/// A feed under way.
struct Feeding {
    relist: watch::Sender<()>,
    observed: mpsc::Receiver<Input>,
    _task: JoinSet<()>,
}

impl Feeding {
    fn of(fake: &Fake) -> Self {
        let (inputs, observed) = mpsc::channel(4);
        let (relist, relisted) = watch::channel(());
        let pods: Arc<dyn Pods> = Arc::new(fake.clone());
        let mut task = JoinSet::new();
        task.spawn(feed(pods, inputs, relisted));
        Self {
            relist,
            observed,
            _task: task,
        }
    }

    /// The next list or change that it tells.
    async fn next(&mut self) -> String {
        loop {
            let input = tokio::time::timeout(secs(600), self.observed.recv()).await;
            return match input.expect("it never came").expect("the feed has ended") {
                Input::Listed(pods) => format!("listed {}", pods.len()),
                Input::Seen(pod) => format!("seen {}", pod.name),
                Input::Deleted(uid) => format!("deleted {uid}"),
                Input::Unseen(why) => {
                    assert!(why.contains("away"), "{why}");
                    continue;
                }
                other => panic!("{other:?}"),
            };
        }
    }

    /// Asks for a list, as a plan does that suspects the watch.
    async fn suspect(&self) {
        self.relist.send_replace(());
        settle().await;
    }
}

/// Lets everything happen that needs no time.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// What the feed says until `count` lists or changes have come.
async fn fed(fake: &Fake, count: usize) -> Vec<String> {
    let mut feeding = Feeding::of(fake);
    let mut said = Vec::new();
    while said.len() < count {
        said.push(feeding.next().await);
    }
    said
}

fn said(change: Change, version: &str) -> Watched {
    let version = version.into();
    Watched { change, version }
}

fn seen(name: &str, version: &str) -> Watched {
    said(Change::Seen(pod(name)), version)
}

fn watches(all: Vec<Items>) -> impl Iterator<Item = Answer<Result<Watch, PodsError>>> {
    all.into_iter()
        .map(|items| Answer::Says(Ok(Watch::Says(items))))
}

#[tokio::test(start_paused = true)]
async fn a_closed_watch_goes_on_from_where_it_had_come_to() {
    let said = vec![
        vec![Ok(seen("b", "7")), Ok(said(Change::Bookmark, "9"))],
        vec![Ok(seen("c", "11"))],
    ];
    let fake = Fake::of(&["a"]).watches(watches(said));
    assert_eq!(fed(&fake, 3).await, ["listed 1", "seen b", "seen c"]);
    assert_eq!(fake.asks("list"), ["list cached"]);
    assert_eq!(fake.asks("watch")[..2], ["watch 0", "watch 9"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_goes_on_from_where_it_had_come_to() {
    let said = vec![
        vec![Ok(seen("b", "7")), Err(unavailable())],
        vec![Ok(seen("c", "11"))],
    ];
    let fake = Fake::of(&["a"]).watches(watches(said));
    assert_eq!(fed(&fake, 3).await, ["listed 1", "seen b", "seen c"]);
    assert_eq!(fake.asks("watch")[..2], ["watch 0", "watch 7"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_has_expired_is_listed_anew() {
    let fake = Fake::of(&["a"]).watches(watches(vec![vec![Err(PodsError::Expired)]]));
    assert_eq!(fed(&fake, 2).await, ["listed 1", "listed 1"]);
    assert_eq!(fake.asks("list"), ["list cached", "list from 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_opened_for_its_age_is_listed_anew() {
    let fake = Fake::of(&["a"]).watches([Answer::Says(Err(PodsError::Expired))]);
    assert_eq!(fed(&fake, 2).await, ["listed 1", "listed 1"]);
    assert_eq!(fake.asks("list"), ["list cached", "list from 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_from_the_cache_that_fails_is_made_without_it() {
    let fake = Fake::of(&["a"])
        .watches(watches(vec![vec![
            Ok(seen("b", "7")),
            Err(PodsError::Expired),
        ]]))
        .lists([Answer::Says(Ok(())), Answer::Says(Err(unavailable()))]);
    assert_eq!(fed(&fake, 3).await, ["listed 1", "seen b", "listed 1"]);
    let asks = ["list cached", "list from 7", "list fresh"];
    assert_eq!(fake.asks("list"), asks);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_opened_again_and_again_is_made_up_for_by_a_list() {
    let failures = (0..4).map(|_| Answer::Says(Err(unavailable())));
    let fake = Fake::of(&["a"]).watches(failures);
    assert_eq!(fed(&fake, 2).await, ["listed 1", "listed 1"]);
    // The one after the list may have been tried by now.
    assert!((3..=4).contains(&fake.asks("watch").len()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_suspected_and_speaks_after_the_list_is_kept() {
    let fake = Fake::of(&["a"]);
    let mut feeding = Feeding::of(&fake);
    assert_eq!(feeding.next().await, "listed 1");
    settle().await;
    for (name, pods) in [("b", "listed 2"), ("c", "listed 3")] {
        fake.add(name);
        assert_eq!(feeding.next().await, format!("seen {name}"));
        feeding.suspect().await;
        assert_eq!(feeding.next().await, pods);
    }
    assert_eq!(fake.asks("watch").len(), 1);
    assert_eq!(
        fake.asks("list"),
        ["list cached", "list from 1", "list from 2"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_between_two_lists_is_opened_anew() {
    let fake = Fake::of(&["a"]);
    let mut feeding = Feeding::of(&fake);
    assert_eq!(feeding.next().await, "listed 1");
    for watches in [1, 2, 2, 3] {
        feeding.suspect().await;
        assert_eq!(feeding.next().await, "listed 1");
        settle().await;
        assert_eq!(fake.asks("watch").len(), watches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_a_watch_has_overtaken_is_not_believed() {
    let fake = Fake::of(&["a"]).lists([Answer::Says(Ok(())), Answer::Never]);
    let mut feeding = Feeding::of(&fake);
    assert_eq!(feeding.next().await, "listed 1");
    settle().await;
    feeding.suspect().await;
    fake.add("b");
    assert_eq!(feeding.next().await, "seen b");
    // If that was not what it was suspected for, the next list is waited for.
    feeding.suspect().await;
    assert_eq!(feeding.next().await, "listed 2");
    settle().await;
    assert_eq!(fake.asks("watch"), ["watch 0", "watch 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_beside_a_watch_that_fails_leaves_the_watch_as_it_is() {
    let failing = Answer::Says(Err(unavailable()));
    let fake = Fake::of(&["a"]).lists([Answer::Says(Ok(())), failing]);
    let mut feeding = Feeding::of(&fake);
    assert_eq!(feeding.next().await, "listed 1");
    settle().await;
    feeding.suspect().await;
    fake.add("b");
    assert_eq!(feeding.next().await, "seen b");
    assert_eq!(fake.asks("watch").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_slow_to_open_is_not_given_up_for_a_list() {
    let fake = Fake::of(&["a"]).watches([Answer::Never]);
    let mut feeding = Feeding::of(&fake);
    assert_eq!(feeding.next().await, "listed 1");
    settle().await;
    feeding.suspect().await;
    assert_eq!(feeding.next().await, "listed 1");
    assert_eq!(fake.asks("watch").len(), 1);
    feeding.suspect().await;
    assert_eq!(feeding.next().await, "listed 1");
    settle().await;
    assert_eq!(fake.asks("watch").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_expires_every_watch_is_not_stormed() {
    let expired = (0..10_000).map(|_| vec![Err(PodsError::Expired)]);
    let fake = Fake::of(&["a"]).watches(watches(expired.collect()));
    let start = Instant::now();
    fed(&fake, 20).await;
    assert!(start.elapsed() > secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_closes_every_watch_is_not_stormed() {
    let closed = (0..10_000).map(|_| Vec::new());
    let fake = Fake::of(&["a"]).watches(watches(closed.collect()));
    let start = Instant::now();
    let _ = tokio::time::timeout(secs(60), fed(&fake, 2)).await;
    let opened = fake
        .times("watch")
        .iter()
        .filter(|t| **t < start + secs(60))
        .count();
    assert!((50..80).contains(&opened), "{opened}");
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_nobody_listens_to_ends() {
    let (inputs, observed) = mpsc::channel(4);
    let (_relist, relisted) = watch::channel(());
    drop(observed);
    let pods: Arc<dyn Pods> = Arc::new(Fake::of(&["a"]));
    let ended = tokio::time::timeout(secs(600), feed(pods, inputs, relisted)).await;
    assert!(ended.is_ok());
}
