//! A proxy in front of a real API server that breaks what it is told to break, for real: a
//! reset is an RST on the socket, a black hole a connection on which nothing more is heard.
//!
//! What goes wrong is said in the words of the simulator ([`spot_drain::sim::Faults`]), so that
//! one closure breaks both. Clients speak plain HTTP/1.1 to it on loopback; it speaks TLS to the
//! API server, hands on the client's `Authorization`, and streams watches. Every request is
//! written down as it was on the wire.
//!
//! ```no_run
//! # async fn example(plane: &spot_tests::control_plane::ControlPlane) -> spot_tests::Result<()> {
//! use spot_drain::sim::{Fault, Injection};
//! use spot_tests::proxy::Proxy;
//!
//! let config = plane.config("handler")?;
//! let proxy = Proxy::start(&config).await?;
//! proxy.set_faults(|number: u64, _: &http::Request<bytes::Bytes>, _| match number {
//!     0 => Injection::from(Fault::ResetBefore),
//!     _ => Injection::none(),
//! });
//! let client = kube::Client::try_from(proxy.towards(&config)?);
//! # Ok(()) }
//! ```
//!
//! What it cannot do: bodies that are padded or come slowly; a refused connection is a reset one;
//! and [`Injection::lag`]. A list from a stale cache would have to be answered out of
//! the server's past; only the simulator does that. A request whose client hangs up while it is
//! held back ([`Injection::before`]) never reaches the server.
//!
//! [`Injection::lag`]: spot_drain::sim::Injection::lag
//! [`Injection::before`]: spot_drain::sim::Injection::before

mod connection;
mod forward;
mod record;
mod watch;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use kube::{Client, Config};
use spot_drain::sim::{Faults, Recorded};
use tokio::{net::TcpListener, sync::watch as signal, task::JoinSet};

use crate::{Error, Result, error::Context as _};
use forward::Upstream;
use record::Records;

/// A running proxy. Dropping it ends every connection.
pub struct Proxy {
    address: SocketAddr,
    records: Arc<Records>,
    /// Whether connections are wanted.
    wanted: signal::Sender<bool>,
    /// Whether they are taken.
    taken: signal::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy on a free port, in front of the server of `config`, whose credentials it
    /// does not use: they come from its clients.
    ///
    /// # Errors
    /// When no port can be bound, or no client made of the configuration.
    pub async fn start(config: &Config) -> Result<Self> {
        let mut config = config.clone();
        config.auth_info = kube::config::AuthInfo::default();
        config.default_retry = false;
        // A watch may be silent for as long as it likes; who waits for it knows how long.
        config.read_timeout = None;
        let client = Client::try_from(config).context("a client for the proxy")?;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = bound.context("bind the proxy")?;
        let address = listener.local_addr().context("the proxy's address")?;
        let records = Arc::<Records>::default();
        let (wanted, wish) = signal::channel(true);
        let (taking, taken) = signal::channel(true);
        let upstream = Upstream::new(client, Arc::clone(&records));
        let mut tasks = JoinSet::new();
        tasks.spawn(connection::serve(listener, upstream, wish, taking));
        Ok(Self {
            address,
            records,
            wanted,
            taken,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `config`'s credentials, with the proxy for a server.
    ///
    /// # Errors
    /// Never, with an address that could be bound.
    pub fn towards(&self, config: &Config) -> Result<Config> {
        let mut config = config.clone();
        let url = self.url();
        config.cluster_url = url
            .parse()
            .map_err(|error| Error::Usage(format!("{url}: {error}")))?;
        config.root_cert = None;
        config.root_cert_file = None;
        Ok(config)
    }

    /// Who decides what goes wrong from now on. Nothing does until this is called.
    pub fn set_faults(&self, faults: impl Faults + 'static) {
        self.records.set_faults(Box::new(faults));
    }

    /// The requests that came so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Recorded> {
        self.records.all()
    }

    /// Refuses connections from now on and resets those that are open, as a machine does on
    /// which no API server runs any more.
    ///
    /// # Errors
    /// When the proxy has ended.
    pub async fn go_away(&self) -> Result<()> {
        self.want(false).await
    }

    /// Takes connections again, on the same port.
    ///
    /// # Errors
    /// When the proxy has ended.
    pub async fn come_back(&self) -> Result<()> {
        self.want(true).await
    }

    async fn want(&self, wanted: bool) -> Result<()> {
        self.wanted.send_replace(wanted);
        let mut taken = self.taken.clone();
        let agreed = taken.wait_for(|taken| *taken == wanted).await;
        agreed
            .map(drop)
            .map_err(|_| Error::Usage("the proxy has ended".to_owned()))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
