//! The source against a service on a socket, in real time.

use std::time::Duration;

use spot_core::notice::{NoticeKind, Signal, SourceHealth, Trouble};
use spot_core::source::NoticeSource;
use spot_imds::client::{ImdsClient, LIFECYCLE_STATE};
use spot_imds::hardware::Hardware;
use spot_imds::source::ImdsSource;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use wiremock::MockServer;

use crate::client_over_http::{client, patient, serve, serve_token, text};
use crate::ear::Ear;
use crate::raw::{Listener, Reply, reply};

/// Long enough for any machine: the tests wait for signals, not for time.
const EVER: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(100);

async fn next(source: &mut Ear) -> Signal {
    timeout(EVER, source.next()).await.unwrap()
}

/// How much is said until then. No exchange is given up meanwhile.
async fn listen_until(source: &mut Ear, done: impl Fn() -> bool) -> usize {
    let mut heard = 0;
    let listen = async {
        loop {
            source.next().await;
            heard += 1;
        }
    };
    let wait = async {
        while !done() {
            tokio::time::sleep(INTERVAL / 10).await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = wait => {}
    }
    heard
}

fn source(client: ImdsClient) -> Ear {
    let source = ImdsSource::builder(client).poll_interval(INTERVAL);
    Ear::new(source.build().unwrap())
}

fn good(request: &str) -> Reply {
    match request {
        "PUT /latest/api/token" => reply("200 OK", "", "token"),
        "GET /latest/meta-data/instance-id" => reply("200 OK", "", "i-1"),
        _ => reply("404 Not Found", "", ""),
    }
}

#[tokio::test]
async fn a_notice_arrives() {
    let server = MockServer::start().await;
    serve_token(&server).await;
    serve(&server, "instance-id", text("i-1")).await;
    let mut source = source(client(&server));
    assert!(matches!(next(&mut source).await, Signal::Identified(i) if i.id == "i-1"));
    assert_eq!(next(&mut source).await, Signal::Health(SourceHealth::Good));
    let notice = text(r#"{"action":"terminate","time":"2026-01-01T00:02:00Z"}"#)
        .insert_header("date", "Thu, 01 Jan 2026 00:00:00 GMT");
    serve(&server, "spot/instance-action", notice).await;
    let Signal::Raised(notice) = next(&mut source).await else {
        panic!("no notice")
    };
    let left = notice.deadline.unwrap().remaining(notice.detected);
    assert_eq!(left, Duration::from_secs(120));
}

#[tokio::test]
async fn many_polls_take_one_connection() {
    let listener = Listener::start(good).await;
    let client = patient(&listener.url);
    let mut source = source(client);
    let polls = || {
        listener
            .requests()
            .iter()
            .filter(|r| r.contains("spot/"))
            .count()
    };
    let heard = listen_until(&mut source, || polls() >= 10).await;
    assert_eq!(heard, 2, "who, and that it is good");
    assert_eq!(listener.connections(), 1);
    let puts = listener
        .requests()
        .iter()
        .filter(|r| r.starts_with("PUT"))
        .count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closes_is_no_failure() {
    let listener = Listener::start(|request: &str| match (good(request), request) {
        // Without `Connection: close`, after each poll.
        (Reply::Bytes(bytes), r) if r.ends_with("spot/instance-action") => Reply::Close(bytes),
        (reply, _) => reply,
    })
    .await;
    let client = patient(&listener.url);
    let mut source = source(client);
    assert!(matches!(next(&mut source).await, Signal::Identified(_)));
    assert_eq!(next(&mut source).await, Signal::Health(SourceHealth::Good));
    let heard = listen_until(&mut source, || listener.connections() >= 5).await;
    assert_eq!(heard, 0);
}

#[tokio::test]
async fn a_service_that_comes_up_late_is_found() {
    // A port that is held and not yet listened on refuses.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let client = patient(&format!("http://{address}"));
    let mut source = source(client);
    let Signal::Health(SourceHealth::Failing { reason, .. }) = next(&mut source).await else {
        panic!("something answers")
    };
    assert!(reason.contains("cannot be reached"), "{reason}");
    assert!(reason.contains("refused"), "the cause: {reason}");
    let listener = held.listen(128).unwrap().into_std().unwrap();
    let server = MockServer::builder().listener(listener).start().await;
    serve_token(&server).await;
    serve(&server, "instance-id", text("i-1")).await;
    assert!(matches!(next(&mut source).await, Signal::Identified(_)));
    assert_eq!(next(&mut source).await, Signal::Health(SourceHealth::Good));
}

#[tokio::test]
async fn a_notice_arrives_over_ipv6() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        return; // a machine without IPv6
    };
    let server = MockServer::builder().listener(listener).start().await;
    serve_token(&server).await;
    serve(&server, "instance-id", text("i-1")).await;
    serve(&server, LIFECYCLE_STATE, text("Terminated")).await;
    let mut source = source(client(&server));
    assert!(matches!(next(&mut source).await, Signal::Identified(i) if i.id == "i-1"));
    let Signal::Raised(notice) = next(&mut source).await else {
        panic!("no notice")
    };
    assert_eq!(notice.kind, NoticeKind::AsgTermination);
    assert_eq!(next(&mut source).await, Signal::Health(SourceHealth::Good));
}

/// What a hop limit of 1 looks like: a connection, and never a reply.
#[tokio::test]
async fn silence_over_ipv6_is_unreachable_and_names_the_hop_limit() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        return; // a machine without IPv6
    };
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = ImdsClient::builder().endpoint(url.clone());
    let client = client.request_timeout(INTERVAL).build().unwrap();
    let source = ImdsSource::builder(client).hardware(Hardware::Ec2);
    let mut source = Ear::new(source.build().unwrap());
    let Signal::Health(SourceHealth::Failing { trouble, reason }) = next(&mut source).await else {
        panic!("something answers")
    };
    assert_eq!(trouble, Trouble::Unreachable);
    assert!(
        reason.contains("http-put-response-hop-limit to 2"),
        "{reason}"
    );
    assert!(reason.contains(&url), "{reason}");
}
