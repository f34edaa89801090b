//! Ways for the metadata service to misbehave: each gives a typed error in bounded time, and
//! the next good reply is understood.

use std::time::Duration;

use spot_imds::client::ImdsClient;
use spot_imds::error::ImdsError;
use tokio::time::Instant;

use crate::raw::{Listener, Reply, reply};

/// Where nothing else ends the exchange.
const SHORT: Duration = Duration::from_millis(300);

/// Where something must, on a busy machine too.
const LONG: Duration = Duration::from_secs(30);

fn good(request: &str) -> Reply {
    match request {
        "PUT /latest/api/token" => reply("200 OK", "", "token"),
        "GET /latest/meta-data/placement/region" => reply("200 OK", "", "eu-west-1"),
        _ => reply("404 Not Found", "", ""),
    }
}

fn client(listener: &Listener, timeout: Duration) -> ImdsClient {
    ImdsClient::builder()
        .endpoint(&*listener.url)
        .request_timeout(timeout)
        .build()
        .unwrap()
}

fn bytes(text: &str) -> Reply {
    Reply::Bytes(text.as_bytes().to_vec())
}

fn close(text: &str) -> Reply {
    Reply::Close(text.as_bytes().to_vec())
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn ways() -> Vec<(&'static str, Reply, &'static [&'static str])> {
    let many = "X-More: 1\r\n".repeat(200);
    let long = format!("X-Long: {}\r\n", "x".repeat(40_000));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let megabyte = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    vec![
        ("closes without a word", close(""), &["broken"]),
        ("resets", Reply::Reset, &["broken", "unreachable"]),
        ("never answers", bytes(""), &["timed-out"]),
        (
            "stops in the status line",
            bytes("HTTP/1.1 2"),
            &["timed-out"],
        ),
        (
            "stops in the headers",
            bytes("HTTP/1.1 200 OK\r\nA: b\r\n"),
            &["timed-out"],
        ),
        (
            "stops in the body",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\neu"),
            &["timed-out"],
        ),
        (
            "closes in the body",
            close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\neu"),
            &["broken"],
        ),
        (
            "trickles headers",
            Reply::Trickle(b"HTTP/1.1 200 OK\r\nA: ".to_vec()),
            &["timed-out"],
        ),
        (
            "trickles a body",
            Reply::Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n".to_vec()),
            &["timed-out"],
        ),
        ("is no HTTP", bytes("SSH-2.0-OpenSSH_9.6\r\n"), &["broken"]),
        ("is HTTP/0.9", close("eu-west-1"), &["broken"]),
        (
            "speaks TLS",
            Reply::Close(b"\x15\x03\x01\0\x02\x02\x46".to_vec()),
            &["broken"],
        ),
        (
            "has too many headers",
            reply("200 OK", &many, "eu-west-1"),
            &["broken"],
        ),
        (
            "has a header that is too long",
            reply("200 OK", &long, "eu-west-1"),
            &["broken"],
        ),
        (
            "has headers without end",
            Reply::Flood(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(1_000)),
            &["broken"],
        ),
        (
            "has two lengths",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\neu-west-1"),
            &["broken"],
        ),
        (
            "has a length that is no number",
            bytes("HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\neu-west-1"),
            &["broken"],
        ),
        (
            "has a chunk of no length",
            bytes(&format!("{chunked}zz\r\neu-west-1")),
            &["broken"],
        ),
        (
            "sends a body without end",
            Reply::Flood(chunked.as_bytes().to_vec(), megabyte.into_bytes()),
            &["too-large"],
        ),
        (
            "says 1xx without end",
            Reply::Flood(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
            &["timed-out"],
        ),
        (
            "changes protocols",
            bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            &["broken", "unexpected-status"],
        ),
        ("has no body", reply("200 OK", "", ""), &["malformed"]),
        (
            "sends HTML",
            reply("200 OK", "", "<html>login</html>"),
            &["malformed"],
        ),
        (
            "sends bytes",
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\0\xff\xfe".to_vec()),
            &["malformed"],
        ),
        (
            "redirects",
            reply("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
            &["unexpected-status"],
        ),
        (
            "has a status of its own",
            reply("799 Whatever", "", ""),
            &["unexpected-status"],
        ),
    ]
}

#[tokio::test]
async fn each_way_is_a_typed_error_in_time_and_passes() {
    for (way, bad, kinds) in ways() {
        // In the place of a value, then in the place of a token.
        for place in ["GET", "PUT"] {
            let bad = bad.clone();
            let listener = Listener::start(move |request: &str| {
                if request.starts_with(place) {
                    bad.clone()
                } else {
                    good(request)
                }
            })
            .await;
            let timeout = if kinds.contains(&"timed-out") {
                SHORT
            } else {
                LONG
            };
            let client = client(&listener, timeout);
            let start = Instant::now();
            let error = client.region().await.expect_err(way);
            // Generous: a machine may be slow, a hang would be without end.
            assert!(start.elapsed() < LONG, "{way}: {:?}", start.elapsed());
            let kind = error.kind();
            let no_token = kind == "malformed-token";
            assert!(
                kinds.contains(&kind) || (place == "PUT" && no_token),
                "{way}, {place}: {kind} {error:?}"
            );
            assert!(
                error.report().chars().count() < 700,
                "{way}: {}",
                error.report()
            );
            listener.change(good);
            let mut region = client.region().await;
            while let Err(ImdsError::TimedOut { .. }) = region {
                region = client.region().await; // a busy machine
            }
            assert_eq!(
                region.unwrap().as_deref(),
                Some("eu-west-1"),
                "{way}, {place}"
            );
        }
    }
}

#[tokio::test]
async fn a_late_reply_is_not_taken_for_the_next_one() {
    let listener = Listener::start(|request: &str| match request {
        "GET /latest/meta-data/instance-id" => bytes(""),
        other => good(other),
    })
    .await;
    let client = client(&listener, Duration::from_secs(2));
    assert!(client.instance_id().await.is_err());
    assert_eq!(client.region().await.unwrap().as_deref(), Some("eu-west-1"));
    assert_eq!(
        listener.connections(),
        2,
        "the one that was given up is not used again"
    );
}
