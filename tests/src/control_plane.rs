//! A whole control plane on loopback: etcd, API server, controller manager, scheduler, and
//! kubelets without machines.

mod parts;
mod users;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::{Client, Config};
use tokio::sync::OnceCell;

pub use parts::Part;
pub use users::{HANDLERS, Users};

use crate::{
    Error, Result,
    audit::AuditLog,
    certificates::Certificates,
    error::Context as _,
    plain_http::answers,
    ports::on_a_free_port,
    process::{Process, Spec},
    scratch::Scratch,
    tools::{Tool, Tools},
    wait::wait_until,
};

/// How long a part may take to answer on a busy machine; seconds are usual.
const START: Duration = Duration::from_secs(90);
/// How long a part may take to end after SIGTERM. An API server that has lost its etcd takes
/// long: it is killed then.
const STOP: Duration = Duration::from_secs(10);

type Parts = BTreeMap<Part, (Spec, Arc<Process>)>;

/// A running control plane, gone when it is dropped or when the process ends.
///
/// Clients belong to the runtime in which they were made, so a test makes its own.
#[derive(Debug)]
pub struct ControlPlane {
    // Declared before the directory, so that all parts are dead when it is removed.
    parts: Mutex<Parts>,
    users: Users,
    certificates: Certificates,
    tools: Tools,
    port: u16,
    etcd_port: u16,
    scratch: Scratch,
}

impl ControlPlane {
    /// The one control plane that all tests of a binary share. Tests keep apart by namespace,
    /// node names and users (see [`ControlPlane::take_handler_user`]).
    ///
    /// # Errors
    /// As [`ControlPlane::start`]; a later call tries again.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts a control plane of one's own, for tests that stop or pause parts of it. The
    /// tools are built first where they are missing.
    ///
    /// # Errors
    /// When a tool cannot be built or a part does not get ready; the error holds the end of
    /// its log.
    pub async fn start() -> Result<Self> {
        let plane = Self::start_servers(&Tool::ALL).await?;
        for (part, spec) in parts::clients(&plane.tools, plane.dir(), &plane.certificates) {
            let process = Arc::new(Process::start(&spec)?);
            plane.with_parts(|parts| parts.insert(part, (spec, process)));
        }
        plane.controllers_work().await?;
        Ok(plane)
    }

    /// Starts etcd and the API server only: nothing happens that no request asks for. There
    /// is no service account in a new namespace, so a pod needs one to be made first.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub async fn start_api_server() -> Result<Self> {
        Self::start_servers(&[Tool::Etcd, Tool::KubeApiserver]).await
    }

    async fn start_servers(tools: &[Tool]) -> Result<Self> {
        let tools = Tools::ensure(tools).await?;
        let scratch = Scratch::new("plane")?;
        let certificates = Certificates::create(scratch.path())?;
        let users = Users::new();
        let dir = scratch.path();
        parts::write_files(dir, &users)?;

        let (etcd, etcd_port) = on_a_free_port(async |port| {
            let spec = parts::etcd(&tools, dir, port);
            let process = Process::start(&spec)?;
            ready(&process, async || answers(port, "/health").await).await?;
            Ok((spec, Arc::new(process)))
        })
        .await?;
        let (api_server, port) = on_a_free_port(async |port| {
            let spec = parts::api_server(&tools, dir, &certificates, etcd_port, port);
            let process = Process::start(&spec)?;
            let admin = Client::try_from(users.config("admin", port, &certificates.ca)?)
                .context("make a client")?;
            ready(&process, async || is_ready(&admin).await).await?;
            Ok((spec, Arc::new(process)))
        })
        .await?;
        users.write_kubeconfigs(dir, port, &certificates.ca)?;

        let mut parts = BTreeMap::new();
        parts.insert(Part::Etcd, etcd);
        parts.insert(Part::ApiServer, api_server);
        Ok(Self {
            parts: Mutex::new(parts),
            users,
            certificates,
            tools,
            port,
            etcd_port,
            scratch,
        })
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        users::url(self.port)
    }

    /// etcd's address.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_port)
    }

    /// The directory of data, logs and kubeconfigs.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Where the programs are, `kubectl` among them.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The authority that signed the API server's certificate.
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// The API server's own certificate and key, good for anything on loopback.
    pub fn server_certificate(&self) -> (&Path, &Path) {
        (&self.certificates.server, &self.certificates.server_key)
    }

    /// The log of all requests.
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(parts::audit_log(self.dir()))
    }

    /// A kubeconfig for `user` (see [`Users`]).
    ///
    /// # Errors
    /// When there is no such user.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        self.users.token(user)?;
        Ok(users::kubeconfig_path(self.dir(), user))
    }

    /// A client configuration for `user`, without the client's own retries.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn config(&self, user: &str) -> Result<Config> {
        self.users.config(user, self.port, &self.certificates.ca)
    }

    /// A client for `user`, without the client's own retries, in the current runtime.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn client(&self, user: &str) -> Result<Client> {
        Client::try_from(self.config(user)?).context("make a client")
    }

    /// A user of group [`HANDLERS`] that nobody else on this control plane was given, so that
    /// the audit log tells its requests apart.
    ///
    /// # Errors
    /// When all are taken.
    pub fn take_handler_user(&self) -> Result<String> {
        self.users.take_handler()
    }

    /// The same of a user outside that group, who may do what [`crate::rbac::allow`] gives to
    /// it (and what every authenticated user may: review its own access).
    ///
    /// # Errors
    /// When all are taken.
    pub fn take_plain_user(&self) -> Result<String> {
        self.users.take_plain()
    }

    /// Runs `kubectl` as the user of that name, whose requests the audit log tells apart.
    /// Its output is the process's log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kubectl<S: Into<OsString>>(&self, args: impl IntoIterator<Item = S>) -> Result<Process> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let log = format!("kubectl-{}.log", RUNS.fetch_add(1, Ordering::Relaxed));
        let spec = Spec::new(
            "kubectl",
            &self.tools.path(Tool::Kubectl),
            &self.dir().join(log),
        )
        .arg("--kubeconfig")
        .arg(self.kubeconfig("kubectl")?)
        .args(args);
        Process::start(&spec)
    }

    /// A part's process, to look at.
    ///
    /// # Errors
    /// Never for a part of this control plane.
    pub fn process(&self, part: Part) -> Result<Arc<Process>> {
        self.with(part, |(_, process)| Arc::clone(process))
    }

    /// Stops a part from running while its connections stay open (SIGSTOP). A paused
    /// [`Part::Kubelets`] is a dead kubelet on every node.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self, part: Part) -> Result<()> {
        self.process(part)?.pause()
    }

    /// Lets a paused part go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self, part: Part) -> Result<()> {
        self.process(part)?.resume()
    }

    /// Ends a part as an operator would, or kills it if that takes too long.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&self, part: Part) -> Result<()> {
        self.process(part)?.stop(STOP).await.map(drop)
    }

    /// Kills a part (SIGKILL): its connections are reset and its port refuses.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self, part: Part) -> Result<()> {
        self.process(part)?.kill().map(drop)
    }

    /// Starts a part again, on its old port and data; the API server is ready on return.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn restart(&self, part: Part) -> Result<()> {
        self.stop(part).await?;
        let spec = self.with(part, |(spec, _)| spec.clone())?;
        let process = Arc::new(Process::start(&spec)?);
        self.with(part, |(_, running)| *running = Arc::clone(&process))?;
        if part == Part::ApiServer {
            let admin = self.client("admin")?;
            ready(&process, async || is_ready(&admin).await).await?;
        }
        Ok(())
    }

    fn with<T>(&self, part: Part, look: impl FnOnce(&mut (Spec, Arc<Process>)) -> T) -> Result<T> {
        self.with_parts(|parts| parts.get_mut(&part).map(look))
            .ok_or_else(|| Error::Usage(format!("no {part:?} here")))
    }

    fn with_parts<T>(&self, look: impl FnOnce(&mut Parts) -> T) -> T {
        look(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Pods can be made when the controller manager has made the first service account.
    async fn controllers_work(&self) -> Result<()> {
        use k8s_openapi::api::core::v1::ServiceAccount;
        let accounts = kube::Api::<ServiceAccount>::default_namespaced(self.client("admin")?);
        let process = self.process(Part::ControllerManager)?;
        ready(&process, async || {
            accounts
                .get("default")
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await
    }
}

/// Waits until `probe` succeeds, and gives up at once when the process ends.
pub(crate) async fn ready<F>(process: &Process, mut probe: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = Result<(), String>>,
{
    let outcome = wait_until("an answer", START, || {
        let answer = process.exit_status().map_or_else(|| Ok(probe()), Err);
        async {
            match answer {
                Ok(answer) => answer.await.map(Ok),
                Err(ended) => Ok(Err(
                    process.problem(format!("ended with {ended} while starting"))
                )),
            }
        }
    })
    .await;
    match outcome {
        // Alive still: nobody else answered on its port.
        Ok(Ok(())) if process.is_running() => Ok(()),
        Ok(Ok(())) => Err(process.problem("ended, and another process answers on its port")),
        Ok(Err(ended)) => Err(ended),
        Err(late) => Err(process.problem(late.to_string())),
    }
}

async fn is_ready(client: &Client) -> Result<(), String> {
    let request = ::http::Request::get("/readyz")
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    client
        .request_text(request)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}
