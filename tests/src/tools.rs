//! The programs of the control plane: built once from their pinned Go modules, kept in the
//! user's cache directory, found there ever after.
//!
//! `KUBEBUILDER_ASSETS` (the convention of envtest) names a directory whose `etcd`,
//! `kube-apiserver` and `kubectl` are used instead.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Result, error::Context as _, lock::Lock, process::output};

/// A Go module that pins tools. Each has a directory of built tools of its own, so that a change
/// of one builds none of the other's anew.
struct Module {
    dir: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    /// How its directory of built tools begins.
    prefix: &'static str,
}

/// Kubernetes and etcd.
static CONTROL_PLANE: Module = Module {
    dir: concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane"),
    go_mod: include_str!("../control-plane/go.mod"),
    go_sum: include_str!("../control-plane/go.sum"),
    prefix: "tools",
};

/// Prometheus' own checker of rules and metrics.
static PROMTOOL: Module = Module {
    dir: concat!(env!("CARGO_MANIFEST_DIR"), "/promtool"),
    go_mod: include_str!("../promtool/go.mod"),
    go_sum: include_str!("../promtool/go.sum"),
    prefix: "promtool",
};

/// What builds the image.
static BUILDAH: Module = Module {
    dir: concat!(env!("CARGO_MANIFEST_DIR"), "/buildah"),
    go_mod: include_str!("../buildah/go.mod"),
    go_sum: include_str!("../buildah/go.sum"),
    prefix: "buildah",
};

/// What renders and checks the chart. Nothing is pinned by a `go.mod`: each has one of its own.
static CHART: Module = Module {
    dir: env!("CARGO_MANIFEST_DIR"),
    go_mod: "",
    go_sum: "",
    prefix: "chart",
};

/// How directories of unfinished builds begin.
const ATTEMPT: &str = "build-";

/// A program that the harness starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Deployments, budgets, endpoints, garbage collection.
    KubeControllerManager,
    /// The scheduler.
    KubeScheduler,
    /// For comparisons with `kubectl drain`, and for trying things by hand.
    Kubectl,
    /// Kubelets without machines.
    Kwok,
    /// AWS's mock of the instance metadata service.
    Ec2MetadataMock,
    /// Checks alert rules, their tests, and pages of metrics.
    Promtool,
    /// Renders the chart.
    Helm,
    /// Checks objects against schemas.
    Kubeconform,
    /// Builds the image, without a daemon.
    Buildah,
}

/// Where a tool's source comes from.
enum Recipe {
    /// A package that its module's `go.mod` pins.
    Pinned(&'static str),
    /// A package with its version, for `go install`.
    Install(&'static str),
}

impl Tool {
    /// Every tool of the control plane, quick builds first.
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::Ec2MetadataMock,
        Self::Kwok,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
    ];

    /// The program's file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Ec2MetadataMock => "ec2-metadata-mock",
            Self::Promtool => "promtool",
            Self::Helm => "helm",
            Self::Kubeconform => "kubeconform",
            Self::Buildah => "buildah",
        }
    }

    fn module(self) -> &'static Module {
        match self {
            Self::Promtool => &PROMTOOL,
            Self::Helm | Self::Kubeconform => &CHART,
            Self::Buildah => &BUILDAH,
            _ => &CONTROL_PLANE,
        }
    }

    fn recipe(self) -> Recipe {
        match self {
            Self::Etcd => Recipe::Pinned("go.etcd.io/etcd/server/v3"),
            Self::KubeApiserver => Recipe::Pinned("k8s.io/kubernetes/cmd/kube-apiserver"),
            Self::KubeControllerManager => {
                Recipe::Pinned("k8s.io/kubernetes/cmd/kube-controller-manager")
            }
            Self::KubeScheduler => Recipe::Pinned("k8s.io/kubernetes/cmd/kube-scheduler"),
            Self::Kubectl => Recipe::Pinned("k8s.io/kubernetes/cmd/kubectl"),
            Self::Promtool => Recipe::Pinned("github.com/prometheus/prometheus/cmd/promtool"),
            Self::Kwok => Recipe::Install("sigs.k8s.io/kwok/cmd/kwok@v0.8.0"),
            Self::Ec2MetadataMock => Recipe::Install(
                "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@v1.13.0",
            ),
            Self::Buildah => Recipe::Pinned("github.com/containers/buildah/cmd/buildah"),
            Self::Helm => Recipe::Install("helm.sh/helm/v4/cmd/helm@v4.3.1"),
            Self::Kubeconform => {
                Recipe::Install("github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0")
            }
        }
    }

    /// About how long a first build takes on two cores.
    fn cold_build(self) -> &'static str {
        match self {
            Self::KubeApiserver | Self::Helm => "5 minutes",
            Self::Promtool => "3 minutes",
            Self::Kwok | Self::Buildah => "2 minutes",
            Self::KubeControllerManager => "1 minute",
            Self::Etcd
            | Self::KubeScheduler
            | Self::Kubectl
            | Self::Ec2MetadataMock
            | Self::Kubeconform => "half a minute",
        }
    }

    /// The tool out of a developer's own directory of binaries.
    fn in_assets(self) -> Option<PathBuf> {
        matches!(self, Self::Etcd | Self::KubeApiserver | Self::Kubectl)
            .then(|| env::var_os("KUBEBUILDER_ASSETS"))
            .flatten()
            .map(|assets| Path::new(&assets).join(self.name()))
            .filter(|path| path.is_file())
    }
}

/// The directories of built tools.
#[derive(Clone, Debug)]
pub struct Tools {
    cache: PathBuf,
}

impl Tools {
    /// Sees to it that all `wanted` tools are there, building what is missing, with progress
    /// on stderr. Processes that run at the same time build once and wait for each other.
    ///
    /// # Errors
    /// When Go is missing, a build fails, or the cache directory cannot be written.
    pub async fn ensure(wanted: &[Tool]) -> Result<Self> {
        let wanted = wanted.to_vec();
        tokio::task::spawn_blocking(move || Self::ensure_blocking(&wanted))
            .await
            .map_err(|error| Error::Tool(format!("the build was cut off: {error}")))?
    }

    /// Where `tool` is. It is there if it was among those that [`Tools::ensure`] was given.
    pub fn path(&self, tool: Tool) -> PathBuf {
        tool.in_assets()
            .unwrap_or_else(|| self.dir(tool.module()).join(tool.name()))
    }

    /// The directory that a module's tools are built into.
    fn dir(&self, module: &Module) -> PathBuf {
        let name = format!("{}-{:016x}", module.prefix, module_fingerprint(module));
        self.cache.join(name)
    }

    fn ensure_blocking(wanted: &[Tool]) -> Result<Self> {
        let tools = Self {
            cache: cache_dir()?,
        };
        for module in [&CONTROL_PLANE, &PROMTOOL, &CHART, &BUILDAH] {
            let of_it = |tool: &Tool| std::ptr::eq(tool.module(), module);
            let wanted: Vec<Tool> = wanted.iter().copied().filter(of_it).collect();
            tools.ensure_of(module, &wanted)?;
        }
        Ok(tools)
    }

    fn ensure_of(&self, module: &Module, wanted: &[Tool]) -> Result<()> {
        let missing = || -> Vec<Tool> {
            let is_missing = |tool: &Tool| !self.path(*tool).is_file();
            wanted.iter().copied().filter(is_missing).collect()
        };
        if missing().is_empty() {
            return Ok(());
        }
        let dir = self.dir(module);
        std::fs::create_dir_all(&dir).context(format!("make {}", dir.display()))?;
        let _lock = Lock::acquire(
            &dir.join("lock"),
            Some("waiting for another process that builds the same tools ..."),
        )?;
        sweep(&dir);
        // Again, now that nobody else builds.
        let missing = missing();
        let count = missing.len();
        for (index, tool) in missing.into_iter().enumerate() {
            eprintln!(
                "[{}/{count}] building {} (first time only, about {} with an empty build cache) ...",
                index + 1,
                tool.name(),
                tool.cold_build(),
            );
            build(tool, &dir)?;
        }
        Ok(())
    }
}

/// Removes what builds that were killed have left. Called with the lock held.
fn sweep(dir: &Path) {
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(ATTEMPT) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Builds into a directory beside, then renames: a tool is there whole or not at all.
fn build(tool: Tool, dir: &Path) -> Result<()> {
    let name = tool.name();
    let attempt = tempfile::Builder::new()
        .prefix(ATTEMPT)
        .tempdir_in(dir)
        .context(format!("make a directory in {}", dir.display()))?;
    let built = attempt.path().join(name);
    let output = output("go", |go| prepare(go, tool, attempt.path(), &built))
        .context("start go under setpriv (of util-linux)")?;
    if output.status.code() == Some(NOT_FOUND) {
        return Err(no_go(tool));
    }
    if !output.status.success() || !built.is_file() {
        return Err(Error::Tool(format!(
            "building {name} with `go` ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end(),
        )));
    }
    std::fs::rename(&built, dir.join(name)).context(format!("put {name} into place"))
}

/// The user's cache directory for this project; the shipping binary's lock lives there too.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("spot-tests"))
        .ok_or_else(|| Error::Tool("set HOME or XDG_CACHE_HOME: tools are kept there".into()))
}

fn prepare(go: &mut Command, tool: Tool, bin: &Path, built: &Path) {
    go.env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env_remove("GOFLAGS")
        .current_dir(tool.module().dir);
    match tool.recipe() {
        Recipe::Pinned(package) => {
            go.args(["build", "-trimpath", "-tags", TAGS]);
            go.args(["-ldflags", &version_flags(), "-o"]);
            go.arg(built).arg(package);
        }
        Recipe::Install(package) => {
            go.env("GOBIN", bin)
                .args(["install", "-trimpath", "-ldflags", "-s -w", package]);
        }
    }
}

/// Of Prometheus' service discovery promtool needs none here; with all of it the build takes three
/// times as long. What buildah has in C is not needed for an image from nothing.
const TAGS: &str = "remove_all_sd,containers_image_openpgp,exclude_graphdriver_btrfs";

/// What a shell exits with when there is no such command.
const NOT_FOUND: i32 = 127;

fn no_go(tool: Tool) -> Error {
    Error::Tool(format!(
        "`go` is not in PATH, and {} has to be built from source once.\n\
         Install Go {} or newer. (With KUBEBUILDER_ASSETS set to a directory that holds \
         etcd, kube-apiserver and kubectl these are not built; the others still are.)",
        tool.name(),
        pinned("go ").unwrap_or("1.26"),
    ))
}

/// Without these the API server reports no version, and clients that ask for it stumble.
fn version_flags() -> String {
    let version = pinned("k8s.io/kubernetes ").unwrap_or("v0.0.0");
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor}"
    )
}

/// The version that go.mod gives for what starts a line.
fn pinned(start: &str) -> Option<&'static str> {
    CONTROL_PLANE
        .go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .filter_map(|line| line.strip_prefix(start))
        .find_map(|rest| rest.split_whitespace().next())
}

/// Everything that goes into a module's tools: other input, other directory.
fn module_fingerprint(module: &Module) -> u64 {
    let others = [Tool::Promtool, Tool::Helm, Tool::Kubeconform, Tool::Buildah];
    let all = Tool::ALL.into_iter().chain(others);
    let recipes = all.filter(|tool| std::ptr::eq(tool.module(), module));
    let recipes = recipes.map(|tool| match tool.recipe() {
        Recipe::Pinned(package) | Recipe::Install(package) => package,
    });
    let recipes = recipes.collect::<Vec<_>>().join(" ");
    fingerprint(&[module.go_mod, module.go_sum, &version_flags(), &recipes])
}

/// FNV-1a over all parts.
pub(crate) fn fingerprint(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|text| text.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_pinned_one() {
        assert!(pinned("k8s.io/kubernetes ").is_some_and(|version| version.starts_with("v1.")));
        assert!(version_flags().contains("gitMajor=1 "));
    }
}
