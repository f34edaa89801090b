//! Who answers.

use async_trait::async_trait;
use kube::Client;

use crate::Result;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Admin,
    /// Is known and may do nothing.
    Nobody,
    /// Has a token that nobody gave out.
    Stranger,
}

/// An API server, real or simulated.
#[async_trait]
pub trait Target: Send + Sync {
    /// A client without retries, in the current runtime.
    ///
    /// # Errors
    /// When none can be made.
    fn client(&self, user: User) -> Result<Client>;

    /// Makes a namespace in which pods can be made.
    ///
    /// # Errors
    /// When the server refuses.
    async fn namespace(&self, name: &str) -> Result<()>;

    /// Forgets the past: lists that were begun cannot go on, and watches can start from no
    /// version but the present one.
    ///
    /// # Errors
    /// When the server refuses.
    async fn forget(&self) -> Result<()>;

    /// How many cases may run at the same time.
    fn width(&self) -> usize;
}
