//! File locks: several test processes build a thing once and wait for each other.

use std::{fs::File, path::Path};

use crate::{Result, error::Context as _};

/// Holds an exclusive lock on a file until it is dropped (or the process ends).
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on `path`, which is created if need be. `busy` is printed if another
    /// process has it.
    ///
    /// Blocks the thread: call it from a blocking task.
    ///
    /// # Errors
    /// When the file cannot be created or locked.
    pub fn acquire(path: &Path, busy: Option<&str>) -> Result<Self> {
        let what = || format!("lock {}", path.display());
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .context(what())?;
        if file.try_lock().is_err() {
            if let Some(busy) = busy {
                eprintln!("{busy}");
            }
            file.lock().context(what())?;
        }
        Ok(Self { _file: file })
    }

    /// Takes the lock if nobody has it.
    pub fn try_acquire(path: &Path) -> Option<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .ok()?;
        file.try_lock().ok()?;
        Some(Self { _file: file })
    }
}
