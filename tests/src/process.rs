//! Child processes that die with us, whatever happens to us.
//!
//! A child asks the kernel to be killed when its parent is gone (`PR_SET_PDEATHSIG`, through
//! `setpriv`). The kernel means the *thread* that forked it, and the threads of a test harness
//! and of a test's runtime end long before the process: so one thread of our own does all the
//! forking, and ends with the process only.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Result, error::Context as _, wait::wait_until};

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<String, OsString>,
    log: PathBuf,
}

impl Spec {
    /// `program`, called `name` in messages, writing stdout and stderr to `log`.
    pub fn new(name: &str, program: &Path, log: &Path) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            log: log.into(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable. Apart from these the environment holds `PATH` only, and `HOME` is the
    /// log's directory: no part reads a developer's own configuration.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    fn command(&self) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = tied(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("HOME", self.log.parent().unwrap_or(Path::new("/")))
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }
}

/// A running child, killed and reaped when dropped.
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    /// When `setpriv` (package `util-linux`) is missing, or the log cannot be written. A
    /// program that cannot be executed shows as a process that ends with 126 or 127.
    pub fn start(spec: &Spec) -> Result<Self> {
        let what = format!("start {} under setpriv (of util-linux)", spec.name);
        let command = spec
            .command()
            .context(format!("open {}", spec.log.display()))?;
        let child = fork(command).context(what)?;
        Ok(Self {
            name: spec.name.clone(),
            pid: child.id(),
            log: spec.log.clone(),
            child: Mutex::new(child),
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it has said so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Whether it runs (a paused one does).
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it still runs after `within`.
    pub async fn wait(&self, within: Duration) -> Result<ExitStatus> {
        let what = format!("end of {} (log: {})", self.name, self.log.display());
        wait_until(what, within, async || {
            self.exit_status().ok_or_else(|| "running".into())
        })
        .await
    }

    /// SIGTERM, then SIGKILL if it has not ended after `patience`. Returns how it ended.
    ///
    /// # Errors
    /// When it cannot be signalled or survives both.
    pub async fn stop(&self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match self.wait(patience).await {
            Ok(status) => Ok(status),
            Err(_) => self.kill(),
        }
    }

    /// SIGTERM, and no waiting.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGKILL, and reaps it: the port is free and the pid is gone on return.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<ExitStatus> {
        let mut child = self.child();
        child
            .kill()
            .and_then(|()| child.wait())
            .context(format!("kill {}", self.name))
    }

    /// SIGSTOP: connections stay open and nobody answers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// An error about this process, with the end of its log.
    pub fn problem(&self, problem: impl Into<String>) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        Error::Process {
            name: self.name.clone(),
            problem: problem.into(),
            log: self.log.clone(),
            tail,
        }
    }

    /// Signals a child that has not been reaped, so that the pid cannot be another's.
    fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        let what = || format!("signal {}", self.name);
        if child.try_wait().context(what())?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.map_or(Err(rustix::io::Errno::SRCH), |pid| {
            kill_process(pid, signal)
        })
        .map_err(io::Error::from)
        .context(what())
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A command that dies with this process, if [`fork`] starts it.
fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "sh", "-c"])
        // Closes the gap before the request took effect: a parent that was gone by then is no
        // longer the parent.
        .arg(r#"[ "$PPID" = "$0" ] || exit 1; exec "$@""#)
        .arg(std::process::id().to_string())
        .arg(program);
    command
}

/// Runs a program with our own environment to its end, unless we end before.
///
/// Blocks the thread: call it from a blocking task.
///
/// # Errors
/// When it cannot be started.
pub fn output(
    program: impl AsRef<OsStr>,
    prepare: impl FnOnce(&mut Command),
) -> io::Result<Output> {
    let mut command = tied(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    prepare(&mut command);
    fork(command)?.wait_with_output()
}

type Request = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Forks in the one thread that lives as long as the process.
fn fork(command: Command) -> io::Result<Child> {
    static FORKER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let forker = FORKER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        // The sender is a static, so the loop has no other end than the process's. Should the
        // thread not start, the send below fails and says so.
        let _ = std::thread::Builder::new()
            .name("forker".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    let _ = reply.send(command.spawn());
                }
            });
        requests
    });
    let gone = |_| io::Error::other("the thread that starts children is gone");
    let (reply, answer) = mpsc::sync_channel(1);
    forker
        .send((command, reply))
        .map_err(|_| gone(mpsc::RecvError))?;
    answer.recv().map_err(gone)?
}
