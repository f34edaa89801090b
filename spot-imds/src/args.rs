//! Arguments for clap that choose the metadata service and how often it is asked.

use std::time::Duration;

use crate::client::{ImdsClient, ImdsClientBuilder};
use crate::options::{self, ConfigError, Endpoint, within};
use crate::source::{ImdsSource, ImdsSourceBuilder};

/// Where the metadata service is and how often it is asked; to be flattened into a program's
/// own arguments.
///
/// ```
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     imds: spot_imds::args::ImdsArgs,
/// }
///
/// let args = Args::parse_from(["program", "--poll-interval", "2s"]);
/// let source = args.imds.source().unwrap().build().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Metadata service")]
#[non_exhaustive]
pub struct ImdsArgs {
    /// Where the instance metadata service is
    #[arg(long, env, value_name = "URL", default_value = options::DEFAULT_ENDPOINT, value_parser = url)]
    pub metadata_url: String,
    /// How often it is asked for an interruption notice: 100ms to 60s
    #[arg(long, env, value_name = "DURATION", default_value = "500ms", value_parser = interval)]
    pub poll_interval: Duration,
}

impl Default for ImdsArgs {
    fn default() -> Self {
        Self {
            metadata_url: options::DEFAULT_ENDPOINT.to_owned(),
            poll_interval: options::DEFAULT_POLL_INTERVAL,
        }
    }
}

impl ImdsArgs {
    /// A client as asked for, to be changed further.
    pub fn client(&self) -> ImdsClientBuilder {
        ImdsClient::builder().endpoint(&*self.metadata_url)
    }

    /// A source as asked for, to be changed further.
    ///
    /// # Errors
    /// [`ConfigError`], where the fields were not filled by clap.
    pub fn source(&self) -> Result<ImdsSourceBuilder, ConfigError> {
        Ok(ImdsSource::builder(self.client().build()?).poll_interval(self.poll_interval))
    }
}

fn url(text: &str) -> Result<String, &'static str> {
    Endpoint::parse(text)
        .map(|endpoint| endpoint.to_string())
        .map_err(|_| "write an http URL such as http://169.254.169.254")
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text)
        .ok()
        .and_then(|d| within(d, &options::POLL_INTERVALS, ConfigError::PollInterval).ok())
        .ok_or("write a duration such as 500ms or 2s, at least 100ms and at most 60s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        imds: ImdsArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ImdsArgs, String> {
        let all = std::iter::once("program").chain(arguments.iter().copied());
        Program::try_parse_from(all)
            .map(|p| p.imds)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_are_the_library_s() {
        assert_eq!(parse(&[]).unwrap(), ImdsArgs::default());
    }

    #[test]
    fn both_are_taken_and_checked_again() {
        let args = parse(&[
            "--metadata-url",
            "http://[::1]:1338/",
            "--poll-interval",
            "2s",
        ]);
        let args = args.unwrap();
        assert_eq!(args.metadata_url, "http://[::1]:1338");
        assert_eq!(args.poll_interval, Duration::from_secs(2));
        assert!(args.source().unwrap().build().is_ok());
    }

    #[test]
    fn a_source_can_be_changed_further() {
        let source = ImdsArgs::default().source().unwrap();
        let source = source.kinds([spot_core::notice::NoticeKind::SpotInterruption]);
        assert!(source.slow_interval(Duration::from_secs(2)).build().is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_answered_with_what_to_write() {
        for value in ["2", "fast", "99ms", "0s", "61s", "9999999999999y", ""] {
            let error = parse(&["--poll-interval", value]).unwrap_err();
            assert!(
                error.contains("a duration such as 500ms or 2s, at least 100ms"),
                "{error}"
            );
        }
        for value in [
            "localhost:1338",
            "https://169.254.169.254",
            "http://h/latest",
        ] {
            let error = parse(&["--metadata-url", value]).unwrap_err();
            assert!(
                error.contains("an http URL such as http://169.254.169.254"),
                "{error}"
            );
        }
    }

    #[test]
    fn help_is_under_its_heading_and_names_the_environment() {
        let help = <Program as clap::CommandFactory>::command()
            .render_long_help()
            .to_string();
        assert!(help.contains("Metadata service:"), "{help}");
        assert!(
            help.contains("METADATA_URL") && help.contains("POLL_INTERVAL"),
            "{help}"
        );
    }
}
