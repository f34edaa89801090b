//! An EC2 instance as its user data sees it: a metadata service, EC2's and EKS's APIs, and either
//! `nodeadm` or `bootstrap.sh`. All are stand-ins that write down how they were called.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::FIXTURES;
use crate::{
    Error, Result,
    error::Context as _,
    process::{Process, Spec},
    scratch::Scratch,
};

/// The id that its metadata names.
pub const INSTANCE: &str = "i-0123456789abcdef0";
const PATIENCE: Duration = Duration::from_secs(60);

/// What it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Amazon Linux 2: `bootstrap.sh`.
    Al2,
    /// Amazon Linux 2023: `nodeadm`, and a `bootstrap.sh` that refuses.
    Al2023,
}

/// One call of a stand-in: its name and its arguments.
pub type Call = Vec<String>;

/// An instance that has not booted yet.
#[derive(Debug)]
pub struct Machine {
    scratch: Scratch,
}

/// How its user data ended.
#[derive(Debug)]
pub struct Booted {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it said.
    pub said: String,
    /// What it called, in that order.
    pub calls: Vec<Call>,
    /// Where the document for `nodeadm` is.
    pub node_config: PathBuf,
    _scratch: Scratch,
}

impl Machine {
    /// An instance whose metadata has its id and nothing else, and whose APIs refuse everything.
    ///
    /// # Errors
    /// When its directory cannot be filled.
    pub fn new(image: Image) -> Result<Self> {
        let machine = Self {
            scratch: Scratch::new("machine")?,
        };
        machine.stand_in("curl", "bin/curl")?;
        machine.stand_in("aws", "bin/aws")?;
        machine.stand_in("sleep", "bin/sleep")?;
        match image {
            Image::Al2 => machine.stand_in("bootstrap", "etc/eks/bootstrap.sh")?,
            Image::Al2023 => {
                machine.stand_in("nodeadm", "bin/nodeadm")?;
                machine.stand_in("no-bootstrap", "etc/eks/bootstrap.sh")?;
            }
        }
        machine.metadata("instance-id", INSTANCE)
    }

    /// Its metadata has a value at a path.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn metadata(self, path: &str, value: &str) -> Result<Self> {
        self.write(&format!("answers/metadata/{path}"), value)
    }

    /// Its metadata is switched off.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn without_metadata(self) -> Result<Self> {
        let dir = self.scratch.path().join("answers/metadata");
        std::fs::remove_dir_all(&dir).context(format!("remove {}", dir.display()))?;
        Ok(self)
    }

    /// An API answers to a command of `aws`, as in `ec2 describe-instances`.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn api(self, command: &str, answer: &str) -> Result<Self> {
        self.write(&format!("answers/api/{command}"), answer)
    }

    /// It refuses the first so many calls of that command.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn refusals(self, command: &str, count: usize) -> Result<Self> {
        self.write(&format!("answers/refusals/{command}"), &count.to_string())
    }

    /// Runs the user data to its end.
    ///
    /// # Errors
    /// When bash cannot be started, or does not end.
    pub async fn boot(self, user_data: &str) -> Result<Booted> {
        let dir = self.scratch.path().to_owned();
        // Paths of the root directory that it names, moved into ours.
        let script = user_data.replace("/etc/eks/", &format!("{}/etc/eks/", dir.display()));
        let machine = self.write("user-data", &script)?;
        let spec = Spec::new("user data", Path::new("bash"), &dir.join("log"))
            .arg(dir.join("user-data"))
            .env("MACHINE", &dir)
            .env("PATH", format!("{}/bin:/usr/bin:/bin", dir.display()));
        let process = Process::start(&spec)?;
        let status = process.wait(PATIENCE).await?;
        Ok(Booted {
            code: status.code(),
            said: process.log(),
            calls: calls(&dir.join("calls")),
            node_config: dir.join("etc/eks/nodegroup.yaml"),
            _scratch: machine.scratch,
        })
    }

    fn write(self, name: &str, text: &str) -> Result<Self> {
        let path = self.scratch.path().join(name);
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).context(format!("make {}", parent.display()))?;
        std::fs::write(&path, text).context(format!("write {}", path.display()))?;
        Ok(self)
    }

    fn stand_in(&self, name: &str, at: &str) -> Result<()> {
        let from = Path::new(FIXTURES).join("machine").join(name);
        let to = self.scratch.path().join(at);
        let parent = to.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).context(format!("make {}", parent.display()))?;
        std::fs::copy(&from, &to).context(format!("copy {}", from.display()))?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&to, executable).context(format!("mark {}", to.display()))
    }
}

impl Booted {
    /// The document for `nodeadm`.
    ///
    /// # Errors
    /// When there is none, or it is no YAML.
    pub fn document(&self) -> Result<Value> {
        let path = self.node_config.display();
        let text = std::fs::read_to_string(&self.node_config).context(format!("read {path}"))?;
        serde_saphyr::from_str(&text)
            .map_err(|error| Error::Usage(format!("{text}\nis no YAML: {error}")))
    }

    /// The calls of one stand-in, without its name.
    pub fn calls_of(&self, name: &str) -> Vec<&[String]> {
        let calls = self.calls.iter();
        calls
            .filter(|call| call.first().is_some_and(|first| first == name))
            .map(|call| &call[1..])
            .collect()
    }
}

/// A file of calls: the number of words and the words, each ended by a zero byte.
fn calls(path: &Path) -> Vec<Call> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut words = text.split_terminator('\0').map(str::to_owned);
    let mut calls = Vec::new();
    while let Some(count) = words.next().and_then(|count| count.parse().ok()) {
        calls.push(words.by_ref().take(count).collect());
    }
    calls
}
