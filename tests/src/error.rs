//! What can go wrong in the harness, in words that name the part and its log.

use std::{fmt, io, path::PathBuf, time::Duration};

/// The result of nearly everything in the harness.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the harness. Its `Debug` is its `Display` with all sources, because that is
/// what a test that returns it prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file, a directory or a process could not be handled.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The API server refused or could not be reached.
    #[error("{what}")]
    Kube {
        /// What was asked.
        what: String,
        /// The client's answer.
        source: Box<kube::Error>,
    },
    /// Something did not become true in time.
    #[error("{what}: not within {within:?}; last seen: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// What the last look saw.
        last: String,
    },
    /// A tool is missing or could not be built.
    #[error("{0}")]
    Tool(String),
    /// A child process did not do what it should.
    #[error("{name}: {problem}\n--- end of {log} ---\n{tail}", log = log.display())]
    Process {
        /// The part's name.
        name: String,
        /// What it did.
        problem: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The harness was asked for something that it does not have.
    #[error("{0}")]
    Usage(String),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(inner) = source {
            write!(f, ": {inner}")?;
            source = inner.source();
        }
        Ok(())
    }
}

/// Adds what was being done to an error.
pub trait Context<T> {
    /// Names what was being done.
    ///
    /// # Errors
    /// The same failure, with `what` in front.
    fn context(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: what.into(),
            source,
        })
    }
}

impl<T> Context<T> for std::result::Result<T, kube::Error> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Kube {
            what: what.into(),
            source: Box::new(source),
        })
    }
}
