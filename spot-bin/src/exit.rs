//! How the program ends: a code and one line that says why.

use std::error::Error;
use std::process::ExitCode;

use clap::error::ErrorKind;

/// A usage error.
const USAGE: u8 = 64;
/// Our own node does not exist, or the cluster cannot be asked.
const UNAVAILABLE: u8 = 69;
/// A bug.
const BUG: u8 = 70;

/// An end that is not success.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    line: Option<String>,
}

impl Exit {
    /// What was asked for cannot be done as it was asked.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            line: Some(line.into()),
        }
    }

    /// Something that must not happen.
    pub(crate) fn bug(line: impl Into<String>) -> Self {
        Self {
            code: BUG,
            line: Some(line.into()),
        }
    }

    /// What was asked for is not there.
    pub(crate) fn unavailable(line: impl Into<String>) -> Self {
        Self {
            code: UNAVAILABLE,
            line: Some(line.into()),
        }
    }

    /// A code that says all, or after whose reasons nothing is left to say.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, line: None }
    }

    /// Says why on standard error.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(line) = self.line {
            eprintln!("error: {line}");
        }
        ExitCode::from(self.code)
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !line.contains(&more) {
            line.push_str(": ");
            line.push_str(&more);
        }
        cause = error.source();
    }
    line
}

/// Help and version as asked for; anything else as one line and exit 64.
pub(crate) fn of_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            // A closed pipe is no failure of ours.
            let _ = error.print();
            if asked {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(USAGE)
            }
        }
        _ => {
            eprintln!("{}", one_line(&error.render().to_string()));
            ExitCode::from(USAGE)
        }
    }
}

/// What is wrong and the tip, without the usage that follows them.
fn one_line(rendered: &str) -> String {
    let kept = rendered
        .lines()
        .map(str::trim)
        .take_while(|l| !l.starts_with("Usage:"));
    let kept = kept.filter(|l| !l.is_empty() && !l.starts_with("For more information"));
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_line() {
        let clap = "error: unexpected argument '--nod-name' found\n\n  tip: a similar argument \
            exists: '--node-name'\n\nUsage: x\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(clap),
            "error: unexpected argument '--nod-name' found tip: a similar argument exists: '--node-name'"
        );
    }
}
