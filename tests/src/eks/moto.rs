//! AWS, simulated by moto on a port of loopback.
//!
//! Where it differs from AWS, as far as the example is concerned:
//! - patterns of parameters, rules and update policies are not looked at;
//! - capacity rebalancing, lifecycle hooks and access entries are dropped;
//! - rules for what leaves a security group are not made, and those for what comes into somebody
//!   else's group are not taken back;
//! - a group starts as many instances as are desired, none of them on Spot;
//! - an update removes what is to go before it changes the rest, and replaces an Auto Scaling group;
//! - a stack that a change set made has no outputs, and keeps its tags whatever the change set says.

use std::{path::Path, time::Duration};

use super::{FIXTURES, shell::Shell};
use crate::{
    Result,
    plain_http::answers,
    ports::on_a_free_port,
    process::{Process, Spec},
    python::Python,
    scratch::Scratch,
    wait::wait_until,
};

/// The first start compiles all of moto.
const START: Duration = Duration::from_secs(90);

/// A running server with nothing in it, its images apart.
#[derive(Debug)]
pub struct Moto {
    _process: Process,
    port: u16,
    python: Python,
    _scratch: Scratch,
}

impl Moto {
    /// Starts one.
    ///
    /// # Errors
    /// When the Python packages cannot be installed, or the server does not start.
    pub async fn start() -> Result<Self> {
        let python = Python::ensure().await?;
        let scratch = Scratch::new("moto")?;
        let (process, port) = on_a_free_port(async |port| {
            let log = scratch.path().join(format!("moto-{port}.log"));
            let spec = Spec::new("moto_server", &python.program("moto_server"), &log)
                .args(["--host", "127.0.0.1", "--port"])
                .arg(port.to_string())
                .env("MOTO_AMIS_PATH", Path::new(FIXTURES).join("images.json"))
                .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true");
            let process = Process::start(&spec)?;
            wait_until("an answer of moto_server", START, async || {
                match process.exit_status() {
                    Some(ended) => Ok(Err(process.problem(format!("ended with {ended}")))),
                    None => answers(port, "/moto-api/").await.map(Ok),
                }
            })
            .await??;
            Ok(process)
        })
        .await?;
        Ok(Self {
            _process: process,
            port,
            python,
            _scratch: scratch,
        })
    }

    /// A shell whose `aws` talks to it, and whose `eksctl` is a stand-in.
    pub fn shell(&self) -> Shell {
        Shell::new([Path::new(FIXTURES).join("stand-ins"), self.python.bin()])
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://127.0.0.1:{}", self.port),
            )
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
    }
}
