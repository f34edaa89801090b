//! SIGTERM and SIGINT: the first asks for an end, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::Exit;

/// Exit codes of a process that a signal ended (128 + its number).
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Sends on `first` at the first signal and returns at the second.
    pub(crate) async fn follow(mut self, first: oneshot::Sender<()>) -> Exit {
        self.next().await;
        // Whoever waited for it may have ended already.
        let _ = first.send(());
        // At once, and silently.
        Exit::silent(self.next().await)
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.interrupt.recv() => INTERRUPTED,
        }
    }
}
