//! What operators import: alert rules and their tests, and the page that they are about, by
//! Prometheus' own tool; and the webhook's templates.

use std::{collections::BTreeSet, fs::File, path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use spot_core::notice::InstanceAction;
use spot_drain::report::PodOutcome;
use spot_drain::sim::{Node, Sim, Workload, World};
use spot_imds::sim::Announcement;
use spot_tests::{
    Error, Result,
    error::Context as _,
    handler::{Flags, Handler},
    metadata_sim::MetadataSim,
    plain_http::request,
    process::output,
    scratch::Scratch,
    tools::{Tool, Tools},
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dashboard");
const INSTANCE: &str = "i-0123456789abcdef0";
/// Loose: the machine may be busy with other tests.
const A_WHILE: Duration = Duration::from_secs(60);

/// Runs promtool in `deploy/dashboard`; what it says, where it is content.
async fn promtool(arguments: &'static [&str], stdin: Option<PathBuf>) -> Result<String> {
    let tools = Tools::ensure(&[Tool::Promtool]).await?;
    let input = stdin.map(File::open).transpose().context("open the page")?;
    let run = move || {
        output(tools.path(Tool::Promtool), |promtool| {
            promtool.args(arguments).current_dir(DEPLOY);
            if let Some(input) = input {
                promtool.stdin(input);
            }
        })
    };
    let output = tokio::task::spawn_blocking(run).await;
    let output = output.map_err(|error| Error::Tool(error.to_string()))?;
    let output = output.context("run promtool")?;
    let (out, err) = (&output.stdout, &output.stderr);
    let said = [out, err]
        .map(|said| String::from_utf8_lossy(said))
        .concat();
    if output.status.success() {
        Ok(said)
    } else {
        Err(Error::Tool(format!("promtool {arguments:?}: {said}")))
    }
}

#[tokio::test]
async fn the_alert_rules_are_sound_and_do_what_their_tests_say() -> Result<()> {
    promtool(&["check", "rules", "alerts.yaml"], None).await?;
    promtool(&["test", "rules", "alerts_test.yaml"], None)
        .await
        .map(drop)
}

/// The outcomes that an alert is about are those that a report calls left behind.
#[test]
fn the_alert_of_pods_that_were_left_behind_is_about_all_of_them() {
    let alerts = std::fs::read_to_string(format!("{DEPLOY}/alerts.yaml")).unwrap();
    let outcomes = alerts
        .split("spot_handler_pods_total{outcome=~\"")
        .nth(1)
        .unwrap();
    let outcomes: Vec<&str> = outcomes.split('"').next().unwrap().split('|').collect();
    assert_eq!(outcomes, PodOutcome::LEFT_BEHIND);
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    for outcome in outcomes {
        assert!(guide.contains(&format!("`{outcome}`")), "{outcome}");
    }
}

/// Where metrics are named.
const NAMING: [&str; 5] = [
    "deploy/dashboard/dashboard.json",
    "deploy/dashboard/alerts.yaml",
    "deploy/dashboard/alerts_test.yaml",
    "docs/operating.md",
    "docs/migrating.md",
];

/// The metrics that dashboard, alerts and guides name.
fn named() -> Result<BTreeSet<String>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut all = String::new();
    for name in NAMING {
        all += &std::fs::read_to_string(format!("{root}/{name}")).context(name)?;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = all.split(|c| !is_part(c));
    let named: BTreeSet<String> = words
        .filter(|word| word.starts_with("spot_handler_"))
        .map(str::to_owned)
        .collect();
    assert!(named.len() > 15, "{named:?}");
    Ok(named)
}

/// A handler whose node was saved, on simulators.
struct Saved {
    handler: Handler,
    _metadata: MetadataSim,
    _servers: JoinSet<()>,
    scratch: Scratch,
}

impl Saved {
    /// With `more` among its flags.
    async fn with(more: impl FnOnce(Flags) -> Flags) -> Result<Self> {
        let metadata = MetadataSim::of(INSTANCE)?;
        let provider = format!("aws:///eu-west-1a/{INSTANCE}");
        let world = World::builder()
            .node(Node::new("spot-1").provider_id(&provider))
            .node(Node::new("other-1"))
            .workload(Workload::deployment("web").on("spot-1").exit_after("0.1"));
        let sim = Sim::new(world.build(Instant::now()));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let api = listener.local_addr().context("the port")?;
        let mut servers = JoinSet::new();
        servers.spawn(async move { match sim.serve(listener).await {} });
        let scratch = Scratch::new("dashboard")?;
        let kubeconfig = scratch.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "sim",
            "clusters": [{"name": "sim", "cluster": {"server": format!("http://{api}")}}],
            "users": [{"name": "sim", "user": {}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "sim"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).context("write the kubeconfig")?;

        let flags = Flags::run("spot-1", &kubeconfig, &metadata.url);
        let handler = Handler::start(&more(flags)).await?;
        handler.hears_notices().await?;
        let notice = Announcement::spot(InstanceAction::Terminate);
        metadata
            .imds
            .announce(notice.left(Duration::from_secs(120)));
        let finished = |line: &Value| line["message"] == "drain finished";
        handler
            .wait_for_log("the end of the drain", A_WHILE, finished)
            .await?;
        Ok(Self {
            handler,
            _metadata: metadata,
            _servers: servers,
            scratch,
        })
    }
}

#[tokio::test]
async fn the_page_of_metrics_passes_promtool_after_a_drain() -> Result<()> {
    let mut tasks = JoinSet::new();
    let (url, _told) = receiver(&mut tasks).await?;
    let saved = Saved::with(|flags| {
        flags
            .with("--listen", "127.0.0.1:0")
            .env("KUBERNETES_EVENTS", "true")
            .env("WEBHOOK_URL", &url)
    });
    let saved = saved.await?;
    let port = saved.handler.port().await?;
    let (status, page) = request(port, "GET", "/metrics", &[])
        .await
        .context("ask for it")?;
    assert_eq!(status, 200);
    assert!(
        page.contains("spot_handler_pods_total{outcome=\"gone\"} 1\n"),
        "{page}"
    );
    for name in named()? {
        let sum = name.trim_end_matches("_bucket").trim_end_matches("_count");
        let shown = [&name, sum]
            .iter()
            .any(|name| page.contains(&format!("# TYPE {name} ")));
        assert!(shown, "somebody names {name}, which is not in\n{page}");
    }
    let file = saved.scratch.path().join("metrics");
    std::fs::write(&file, &page).context("write the page")?;
    let said = promtool(&["check", "metrics"], Some(file)).await?;
    assert_eq!(said.trim(), "", "promtool finds something");
    Ok(())
}

/// A webhook's receiver; what it is told.
async fn receiver(tasks: &mut JoinSet<()>) -> Result<(String, mpsc::UnboundedReceiver<Bytes>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    let url = format!("http://{}/", listener.local_addr().context("the port")?);
    let (tell, told) = mpsc::unbounded_channel();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    // Nobody waits any more when the test has ended.
                    let _ = tell.send(body);
                    Ok::<_, hyper::Error>(Response::new(Empty::<Bytes>::new()))
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move { drop(connection.await) });
        }
    });
    Ok((url, told))
}

#[tokio::test]
async fn the_webhook_templates_say_what_happened() -> Result<()> {
    for (name, said, event) in [
        ("slack.json", "/text", "/blocks/1/elements/0/text"),
        ("generic.json", "/summary", "/details/event"),
    ] {
        let mut tasks = JoinSet::new();
        let (url, mut told) = receiver(&mut tasks).await?;
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/webhook");
        let template = format!("{template}/{name}");
        let saved = Saved::with(|flags| {
            flags
                .with("--webhook-template", &template)
                .env("WEBHOOK_URL", &url)
        });
        let _saved = saved.await?;
        for expected in ["notice", "drain-finished"] {
            let told = timeout(A_WHILE, told.recv()).await;
            let body = told.map_err(|_| Error::Tool(format!("{name} tells nothing")))?;
            let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
            let of = |at| body.pointer(at).unwrap().as_str().unwrap();
            assert!(of(said).contains("spot-1"), "{body}");
            assert!(of(event).starts_with(expected), "{body}");
            assert!(!body.to_string().contains("{{"), "{body}");
        }
    }
    Ok(())
}
