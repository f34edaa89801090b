//! The parts of a control plane and how each is called.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::users::{self, Users, kubeconfig_path};
use crate::{
    Result,
    certificates::Certificates,
    error::Context as _,
    kwok,
    process::Spec,
    tools::{Tool, Tools},
};

/// A part that can be looked at, paused, stopped and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The API server. First, so that it is killed before its store is.
    ApiServer,
    /// The store.
    Etcd,
    /// Deployments, budgets, endpoints, garbage collection.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// KWOK: the kubelets of all nodes.
    Kubelets,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 5] = [
        Self::ApiServer,
        Self::Etcd,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kubelets,
    ];
}

/// Requests per second that the parts may make: none of them shall be what a test measures.
const QPS: u32 = 1000;

/// Writes the files that do not depend on ports.
pub(super) fn write_files(dir: &Path, users: &Users) -> Result<()> {
    write(dir, "tokens.csv", &users.token_file())?;
    write_json(
        dir,
        "audit-policy.json",
        &json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [
                // With its body: the UID in it says which of two pods of one name was meant.
                {
                    "level": "Request",
                    "verbs": ["create"],
                    "resources": [{"group": "", "resources": ["pods/eviction"]}],
                },
                {"level": "Metadata"},
            ],
        }),
    )?;
    write_json(
        dir,
        "scheduler.json",
        &json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": false},
            "clientConnection": {
                "kubeconfig": kubeconfig_path(dir, users::SCHEDULER),
                "qps": QPS,
                "burst": 2 * QPS,
            },
        }),
    )?;
    write(dir, "kwok.yaml", &kwok::configuration())
}

pub(super) fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.jsonl")
}

pub(super) fn etcd(tools: &Tools, dir: &Path, port: u16) -> Spec {
    let url = format!("http://127.0.0.1:{port}");
    spec(tools, dir, Tool::Etcd)
        .args([
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--listen-peer-urls=http://127.0.0.1:0",
        ])
        // Port 0 in the peer's address: nobody joins.
        .arg("--initial-advertise-peer-urls=http://127.0.0.1:0")
        .arg("--initial-cluster=default=http://127.0.0.1:0")
        .arg(flag("data-dir", dir.join(format!("etcd-{port}"))))
        .arg(flag("listen-client-urls", &url))
        .arg(flag("advertise-client-urls", &url))
}

pub(super) fn api_server(
    tools: &Tools,
    dir: &Path,
    certificates: &Certificates,
    etcd: u16,
    port: u16,
) -> Spec {
    spec(tools, dir, Tool::KubeApiserver)
        .args(["--bind-address=127.0.0.1", "--external-hostname=127.0.0.1"])
        // Nobody reaches it through the service `kubernetes`, which cannot point at loopback.
        .arg("--endpoint-reconciler-type=none")
        .args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
        ])
        .args([
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
        ])
        .args(["--profiling=false", "--watch-cache=true"])
        .arg(flag("etcd-servers", format!("http://127.0.0.1:{etcd}")))
        .arg(flag("secure-port", port.to_string()))
        .arg(flag("cert-dir", dir))
        .arg(flag("tls-cert-file", &certificates.server))
        .arg(flag("tls-private-key-file", &certificates.server_key))
        .arg(flag("token-auth-file", dir.join("tokens.csv")))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(flag(
            "service-account-key-file",
            &certificates.service_account_public_key,
        ))
        .arg(flag(
            "service-account-signing-key-file",
            &certificates.service_account_key,
        ))
        .arg(flag("audit-policy-file", dir.join("audit-policy.json")))
        .arg(flag("audit-log-path", audit_log(dir)))
        // One file, written before the request returns.
        .args(["--audit-log-mode=blocking", "--audit-log-maxsize=10000"])
}

/// The parts that are clients of the API server.
pub(super) fn clients(tools: &Tools, dir: &Path, certificates: &Certificates) -> [(Part, Spec); 3] {
    let controller_manager = spec(tools, dir, Tool::KubeControllerManager)
        .arg(flag(
            "kubeconfig",
            kubeconfig_path(dir, users::CONTROLLER_MANAGER),
        ))
        .args([
            "--controllers=*,-node-ipam-controller",
            "--leader-elect=false",
        ])
        .args(["--secure-port=0", "--profiling=false"])
        .arg(flag("kube-api-qps", QPS.to_string()))
        .arg(flag("kube-api-burst", (2 * QPS).to_string()))
        .arg(flag("root-ca-file", &certificates.ca))
        .arg(flag(
            "service-account-private-key-file",
            &certificates.service_account_key,
        ));
    let scheduler = spec(tools, dir, Tool::KubeScheduler)
        .args(["--secure-port=0", "--profiling=false"])
        .arg(flag("config", dir.join("scheduler.json")));
    let kubelets = spec(tools, dir, Tool::Kwok)
        .arg(flag("kubeconfig", kubeconfig_path(dir, users::KUBELETS)))
        .arg(flag("config", dir.join("kwok.yaml")));
    [
        (Part::ControllerManager, controller_manager),
        (Part::Scheduler, scheduler),
        (Part::Kubelets, kubelets),
    ]
}

fn spec(tools: &Tools, dir: &Path, tool: Tool) -> Spec {
    Spec::new(
        tool.name(),
        &tools.path(tool),
        &dir.join(format!("{}.log", tool.name())),
    )
}

fn flag(name: &str, value: impl AsRef<std::ffi::OsStr>) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

fn write_json(dir: &Path, name: &str, value: &Value) -> Result<()> {
    write(dir, name, &value.to_string())
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).context(format!("write {}", path.display()))
}
