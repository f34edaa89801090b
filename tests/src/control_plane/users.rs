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
/// How many numbered handlers there are.
const NUMBERED: usize = 64;

/// `admin` and `kubectl` (who may do everything), `handler` and `handler-0` to `handler-63`
/// (who may do what RBAC gives to [`HANDLERS`] or to them), `nobody` (in no group), and the
/// control plane's own parts.
pub struct Users {
    users: BTreeMap<String, User>,
    handed_out: AtomicUsize,
}

struct User {
    token: String,
    group: Option<&'static str>,
}

impl Users {
    pub(super) fn new() -> Self {
        let masters = ["admin", "kubectl", CONTROLLER_MANAGER, KUBELETS];
        let handlers = (0..NUMBERED).map(numbered).chain(["handler".to_owned()]);
        let users = masters
            .map(|name| (name.to_owned(), Some(MASTERS)))
            .into_iter()
            .chain(handlers.map(|name| (name, Some(HANDLERS))))
            .chain([SCHEDULER, "nobody"].map(|name| (name.to_owned(), None)))
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
            users,
            handed_out: AtomicUsize::new(0),
        }
    }

    pub(super) fn take_handler(&self) -> Result<String> {
        let number = self.handed_out.fetch_add(1, Ordering::Relaxed);
        if number < NUMBERED {
            Ok(numbered(number))
        } else {
            Err(Error::Usage(format!(
                "all {NUMBERED} handler users are taken"
            )))
        }
    }

    pub(super) fn token(&self, user: &str) -> Result<&str> {
        self.users
            .get(user)
            .map(|user| user.token.as_str())
            .ok_or_else(|| Error::Usage(format!("no user {user:?} on this control plane")))
    }

    /// The API server's format: token, user, uid, groups.
    pub(super) fn token_file(&self) -> String {
        use fmt::Write as _;
        let mut file = String::new();
        for (name, User { token, group }) in &self.users {
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
        for (name, user) in &self.users {
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
        f.debug_set().entries(self.users.keys()).finish()
    }
}

pub(super) fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

pub(super) fn kubeconfig_path(dir: &Path, user: &str) -> PathBuf {
    dir.join(format!("{}.kubeconfig", user.replace(':', "-")))
}

fn numbered(number: usize) -> String {
    format!("handler-{number}")
}

/// The standard library's hash keys are random; loopback asks for no more.
fn random_token() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
