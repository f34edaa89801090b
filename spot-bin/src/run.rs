//! `run`: the daemon, composed.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use spot_core::args::PolicyArgs;
use spot_core::handler::{Handler, HandlerBuilder, HandlerError};
use spot_core::observer::LogObserver;
use spot_drain::args::DrainArgs;
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_imds::args::ImdsArgs;
use spot_imds::source::ImdsSource;
use tokio::sync::oneshot;

use crate::exit::{Exit, chain};
use crate::health;
use crate::log::LogArgs;
use crate::signals::Signals;

/// What follows the options in `--help`.
pub(crate) const AFTER_HELP: &str = "\
Exit codes:
  0        ended as asked
  64       unusable arguments or configuration
  69       the cluster does not know the node
  70       a bug
  130 143  a second signal

Every option can be given by its environment variable; the option wins.";

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    imds: ImdsArgs,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    drain: DrainArgs,

    #[command(flatten)]
    log: LogArgs,

    /// Serve /healthz and /readyz here, such as 0.0.0.0:9810 [default: nowhere]
    #[arg(long, env, help_heading = "Process", value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,

    /// How long a running drain may go on after SIGTERM
    #[arg(long, env, help_heading = "Process", value_name = "DURATION", default_value = "130s",
        value_parser = duration)]
    shutdown_grace: Duration,
}

/// Runs the daemon to its end.
pub(crate) async fn run(args: RunArgs) -> Result<(), Exit> {
    args.log.start();
    let signals = Signals::listen().map_err(|e| Exit::bug(format!("no signals: {e}")))?;
    let listener = health::bind(args.listen).await.map_err(|e| {
        Exit::usage(format!(
            "--listen: {e}; write an address of this host that is free"
        ))
    })?;
    let policy = args.policy.policy();
    let source = args
        .imds
        .source()
        .and_then(|source| source.kinds(policy.kinds()).build());
    let source = source.map_err(|e| Exit::usage(chain(&e)))?;
    let cluster = args.drain.cluster().await.map_err(|e| {
        Exit::usage(format!(
            "{}; write --kubeconfig FILE, or run in a pod",
            chain(&e)
        ))
    })?;
    let node_name = &args.drain.node_name;
    let handler = compose(source, &cluster, &args.drain)
        .policy(policy)
        .observer(LogObserver::new(node_name))
        .shutdown_grace(args.shutdown_grace)
        .build();
    tracing::info!(
        node = node_name,
        version = env!("CARGO_PKG_VERSION"),
        metadata = args.imds.metadata_url,
        dry_run = args.drain.dry_run,
        "started"
    );

    let (stop, stopped) = oneshot::channel();
    let readiness = handler.readiness();
    let shutdown = async {
        // An error means that nobody can ask any more, and nobody has.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = handler.run(shutdown) => {
            tracing::info!(node = node_name, ok = ended.is_ok(), "ended");
            ended.map_err(|error| ended_by(&error))
        }
        exit = signals.follow(stop) => Err(exit),
        failed = health::serve(listener, readiness) => {
            Err(Exit::bug(format!("the health endpoint ended: {failed:?}")))
        }
    }
}

/// The handler of one node: what the daemon runs, and the demo.
pub(crate) fn compose(source: ImdsSource, cluster: &Cluster, drain: &DrainArgs) -> HandlerBuilder {
    let node = cluster
        .node(&drain.node_name)
        .with_settings(drain.quarantine())
        .with_dry_run(drain.dry_run);
    let check = cluster
        .self_check(&drain.node_name)
        .with_settings(drain.quarantine());
    let pods = cluster.pods(&drain.node_name);
    Handler::builder(NodeDrainer::new(pods).with_settings(drain.settings()))
        .named_source("imds", source)
        .node(node)
        .self_check(check)
        .self_check_interval(drain.self_check_every())
}

/// How the program ends after an error of the handler.
pub(crate) fn ended_by(error: &HandlerError) -> Exit {
    match error {
        HandlerError::UnknownNode(node) => {
            Exit::unavailable(format!("{}; {}", node.describe(), node.remedy()))
        }
        _ => Exit::bug(chain(error)),
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an address and a port such as 0.0.0.0:9810")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 30s or 2m")
}
