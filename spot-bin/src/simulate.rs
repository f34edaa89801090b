//! `simulate`: the metadata simulator on a port, for a rehearsal on any cluster.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use spot_core::clock::{SystemClock, WallClock as _};
use spot_core::notice::NoticeKind;
use spot_imds::sim::{Announcement, Imds, Server, SharedImds};
use tokio::sync::oneshot;
use tokio::time::interval;

use crate::exit::Exit;
use crate::signals::Signals;

/// What follows the options in `--help`.
pub(crate) const AFTER_HELP: &str = "\
A rehearsal: start this where the handler of a node can reach it, with the instance-id that the
node's spec.providerID ends in, and start the handler with --metadata-url. It speaks IMDSv2, and
asks neither EC2 nor the cluster for anything.

Exit codes:
  0   ended by a signal
  64  unusable arguments";

/// How often it looks whether there is something to tell.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    /// Serve here; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1338", value_parser = address)]
    listen: SocketAddr,

    /// Whose metadata it is
    #[arg(long, value_name = "ID", default_value = "i-0123456789abcdef0", value_parser = word)]
    instance_id: String,

    /// How the instance was bought: spot, on-demand, …
    #[arg(long, value_name = "NAME", default_value = "spot", value_parser = word)]
    life_cycle: String,

    /// What is announced: spot-interruption, rebalance-recommendation, scheduled-maintenance,
    /// asg-termination
    #[arg(long, help_heading = "Notice", default_value = "spot-interruption")]
    kind: NoticeKind,

    /// When the notice shows, from the start
    #[arg(long, help_heading = "Notice", value_name = "DURATION", default_value = "30s",
        value_parser = duration)]
    after: Duration,

    /// The time left when it shows [default: 120s; 7days for scheduled-maintenance]
    #[arg(long, help_heading = "Notice", value_name = "DURATION", value_parser = duration)]
    notice: Option<Duration>,

    /// What a spot-interruption does [default: terminate]
    #[arg(long, help_heading = "Notice",
        value_parser = PossibleValuesParser::new(["terminate", "stop", "hibernate"]))]
    action: Option<String>,

    /// Whether a spot-interruption names one time, or, as AWS's own mock does, a time that moves
    /// away with every request [default: fixed]
    #[arg(long, help_heading = "Notice")]
    time: Option<Time>,

    /// What a scheduled-maintenance is [default: system-reboot]
    #[arg(long, help_heading = "Notice", value_parser = PossibleValuesParser::new([
        "instance-stop", "instance-retirement", "instance-reboot", "system-reboot",
        "system-maintenance"]))]
    code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Time {
    Fixed,
    Moving,
}

impl SimulateArgs {
    fn announcement(&self) -> Result<Announcement, Exit> {
        let kind = self.kind;
        let is_spot = kind == NoticeKind::SpotInterruption;
        let is_maintenance = kind == NoticeKind::ScheduledMaintenance;
        for (flag, given, fits) in [
            ("--action", self.action.is_some(), is_spot),
            ("--time", self.time.is_some(), is_spot),
            ("--code", self.code.is_some(), is_maintenance),
            ("--notice", self.notice.is_some(), is_spot || is_maintenance),
        ] {
            if given && !fits {
                let line = format!("{flag} means nothing with --kind {kind}; leave it out");
                return Err(Exit::usage(line));
            }
        }
        let usual = match (&self.action, &self.code) {
            (Some(action), _) => Some(Announcement::spot(action)),
            (_, Some(code)) => Some(Announcement::maintenance(code)),
            (None, None) => Announcement::of_kind(kind),
        };
        let usual = usual.ok_or_else(|| Exit::usage(format!("--kind {kind} cannot be shown")))?;
        let mut announcement = usual.after(self.after);
        if let Some(left) = self.notice {
            announcement = announcement.left(left);
        }
        if self.time == Some(Time::Moving) {
            announcement = announcement.moving();
        }
        Ok(announcement)
    }

    /// What is served, and how to use it.
    fn introduction(&self, server: &Server) -> String {
        let address = server.local_addr();
        let url = if address.ip().is_unspecified() {
            format!("http://ADDRESS-OF-THIS-HOST:{}", address.port())
        } else {
            server.url()
        };
        let after = humantime::format_duration(self.after);
        format!(
            "serving the metadata of {id} ({cycle}) on {address}\n\
             point a handler at it: spot-interrupt-handler run --metadata-url {url}\n\
             in {after} it announces: {kind}\n\
             end it with Ctrl-C\n",
            id = self.instance_id,
            cycle = self.life_cycle,
            kind = self.kind,
        )
    }
}

/// Serves until a signal.
pub(crate) async fn simulate(args: SimulateArgs) -> Result<(), Exit> {
    let signals = Signals::listen().map_err(|e| Exit::bug(format!("no signals: {e}")))?;
    let imds = Imds::builder()
        .instance(&args.instance_id)
        .life_cycle(&args.life_cycle)
        .auto_scaling_group()
        .wall_clock(SystemClock.now())
        .announce(args.announcement()?)
        .remember(0)
        .build()
        .shared();
    let server = Server::bind(imds.clone(), args.listen).map_err(|e| {
        let line = format!("--listen: {e}; write an address of this host that is free");
        Exit::usage(line)
    })?;
    say(&args.introduction(&server));

    let (stop, stopped) = oneshot::channel();
    let ended = async {
        tokio::select! {
            // An error means that nobody can ask any more.
            _ = stopped => {}
            () = tell(&imds) => {}
        }
    };
    tokio::select! {
        biased;
        () = server.run(ended) => Ok(()),
        exit = signals.follow(stop) => Err(exit),
    }
}

/// Tells what happens, as it happens, for ever.
async fn tell(imds: &SharedImds) {
    let mut told = None;
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let story = imds.timeline();
        let news = story.entries().iter().filter(|entry| Some(entry.at) > told);
        for entry in news.clone() {
            // Whole seconds are as much as anybody wants to read.
            let at = Duration::from_secs(entry.at.as_secs());
            say(&format!(
                "{:>8}  {}\n",
                humantime::format_duration(at),
                entry.what
            ));
        }
        told = told.max(news.map(|entry| entry.at).max());
    }
}

/// Writes to standard output; one that is closed is no failure of ours.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an address and a port such as 127.0.0.1:1338")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 30s or 2m")
}

fn word(text: &str) -> Result<String, &'static str> {
    spot_imds::decode::value(text.as_bytes())
        .map_err(|_| "write one word of letters, digits and -._:/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn announcement(arguments: &[&str]) -> Result<Announcement, Exit> {
        let all = std::iter::once("program").chain(arguments.iter().copied());
        Program::try_parse_from(all).unwrap().args.announcement()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_flags_it_is_a_termination_in_half_a_minute() {
        let usual = Announcement::spot("terminate").after(30 * SECOND);
        assert_eq!(announcement(&[]).unwrap(), usual.left(120 * SECOND));
    }

    #[test]
    fn each_kind_takes_its_own_flags() {
        let stop = announcement(&["--action", "stop", "--time", "moving", "--notice", "90s"]);
        let expected = Announcement::spot("stop")
            .after(30 * SECOND)
            .left(90 * SECOND)
            .moving();
        assert_eq!(stop.unwrap(), expected);
        let code = [
            "--kind",
            "scheduled-maintenance",
            "--code",
            "instance-stop",
            "--after",
            "1s",
        ];
        let expected = Announcement::maintenance("instance-stop").after(SECOND);
        assert_eq!(announcement(&code).unwrap(), expected);
        for kind in NoticeKind::ALL {
            assert_eq!(
                announcement(&["--kind", kind.as_str()]).unwrap().kind(),
                kind
            );
        }
    }

    #[test]
    fn a_flag_of_another_kind_is_refused() {
        for (kind, flag, value) in [
            ("rebalance-recommendation", "--notice", "2m"),
            ("asg-termination", "--action", "stop"),
            ("scheduled-maintenance", "--time", "fixed"),
            ("spot-interruption", "--code", "instance-stop"),
        ] {
            let refused = announcement(&["--kind", kind, flag, value]).unwrap_err();
            let said = format!("{refused:?}");
            assert!(said.contains(flag) && said.contains(kind), "{said}");
        }
    }
}
