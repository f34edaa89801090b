//! The simulator on a port, in real time, with short durations.

use std::future::Future;
use std::time::Duration;

use spot_core::notice::Signal;
use spot_core::sim::Fault;
use spot_core::source::NoticeSource;
use spot_imds::client::ImdsClient;
use spot_imds::sim::{Announcement, FaultRule, Imds, Server, SharedImds};
use spot_imds::source::ImdsSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// How long a machine that is busy may take.
const AGES: Duration = Duration::from_secs(30);

async fn serving<F: Future<Output = ()>>(imds: &SharedImds, test: impl FnOnce(String) -> F) {
    let server = Server::bind(imds.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let test = test(server.url());
    timeout(AGES, server.run(test)).await.unwrap();
}

fn client(url: &str) -> ImdsClient {
    let client = ImdsClient::builder().endpoint(url);
    client.request_timeout(5 * SECOND).build().unwrap()
}

#[tokio::test]
async fn a_source_hears_a_notice() {
    let imds = Imds::builder().build().shared();
    serving(&imds, async |url| {
        let source = ImdsSource::builder(client(&url)).poll_interval(100 * MS);
        let mut source = source.build().unwrap();
        let announced = imds.announce(Announcement::spot("terminate").after(300 * MS));
        let notice = loop {
            if let Signal::Raised(notice) = source.next().await {
                break notice;
            }
        };
        let left = notice.deadline.unwrap().remaining(Instant::now());
        assert!(left < 122 * SECOND && left > 90 * SECOND, "{left:?}");
        imds.cancel(announced);
        assert_eq!(client(&url).instance_action().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn each_fault_is_the_error_that_it_should_be() {
    let cases = [
        (Fault::status(403), "refused"),
        (Fault::status(503), "unavailable"),
        (Fault::ResetBefore, "broken"),
        (Fault::ResetAfter, "broken"),
        (Fault::Truncate(0), "broken"),
        (Fault::Truncate(5), "broken"),
        (Fault::Oversize(70_000), "too-large"),
        // Of one path: known only when it is asked for.
        (Fault::Refused, "broken"),
        (Fault::Delay(AGES), "timed-out"),
        (Fault::BlackHole, "timed-out"),
        (Fault::Slow(1), "timed-out"),
    ];
    let imds = Imds::builder().build().shared();
    serving(&imds, async |url| {
        for (fault, kind) in cases {
            imds.with(|imds, _| imds.clear_faults());
            imds.fault(FaultRule::new(fault.clone()).on("instance-id"));
            let client = ImdsClient::builder().endpoint(&*url);
            let limit = if kind == "timed-out" {
                SECOND
            } else {
                5 * SECOND
            };
            let client = client.request_timeout(limit).build().unwrap();
            // On a connection that is kept alive already.
            client.region().await.unwrap();
            let error = client.instance_id().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault}: {}", error.report());
            let cause = format!("{:?}", std::error::Error::source(&error));
            let reset = matches!(
                fault,
                Fault::ResetBefore | Fault::ResetAfter | Fault::Refused
            );
            assert_eq!(reset, cause.contains("ConnectionReset"), "{fault}: {cause}");
            assert!(client.region().await.is_ok(), "{fault}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_closes_the_port_and_later_it_is_open_again() {
    let imds = Imds::builder().build().shared();
    serving(&imds, async |url| {
        let client = client(&url);
        client.instance_id().await.unwrap();
        imds.fault(FaultRule::new(Fault::Refused));
        // The kept connection is reset, and soon no other is to be had.
        let kind = async || {
            client
                .instance_id()
                .await
                .map_or_else(|e| e.kind(), |_| "ok")
        };
        while kind().await != "unreachable" {
            sleep(10 * MS).await;
        }
        let address = url.strip_prefix("http://").unwrap();
        assert!(TcpStream::connect(address).await.is_err());
        imds.with(|imds, _| imds.clear_faults());
        while kind().await != "ok" {
            sleep(10 * MS).await;
        }
        // A window ends by itself.
        imds.fault(FaultRule::new(Fault::Refused).until(300 * MS));
        while kind().await == "ok" {}
        while kind().await != "ok" {
            sleep(10 * MS).await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_are_kept_alive_and_a_slow_body_comes_in_pieces() {
    let imds = Imds::builder().allow_v1().document("long", "x".repeat(100));
    let imds = imds
        .fault(FaultRule::new(Fault::Slow(400)).on("long"))
        .build()
        .shared();
    serving(&imds, async |url| {
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let get = |path: &str| format!("GET /latest/meta-data/{path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let ends = |text: &str| text.ends_with("\r\n\r\ni-0123456789abcdef0");
        for _ in 0..3 {
            stream
                .write_all(get("instance-id").as_bytes())
                .await
                .unwrap();
            let (text, _) = read_until(&mut stream, ends).await;
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            assert_eq!(text.matches("date: ").count(), 1, "{text}");
        }
        let start = Instant::now();
        stream.write_all(get("long").as_bytes()).await.unwrap();
        let whole = |text: &str| text.ends_with(&"x".repeat(100));
        let (_, reads) = read_until(&mut stream, whole).await;
        assert!(reads > 2, "{reads}");
        assert!(start.elapsed() >= 200 * MS);
    })
    .await;
}

/// What comes until it is whole, and in how many pieces.
async fn read_until(stream: &mut TcpStream, whole: impl Fn(&str) -> bool) -> (String, usize) {
    let (mut text, mut reads) = (String::new(), 0);
    let mut buffer = [0; 4_096];
    while !whole(&text) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        reads += 1;
    }
    (text, reads)
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let imds = Imds::builder().build().shared();
    let server = Server::bind(imds.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(Server::bind(imds, server.local_addr()).is_err());
}
