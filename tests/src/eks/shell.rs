//! One shell in which a reader follows the guide: what a command exports, the next one sees.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{EXAMPLE, guide::Guide};
use crate::{
    Error, Result,
    error::Context as _,
    process::{Process, Spec},
    scratch::Scratch,
};

/// Nothing here takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// A bash in the example's directory, with an environment of its own.
#[derive(Clone, Debug)]
pub struct Shell {
    path: Vec<PathBuf>,
    env: BTreeMap<String, OsString>,
}

impl Shell {
    /// A shell that finds programs in `path` before it finds the system's.
    pub fn new(path: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            path: path.into_iter().collect(),
            env: BTreeMap::new(),
        }
    }

    /// Sets a variable. Nothing of the developer's own environment is there.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Goes on where other commands ended: what they exported is there. Programs are found as before.
    #[must_use]
    pub fn after(mut self, printed: &Printed) -> Self {
        let exported = printed.exported.iter().filter(|(key, _)| *key != "PATH");
        self.env
            .extend(exported.map(|(key, value)| (key.clone(), value.into())));
        self
    }

    /// Begins to follow `guide`.
    pub fn follow<'a>(&'a self, guide: &'a Guide) -> Walk<'a> {
        Walk {
            shell: self,
            guide,
            steps: Vec::new(),
        }
    }
}

/// Commands one after the other, those of the guide and a test's own between them.
#[derive(Debug)]
pub struct Walk<'a> {
    shell: &'a Shell,
    guide: &'a Guide,
    steps: Vec<(String, String)>,
}

/// What each step printed, by its name, and what was exported in the end.
#[derive(Debug)]
pub struct Printed {
    steps: BTreeMap<String, String>,
    exported: BTreeMap<String, String>,
}

impl Walk<'_> {
    /// Does what these blocks of the guide say.
    ///
    /// # Errors
    /// When the guide has no such block.
    pub fn blocks(mut self, names: &[&str]) -> Result<Self> {
        for name in names {
            let commands = self.guide.commands(name)?.to_owned();
            self.steps.push(((*name).to_owned(), commands));
        }
        Ok(self)
    }

    /// Does something that is not in the guide.
    #[must_use]
    pub fn own(mut self, name: &str, commands: &str) -> Self {
        self.steps.push((name.to_owned(), commands.to_owned()));
        self
    }

    /// Runs everything in one bash, which ends at the first command that fails.
    ///
    /// # Errors
    /// When a command fails. The error has what was printed last.
    pub async fn run(self) -> Result<Printed> {
        let scratch = Scratch::new("eks")?;
        let print = |name: &str| scratch.path().join(name);
        let steps = self.steps.iter().map(|(name, commands)| {
            // A group, not a subshell: what it exports stays.
            let out = print(name).display().to_string();
            format!("echo '== {name}' >&2\n{{\n{commands}\n}} >'{out}'\n")
        });
        let exported = scratch.path().join("exported");
        let end = format!("env --null >'{}'\n", exported.display());
        let script: String = std::iter::once("set -e\n".to_owned())
            .chain(steps)
            .chain([end])
            .collect();
        let path = scratch.path().join("walk.sh");
        std::fs::write(&path, script).context(format!("write {}", path.display()))?;
        let log = scratch.path().join("walk.log");
        let bash = Spec::new("the guide's commands", Path::new("bash"), &log)
            .arg("-c")
            .arg(format!("cd '{EXAMPLE}' && . '{}'", path.display()))
            .env("PATH", self.shell.search_path());
        let bash = self
            .shell
            .env
            .iter()
            .fold(bash, |bash, (key, value)| bash.env(key, value));
        let bash = Process::start(&bash)?;
        let status = bash.wait(PATIENCE).await?;
        if !status.success() {
            return Err(bash.problem(format!("ended with {status}")));
        }
        let read = |name: &String| std::fs::read_to_string(print(name)).unwrap_or_default();
        let printed = self
            .steps
            .iter()
            .map(|(name, _)| (name.clone(), read(name)));
        let exported = std::fs::read_to_string(&exported).unwrap_or_default();
        let exported = exported.split('\0').filter_map(|both| both.split_once('='));
        Ok(Printed {
            steps: printed.collect(),
            exported: exported
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        })
    }
}

impl Shell {
    fn search_path(&self) -> OsString {
        let mut path = OsString::new();
        for dir in &self.path {
            path.push(dir);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path
    }
}

impl Printed {
    /// What the step `name` printed, without the last line's end.
    pub fn by(&self, name: &str) -> &str {
        self.steps.get(name).map_or("", |text| text.trim_end())
    }

    /// What the commands had exported under this name when they ended.
    pub fn exported(&self, name: &str) -> &str {
        self.exported.get(name).map_or("", String::as_str)
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json(&self, name: &str) -> Result<serde_json::Value> {
        let text = self.by(name);
        serde_json::from_str(text)
            .map_err(|error| Error::Usage(format!("{name} printed {text}: {error}")))
    }
}
