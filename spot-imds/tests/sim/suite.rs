//! The cases against the simulator in memory, the simulator on a port, and, where its address is
//! given, AWS's own mock:
//!
//! ```text
//! ec2-metadata-mock -I --port 1338 --mock-ip-count 1000 &
//! ec2-metadata-mock spot -I -d 3600 --port 1339 --mock-ip-count 1000 &
//! SPOT_IMDS_MOCK_URL=http://127.0.0.1:1338 SPOT_IMDS_QUIET_MOCK_URL=http://127.0.0.1:1339 \
//!     cargo test -p spot-imds --features sim --test sim suite -- --nocapture
//! ```

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use spot_imds::sim::{Announcement, Imds, ImdsBuilder, Server, SharedImds};
use spot_imds::transport::{HttpTransport, Transport};

use crate::cases::{CASES, Case, Stage, Token};

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const SECOND: Duration = Duration::from_secs(1);

/// The mock's own instance.
fn instance() -> ImdsBuilder {
    Imds::builder()
        .instance("i-1234567890abcdef0")
        .life_cycle("on-demand")
        .instance_type("m4.xlarge")
        .zone("us-east-1a")
        .tag("Name", "test-instance")
}

fn simulated(stage: Stage) -> SharedImds {
    let imds = match stage {
        Stage::Quiet => instance().spot_notice(3_600 * SECOND, "terminate", 120 * SECOND),
        Stage::Everything => instance()
            .announce(Announcement::spot("terminate"))
            .announce(Announcement::rebalance())
            .announce(Announcement::maintenance("system-reboot").not_before_deadline(SECOND))
            .announce(Announcement::asg_termination()),
    };
    imds.build().shared()
}

/// A service under test: how to reach it, and whether it is AWS's mock.
struct Subject<'a> {
    transport: &'a dyn Transport,
    url: &'a str,
    is_mock: bool,
}

impl Subject<'_> {
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let request = Request::builder().method(method);
        let request = request.uri(format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |r, (n, v)| r.header(*n, *v));
        let request = request.body(Bytes::new()).unwrap();
        self.transport.send(request, 1 << 20).await.unwrap()
    }

    async fn token(&self) -> String {
        let reply = self.ask("PUT", "/latest/api/token", &[(TTL, "60")]).await;
        String::from_utf8(reply.body().to_vec()).unwrap()
    }

    async fn check(&self, case: &Case, token: &str) -> Result<(), String> {
        const NAME: &str = "x-aws-ec2-metadata-token";
        let mut headers = Vec::from_iter(case.header);
        match case.token {
            Token::Good => headers.push((NAME, token)),
            Token::Bad => headers.push((NAME, "AQAEbad==")),
            Token::None => {}
        }
        let reply = self.ask(case.method, case.path, &headers).await;
        let status = reply.status().as_u16();
        if let (true, Some((differs, why))) = (self.is_mock, case.mock) {
            println!("known: the mock {why}: {} {}", case.method, case.path);
            return match status {
                status if status == differs => Ok(()),
                status => Err(format!("{status}; the mock used to say {differs}")),
            };
        }
        if status != case.status {
            return Err(format!("{status}, not {}", case.status));
        }
        for (name, wanted) in case.reply {
            let value = reply.headers().get(*name).and_then(|v| v.to_str().ok());
            if value.is_none_or(|value| *wanted != "*" && value != *wanted) {
                return Err(format!("{name}: {value:?}, not {wanted}"));
            }
        }
        case.body.check(&String::from_utf8_lossy(reply.body()))
    }

    async fn check_all(&self, stage: Stage) {
        let token = self.token().await;
        let mut wrong = Vec::new();
        let cases = CASES.iter().filter(|case| case.stage == stage);
        for case in cases.clone() {
            if let Err(why) = self.check(case, &token).await {
                wrong.push(format!(
                    "{} {} {:?}: {why}",
                    case.method, case.path, case.header
                ));
            }
        }
        assert!(wrong.is_empty(), "{stage:?}:\n{}", wrong.join("\n"));
        println!("{stage:?} at {}: {} cases", self.url, cases.count());
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulator_in_memory_answers_as_ec2_does() {
    for stage in [Stage::Everything, Stage::Quiet] {
        let imds = simulated(stage);
        let subject = Subject {
            transport: &imds,
            url: "http://memory",
            is_mock: false,
        };
        subject.check_all(stage).await;
    }
}

#[tokio::test]
async fn the_simulator_on_a_port_answers_as_ec2_does() {
    for stage in [Stage::Everything, Stage::Quiet] {
        let server = Server::bind(simulated(stage), "127.0.0.1:0".parse().unwrap()).unwrap();
        let url = server.url();
        let subject = Subject {
            transport: &HttpTransport::new(SECOND),
            url: &url,
            is_mock: false,
        };
        server.run(subject.check_all(stage)).await;
    }
}

#[tokio::test]
async fn aws_s_mock_answers_so_too_but_for_what_is_known() {
    let mocks = [
        (Stage::Everything, "SPOT_IMDS_MOCK_URL"),
        (Stage::Quiet, "SPOT_IMDS_QUIET_MOCK_URL"),
    ];
    for (stage, variable) in mocks {
        let Ok(url) = std::env::var(variable) else {
            println!("skipped: {variable} is not set");
            continue;
        };
        let subject = Subject {
            transport: &HttpTransport::new(SECOND),
            url: &url,
            is_mock: true,
        };
        subject.check_all(stage).await;
    }
}

/// What only ours does: the remaining life of the token in every reply.
#[tokio::test(start_paused = true)]
async fn replies_carry_the_rest_of_the_token_s_life() {
    let imds = simulated(Stage::Quiet);
    let subject = Subject {
        transport: &imds,
        url: "http://memory",
        is_mock: false,
    };
    let token = subject.token().await;
    tokio::time::advance(25 * SECOND).await;
    for path in ["instance-id", "spot/instance-action"] {
        let path = format!("/latest/meta-data/{path}");
        let headers = [("x-aws-ec2-metadata-token", token.as_str())];
        let reply = subject.ask("GET", &path, &headers).await;
        assert_eq!(reply.headers()[TTL], "35", "{path}");
    }
    let forwarded = [(TTL, "60"), ("x-forwarded-for", "10.0.0.1")];
    let reply = subject.ask("PUT", "/latest/api/token", &forwarded).await;
    assert_eq!(reply.status(), 403, "no token through a proxy");
}
