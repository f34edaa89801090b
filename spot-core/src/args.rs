//! Arguments for clap that say what is done about which kind of notice.

use crate::policy::{KindRule, Policy};

/// What is done about which kind of notice; to be flattened into a program's own arguments.
///
/// ```
/// use clap::Parser;
/// use spot_core::{notice::NoticeKind, policy::Response};
///
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     policy: spot_core::args::PolicyArgs,
/// }
///
/// let args = Args::parse_from(["program", "--on", "rebalance-recommendation=cordon,ttl=30m"]);
/// let policy = args.policy.policy();
/// assert_eq!(policy.response(NoticeKind::RebalanceRecommendation), Response::Cordon);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Notices")]
#[non_exhaustive]
pub struct PolicyArgs {
    /// What is done about a kind of notice, KIND=RESPONSE[,CONDITION…]; repeat it for several
    /// kinds, or separate them by ';'
    ///
    /// RESPONSE is ignore, notify, cordon or drain. Unless set:
    ///
    /// spot-interruption=drain
    ///
    /// asg-termination=drain
    ///
    /// scheduled-maintenance=drain,lead=15m   so long before its time; none: at once
    ///
    /// rebalance-recommendation=notify,ttl=1h,min-age=10m   where it is acted on: for so long,
    /// none: for ever; on instances so old
    #[arg(
        long,
        env = "ON",
        value_name = "KIND=RESPONSE",
        value_delimiter = ';',
        verbatim_doc_comment
    )]
    pub on: Vec<KindRule>,
}

impl PolicyArgs {
    /// The policy that was asked for; of several rules for a kind, the last counts.
    pub fn policy(&self) -> Policy {
        self.on.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;
    use crate::notice::NoticeKind;
    use crate::policy::{Response, Rule};

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn parse(arguments: &[&str]) -> Result<Policy, String> {
        let all = std::iter::once("program").chain(arguments.iter().copied());
        match Program::try_parse_from(all) {
            Ok(program) => Ok(program.policy.policy()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn unless_set_it_is_the_library_s_policy() {
        assert_eq!(parse(&[]).unwrap(), Policy::default());
    }

    #[test]
    fn rules_are_repeated_or_separated() {
        let twice = [
            "--on",
            "asg-termination=notify",
            "--on",
            "spot-interruption=cordon",
        ];
        let once = ["--on", "asg-termination=notify;spot-interruption=cordon"];
        let policy = parse(&twice).unwrap();
        assert_eq!(policy, parse(&once).unwrap());
        assert_eq!(
            policy.response(NoticeKind::AsgTermination),
            Response::Notify
        );
        assert_eq!(
            policy.response(NoticeKind::SpotInterruption),
            Response::Cordon
        );
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_to_write() {
        let error = parse(&["--on", "rebalance=drain"]).unwrap_err();
        assert!(error.contains("one of rebalance-recommendation"), "{error}");
        let error = parse(&["--on", "spot-interruption=drain,lead=5m"]).unwrap_err();
        assert!(error.contains("lead means nothing"), "{error}");
    }

    #[test]
    fn the_help_says_what_is_so_unless_set() {
        let help = Program::command().render_long_help().to_string();
        for kind in NoticeKind::ALL {
            let Rule { response, .. } = Rule::of(kind);
            assert!(help.contains(&format!("{kind}={response}")), "{help}");
        }
        for rule in ["lead=15m", "ttl=1h,min-age=10m"] {
            assert!(help.contains(rule), "{help}");
        }
        let written = help
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        let read: Policy = written
            .filter_map(|rule| rule.parse::<KindRule>().ok())
            .collect();
        assert_eq!(read, Policy::default());
    }
}
