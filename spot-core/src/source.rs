//! The port that notices come through.

mod shared;

use async_trait::async_trait;

use crate::notice::Signal;
pub use shared::{SharedSource, SourceReader};

/// Somewhere that notices come from: polled, long-polled or pushed.
///
/// A fault is a [`Signal::Health`], never an error that ends the stream: the source goes on
/// asking for ever.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait NoticeSource: Send {
    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// Dropping the future loses no signal: the next call asks again.
    async fn next(&mut self) -> Signal;
}
