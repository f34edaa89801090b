//! The image that is shipped: built, taken apart, and its root file system run in.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::{
    Error, Result,
    error::Context as _,
    process::output,
    scratch::Scratch,
    tools::{Tool, Tools},
};

/// An image, as an archive and as the files that it consists of.
#[derive(Debug)]
pub struct Image {
    scratch: Scratch,
    /// What it says of itself: user, entry point.
    pub config: Value,
}

/// Runs a program to its end; an error where it fails.
fn succeeded(what: &str, output: std::io::Result<Output>) -> Result<String> {
    let output = output.context(what)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        let (out, err) = (said(&output.stdout), said(&output.stderr));
        Err(Error::Tool(format!("{what}: {out}{err}")))
    }
}

impl Image {
    /// Builds it of `binary`, by the script that operators have, trusting `authorities`.
    ///
    /// # Errors
    /// When it cannot be built or taken apart.
    pub async fn build(binary: &Path, authorities: &Path) -> Result<Self> {
        let tools = Tools::ensure(&[Tool::Buildah]).await?;
        let scratch = Scratch::new("image")?;
        let mut arguments: Vec<OsString> = vec!["--binary".into(), binary.into()];
        arguments.extend(["--authorities".into(), authorities.into()]);
        arguments.push(scratch.path().join("image.tar").into());
        let task = move || {
            let built = output(crate::deploy::path("image/build"), |build| {
                build
                    .env("BUILDAH", tools.path(Tool::Buildah))
                    .args(arguments);
            });
            succeeded("deploy/image/build", built)?;
            Self::unpacked(scratch)
        };
        let done = tokio::task::spawn_blocking(task).await;
        done.map_err(|error| Error::Tool(error.to_string()))?
    }

    /// Takes the archive apart: an index, which names a manifest, which names the layers.
    fn unpacked(scratch: Scratch) -> Result<Self> {
        let dir = scratch.path();
        let layout = dir.join("layout");
        untar(&dir.join("image.tar"), &layout)?;
        let index = json(&layout.join("index.json"))?;
        let manifest = json(&blob(&layout, &index["manifests"][0])?)?;
        let config = json(&blob(&layout, &manifest["config"])?)?;
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            untar(&blob(&layout, layer)?, &dir.join("root"))?;
        }
        Ok(Self { scratch, config })
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.scratch.path().join("image.tar")
    }

    /// Its root file system.
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// Its files, by their paths.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut dirs = vec![self.root()];
        while let Some(dir) = dirs.pop() {
            let entries = dir.read_dir().context(format!("read {}", dir.display()))?;
            for entry in entries.flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    dirs.push(path);
                } else if let Ok(file) = path.strip_prefix(self.root()) {
                    files.push(file.to_owned());
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Puts a file into the root file system, as a kubelet mounts what a pod is given.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mount(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.root().join(path.trim_start_matches('/'));
        let parent = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(parent).context(format!("make {}", parent.display()))?;
        std::fs::write(&path, content).context(format!("write {}", path.display()))
    }
}

fn untar(archive: &Path, into: &Path) -> Result<()> {
    std::fs::create_dir_all(into).context(format!("make {}", into.display()))?;
    let done = output("tar", |tar| {
        tar.args(["--extract", "--no-same-owner", "--file"]);
        tar.arg(archive).arg("--directory").arg(into);
    });
    succeeded("tar", done).map(drop)
}

fn blob(layout: &Path, of: &Value) -> Result<PathBuf> {
    let digest = of["digest"].as_str();
    let digest = digest.and_then(|digest| digest.split_once(':'));
    let (kind, hash) = digest.ok_or_else(|| Error::Usage(format!("no digest in {of}")))?;
    Ok(layout.join("blobs").join(kind).join(hash))
}

fn json(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).context(format!("read {}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| Error::Usage(error.to_string()))
}
