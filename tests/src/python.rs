//! The programs that the tests call from Python: AWS's client, moto's server in the place of AWS,
//! cfn-lint. Installed once, pinned, into a virtual environment in the user's cache directory.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    Error, Result,
    error::Context as _,
    lock::Lock,
    process::output,
    tools::{cache_dir, fingerprint},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
const NEEDED: &str = "The tests of examples/eks need Python 3.11 or newer with its module venv \
                      (Debian: python3-venv).";
/// Written last: an environment without it is not whole.
const WHOLE: &str = "whole";

/// A virtual environment with everything in `tests/python/requirements.txt`.
#[derive(Clone, Debug)]
pub struct Python {
    dir: PathBuf,
}

impl Python {
    /// Sees to it that the environment is there, installing it where it is missing, with progress
    /// on stderr. Processes that run at the same time install once and wait for each other.
    ///
    /// # Errors
    /// When Python or its module `venv` is missing, a package cannot be had, or the cache
    /// directory cannot be written.
    pub async fn ensure() -> Result<Self> {
        tokio::task::spawn_blocking(Self::ensure_blocking)
            .await
            .map_err(|error| Error::Tool(format!("the installation was cut off: {error}")))?
            .map_err(|error| Error::Tool(format!("{error:?}\n{NEEDED}")))
    }

    /// The directory of its programs, for a `PATH`.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// The program `name`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin().join(name)
    }

    /// What the script `name` of `tests/python` prints for `args`, a JSON value a line.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub async fn script(&self, name: &str, args: &[&str]) -> Result<Vec<Value>> {
        let (python, script) = (self.program("python3"), Path::new(SCRIPTS).join(name));
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let printed = tokio::task::spawn_blocking(move || {
            run(&python, |command| {
                command.arg(script).args(args);
            })
        })
        .await
        .map_err(|error| Error::Tool(format!("{name} was cut off: {error}")))??;
        printed
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|error| Error::Tool(format!("{name} printed {line}: {error}")))
            })
            .collect()
    }

    fn ensure_blocking() -> Result<Self> {
        // An environment belongs to the Python that made it.
        let version = run(Path::new("python3"), |command| {
            command.arg("--version");
        })?;
        let cache = cache_dir()?;
        let name = format!("python-{:016x}", fingerprint(&[REQUIREMENTS, &version]));
        let python = Self {
            dir: cache.join(&name),
        };
        if python.is_whole() {
            return Ok(python);
        }
        std::fs::create_dir_all(&cache).context(format!("make {}", cache.display()))?;
        let _lock = Lock::acquire(
            &cache.join(format!("{name}.lock")),
            Some("waiting for another process that installs Python packages ..."),
        )?;
        // Again, now that nobody else installs.
        if !python.is_whole() {
            eprintln!("installing Python packages (first time only, half a minute) ...");
            python.install()?;
        }
        Ok(python)
    }

    fn is_whole(&self) -> bool {
        self.dir.join(WHOLE).is_file()
    }

    /// In place, because the programs of a virtual environment know its path.
    fn install(&self) -> Result<()> {
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir)
                .context(format!("remove half of {}", self.dir.display()))?;
        }
        run(Path::new("python3"), |command| {
            command.args(["-m", "venv"]).arg(&self.dir);
        })?;
        // Everything is pinned, so that nothing is left to be worked out.
        run(&self.program("python3"), |command| {
            command
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-input"])
                .arg("--requirement")
                .arg(Path::new(SCRIPTS).join("requirements.txt"));
        })?;
        std::fs::write(self.dir.join(WHOLE), "").context("mark the environment as whole")
    }
}

/// Runs a program to its end and returns what it printed.
fn run(program: &Path, prepare: impl FnOnce(&mut Command)) -> Result<String> {
    let output = output(program, prepare).context("start python3 under setpriv (of util-linux)")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Tool(format!(
        "`{}` ended with {}:\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end(),
    )))
}
