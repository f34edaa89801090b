//! The proxy, in front of the simulator on a socket of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod setting;
mod watches;

use std::io::ErrorKind;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Config};
use serde_json::json;
use spot_drain::sim::{Fault, Injection};
use spot_tests::{Result, error::Context as _, proxy::Proxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use setting::{Lines, Setting};

/// Long for loopback, and short enough for a test that waits for nothing to come.
const A_MOMENT: Duration = Duration::from_millis(300);
const NODES: &str = "/api/v1/nodes";

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn requests_go_through_and_are_written_down() -> Result<()> {
    let setting = Setting::new().await?;
    let (status, _, body) = setting.get("/api/v1/nodes?limit=5").await?;
    assert_eq!(status, 200);
    assert!(body.contains("\"boot-a\""), "{body}");
    let nodes = Api::<KubeNode>::all(setting.client()?);
    let patch = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    let node = nodes.patch("a", &PatchParams::default(), &patch).await;
    assert_eq!(
        node.context("cordon")?.spec.unwrap().unschedulable,
        Some(true)
    );
    let seen = setting.proxy.requests();
    assert_eq!(
        (seen[0].path.as_str(), seen[0].query.as_str()),
        (NODES, "limit=5")
    );
    assert_eq!(
        (seen[1].method.as_str(), seen[1].status),
        ("PATCH", Some(200))
    );
    assert_eq!(seen[1].body, r#"{"spec":{"unschedulable":true}}"#);
    assert!(seen[1].ended >= Some(seen[1].at));
    Ok(())
}

#[tokio::test]
async fn credentials_are_the_clients_own() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("bind")?;
    let address = listener.local_addr().context("address")?;
    let mut config = Config::new(format!("http://{address}").parse().unwrap());
    config.auth_info.token = Some("of-the-client".to_owned().into());
    let proxy = Proxy::start(&config).await?;
    let client = Client::try_from(proxy.towards(&config)?).context("client")?;
    let request = http::Request::get("/version").body(Vec::new()).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.context("accept")?;
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.context("read")?;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.context("write")?;
        head.truncate(length);
        Ok::<_, spot_tests::Error>(String::from_utf8_lossy(&head).to_lowercase())
    };
    let (asked, head) = tokio::join!(client.request_text(request), server);
    assert_eq!(asked.context("ask")?, "ok");
    let head = head?;
    assert!(
        head.contains("authorization: bearer of-the-client"),
        "{head}"
    );
    assert!(head.contains(&format!("host: {address}")), "{head}");
    Ok(())
}

#[tokio::test]
async fn a_canned_answer_never_reaches_the_server() -> Result<()> {
    let canned = Fault::Status {
        code: 429,
        retry_after: Some(Duration::from_secs(7)),
        body: "slow down".to_owned(),
    };
    let setting = Setting::with(canned).await?;
    let (status, headers, body) = setting.get(NODES).await?;
    assert_eq!((status, body.as_str()), (429, "slow down"));
    assert_eq!(headers["retry-after"], "7");
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(setting.only().status, Some(429));
    assert!(setting.sim.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn an_answer_takes_its_time_both_ways() -> Result<()> {
    let setting = Setting::with(Injection {
        before: millis(150),
        after: millis(150),
        ..Injection::none()
    })
    .await?;
    setting.get(NODES).await?;
    let seen = setting.only();
    assert!(seen.ended.unwrap() - seen.at >= millis(300));
    let reached = setting.sim.requests()[0].at - seen.at;
    assert!(reached >= millis(150), "{reached:?}");
    Ok(())
}

#[tokio::test]
async fn a_reset_is_an_rst_before_or_after_the_effect() -> Result<()> {
    for (trouble, reaches) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1)] {
        let setting = Setting::with(trouble).await?;
        let mut stream = setting.raw(NODES).await.context("connect")?;
        let error = stream.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(setting.sim.requests().len(), reaches);
        assert_eq!(setting.only().status, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_black_hole_says_nothing_before_or_after_the_effect() -> Result<()> {
    for (trouble, reaches) in [(Fault::BlackHole, 0), (Fault::BlackHoleAfter, 1)] {
        let setting = Setting::with(trouble).await?;
        let mut stream = setting.raw(NODES).await.context("connect")?;
        let heard = timeout(A_MOMENT, stream.read(&mut [0; 64])).await;
        assert!(heard.is_err(), "{heard:?}");
        assert_eq!(setting.sim.requests().len(), reaches);
    }
    Ok(())
}

#[tokio::test]
async fn a_truncated_answer_promises_more_than_it_keeps() -> Result<()> {
    let setting = Setting::with(Fault::Truncate(10)).await?;
    let mut stream = setting.raw(NODES).await.context("connect")?;
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let answer = String::from_utf8_lossy(&answer);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 10, "{answer}");
    Ok(())
}

#[tokio::test]
async fn it_goes_away_and_comes_back() -> Result<()> {
    let setting = Setting::new().await?;
    let mut lines = Lines::open(&setting).await?;
    assert!(lines.next().await.unwrap().is_ok());
    setting.proxy.go_away().await?;
    assert!(lines.next().await.unwrap().is_err());
    let refused = setting.raw(NODES).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    setting.proxy.come_back().await?;
    assert_eq!(setting.get(NODES).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn nothing_outlives_it() -> Result<()> {
    let setting = Setting::with(Fault::BlackHole).await?;
    let mut stream = setting.raw(NODES).await.context("connect")?;
    assert!(timeout(millis(50), stream.read(&mut [0; 1])).await.is_err());
    let Setting { proxy, .. } = setting;
    drop(proxy);
    let ended = timeout(A_MOMENT, stream.read(&mut [0; 1])).await;
    assert!(!matches!(ended, Err(_) | Ok(Ok(1..))), "{ended:?}");
    Ok(())
}
