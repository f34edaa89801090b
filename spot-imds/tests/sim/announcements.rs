//! What is announced, when, and how it ends: the service as a function, no client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::SignedDuration;
use spot_core::notice::{InstanceAction, NoticeKind};
use spot_imds::sim::{Announcement, Imds, ImdsBuilder};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Asks as a client that has no need of a token does.
struct Client {
    imds: Imds,
    start: Instant,
}

impl Client {
    fn new(build: impl FnOnce(ImdsBuilder) -> ImdsBuilder) -> Self {
        let start = Instant::now();
        let imds = build(Imds::builder().allow_v1()).build_at(start);
        Self { imds, start }
    }

    fn reply(&mut self, at: Duration, path: &str) -> Response<Bytes> {
        let request = Request::get(format!("http://x/latest/meta-data/{path}")).body(());
        let reply = self.imds.handle(&request.unwrap(), self.start + at);
        reply.delivery.response().unwrap().clone()
    }

    /// The body; `None` for 404.
    fn get(&mut self, at: Duration, path: &str) -> Option<String> {
        let reply = self.reply(at, path);
        let body = String::from_utf8(reply.body().to_vec()).unwrap();
        match reply.status().as_u16() {
            200 => Some(body),
            404 => None,
            status => panic!("{path}: {status}"),
        }
    }

    fn action(&mut self, at: Duration) -> Option<String> {
        self.get(at, "spot/instance-action")
    }
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be absent")]
fn action(name: &str, time: &str) -> Option<String> {
    Some(format!(r#"{{"action":"{name}","time":"{time}"}}"#))
}

#[test]
fn a_notice_shows_at_its_moment_and_names_a_fixed_time() {
    let mut client = Client::new(|b| b.spot_notice(30 * SECOND, InstanceAction::Stop, MINUTE));
    assert_eq!(client.action(Duration::from_nanos(29_999_999_999)), None);
    let expected = action("stop", "2026-01-01T12:01:30Z");
    assert_eq!(client.action(30 * SECOND), expected);
    assert_eq!(client.action(10 * MINUTE), expected);
    // The older path is for terminations.
    assert_eq!(client.get(MINUTE, "spot/termination-time"), None);
}

#[test]
fn a_moving_time_never_comes_nearer() {
    let moving = Announcement::spot("terminate").moving();
    let mut client = Client::new(|b| b.announce(moving));
    assert_eq!(
        client.action(Duration::ZERO),
        action("terminate", "2026-01-01T12:02:00Z")
    );
    assert_eq!(
        client.action(MINUTE),
        action("terminate", "2026-01-01T12:03:00Z")
    );
    let older = client.get(MINUTE, "spot/termination-time");
    assert_eq!(older.unwrap(), "2026-01-01T12:03:00Z");
}

#[test]
fn of_several_interruptions_the_last_one_counts() {
    let mut client = Client::new(|b| {
        b.spot_notice(SECOND, "stop", 2 * MINUTE)
            .spot_notice(10 * SECOND, "terminate", MINUTE)
    });
    assert_eq!(
        client.action(9 * SECOND),
        action("stop", "2026-01-01T12:02:01Z")
    );
    assert_eq!(
        client.action(10 * SECOND),
        action("terminate", "2026-01-01T12:01:10Z")
    );
    let now = client.start + 20 * SECOND;
    let id = client.imds.announce(Announcement::spot("vaporise"), now);
    assert_eq!(
        client.action(20 * SECOND),
        action("vaporise", "2026-01-01T12:02:20Z")
    );
    client.imds.cancel(id, now + SECOND);
    assert_eq!(
        client.action(21 * SECOND),
        action("terminate", "2026-01-01T12:01:10Z")
    );
}

#[test]
fn maintenance_goes_to_the_history_when_it_is_cancelled_or_done() {
    const SCHEDULED: &str = "events/maintenance/scheduled";
    const HISTORY: &str = "events/maintenance/history";
    let mut client = Client::new(|b| {
        b.announce(
            Announcement::maintenance("system-reboot")
                .left(MINUTE)
                .cancelled_after(SECOND),
        )
        .announce(Announcement::maintenance("instance-stop").completed_after(2 * SECOND))
    });
    let both = client.get(Duration::ZERO, SCHEDULED).unwrap();
    assert!(
        both.contains(r#""NotBefore":"1 Jan 2026 12:01:00 GMT""#),
        "{both}"
    );
    assert!(
        both.contains(r#""NotAfter":"1 Jan 2026 14:01:00 GMT""#),
        "{both}"
    );
    assert_eq!(both.matches(r#""State":"active""#).count(), 2);
    assert!(!both.contains("NotBeforeDeadline"), "{both}");
    assert_eq!(client.get(Duration::ZERO, HISTORY).unwrap(), "[]");

    let one = client.get(SECOND, SCHEDULED).unwrap();
    assert!(
        one.contains("instance-stop") && !one.contains("system-reboot"),
        "{one}"
    );
    let history = client.get(SECOND, HISTORY).unwrap();
    assert!(history.contains(r#""State":"canceled""#), "{history}");
    assert!(
        history.contains("[Canceled] The instance is scheduled for system-reboot"),
        "{history}"
    );

    assert_eq!(client.get(2 * SECOND, SCHEDULED).unwrap(), "[]");
    let history = client.get(2 * SECOND, HISTORY).unwrap();
    assert!(history.contains(r#""State":"completed""#), "{history}");
}

#[test]
fn an_auto_scaling_group_says_what_it_wants() {
    const STATE: &str = "autoscaling/target-lifecycle-state";
    let mut alone = Client::new(|b| b);
    assert_eq!(alone.get(Duration::ZERO, STATE), None);
    let mut member = Client::new(ImdsBuilder::auto_scaling_group);
    assert_eq!(member.get(Duration::ZERO, STATE).unwrap(), "InService");
    member.imds.set(STATE, "Standby");
    assert_eq!(member.get(Duration::ZERO, STATE).unwrap(), "Standby");
    let going = Announcement::asg_termination()
        .after(SECOND)
        .cancelled_after(SECOND);
    let mut going = Client::new(|b| b.announce(going));
    let states = [0, 1, 2].map(|s| going.get(s * SECOND, STATE).unwrap());
    assert_eq!(states, ["InService", "Terminated", "InService"]);
}

#[test]
fn a_recommendation_names_when_it_was_made() {
    const REBALANCE: &str = "events/recommendations/rebalance";
    let fixed = Announcement::rebalance().after(SECOND).left(MINUTE);
    let mut client = Client::new(|b| b.announce(fixed));
    assert_eq!(client.get(Duration::ZERO, REBALANCE), None);
    let body = r#"{"noticeTime":"2026-01-01T12:00:01Z"}"#;
    assert_eq!(client.get(MINUTE, REBALANCE).unwrap(), body);
}

#[test]
fn what_is_cancelled_before_it_shows_was_never_there() {
    let mut client = Client::new(|b| b);
    let now = client.start;
    for kind in NoticeKind::ALL {
        let coming = Announcement::of_kind(kind).unwrap().after(MINUTE);
        assert_eq!(coming.kind(), kind);
        let id = client.imds.announce(coming, now);
        client.imds.cancel(id, now + SECOND);
    }
    assert_eq!(client.action(2 * MINUTE), None);
    for path in ["events/maintenance/scheduled", "events/maintenance/history"] {
        assert_eq!(client.get(2 * MINUTE, path).unwrap(), "[]");
    }
    assert_eq!(client.imds.timeline(now + MINUTE).to_string(), "");
}

#[test]
fn a_wrong_date_moves_nothing_else_and_may_be_missing() {
    let mut client = Client::new(|b| {
        b.spot_notice(Duration::ZERO, "stop", MINUTE)
            .date_skew(SignedDuration::from_secs(-3_600))
    });
    let reply = client.reply(SECOND, "spot/instance-action");
    assert_eq!(reply.headers()["date"], "Thu, 01 Jan 2026 11:00:01 GMT");
    assert_eq!(
        client.action(SECOND),
        action("stop", "2026-01-01T12:01:00Z")
    );
    let mut undated = Client::new(ImdsBuilder::without_date);
    assert!(
        !undated
            .reply(SECOND, "instance-id")
            .headers()
            .contains_key("date")
    );
}

#[test]
fn the_story_tells_what_showed_was_read_and_ended() {
    let mut client = Client::new(|b| {
        let reboot = Announcement::maintenance("system-reboot").left(MINUTE);
        b.spot_notice(30 * SECOND, "stop", MINUTE)
            .announce(reboot.cancelled_after(40 * SECOND))
    });
    client.action(SECOND);
    client.action(31 * SECOND);
    client.action(32 * SECOND);
    assert_eq!(
        client.imds.timeline(client.start + MINUTE).to_string(),
        " 00:00:00.000  imds  notice shows: scheduled-maintenance, system-reboot not before 1 Jan 2026 12:01:00 GMT
 00:00:30.000  imds  notice shows: spot-interruption, stop at 2026-01-01T12:01:30Z
 00:00:31.000  imds  notice read for the first time: spot-interruption
 00:00:40.000  imds  notice is cancelled: scheduled-maintenance\n"
    );
}

#[test]
fn absurd_times_do_not_overflow() {
    let mut client = Client::new(|b| {
        let absurd = Announcement::spot("stop").left(Duration::MAX);
        b.announce(absurd.cancelled_after(Duration::MAX))
            .announce(Announcement::maintenance("x").after(Duration::MAX))
    });
    assert!(client.action(SECOND).unwrap().contains("2027-01-02"));
}
