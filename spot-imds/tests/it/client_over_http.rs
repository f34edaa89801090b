//! The client against a service on a socket, in real time.

use std::time::Duration;

use spot_imds::client::{INSTANCE_ACTION, ImdsClient};
use spot_imds::error::ImdsError;
use wiremock::matchers::{any, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const TOKEN: &str = "AQAEsecret==";

pub(crate) async fn serve_token(server: &MockServer) {
    Mock::given(method("PUT"))
        .and(path("/latest/api/token"))
        .and(header("x-aws-ec2-metadata-token-ttl-seconds", "21600"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
                .set_body_string(TOKEN),
        )
        .mount(server)
        .await;
}

pub(crate) async fn serve(server: &MockServer, name: &str, response: ResponseTemplate) {
    Mock::given(method("GET"))
        .and(path(format!("/latest/meta-data/{name}")))
        .and(header("x-aws-ec2-metadata-token", TOKEN))
        .respond_with(response)
        .mount(server)
        .await;
}

pub(crate) fn text(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.as_bytes().to_vec(), "text/plain")
}

/// Patient, so that no busy machine makes a good reply late.
pub(crate) fn client(server: &MockServer) -> ImdsClient {
    patient(&server.uri())
}

pub(crate) fn patient(url: &str) -> ImdsClient {
    let timeout = Duration::from_secs(30);
    ImdsClient::builder()
        .endpoint(url)
        .request_timeout(timeout)
        .build()
        .unwrap()
}

/// The error for a region that is answered so.
async fn error_for(response: ResponseTemplate) -> ImdsError {
    let server = MockServer::start().await;
    serve_token(&server).await;
    serve(&server, "placement/region", response).await;
    client(&server).region().await.unwrap_err()
}

#[tokio::test]
async fn every_question_is_answered() {
    let server = MockServer::start().await;
    serve_token(&server).await;
    serve(&server, "instance-id", text("i-0123456789abcdef0")).await;
    serve(&server, "instance-life-cycle", text("spot\n")).await;
    serve(&server, "placement/availability-zone", text("eu-west-1a")).await;
    serve(&server, "placement/region", text("eu-west-1")).await;
    let notice = text(r#"{"action":"stop","time":"2017-09-18T08:22:00Z"}"#)
        .insert_header("date", "Mon, 18 Sep 2023 08:20:00 GMT");
    serve(&server, "spot/instance-action", notice).await;
    let client = client(&server);
    assert_eq!(
        client.instance_id().await.unwrap().as_deref(),
        Some("i-0123456789abcdef0")
    );
    assert_eq!(
        client.instance_life_cycle().await.unwrap().as_deref(),
        Some("spot")
    );
    assert_eq!(
        client.availability_zone().await.unwrap().as_deref(),
        Some("eu-west-1a")
    );
    assert_eq!(client.region().await.unwrap().as_deref(), Some("eu-west-1"));
    let action = client.instance_action().await.unwrap().unwrap();
    assert_eq!(action.time, Some("2017-09-18T08:22:00Z".parse().unwrap()));
    let document = client.get(INSTANCE_ACTION).await.unwrap().unwrap();
    assert!(document.text().unwrap().starts_with(r#"{"action""#));
    let puts = server.received_requests().await.unwrap();
    assert_eq!(puts.iter().filter(|r| r.method == "PUT").count(), 1);
}

#[tokio::test]
async fn what_is_absent_is_no_error() {
    let server = MockServer::start().await;
    serve_token(&server).await;
    assert_eq!(client(&server).instance_action().await.unwrap(), None);
    assert_eq!(client(&server).get("tags/instance/a").await.unwrap(), None);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced() {
    let server = MockServer::start().await;
    serve_token(&server).await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    serve(&server, "placement/region", text("eu-west-1")).await;
    assert_eq!(
        client(&server).region().await.unwrap().as_deref(),
        Some("eu-west-1")
    );
    let requests = server.received_requests().await.unwrap();
    let methods: Vec<_> = requests.iter().map(|r| r.method.to_string()).collect();
    assert_eq!(methods, ["PUT", "GET", "PUT", "GET"]);
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let error = error_for(ResponseTemplate::new(403)).await;
    assert!(
        error.is_permission() && matches!(error, ImdsError::Refused { .. }),
        "{error}"
    );
    for status in [503, 429] {
        let error = error_for(ResponseTemplate::new(status)).await;
        assert!(error.is_transient(), "{error}");
        assert!(matches!(error, ImdsError::Unavailable { status: s, .. } if s == status));
    }
    let error = error_for(ResponseTemplate::new(401)).await;
    assert!(matches!(error, ImdsError::Unauthorized { .. }), "{error}");
    for status in [204, 206, 400, 405, 500, 502] {
        let error = error_for(ResponseTemplate::new(status)).await;
        assert!(matches!(error, ImdsError::UnexpectedStatus { status: s, .. } if s == status));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let target = MockServer::start().await;
        Mock::given(any())
            .respond_with(text("eu-north-1"))
            .mount(&target)
            .await;
        let redirect = ResponseTemplate::new(status).insert_header("location", target.uri());
        let error = error_for(redirect).await;
        assert!(matches!(error, ImdsError::UnexpectedStatus { status: s, .. } if s == status));
        assert_eq!(target.received_requests().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_token_path_that_refuses_is_told_with_its_path() {
    for (status, kind) in [
        (403, "refused"),
        (503, "unavailable"),
        (400, "unexpected-status"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(status))
            .mount(&server)
            .await;
        let error = client(&server).region().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("/latest/api/token"), "{error}");
    }
}

#[tokio::test]
async fn an_oversize_body_is_cut_off() {
    let error = error_for(text(&"x".repeat(64 * 1024 + 1))).await;
    assert!(
        matches!(error, ImdsError::TooLarge { limit: 65_536, .. }),
        "{error}"
    );
    let error = error_for(text(&"x".repeat(64 * 1024))).await;
    assert!(
        matches!(error, ImdsError::Malformed { .. }),
        "at the cap: {error}"
    );
}

#[tokio::test]
async fn a_slow_reply_is_a_timeout_that_says_what_mends_it() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(text("late").set_delay(Duration::from_secs(300)))
        .mount(&server)
        .await;
    let client = ImdsClient::builder()
        .endpoint(server.uri())
        .request_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = client.region().await.unwrap_err();
    assert!(matches!(error, ImdsError::TimedOut { .. }), "{error}");
    assert!(
        error.report().contains("http-put-response-hop-limit"),
        "{}",
        error.report()
    );
}

#[tokio::test]
async fn a_body_that_means_nothing_is_quoted_safely() {
    let error = error_for(text("<html>\n<b>")).await;
    let report = error.report();
    assert!(
        report.contains(r#"not a plain value: "<html>\n<b>""#),
        "{report}"
    );
}

#[tokio::test]
async fn an_address_of_version_6_is_reached() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        return; // a machine without IPv6
    };
    let server = MockServer::builder().listener(listener).start().await;
    serve_token(&server).await;
    serve(&server, "placement/region", text("eu-west-1")).await;
    assert!(
        server.uri().starts_with("http://[::1]:"),
        "{}",
        server.uri()
    );
    assert!(client(&server).region().await.unwrap().is_some());
}
