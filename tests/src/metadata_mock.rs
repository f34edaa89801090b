//! AWS's own mock of the instance metadata service (`ec2-metadata-mock`), one per node.
//!
//! Where it differs from the real service:
//! - without a time of its own the notice says "two minutes from now" at *each* request;
//! - in spot mode `events/maintenance/scheduled` answers 404, not `[]`;
//! - the third client address gets 404 for the notice (we raise that limit);
//! - `instance-life-cycle` says `on-demand` even in spot mode (we set it);
//! - a delay is counted in whole seconds, from the mock's start.

use std::{path::Path, time::Duration};

use serde_json::json;

use crate::{
    Result,
    clock::rfc3339_in,
    control_plane::{answers, ready},
    error::Context as _,
    ports::on_a_free_port,
    process::{Process, Spec},
    scratch::Scratch,
    tools::{Tool, Tools},
};

/// What an interrupted instance is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It ends.
    Terminate,
    /// It stops, and may come back.
    Stop,
    /// It hibernates, at once.
    Hibernate,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }
}

/// A running mock that asks for IMDSv2 tokens.
#[derive(Debug)]
pub struct MetadataMock {
    process: Process,
    port: u16,
    _scratch: Scratch,
}

impl MetadataMock {
    /// Instance `instance_id` will have a spot interruption notice that shows `delay` after
    /// the start (in whole seconds), and says that `action` comes at `left` from now. Other
    /// paths under `latest/meta-data` answer at once.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn spot(
        instance_id: &str,
        action: Action,
        left: Duration,
        delay: Duration,
    ) -> Result<Self> {
        let notice = ["--action", action.name(), "--time", &rfc3339_in(left)].map(String::from);
        let delay = ["--mock-delay-sec".to_owned(), delay.as_secs().to_string()];
        Self::start(instance_id, "spot", notice.into_iter().chain(delay).collect()).await
    }

    /// Instance `instance_id`, never interrupted.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn quiet(instance_id: &str) -> Result<Self> {
        let a_year = Duration::from_secs(365 * 24 * 3600);
        Self::spot(instance_id, Action::Terminate, a_year, a_year).await
    }

    /// The mock's subcommand `mode` (`spot`, `events`, `asglifecycle`) with arguments of the
    /// caller's own.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn start(instance_id: &str, mode: &str, args: Vec<String>) -> Result<Self> {
        let tools = Tools::ensure(&[Tool::Ec2MetadataMock]).await?;
        let scratch = Scratch::new("metadata")?;
        let config = scratch.path().join("config.json");
        let values = json!({"metadata": {"values": {
            "instance-id": instance_id,
            "instance-life-cycle": "spot",
        }}});
        std::fs::write(&config, values.to_string())
            .context(format!("write {}", config.display()))?;

        let (process, port) = on_a_free_port(async |port| {
            let log = scratch.path().join(format!("ec2-metadata-mock-{port}.log"));
            let spec = Spec::new("ec2-metadata-mock", &tools.path(Tool::Ec2MetadataMock), &log)
                .arg(mode)
                .args(&args)
                .args(["--imdsv2", "--hostname", "127.0.0.1", "--mock-ip-count", "1000"])
                .args(["--port".to_owned(), port.to_string()])
                .arg("--config-file")
                .arg(&config);
            let process = Process::start(&spec)?;
            ready(&process, async || answers(port, "/latest/meta-data").await).await?;
            Ok(process)
        })
        .await?;
        Ok(Self { process, port, _scratch: scratch })
    }

    /// Its base address, for `--metadata-url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process: kill it, pause it, read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it logs.
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }
}
