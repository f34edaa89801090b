//! The source on the simulator: every kind of notice from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use spot_core::notice::{Notice, NoticeEnd, NoticeKind, Signal, SourceHealth};
use spot_core::source::NoticeSource;
use spot_imds::client::ImdsClient;
use spot_imds::sim::{Announcement, Imds, SharedImds};
use spot_imds::source::ImdsSource;
use tokio::time::{Instant, timeout_at};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn source(imds: &SharedImds) -> ImdsSource {
    ImdsSource::builder(imds.client().build().unwrap())
        .jitter_seed(1)
        .clock(Arc::new(imds.clock()))
        .build()
        .unwrap()
}

/// What is raised and what ends within `time`, in short, and the last notice raised.
async fn hear(source: &mut ImdsSource, time: Duration) -> (Vec<String>, Option<Notice>) {
    let end = Instant::now() + time;
    let (mut heard, mut last) = (Vec::new(), None);
    while let Ok(signal) = timeout_at(end, source.next()).await {
        match signal {
            Signal::Raised(notice) => {
                heard.push(format!("+{}", notice.kind));
                last = Some(notice);
            }
            Signal::Ended { notice, how } => {
                let kind = notice.as_str().split('/').next().unwrap();
                heard.push(format!("{how} {kind}"));
            }
            Signal::Health(SourceHealth::Failing { reason, .. }) => panic!("{reason}"),
            _ => {}
        }
    }
    (heard, last)
}

fn left(notice: Option<Notice>) -> Duration {
    let deadline = notice.unwrap().deadline.unwrap();
    deadline.remaining(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn each_kind_is_raised_and_ends_as_it_is_announced() {
    for (kind, how) in [
        (NoticeKind::RebalanceRecommendation, NoticeEnd::Passed),
        (NoticeKind::ScheduledMaintenance, NoticeEnd::Cancelled),
        (NoticeKind::AsgTermination, NoticeEnd::Cancelled),
    ] {
        let coming = Announcement::of_kind(kind).unwrap();
        let coming = coming.after(MINUTE).cancelled_after(10 * MINUTE);
        let imds = Imds::builder().announce(coming).build().shared();
        let mut source = source(&imds);
        assert_eq!(hear(&mut source, 59 * SECOND).await.0, [""; 0]);
        let (heard, _) = hear(&mut source, 7 * SECOND).await;
        assert_eq!(heard, [format!("+{kind}")]);
        assert_eq!(hear(&mut source, 9 * MINUTE).await.0, [""; 0]);
        // A recommendation is merely absent then, and that is believed after a while.
        let (heard, _) = hear(&mut source, 5 * MINUTE).await;
        assert_eq!(heard, [format!("{how} {kind}")]);
        assert_eq!(hear(&mut source, HOUR).await.0, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn maintenance_is_put_off_brought_forward_and_done() {
    let imds = Imds::builder().build().shared();
    let mut source = source(&imds);
    hear(&mut source, MINUTE).await;
    let id = imds.announce(Announcement::maintenance("system-reboot").left(HOUR));
    let (heard, notice) = hear(&mut source, MINUTE).await;
    assert_eq!(heard, ["+scheduled-maintenance"]);
    assert_eq!(left(notice).as_secs().div_ceil(60), 59);
    imds.reschedule(id, 5 * HOUR);
    let (heard, notice) = hear(&mut source, MINUTE).await;
    assert_eq!(
        heard,
        ["cancelled scheduled-maintenance", "+scheduled-maintenance"]
    );
    assert_eq!(left(notice).as_secs().div_ceil(60), 299);
    imds.reschedule(id, 20 * MINUTE);
    let (heard, notice) = hear(&mut source, MINUTE).await;
    assert_eq!(heard, ["+scheduled-maintenance"]);
    assert_eq!(left(notice).as_secs().div_ceil(60), 19);
    let (heard, _) = hear(&mut source, HOUR).await;
    assert_eq!(heard, [""; 0], "its time passes");
    imds.complete(id);
    let (heard, _) = hear(&mut source, MINUTE).await;
    assert_eq!(heard, ["completed scheduled-maintenance"]);
    let story = imds.timeline().to_string();
    assert!(
        story.contains("notice is moved: scheduled-maintenance, not before"),
        "{story}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_recommendation_of_aws_s_mock_is_one_recommendation() {
    let moving = Announcement::rebalance().moving();
    let imds = Imds::builder().announce(moving).build().shared();
    let (heard, notice) = hear(&mut source(&imds), HOUR).await;
    assert_eq!(heard, ["+rebalance-recommendation"]);
    assert!(notice.unwrap().age <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_old_recommendation_tells_its_age_to_one_who_comes_late() {
    let imds = Imds::builder().announce(Announcement::rebalance());
    let imds = imds.build().shared();
    tokio::time::advance(HOUR).await;
    let (_, notice) = hear(&mut source(&imds), MINUTE).await;
    assert_eq!(notice.unwrap().age, HOUR);
}

/// In a suspend the monotonic clock stands still; the service's, and what it announces, do not.
#[tokio::test(start_paused = true)]
async fn after_a_suspend_a_deadline_is_nearer() {
    let coming = Announcement::spot("terminate").left(HOUR);
    let imds = Imds::builder().announce(coming).build().shared();
    let mut source = source(&imds);
    hear(&mut source, MINUTE).await;
    imds.with(|imds, _| imds.set_date_skew(SignedDuration::from_mins(50)));
    let (heard, notice) = hear(&mut source, MINUTE).await;
    assert_eq!(heard, ["+spot-interruption"]);
    assert_eq!(left(notice).as_secs().div_ceil(60), 8);
    // Back again: never later.
    imds.with(|imds, _| imds.set_date_skew(SignedDuration::ZERO));
    assert_eq!(hear(&mut source, MINUTE).await.0, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_launch_is_told_with_the_instance() {
    for launched in [None, Some("2025-06-01T00:00:00Z".parse().unwrap())] {
        let imds = launched.map_or(Imds::builder(), |at| Imds::builder().launched(at));
        let imds = imds.build().shared();
        let client = imds.client().build().unwrap();
        let default = "2025-12-31T12:00:00Z".parse().unwrap();
        assert_eq!(
            client.launched().await.unwrap(),
            Some(launched.unwrap_or(default))
        );
        let Signal::Identified(instance) = source(&imds).next().await else {
            panic!("not identified")
        };
        assert_eq!(instance.launched, Some(launched.unwrap_or(default)));
    }
}

/// Against AWS's own mock, where its address is given (see `suite`).
#[tokio::test]
async fn aws_s_mock_is_heard_once_for_each_kind() {
    let Ok(url) = std::env::var("SPOT_IMDS_MOCK_URL") else {
        println!("skipped: SPOT_IMDS_MOCK_URL is not set");
        return;
    };
    let client = ImdsClient::builder().endpoint(url).build().unwrap();
    let source = ImdsSource::builder(client).slow_interval(SECOND);
    let mut source = source.build().unwrap();
    let (mut heard, _) = hear(&mut source, 15 * SECOND).await;
    heard.sort();
    let all = NoticeKind::ALL.map(|kind| format!("+{kind}"));
    let mut all = Vec::from(all);
    all.sort();
    assert_eq!(heard, all);
}
