//! Tokens and time, through this crate's client, under paused time.

use std::time::Duration;

use spot_imds::client::ImdsClient;
use spot_imds::error::ImdsError;
use spot_imds::sim::{Imds, SharedImds};
use tokio::time::{advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

fn statuses(imds: &SharedImds, what: &str) -> Vec<Option<u16>> {
    let asked = imds.asked();
    let asked = asked.iter().filter(|asked| asked.what.starts_with(what));
    asked.map(|asked| asked.status).collect()
}

fn client(imds: &SharedImds, ttl: u32) -> ImdsClient {
    imds.client().token_ttl(ttl).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_renews_its_token_before_it_expires() {
    let imds = Imds::builder().build().shared();
    let client = client(&imds, 60);
    for _ in 0..3_600 {
        client.instance_id().await.unwrap().unwrap();
        sleep(SECOND).await;
    }
    let puts = statuses(&imds, "PUT");
    assert!((60..=70).contains(&puts.len()), "{}", puts.len());
    let gets = statuses(&imds, "GET");
    assert!(gets.iter().all(|status| *status == Some(200)));
}

#[tokio::test(start_paused = true)]
async fn an_expired_or_revoked_token_costs_one_401() {
    let imds = Imds::builder().build().shared();
    let client = client(&imds, 21_600);
    client.instance_id().await.unwrap();
    imds.with(|imds, _| imds.revoke_tokens());
    client.instance_id().await.unwrap();
    assert_eq!(statuses(&imds, "GET"), [Some(200), Some(401), Some(200)]);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_second() {
    use bytes::Bytes;
    use http::Request;
    use spot_imds::transport::Transport;

    let imds = Imds::builder().build().shared();
    let put = Request::put("http://x/latest/api/token");
    let put = put.header("x-aws-ec2-metadata-token-ttl-seconds", "5");
    let token = imds
        .send(put.body(Bytes::new()).unwrap(), 1_024)
        .await
        .unwrap();
    let token = token.into_body();
    assert!(token.len() == 56 && token.ends_with(b"=="));
    assert!(!format!("{imds:?}").contains(std::str::from_utf8(&token).unwrap()));
    let get = async || {
        let get = Request::get("http://x/latest/meta-data/instance-id");
        let get = get.header("x-aws-ec2-metadata-token", &token[..]);
        let reply = imds.send(get.body(Bytes::new()).unwrap(), 1_024).await;
        reply.unwrap().status().as_u16()
    };
    advance(Duration::from_millis(4_999)).await;
    assert_eq!(get().await, 200);
    advance(Duration::from_millis(1)).await;
    assert_eq!(get().await, 401);
}

#[tokio::test(start_paused = true)]
async fn metadata_can_be_switched_off_and_on() {
    let imds = Imds::builder().disabled().build().shared();
    let client = client(&imds, 60);
    let error = client.instance_id().await.unwrap_err();
    assert!(matches!(error, ImdsError::Refused { .. }), "{error}");
    imds.with(|imds, _| imds.set_enabled(true));
    assert!(client.instance_id().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_are_remembered() {
    let imds = Imds::builder().remember(10).build().shared();
    let client = client(&imds, 21_600);
    for _ in 0..100 {
        client.instance_id().await.unwrap();
    }
    assert_eq!(imds.asked().len(), 10);
    assert_eq!(imds.with(|imds, _| imds.total_asked()), 101);
}
