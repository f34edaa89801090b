//! Directories for data and logs, which outlive the process by one run: a killed process
//! cannot clean up, so the next one does. The logs of the last run are there to be read.

use std::path::Path;

use crate::{Result, error::Context as _, lock::Lock};

const PREFIX: &str = "spot-tests-";
const OWNER: &str = "owner.lock";

/// A directory of our own under the temporary directory, locked while we live.
#[derive(Debug)]
pub struct Scratch {
    dir: tempfile::TempDir,
    _owner: Lock,
}

impl Scratch {
    /// Makes a directory, and removes those whose processes are gone.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(purpose: &str) -> Result<Self> {
        let parent = std::env::temp_dir();
        // One at a time, so that nobody sweeps a directory whose lock is about to be taken.
        let sweeping = Lock::acquire(&parent.join(format!("{PREFIX}sweep.lock")), None).ok();
        if sweeping.is_some() {
            sweep(&parent);
        }
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{purpose}-"))
            .tempdir_in(&parent)
            .context(format!("make a directory in {}", parent.display()))?;
        let owner = Lock::acquire(&dir.path().join(OWNER), None)?;
        Ok(Self { dir, _owner: owner })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    /// A failing test's logs are kept until the next run.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("logs are in {}", self.path().display());
            self.dir.disable_cleanup(true);
        }
    }
}

/// Removes what dead processes left. Best effort: another process may be doing the same.
fn sweep(parent: &Path) {
    let Ok(entries) = parent.read_dir() else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if is_ours(&path) && Lock::try_acquire(&path.join(OWNER)).is_some() {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Only directories whose owner has written its lock: one without may be in the making.
fn is_ours(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(PREFIX))
        && path.join(OWNER).is_file()
}
