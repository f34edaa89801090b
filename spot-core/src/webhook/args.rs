//! Arguments for clap that choose the webhook.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use super::Settings;
use super::target::{Target, TargetError};
use super::template::{Template, TemplateError};

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl FromStr for Secret {
    type Err = Infallible;

    // Whether it can be used is looked at later: clap quotes what it refuses.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Which webhook is told; to be flattened into a program's own arguments.
///
/// ```
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     webhook: spot_core::webhook::args::WebhookArgs,
/// }
///
/// assert!(Args::parse_from(["program"]).webhook.settings()?.is_none());
/// let args = Args::parse_from(["program", "--webhook-url", "https://hooks.example/secret"]);
/// assert!(args.webhook.settings()?.is_some());
/// # Ok::<(), spot_core::webhook::args::WebhookArgsError>(())
/// ```
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Webhook")]
#[non_exhaustive]
pub struct WebhookArgs {
    /// Told of each notice when it is detected, and of what became of it. A secret: other
    /// processes see what is written on the command line
    #[arg(
        long,
        env,
        value_name = "URL",
        hide_env_values = true,
        conflicts_with = "webhook_url_file"
    )]
    pub webhook_url: Option<Secret>,

    /// The same from a file
    #[arg(long, env, value_name = "FILE")]
    pub webhook_url_file: Option<PathBuf>,

    /// Headers that are sent with it, one a line: NAME: VALUE
    #[arg(long, env, value_name = "FILE")]
    pub webhook_headers_file: Option<PathBuf>,

    /// What is sent: JSON with {{ fields }} in its strings [default: all fields]
    #[arg(long, env, value_name = "FILE")]
    pub webhook_template: Option<PathBuf>,
}

/// Why there is no usable webhook. No variant quotes a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookArgsError {
    /// A file cannot be read.
    #[error("{flag}: {} cannot be read", path.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The URL, or a header.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The template.
    #[error("--webhook-template")]
    Template(#[from] TemplateError),
    /// Headers or a template, and nowhere to send them.
    #[error("a webhook's headers or template without its URL; write --webhook-url-file FILE")]
    NoUrl,
}

impl WebhookArgs {
    /// The settings that the arguments ask for; `None` where no webhook is wanted. Files are read
    /// now.
    ///
    /// # Errors
    /// [`WebhookArgsError`].
    pub fn settings(&self) -> Result<Option<Settings>, WebhookArgsError> {
        let url = match (&self.webhook_url, &self.webhook_url_file) {
            (Some(Secret(url)), _) => url.clone(),
            (None, Some(file)) => read("--webhook-url-file", file)?,
            (None, None) if self.webhook_headers_file.is_some() => {
                return Err(WebhookArgsError::NoUrl);
            }
            (None, None) if self.webhook_template.is_some() => {
                return Err(WebhookArgsError::NoUrl);
            }
            (None, None) => return Ok(None),
        };
        let mut target = Target::new(&url)?;
        if let Some(file) = &self.webhook_headers_file {
            target = target.with_headers(&read("--webhook-headers-file", file)?)?;
        }
        let mut settings = Settings::new(target);
        if let Some(file) = &self.webhook_template {
            let template: Template = read("--webhook-template", file)?.parse()?;
            settings = settings.with_template(template);
        }
        Ok(Some(settings))
    }
}

fn read(flag: &'static str, path: &Path) -> Result<String, WebhookArgsError> {
    fs::read_to_string(path).map_err(|source| WebhookArgsError::File {
        flag,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io::Write as _;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        webhook: WebhookArgs,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn settings(arguments: &[&str]) -> Result<Option<Settings>, String> {
        let all = std::iter::once("program").chain(arguments.iter().copied());
        let program = Program::try_parse_from(all).map_err(|e| e.to_string())?;
        assert!(!format!("{program:?}").contains("s3cret"));
        program.webhook.settings().map_err(|error| {
            let source = error.source().map(ToString::to_string);
            format!("{error} {}", source.unwrap_or_default())
        })
    }

    #[test]
    fn url_headers_and_template_come_from_files() {
        let (url, headers) = (file("https://h/s3cret\n"), file("X-Token: s3cret\n"));
        let template = file(r#"{"text": "{{ text }}"}"#);
        let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
        let (url, headers, template) = (path(&url), path(&headers), path(&template));
        let all = [
            "--webhook-url-file",
            &url,
            "--webhook-headers-file",
            &headers,
            "--webhook-template",
            &template,
        ];
        let settings = settings(&all).unwrap().unwrap();
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(settings.target.headers.contains_key("x-token"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_not_quoted() {
        let bad = file("{{ s3cret");
        let bad = bad.path().to_str().unwrap();
        for arguments in [
            &["--webhook-url", "s3cret"][..],
            &["--webhook-url-file", bad],
            &[
                "--webhook-url",
                "https://h/s3cret",
                "--webhook-headers-file",
                bad,
            ],
            &[
                "--webhook-url",
                "https://h/s3cret",
                "--webhook-template",
                bad,
            ],
            &["--webhook-template", bad],
            &["--webhook-url-file", "/nowhere"],
        ] {
            let error = settings(arguments).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
