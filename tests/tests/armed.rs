//! Proof beforehand, with the shipping binary: links are broken one at a time; each is shown
//! within an interval, named with what mends it, and cleared when it is mended. Name resolution and
//! certificates are broken in `self_check.rs`.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::json;
use spot_core::sim::Fault;
use spot_imds::sim::FaultRule;
use spot_tests::{
    Result,
    cluster::{Cluster, Node, NodeSpec, Workload},
    control_plane::ControlPlane,
    error::Context as _,
    handler::{Flags, Handler},
    metadata_sim::MetadataSim,
    plain_http, rbac,
    scratch::Scratch,
    wait::wait_until,
};

/// Between two checks. What a busy machine takes comes on top of it.
const INTERVAL: &str = "2s";
const A_WHILE: Duration = Duration::from_secs(60);

/// A node with a pod, its metadata, and a user with rights and a token of its own.
struct Stage {
    plane: &'static ControlPlane,
    cluster: Cluster,
    node: Node,
    metadata: MetadataSim,
    user: String,
    scratch: Scratch,
    /// Where the last handler serves health.
    port: AtomicU16,
}

impl Stage {
    async fn new(spec: NodeSpec) -> Result<Self> {
        let plane = ControlPlane::shared().await?;
        let admin = plane.client("admin")?;
        let cluster = Cluster::create(&admin, "armed").await?;
        let node = cluster.add_node(&spec).await?;
        cluster.deploy_on(&node, &Workload::new("web", 1)).await?;
        let stage = Self {
            user: plane.take_plain_user()?,
            scratch: Scratch::new("armed")?,
            port: AtomicU16::new(0),
            metadata: MetadataSim::of(&node.instance_id)?,
            plane,
            cluster,
            node,
        };
        stage.allow_all_but(None).await?;
        stage.write_token(&stage.token()?)?;
        Ok(stage)
    }

    /// All that a handler needs, but one verb on one resource.
    async fn allow_all_but(&self, but: Option<(&str, &str)>) -> Result<()> {
        let mut rules = rbac::handler_rules()?;
        if let Some((verb, resource)) = but {
            rules = rbac::without(rules, verb, resource);
        }
        let name = format!("armed-{}", self.user);
        rbac::allow(
            self.cluster.client(),
            &name,
            rbac::Who::User(&self.user),
            rules,
        )
        .await
    }

    fn kubeconfig(&self) -> Result<serde_json::Value> {
        let file = self.plane.kubeconfig(&self.user)?;
        let text = std::fs::read_to_string(&file).context("read the kubeconfig")?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    fn token(&self) -> Result<String> {
        let token = &self.kubeconfig()?["users"][0]["user"]["token"];
        Ok(token.as_str().unwrap_or_default().to_owned())
    }

    fn token_file(&self) -> PathBuf {
        self.scratch.path().join("token")
    }

    fn write_token(&self, token: &str) -> Result<()> {
        std::fs::write(self.token_file(), token).context("write the token")
    }

    /// A handler that reads its token from the file, as in a pod.
    async fn handler(&self) -> Result<Handler> {
        let mut kubeconfig = self.kubeconfig()?;
        kubeconfig["users"][0]["user"] = json!({"tokenFile": self.token_file()});
        let file = self.scratch.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).context("write the kubeconfig")?;
        let flags = Flags::run(&self.node.name, &file, &self.metadata.url)
            .with("--self-check-interval", INTERVAL)
            .with("--listen", "127.0.0.1:0");
        let handler = Handler::start(&flags).await?;
        self.port.store(handler.port().await?, Relaxed);
        Ok(handler)
    }

    /// Waits until health answers so, with these words.
    async fn health(&self, status: u16, words: &[&str]) -> Result<()> {
        wait_until(format!("health {status} {words:?}"), A_WHILE, async || {
            match plain_http::request(self.port.load(Relaxed), "GET", "/readyz", &[]).await {
                Ok((now, body)) if now == status && words.iter().all(|w| body.contains(w)) => {
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    async fn armed(&self, handler: &Handler) -> Result<()> {
        let armed =
            |line: &serde_json::Value| line["message"] == "armed: a notice now would be acted on";
        handler
            .wait_for_log("that it is armed", A_WHILE, armed)
            .await?;
        self.health(200, &["ok"]).await
    }

    /// The log names the link, and later says that it is mended.
    async fn logged(&self, handler: &Handler, link: &str) -> Result<()> {
        for message in ["a notice now would not be acted on", "mended"] {
            let of_link =
                |line: &serde_json::Value| line["message"] == message && line["link"] == link;
            handler.wait_for_log(message, A_WHILE, of_link).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn permissions_are_missed_named_and_found_again() -> Result<()> {
    let stage = Stage::new(NodeSpec::spot("a")).await?;
    let handler = stage.handler().await?;
    stage.armed(&handler).await?;
    let before = stage.cluster.node(&stage.node.name).await?.spec;
    for (verb, resource, link, words) in [
        (
            "patch",
            "nodes",
            "quarantine",
            ["quarantine is broken", "patch"],
        ),
        (
            "create",
            "pods/eviction",
            "eviction",
            ["eviction is broken", "pods/eviction"],
        ),
    ] {
        stage.allow_all_but(Some((verb, resource))).await?;
        stage.health(503, &words).await?;
        stage.allow_all_but(None).await?;
        stage.health(200, &["ok"]).await?;
        stage.logged(&handler, link).await?;
    }
    let after = stage.cluster.node(&stage.node.name).await?.spec;
    assert_eq!(before, after, "and nothing was changed");
    assert_eq!(stage.cluster.pods_on(&stage.node.name).await?.len(), 1);
    stage.cluster.delete().await
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_named_until_it_is_replaced() -> Result<()> {
    let stage = Stage::new(NodeSpec::spot("a")).await?;
    stage.write_token("a-token-of-yesterday")?;
    let handler = stage.handler().await?;
    stage.health(503, &["credentials is broken"]).await?;
    assert!(!handler.process().log().contains("a-token-of-yesterday"));
    stage.write_token(&stage.token()?)?;
    stage.armed(&handler).await?;
    stage.logged(&handler, "credentials").await?;
    stage.cluster.delete().await
}

#[tokio::test]
async fn a_hop_limit_too_low_is_named_until_it_is_raised() -> Result<()> {
    let stage = Stage::new(NodeSpec::spot("a")).await?;
    // The reply with the token does not come through; the rest would.
    let black_hole = FaultRule::new(Fault::BlackHole).on("/latest/api/token");
    stage.metadata.imds.fault(black_hole);
    let handler = stage.handler().await?;
    stage
        .health(
            503,
            &["imds cannot be heard", "http-put-response-hop-limit"],
        )
        .await?;
    stage.metadata.imds.with(|imds, _| imds.clear_faults());
    stage.armed(&handler).await?;
    stage.logged(&handler, "notices").await?;
    stage.cluster.delete().await
}

#[tokio::test]
async fn a_clock_that_is_off_is_named_until_it_is_set() -> Result<()> {
    let stage = Stage::new(NodeSpec::spot("a")).await?;
    let handler = stage.handler().await?;
    stage.armed(&handler).await?;
    let skew = |by| {
        let by = SignedDuration::from_mins(by);
        stage.metadata.imds.with(|imds, _| imds.set_date_skew(by));
    };
    skew(-3);
    stage
        .health(503, &["clock is broken", "ahead of that of imds"])
        .await?;
    skew(0);
    stage.health(200, &["ok"]).await?;
    stage.logged(&handler, "clock").await?;
    stage.cluster.delete().await
}

#[tokio::test]
async fn another_instance_s_node_is_named_until_it_is_ours() -> Result<()> {
    let theirs = NodeSpec::spot("a").provider_id(Some("aws:///us-east-1a/i-0fedcba9876543210"));
    let stage = Stage::new(theirs.clone()).await?;
    let handler = stage.handler().await?;
    stage
        .health(503, &["identity is broken", "i-0fedcba9876543210"])
        .await?;
    stage.cluster.remove_node(&stage.node.name).await?;
    let ours = format!("aws:///us-east-1a/{}", stage.node.instance_id);
    stage
        .cluster
        .add_node(&theirs.provider_id(Some(&ours)))
        .await?;
    stage.armed(&handler).await?;
    stage.logged(&handler, "identity").await?;
    stage.cluster.delete().await
}
