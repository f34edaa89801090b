//! The metadata simulator on a port, for what AWS's own mock cannot play.

use std::net::{Ipv4Addr, SocketAddr};

use spot_imds::sim::{Imds, Server, SharedImds};
use tokio::task::JoinSet;

use crate::{Result, clock::wall_now, error::Context as _};

/// A metadata service that a test changes while it runs. It serves for as long as this lives.
#[derive(Debug)]
pub struct MetadataSim {
    /// What it says.
    pub imds: SharedImds,
    /// Its base address, for `--metadata-url`.
    pub url: String,
    _serving: JoinSet<()>,
}

impl MetadataSim {
    /// Instance `instance_id`, to which nothing is announced yet, at the present time.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn of(instance_id: &str) -> Result<Self> {
        let imds = Imds::builder()
            .instance(instance_id)
            .wall_clock(wall_now())
            .build()
            .shared();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(imds.clone(), any).context("serve metadata")?;
        let url = server.url();
        let mut serving = JoinSet::new();
        serving.spawn(server.run(std::future::pending()));
        Ok(Self {
            imds,
            url,
            _serving: serving,
        })
    }
}
