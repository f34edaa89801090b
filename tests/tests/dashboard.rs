//! What operators import: alert rules and their tests, and the page that they are about, by
//! Prometheus' own tool.

use std::{fs::File, path::PathBuf, time::Duration};

use serde_json::json;
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
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

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

#[tokio::test]
async fn the_page_of_metrics_passes_promtool_after_a_drain() -> Result<()> {
    let metadata = MetadataSim::of(INSTANCE)?;
    let world = World::builder()
        .node(Node::new("spot-1").provider_id(&format!("aws:///eu-west-1a/{INSTANCE}")))
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
    let flags = flags
        .with("--listen", "127.0.0.1:0")
        .env("KUBERNETES_EVENTS", "true");
    let handler = Handler::start(&flags).await?;
    handler.hears_notices().await?;
    let notice = Announcement::spot(InstanceAction::Terminate);
    metadata
        .imds
        .announce(notice.left(Duration::from_secs(120)));
    let finished = |line: &serde_json::Value| line["message"] == "drain finished";
    handler
        .wait_for_log("the end of the drain", A_WHILE, finished)
        .await?;
    let port = handler.port().await?;
    let (status, page) = request(port, "GET", "/metrics", &[])
        .await
        .context("ask for it")?;
    assert_eq!(status, 200);
    assert!(
        page.contains("spot_handler_pods_total{outcome=\"gone\"} 1\n"),
        "{page}"
    );
    let file = scratch.path().join("metrics");
    std::fs::write(&file, &page).context("write the page")?;
    let said = promtool(&["check", "metrics"], Some(file)).await?;
    assert_eq!(said.trim(), "", "promtool finds something");
    Ok(())
}
