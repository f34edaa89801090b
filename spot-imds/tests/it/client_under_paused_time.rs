//! Tokens, in memory.

use std::time::Duration;

use spot_imds::error::ImdsError;
use tokio::time::{Instant, advance};

use crate::fake::{Answer, Fake};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_token_serves_until_shortly_before_its_end() {
    let fake = Fake::new();
    let client = fake.client();
    for _ in 0..213 {
        client.region().await.unwrap();
        advance(100 * SECOND).await;
    }
    assert_eq!(fake.times("PUT token").len(), 1);
    client.region().await.unwrap(); // 21 300 s: 300 s before the end
    assert_eq!(fake.times("PUT token").len(), 2);
    assert!(fake.calls().iter().all(|c| c.token.as_deref() != Some("")));
}

#[tokio::test(start_paused = true)]
async fn the_life_that_the_service_grants_counts() {
    let fake = Fake::new();
    fake.ttl("100");
    let client = fake.client();
    client.region().await.unwrap();
    advance(89 * SECOND).await;
    client.region().await.unwrap();
    assert_eq!(fake.times("PUT token").len(), 1);
    advance(SECOND).await;
    client.region().await.unwrap();
    assert_eq!(fake.times("PUT token").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_life_that_makes_no_sense_is_not_believed() {
    let fake = Fake::new();
    let client = fake.client();
    for odd in ["0", "-5", "soon", "99999999999999999999999"] {
        fake.ttl(odd);
        client.region().await.unwrap();
    }
    advance(21_000 * SECOND).await;
    client.region().await.unwrap();
    assert_eq!(fake.times("PUT token").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_rest_in_a_later_reply_is_believed() {
    let fake = Fake::new();
    let client = fake.client();
    client.region().await.unwrap();
    fake.ttl("10");
    client.region().await.unwrap();
    advance(9 * SECOND).await;
    client.region().await.unwrap();
    assert_eq!(fake.times("PUT token").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let fake = Fake::new();
    fake.ttl("1000");
    let client = fake.client();
    client.region().await.unwrap();
    fake.set("token", Answer::status(503));
    advance(900 * SECOND).await;
    for _ in 0..99 {
        client.region().await.unwrap();
        advance(SECOND).await;
    }
    let renewals = fake.times("PUT token").len() - 1;
    assert!((2..=10).contains(&renewals), "{renewals}");
    advance(SECOND).await;
    let error = client.region().await.unwrap_err();
    assert!(
        matches!(error, ImdsError::Unavailable { status: 503, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_dropped_and_the_request_made_once_more() {
    let fake = Fake::new();
    let client = fake.client();
    client.region().await.unwrap();
    fake.revoke();
    assert_eq!(client.region().await.unwrap().as_deref(), Some("eu-west-1"));
    let whats: Vec<_> = fake
        .calls()
        .into_iter()
        .map(|c| (c.what, c.token))
        .collect();
    let get = |token: &str| ("GET placement/region".to_owned(), Some(token.to_owned()));
    let put = ("PUT token".to_owned(), None);
    assert_eq!(
        whats,
        [
            put.clone(),
            get("token-1"),
            get("token-1"),
            put,
            get("token-2")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_no_token_is_asked_twice_and_no_more() {
    let fake = Fake::new();
    fake.set("placement/region", Answer::status(401));
    let client = fake.client();
    for _ in 0..2 {
        fake.forget_calls();
        let error = client.region().await.unwrap_err();
        assert!(matches!(error, ImdsError::Unauthorized { .. }), "{error}");
        assert_eq!(fake.calls().len(), 4, "each call starts with a fresh token");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_answered_takes_its_timeout() {
    let fake = Fake::new();
    fake.set("placement/region", Answer::BlackHole);
    let client = fake.client();
    let start = Instant::now();
    let error = client.region().await.unwrap_err();
    assert!(matches!(error, ImdsError::TimedOut { .. }), "{error}");
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn callers_wait_for_each_other_and_one_that_gives_up_holds_nobody() {
    let fake = Fake::new();
    fake.latency(100 * SECOND / 1_000);
    let client = fake.client();
    let given_up = tokio::time::timeout(50 * SECOND / 1_000, client.region()).await;
    assert!(given_up.is_err());
    let start = Instant::now();
    let (a, b) = tokio::join!(client.region(), client.instance_id());
    assert!(a.unwrap().is_some() && b.unwrap().is_some());
    assert_eq!(
        start.elapsed(),
        300 * SECOND / 1_000,
        "a token, then one after the other"
    );
}

#[tokio::test(start_paused = true)]
async fn no_error_shows_a_token() {
    let fake = Fake::new();
    // A reply that has a token in it and is none.
    fake.set("token", Answer::ok("SECRET SECRET"));
    let client = fake.client();
    let error = client.region().await.unwrap_err();
    assert!(matches!(error, ImdsError::MalformedToken));
    fake.set("token", Answer::ok("SECRET"));
    let refused = client.region().await.unwrap_err();
    for text in [
        error.report(),
        format!("{error:?}"),
        refused.report(),
        format!("{refused:?}"),
    ] {
        assert!(!text.contains("SECRET"), "{text}");
    }
    assert!(!format!("{client:?}").contains("SECRET"));
}
