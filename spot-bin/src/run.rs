//! `run`: the daemon, composed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use spot_core::args::PolicyArgs;
use spot_core::handler::{Handler, HandlerBuilder, HandlerError};
use spot_core::observer::LogObserver;
use spot_core::policy::Policy;
use spot_core::webhook::args::WebhookArgs;
use spot_drain::args::DrainArgs;
use spot_drain::cluster::Cluster;
use spot_drain::driver::NodeDrainer;
use spot_imds::args::ImdsArgs;
use spot_imds::metrics::ImdsMetrics;
use spot_imds::options::ConfigError;
use spot_imds::source::ImdsSource;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::exit::{Exit, chain};
use crate::health::{self, Health, Metrics};
use crate::log::LogArgs;
use crate::signals::Signals;
use crate::tellers::Tellers;

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
    webhook: WebhookArgs,

    #[command(flatten)]
    log: LogArgs,

    /// Write Kubernetes Events about the node and its pods
    #[arg(long, env, help_heading = "Cluster", value_name = "BOOL", default_value_t = true,
        action = clap::ArgAction::Set)]
    kubernetes_events: bool,

    /// Serve /healthz, /readyz and /metrics here, such as 0.0.0.0:9810 [default: nowhere]
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
    let listening = listener.as_ref().and_then(|l| l.local_addr().ok());
    let policy = args.policy.policy();
    let webhook = args
        .webhook
        .settings()
        .map_err(|e| Exit::usage(chain(&e)))?;
    let mut metrics = Metrics::new();
    let source = source(&args.imds, &policy, metrics.imds).map_err(|e| Exit::usage(chain(&e)))?;
    let cluster = args.drain.cluster().await.map_err(|e| {
        Exit::usage(format!(
            "{}; write --kubeconfig FILE, or run in a pod",
            chain(&e)
        ))
    })?;
    let cluster = cluster.with_observer(metrics.drain.clone());
    let node_name = &args.drain.node_name;
    let polling = source.pulse();
    let mut drainer = drainer(&cluster, &args.drain).with_observer(metrics.drain);
    let mut tellers = Tellers::default();
    let events = args
        .kubernetes_events
        .then(|| tellers.events(&cluster, &args.drain, &mut metrics.registry));
    if let Some(events) = &events {
        drainer = drainer.with_observer(events.clone());
    }
    let mut handler = compose(source, &cluster, drainer, &args.drain)
        .policy(policy)
        .observer(LogObserver::new(node_name))
        .observer(metrics.handler)
        .observer(tellers.drained())
        .shutdown_grace(args.shutdown_grace);
    if let Some(events) = events {
        handler = handler.observer(events);
    }
    if let Some(settings) = webhook {
        let settings = settings.with_dry_run(args.drain.dry_run);
        handler = handler.observer(tellers.webhook(node_name, settings, &mut metrics.registry));
    }
    let handler = handler.build();
    tracing::info!(
        node = node_name,
        version = env!("CARGO_PKG_VERSION"),
        metadata = args.imds.metadata_url,
        listen = listening.map(tracing::field::display),
        dry_run = args.drain.dry_run,
        "started"
    );

    let (stop, stopped) = oneshot::channel();
    let health = Health {
        readiness: handler.readiness(),
        pulses: [("the main loop", handler.pulse()), ("polling", polling)],
        registry: metrics.registry,
    };
    let asked = Cell::new(None);
    let shutdown = async {
        // An error means that nobody can ask any more, and nobody has.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        asked.set(Some(Instant::now()));
    };
    let mut signals = pin!(signals.follow(stop));
    let mut served = pin!(health::serve(listener, health));
    let ended = tokio::select! {
        ended = handler.run(shutdown) => ended,
        exit = &mut signals => return Err(exit),
        never = &mut served => match never {},
    };
    let left = asked
        .get()
        .map(|asked| args.shutdown_grace.saturating_sub(asked.elapsed()));
    // What is left to tell; what was counted can be asked for meanwhile.
    tokio::select! {
        () = tellers.finish(left.unwrap_or_default()) => {}
        exit = &mut signals => return Err(exit),
        never = &mut served => match never {},
    }
    tracing::info!(node = node_name, ok = ended.is_ok(), "ended");
    ended.map_err(|error| ended_by(&error))
}

/// The handler of one node: what the daemon runs, and the demo.
pub(crate) fn compose(
    source: ImdsSource,
    cluster: &Cluster,
    drainer: NodeDrainer,
    drain: &DrainArgs,
) -> HandlerBuilder {
    let node = cluster
        .node(&drain.node_name)
        .with_settings(drain.quarantine())
        .with_dry_run(drain.dry_run);
    let check = cluster
        .self_check(&drain.node_name)
        .with_settings(drain.quarantine())
        .with_make_before_break(drain.make_before_break);
    Handler::builder(drainer)
        .named_source("imds", source)
        .node(node)
        .self_check(check)
        .self_check_interval(drain.self_check_every())
}

/// What drains the node.
pub(crate) fn drainer(cluster: &Cluster, drain: &DrainArgs) -> NodeDrainer {
    NodeDrainer::new(cluster.pods(&drain.node_name)).with_settings(drain.settings())
}

/// A source of the kinds that the policy asks for.
fn source(
    args: &ImdsArgs,
    policy: &Policy,
    observer: ImdsMetrics,
) -> Result<ImdsSource, ConfigError> {
    let client = args.client().observer(observer).build()?;
    let source = ImdsSource::builder(client).poll_interval(args.poll_interval);
    source.kinds(policy.kinds()).build()
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
