//! The chart, by the tools that operators have: Helm and kubeconform.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use super::{Manifests, NAME, NAMESPACE};
use crate::{
    Error, Result,
    error::Context as _,
    process::output,
    scratch::Scratch,
    tools::{Tool, Tools},
};

/// Servers that are rendered for: one that lends nodes' identities, and one before.
pub const CURRENT: &str = "1.36.0";
/// The same for what is before.
pub const BEFORE: &str = "1.35.0";

/// The chart's directory.
pub fn dir() -> PathBuf {
    super::path("chart")
}

/// The values that the chart is tried with: its `ci` directory.
///
/// # Errors
/// When it cannot be read.
pub fn ci_values() -> Result<Vec<PathBuf>> {
    let dir = dir().join("ci");
    let entries = dir.read_dir().context(format!("read {}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// How a template is rendered.
#[derive(Clone, Debug)]
pub struct Render {
    arguments: Vec<OsString>,
}

impl Render {
    /// With the chart's own values, for a server of this version, as the release and in the
    /// namespace that the plain manifests have.
    pub fn of(version: &str) -> Self {
        let arguments = [
            "template",
            NAME,
            "--namespace",
            NAMESPACE,
            "--kube-version",
            version,
        ];
        Self {
            arguments: arguments.map(OsString::from).into(),
        }
    }

    /// With a file of values besides.
    #[must_use]
    pub fn values(mut self, file: &Path) -> Self {
        self.arguments.extend(["--values".into(), file.into()]);
        self
    }

    /// With one value besides, as Helm's `--set-json` takes it.
    #[must_use]
    pub fn set(mut self, value: &str) -> Self {
        self.arguments.extend(["--set-json".into(), value.into()]);
        self
    }

    /// What comes of it.
    ///
    /// # Errors
    /// When Helm refuses; with its words.
    pub async fn text(&self) -> Result<String> {
        let mut arguments = self.arguments.clone();
        arguments.push(dir().into());
        succeeded("helm template", &run(Tool::Helm, arguments).await?)
    }

    /// The same as objects.
    ///
    /// # Errors
    /// When Helm refuses, or what comes of it is no YAML.
    pub async fn objects(&self) -> Result<Vec<Value>> {
        super::objects(&self.text().await?)
    }
}

/// What a tool says; an error where it is not content.
fn succeeded(what: &str, output: &Output) -> Result<String> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        Err(Error::Tool(format!("{what}: {out}{err}")))
    }
}

async fn run(tool: Tool, arguments: Vec<OsString>) -> Result<Output> {
    let tools = Tools::ensure(&[tool]).await?;
    let run = move || {
        // No configuration, cache or plugin of the developer's.
        let home = Scratch::new(tool.name())?;
        let output = output(tools.path(tool), |command| {
            for (variable, below) in [
                ("HELM_CACHE_HOME", "cache"),
                ("HELM_CONFIG_HOME", "config"),
                ("HELM_DATA_HOME", "data"),
            ] {
                command.env(variable, home.path().join(below));
            }
            command.env_remove("KUBECONFIG").args(arguments);
        });
        output.context(format!("run {}", tool.name()))
    };
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|error| Error::Tool(format!("{}: {error}", tool.name())))?
}

/// Helm as an operator calls it, in the namespace that the plain manifests have, on the cluster of a
/// kubeconfig.
///
/// # Errors
/// When Helm refuses; with its words.
pub async fn helm(kubeconfig: &Path, command: &str, more: &[&str]) -> Result<String> {
    let mut arguments: Vec<OsString> = ["--namespace", NAMESPACE, "--kubeconfig"]
        .map(OsString::from)
        .into();
    arguments.push(kubeconfig.into());
    arguments.extend([command.into(), NAME.into()]);
    arguments.extend(more.iter().map(OsString::from));
    if command != "uninstall" {
        arguments.push(dir().into());
    }
    succeeded(command, &run(Tool::Helm, arguments).await?)
}

/// `helm lint`, strictly, with a file of values.
///
/// # Errors
/// When it finds something.
pub async fn lint(values: &Path) -> Result<String> {
    let mut arguments: Vec<OsString> = ["lint", "--strict", "--kube-version", CURRENT]
        .map(OsString::from)
        .into();
    arguments.extend(["--values".into(), values.into(), dir().into()]);
    succeeded("helm lint", &run(Tool::Helm, arguments).await?)
}

/// `kubeconform -strict` of a file against a directory of schemas ([`super::schemas`]), and no
/// others.
///
/// # Errors
/// When an object does not fit its schema, or has none.
pub async fn conforms(file: &Path, schemas: &Path) -> Result<String> {
    let location = schemas.join("{{ .ResourceKind }}{{ .KindSuffix }}.json");
    let mut arguments: Vec<OsString> = ["-strict", "-summary", "-verbose", "-schema-location"]
        .map(OsString::from)
        .into();
    arguments.extend([location.into(), file.into()]);
    succeeded("kubeconform", &run(Tool::Kubeconform, arguments).await?)
}

/// The arguments of the container, of rendered objects.
pub fn arguments(objects: &[Value]) -> Vec<String> {
    let set = objects.iter().find(|object| object["kind"] == "DaemonSet");
    let container = set.map(|set| &set["spec"]["template"]["spec"]["containers"][0]);
    let arguments = container.and_then(|container| container["args"].as_array());
    let arguments = arguments.into_iter().flatten();
    arguments
        .filter_map(|argument| argument.as_str().map(str::to_owned))
        .collect()
}

/// The version of a server that manifests are for.
pub fn version(of: Manifests) -> &'static str {
    match of {
        Manifests::Current => CURRENT,
        Manifests::Before136 => BEFORE,
    }
}

/// The plain manifests, as the chart renders them: without what says that Helm manages them.
///
/// # Errors
/// When Helm refuses.
pub async fn manifests(of: Manifests) -> Result<String> {
    let text = Render::of(version(of)).text().await?;
    let helms_own = [
        "# Source: ",
        "app.kubernetes.io/managed-by: ",
        "helm.sh/chart: ",
    ];
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !helms_own.iter().any(|start| line.starts_with(start))
    });
    let mut plain = String::new();
    for line in lines {
        plain.push_str(line);
        plain.push('\n');
    }
    Ok(plain)
}
