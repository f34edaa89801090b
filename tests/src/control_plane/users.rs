//! Who may talk to the API server: static tokens, one per user.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use kube::Config;
use serde_json::json;

use crate::{Error, Result, error::Context as _};

/// The group of all handler users; [`crate::rbac::allow_handlers`] binds it.
pub const HANDLERS: &str = "spot-tests:handlers";

pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(super) const SCHEDULER: &str = "system:kube-scheduler";
pub(super) const KUBELETS: &str = "kwok";

const MASTERS: &str = "system:masters";
/// How many numbered users of each kind there are.
const NUMBERED: usize = 64;

/// `admin` and `kubectl` (who may do everything), `handler` and `handler-0` to `handler-63`
/// (of the group [`HANDLERS`]), `nobody` and `plain-0` to `plain-63` (of none: for tests about
/// missing rights), and the control plane's own parts.
pub struct Users {
    by_name: BTreeMap<String, User>,
    handlers: AtomicUsize,
    plain: AtomicUsize,
}

struct User {
    token: String,
    group: Option<&'static str>,
}

impl Users {
    pub(super) fn new() -> Self {
        let masters = ["admin", "kubectl", CONTROLLER_MANAGER, KUBELETS];
        let handlers = (0..NUMBERED).map(handler).chain(["handler".to_owned()]);
        let groupless = (0..NUMBERED)
            .map(plain)
            .chain([SCHEDULER, "nobody"].map(String::from));
        let by_name = masters
            .map(|name| (name.to_owned(), Some(MASTERS)))
            .into_iter()
            .chain(handlers.map(|name| (name, Some(HANDLERS))))
            .chain(groupless.map(|name| (name, None)))
            .map(|(name, group)| {
                (
                    name,
                    User {
                        token: random_token(),
                        group,
                    },
                )
            })
            .collect();
        Self {
            by_name,
            handlers: AtomicUsize::new(0),
            plain: AtomicUsize::new(0),
        }
    }

    pub(super) fn take_handler(&self) -> Result<String> {
        take(&self.handlers).map(handler)
    }

    pub(super) fn take_plain(&self) -> Result<String> {
        take(&self.plain).map(plain)
    }

    pub(super) fn token(&self, user: &str) -> Result<&str> {
        self.by_name
            .get(user)
            .map(|user| user.token.as_str())
            .ok_or_else(|| Error::Usage(format!("no user {user:?} on this control plane")))
    }

    /// The API server's format: token, user, uid, groups.
    pub(super) fn token_file(&self) -> String {
        use fmt::Write as _;
        let mut file = String::new();
        for (name, User { token, group }) in &self.by_name {
            let _ = writeln!(file, "{token},{name},{name},{}", group.unwrap_or_default());
        }
        file
    }

    pub(super) fn config(&self, user: &str, port: u16, ca: &Path) -> Result<Config> {
        let url = url(port);
        let url = url
            .parse()
            .map_err(|error| Error::Usage(format!("{url}: {error}")))?;
        let mut config = Config::new(url);
        config.root_cert_file = Some(ca.into());
        config.auth_info.token = Some(self.token(user)?.to_owned().into());
        config.default_retry = false;
        Ok(config)
    }

    pub(super) fn write_kubeconfigs(&self, dir: &Path, port: u16, ca: &Path) -> Result<()> {
        for (name, user) in &self.by_name {
            let kubeconfig = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "spot-tests", "cluster": {
                    "server": url(port),
                    "certificate-authority": ca,
                }}],
                "users": [{"name": name, "user": {"token": user.token}}],
                "contexts": [{"name": "spot-tests", "context": {
                    "cluster": "spot-tests",
                    "user": name,
                }}],
                "current-context": "spot-tests",
            });
            let path = kubeconfig_path(dir, name);
            std::fs::write(&path, kubeconfig.to_string())
                .context(format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Users {
    /// The names; no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

pub(super) fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

pub(super) fn kubeconfig_path(dir: &Path, user: &str) -> PathBuf {
    dir.join(format!("{}.kubeconfig", user.replace(':', "-")))
}

fn take(next: &AtomicUsize) -> Result<usize> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    if number < NUMBERED {
        Ok(number)
    } else {
        Err(Error::Usage(format!(
            "all {NUMBERED} users of that kind are taken"
        )))
    }
}

fn handler(number: usize) -> String {
    format!("handler-{number}")
}

fn plain(number: usize) -> String {
    format!("plain-{number}")
}

/// The standard library's hash keys are random; loopback asks for no more.
fn random_token() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
