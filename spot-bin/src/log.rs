//! The log: text for people, JSON for collectors.

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

#[derive(Args, Debug)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// One line of text, or one JSON object, for each entry
    #[arg(long, env, value_name = "FORMAT", default_value = "text")]
    log_format: Format,

    /// The least weighty entries that are written
    #[arg(long, env, value_name = "LEVEL", default_value = "info")]
    log_level: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl LogArgs {
    /// Starts the log, on standard error.
    pub(crate) fn start(&self) {
        let level = match self.log_level {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
        };
        // Of the libraries only their errors, and none of kube's: that a call has failed we say
        // ourselves, once.
        let filter = Targets::new()
            .with_default(level.min(LevelFilter::ERROR))
            .with_target("kube_client", LevelFilter::OFF)
            .with_target("spot_", level);
        let lines = fmt::layer().with_writer(std::io::stderr);
        let registry = tracing_subscriber::registry();
        match self.log_format {
            Format::Text => {
                let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
                let text = lines.with_ansi(terminal).with_target(false);
                registry.with(text.with_filter(filter)).init();
            }
            Format::Json => {
                let json = lines.json().flatten_event(true).with_current_span(false);
                registry
                    .with(json.with_span_list(false).with_filter(filter))
                    .init();
            }
        }
    }
}
