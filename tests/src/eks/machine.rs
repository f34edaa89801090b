//! An EC2 instance as its user data sees it: a metadata service, EC2's API, and either
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
    python::Python,
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
    /// The same before `nodeadm` read more than the user data.
    OldAl2023,
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
    /// The document for `nodeadm` in the user data itself.
    pub first_document: Value,
    /// Where the one with the life cycle is to be.
    pub document: PathBuf,
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
            Image::Al2023 | Image::OldAl2023 => {
                machine.stand_in("nodeadm", "bin/nodeadm")?;
                machine.stand_in("no-bootstrap", "etc/eks/bootstrap.sh")?;
            }
        }
        if image == Image::Al2023 {
            let dir = machine.scratch.path().join("etc/eks/nodeadm.d");
            std::fs::create_dir(&dir).context(format!("make {}", dir.display()))?;
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

    /// Does with the user data what cloud-init does: runs its script to its end.
    ///
    /// # Errors
    /// When the user data is not a document for `nodeadm` and a script, bash cannot be started, or
    /// does not end.
    pub async fn boot(self, user_data: &str) -> Result<Booted> {
        let dir = self.scratch.path().to_owned();
        let machine = self.write("user-data", user_data)?;
        let python = Python::ensure().await?;
        let mime = dir.join("user-data").display().to_string();
        let parts = python.script("mime_parts.py", &[&mime]).await?;
        let part = |index: usize, kind: &str| {
            let part = parts[0].get(index).filter(|part| part[0] == kind);
            let body = part.and_then(|part| part[1].as_str());
            body.ok_or_else(|| Error::Usage(format!("part {index} of the user data is no {kind}")))
        };
        let first_document = yaml(part(0, "application/node.eks.aws")?)?;
        // Paths of the root directory that it names, moved into ours.
        let script = part(1, "text/x-shellscript")?
            .replace("/etc/eks/", &format!("{}/etc/eks/", dir.display()));
        let machine = machine.write("script", &script)?;
        let spec = Spec::new("user data", Path::new("bash"), &dir.join("log"))
            .arg(dir.join("script"))
            .env("MACHINE", &dir)
            .env("PATH", format!("{}/bin:/usr/bin:/bin", dir.display()));
        let process = Process::start(&spec)?;
        let status = process.wait(PATIENCE).await?;
        Ok(Booted {
            code: status.code(),
            said: process.log(),
            calls: calls(&dir.join("calls")),
            first_document,
            document: dir.join("etc/eks/nodeadm.d/lifecycle.yaml"),
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
    /// The document with the life cycle.
    ///
    /// # Errors
    /// When there is none, or it is no YAML.
    pub fn document(&self) -> Result<Value> {
        let path = self.document.display();
        yaml(&std::fs::read_to_string(&self.document).context(format!("read {path}"))?)
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

fn yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text)
        .map_err(|error| Error::Usage(format!("{text}\nis no YAML: {error}")))
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
