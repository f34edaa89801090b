//! AWS's own mock of the instance metadata service (`ec2-metadata-mock`), one per node.
//!
//! Where it differs from the real service:
//! - without a time of its own the notice says "two minutes from now" at *each* request;
//! - in spot mode `events/maintenance/scheduled` answers 404, not `[]`;
//! - the third client address gets 404 for the notice (we lift that limit);
//! - `instance-life-cycle` says `on-demand` even in spot mode (we set it);
//! - a notice shows at a whole second of the wall clock, which makes for exact measurements.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde_json::json;

use crate::{
    Result,
    clock::whole_second_in,
    control_plane::ready,
    error::Context as _,
    plain_http::{answers, request},
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

/// A running mock.
#[derive(Debug)]
pub struct MetadataMock {
    process: Process,
    port: u16,
    notice: Option<Notice>,
    _scratch: Scratch,
}

/// The times of a notice, by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// From when on it can be seen.
    pub shows_at: Timestamp,
    /// The time that it names.
    pub deadline: Timestamp,
}

/// What EC2 gives.
pub const TWO_MINUTES: Duration = Duration::from_secs(120);

impl MetadataMock {
    /// Instance `instance_id` will have a spot interruption notice that shows in `delay` (up
    /// to a second later: the mock counts whole seconds of the wall clock; zero is at once),
    /// and says that `action` comes `left` after that. Until then the notice's paths answer
    /// 404. Other paths answer at once.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn spot(
        instance_id: &str,
        action: Action,
        left: Duration,
        delay: Duration,
    ) -> Result<Self> {
        let shows_at = whole_second_in(delay);
        let trigger = (!delay.is_zero()).then_some(shows_at);
        Self::notice_at(instance_id, action, left, shows_at, trigger).await
    }

    /// The same with a notice that shows at a whole second of the wall clock, which may be one
    /// that other instances' notices share.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn spot_at(
        instance_id: &str,
        action: Action,
        left: Duration,
        shows_at: Timestamp,
    ) -> Result<Self> {
        Self::notice_at(instance_id, action, left, shows_at, Some(shows_at)).await
    }

    async fn notice_at(
        instance_id: &str,
        action: Action,
        left: Duration,
        shows_at: Timestamp,
        trigger: Option<Timestamp>,
    ) -> Result<Self> {
        let deadline = shows_at.saturating_add(left).unwrap_or(Timestamp::MAX);
        let deadline = Timestamp::from_second(deadline.as_second()).unwrap_or(deadline);
        let mut args = vec![
            format!("--action={}", action.name()),
            format!("--time={deadline}"),
        ];
        args.extend(trigger.map(|at| format!("--mock-trigger-time={at}")));
        let mock = Self::start(instance_id, Some("spot"), &args, true).await?;
        Ok(Self {
            notice: Some(Notice { shows_at, deadline }),
            ..mock
        })
    }

    /// Instance `instance_id`, not interrupted this year.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn quiet(instance_id: &str) -> Result<Self> {
        let a_year = Duration::from_secs(365 * 24 * 3600);
        Self::spot(instance_id, Action::Terminate, TWO_MINUTES, a_year).await
    }

    /// The mock's subcommand `mode` (`spot`, `events`, `asglifecycle`; none for everything at
    /// once) with arguments of the caller's own, for clients of `IMDSv2` only or of both.
    ///
    /// # Errors
    /// When the mock cannot be built or started.
    pub async fn start(
        instance_id: &str,
        mode: Option<&str>,
        args: &[String],
        v2_only: bool,
    ) -> Result<Self> {
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
            let spec = Spec::new(
                "ec2-metadata-mock",
                &tools.path(Tool::Ec2MetadataMock),
                &log,
            )
            .args(mode)
            .args(args)
            .args(v2_only.then_some("--imdsv2"))
            .args(["--hostname", "127.0.0.1", "--mock-ip-count", "1000"])
            .args(["--port".to_owned(), port.to_string()])
            .arg("--config-file")
            .arg(&config);
            let process = Process::start(&spec)?;
            ready(&process, async || answers(port, "/latest/meta-data").await).await?;
            Ok(process)
        })
        .await?;
        Ok(Self {
            process,
            port,
            notice: None,
            _scratch: scratch,
        })
    }

    /// When its notice shows and what time it names, if it was started with one.
    pub fn notice(&self) -> Option<Notice> {
        self.notice
    }

    /// Its base address, for `--metadata-url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it answers to a token and then a GET of `/latest/meta-data/` and `path`: status
    /// and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let what = || format!("get {path} from the metadata mock");
        let ttl = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
        let token = request(self.port, "PUT", "/latest/api/token", &ttl)
            .await
            .context(what())?;
        let path = format!("/latest/meta-data/{path}");
        let token = [("X-aws-ec2-metadata-token", token.1.as_str())];
        request(self.port, "GET", &path, &token)
            .await
            .context(what())
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
