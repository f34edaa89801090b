//! What a person sees of the demo: a picture that moves on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use spot_core::drainer::DrainReport;
use spot_core::observer::{Event, Occurrence};
use tokio::time::Instant;

use super::scene::{NodeState, State};

/// Between two lines about the cluster where there is no terminal.
const PLAIN: Duration = Duration::from_secs(1);

pub(super) struct View {
    start: Instant,
    deadline: Option<Instant>,
    /// The picture; `None` where standard output is no terminal.
    picture: Option<ProgressBar>,
    last: Option<(Instant, State)>,
}

impl View {
    pub(super) fn new(start: Instant) -> Self {
        let picture = std::io::stdout().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}");
            let bar = ProgressBar::no_length();
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self {
            start,
            deadline: None,
            picture,
            last: None,
        }
    }

    /// What is about to be seen.
    pub(super) fn begin(&self) {
        self.line("A small cluster, simulated: three nodes, three services with budgets, all of");
        self.line("their pods on spot-1. EC2 is about to take spot-1 back. The handler that looks");
        self.line("after it is the real one.\n");
    }

    pub(super) fn event(&mut self, event: &Event) {
        let said = match &event.what {
            Occurrence::NoticeRaised { notice, .. } => {
                self.deadline = notice.deadline.map(|d| d.instant());
                let left = notice.deadline.map(|d| d.remaining(event.at).as_secs());
                let left = left.map(|s| format!(", in {s} s")).unwrap_or_default();
                format!("notice: {}, {}{left}", notice.kind, notice.action)
            }
            Occurrence::Quarantined { after, .. } if after.as_secs() < 2 => format!(
                "spot-1 is cordoned and tainted, {} ms after the notice was seen",
                after.as_millis()
            ),
            Occurrence::DrainStarted(_) => "the drain starts".to_owned(),
            Occurrence::DrainFinished(report) => format!("the drain is {}", report.outcome),
            _ => return,
        };
        self.stamped(&said);
    }

    pub(super) fn state(&mut self, state: &State) {
        if let Some(picture) = &self.picture {
            picture.set_message(self.draw(state));
            picture.tick();
            return;
        }
        let now = Instant::now();
        let due = match &self.last {
            Some((at, last)) => last != state && now.duration_since(*at) >= PLAIN,
            None => true,
        };
        if due {
            self.stamped(&Self::brief(state));
            self.last = Some((now, state.clone()));
        }
    }

    pub(super) fn end(&self, report: Option<&DrainReport>) {
        if let Some(picture) = &self.picture {
            picture.finish();
        }
        println!("\n{}", report.map_or("no report", |r| r.text.as_str()));
        println!("\nAll services are at full strength on the other nodes. To try next:");
        println!("  spot-interrupt-handler simulate --help   rehearse on your own cluster");
        println!("  spot-interrupt-handler run --help        look after a real node");
    }

    /// The cluster as a picture of several lines.
    fn draw(&self, state: &State) -> String {
        let mut out = String::new();
        let left = self
            .deadline
            .map(|d| d.saturating_duration_since(Instant::now()).as_secs());
        match left {
            Some(left) => {
                let _ = writeln!(out, "{left} s until spot-1 is gone");
            }
            None => out.push_str("no notice\n"),
        }
        for node in &state.nodes {
            let cordon = if node.cordoned { "cordoned" } else { "" };
            let _ = writeln!(out, "  {:<12} {:<9} {}", node.name, cordon, marks(node));
        }
        for s in &state.services {
            let _ = writeln!(
                out,
                "  {:<12} {}/{} ready, its budget lets {} more go",
                s.name, s.ready, s.wanted, s.allowed
            );
        }
        out.push_str("  ● ready  ◐ starting  ○ terminating");
        out
    }

    /// The cluster in one line.
    fn brief(state: &State) -> String {
        let nodes = state.nodes.iter().map(|n| {
            let cordon = if n.cordoned { " (cordoned)" } else { "" };
            let going = match n.terminating {
                0 => String::new(),
                n => format!(", {n} terminating"),
            };
            let pods = n.ready + n.starting + n.terminating;
            format!("{}{cordon}: {pods}{going}", n.name)
        });
        let ready = state
            .services
            .iter()
            .map(|s| format!("{} {}/{}", s.name, s.ready, s.wanted));
        let (nodes, ready): (Vec<_>, Vec<_>) = (nodes.collect(), ready.collect());
        format!("pods on {} | ready: {}", nodes.join("; "), ready.join(", "))
    }

    fn stamped(&self, text: &str) {
        self.line(&format!(
            "{:>5.1} s  {text}",
            self.start.elapsed().as_secs_f64()
        ));
    }

    fn line(&self, text: &str) {
        match &self.picture {
            Some(picture) => picture.println(text),
            None => println!("{text}"),
        }
    }
}

fn marks(node: &NodeState) -> String {
    [
        "●".repeat(node.ready),
        "◐".repeat(node.starting),
        "○".repeat(node.terminating),
    ]
    .concat()
}
