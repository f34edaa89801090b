//! Free ports on loopback.
//!
//! Between the choice of a port and its use anybody can take it, so whoever starts a server
//! tries again with another port when the server says so: see [`on_a_free_port`].

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use crate::{Error, Result, error::Context as _};

/// How many ports a server is tried on.
const ATTEMPTS: usize = 4;
/// What Go's standard library and, with a capital, Python's say of a port that is taken.
const IN_USE: &str = "ddress already in use";

/// Given out by this process: never twice.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A TCP port on 127.0.0.1 that nobody listened on a moment ago.
///
/// # Errors
/// When no port can be bound.
pub fn free_port() -> Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .context("find a free port on loopback")?
            .port();
        if taken.insert(port) {
            return Ok(port);
        }
    }
}

/// Starts a server on a free port, and on another one when somebody else was faster.
///
/// # Errors
/// The last attempt's, or the first that has another reason.
pub async fn on_a_free_port<T, F>(mut start: impl FnMut(u16) -> F) -> Result<(T, u16)>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        let port = free_port()?;
        match start(port).await {
            Ok(started) => return Ok((started, port)),
            Err(Error::Process { tail, .. }) if attempt < ATTEMPTS && tail.contains(IN_USE) => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}
