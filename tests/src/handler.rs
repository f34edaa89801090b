//! The binary that is shipped: built once, started with flags, its log read.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    Error, Result,
    error::Context as _,
    lock::Lock,
    process::{Process, Spec, output},
    scratch::Scratch,
    tools::cache_dir,
    wait::wait_until,
};

/// The binary's name.
const NAME: &str = "spot-interrupt-handler";
/// How long it may take to be up on a busy machine.
const UP: Duration = Duration::from_secs(30);
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The shipping binary: `SPOT_HANDLER_BIN` if that is set, else what `cargo shipping` builds,
/// once per process.
///
/// # Errors
/// When it does not build, or `SPOT_HANDLER_BIN` is no file.
pub async fn binary() -> Result<&'static Path> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let built = BINARY.get_or_try_init(|| async {
        if let Some(given) = std::env::var_os("SPOT_HANDLER_BIN").map(PathBuf::from) {
            return if given.is_file() {
                given.canonicalize().context("SPOT_HANDLER_BIN")
            } else {
                Err(Error::Tool(format!(
                    "SPOT_HANDLER_BIN: no file {}",
                    given.display()
                )))
            };
        }
        tokio::task::spawn_blocking(|| build(NAME))
            .await
            .map_err(|error| Error::Tool(format!("the build was cut off: {error}")))?
    });
    built.await.map(PathBuf::as_path)
}

/// The kubectl plugin as it ships, built once per process. Its directory holds nothing else that
/// `kubectl` would take for a plugin.
///
/// # Errors
/// When it does not build.
pub async fn plugin() -> Result<&'static Path> {
    static PLUGIN: OnceCell<PathBuf> = OnceCell::const_new();
    let built = PLUGIN.get_or_try_init(|| async {
        tokio::task::spawn_blocking(|| build("kubectl-spot"))
            .await
            .map_err(|error| Error::Tool(format!("the build was cut off: {error}")))?
    });
    built.await.map(PathBuf::as_path)
}

/// Cargo says itself where it put the binary, whatever the target directory is.
fn build(name: &str) -> Result<PathBuf> {
    let cache = cache_dir()?;
    std::fs::create_dir_all(&cache).context(format!("make {}", cache.display()))?;
    let _lock = Lock::acquire(
        &cache.join("shipping.lock"),
        Some("waiting for another process that builds the shipping binary ..."),
    )?;
    eprintln!("building {name} for shipping (a minute or two the first time) ...");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = output(cargo, |cargo| {
        cargo.args(["shipping", "--message-format=json-render-diagnostics"]);
        if name != NAME {
            cargo.args(["--bin", name]);
        }
        cargo.current_dir(WORKSPACE);
    })
    .context("start cargo under setpriv (of util-linux)")?;
    let executable = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    match executable {
        Some(path) if output.status.success() => Ok(path),
        _ => Err(Error::Tool(format!(
            "`cargo shipping` ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end(),
        ))),
    }
}

/// How to start a handler.
#[derive(Clone, Debug)]
pub struct Flags {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Flags {
    /// `run` for one node, logging JSON.
    pub fn run(node: &str, kubeconfig: &Path, metadata_url: &str) -> Self {
        let args = ["run", "--node-name", node, "--metadata-url", metadata_url];
        Self {
            args: args.map(String::from).into(),
            env: Vec::new(),
        }
        // Nothing is asked of the API server but what a test is about.
        .env("SELF_CHECK_INTERVAL", "off")
        .env("KUBERNETES_EVENTS", "false")
        .with("--kubeconfig", &kubeconfig.display().to_string())
        .with("--log-format", "json")
    }

    /// Arguments of the caller's own, from the subcommand on.
    pub fn raw<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
        }
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn with(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Adds a flag without a value.
    #[must_use]
    pub fn switch(mut self, flag: &str) -> Self {
        self.args.push(flag.to_owned());
        self
    }

    /// Sets an environment variable; the handler inherits none but `PATH`.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running handler, killed when dropped.
#[derive(Debug)]
pub struct Handler {
    process: Process,
    _scratch: Scratch,
}

impl Handler {
    /// Starts the shipping binary.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub async fn start(flags: &Flags) -> Result<Self> {
        let binary = binary().await?;
        let scratch = Scratch::new("handler")?;
        let log = scratch.path().join("handler.log");
        let spec = Spec::new(NAME, binary, &log).args(&flags.args);
        let spec = flags
            .env
            .iter()
            .fold(spec, |spec, (key, value)| spec.env(key, value));
        Ok(Self {
            process: Process::start(&spec)?,
            _scratch: scratch,
        })
    }

    /// Its process: pid, signals, how it ended, its whole log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The lines of its log that are JSON objects.
    pub fn log_lines(&self) -> Vec<Value> {
        self.process
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect()
    }

    /// Waits until it is up and hears the metadata service.
    ///
    /// # Errors
    /// When it ends before, or takes longer than a busy machine explains.
    pub async fn hears_notices(&self) -> Result<()> {
        let heard = |line: &Value| line["message"] == "notices can be heard";
        self.wait_for_log("that notices can be heard", UP, heard)
            .await
            .map(drop)
    }

    /// The port on which it serves health, once it says so. With `--listen 127.0.0.1:0` it chose
    /// that itself, and nobody else can have been faster.
    ///
    /// # Errors
    /// When it ends before, or listens nowhere.
    pub async fn port(&self) -> Result<u16> {
        let listens = |line: &Value| line["listen"].is_string();
        let line = self.wait_for_log("where it listens", UP, listens).await?;
        let port = line["listen"].as_str().and_then(|at| at.rsplit(':').next());
        port.and_then(|port| port.parse().ok())
            .ok_or_else(|| Error::Usage(format!("no port in {line}")))
    }

    /// Waits for a line of its log that is as wanted.
    ///
    /// # Errors
    /// When there is none within the time, or the handler ends before; with the log's end.
    pub async fn wait_for_log(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = || self.log_lines().into_iter().find(|line| wanted(line));
        let outcome = wait_until(what, within, async || match found() {
            Some(line) => Ok(Some(line)),
            // It may have said so with its last breath.
            None if !self.process.is_running() => Ok(found()),
            None => Err("not logged".into()),
        })
        .await;
        match outcome {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self
                .process
                .problem(format!("ended before it logged {what}"))),
            Err(late) => Err(self.process.problem(late.to_string())),
        }
    }
}
