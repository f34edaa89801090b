//! What users lose by one interruption of twelve workloads: with replacements made first, without,
//! and by `kubectl drain`, at the same time on one control plane.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use spot_drain::{
    driver::NodeDrainer,
    plan::{Limits, Settings},
    report::Report,
};
use spot_tests::{
    Result,
    control_plane::{ControlPlane, HANDLERS},
    damage::{Loss, Meter, Town, Traffic},
    error::Context as _,
    handler::Flags,
    interruption::Interruption,
    process::Process,
    rbac,
};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::fixture::invalid;

/// From the handler's start to the notice.
const UNTIL_NOTICE: Duration = Duration::from_secs(3);
/// How long it is looked at after the machine is dead.
const AFTERWARDS: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Options {
    /// Seconds from the notice to the end of the machine
    #[arg(long, default_value_t = 120)]
    notice: u64,
    /// Seconds from running to ready
    #[arg(long, default_value_t = 20)]
    ready: u64,
    /// Who drains; the first three unless told
    #[arg(long, value_delimiter = ',')]
    who: Vec<Who>,
    /// How many evictions a second where they are paced; kubectl's client lets five through
    #[arg(long, default_value_t = 5)]
    per_second: u32,
    /// Every pod is a real HTTP server behind a proxy that lags, and a client asks
    #[arg(long)]
    traffic: bool,
    /// Writes the figures as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Who {
    /// With `--make-before-break`
    MakeBeforeBreak,
    /// Without
    Ours,
    /// `kubectl drain`
    Kubectl,
    /// Without, so many evictions a second: what the rate alone is worth
    Paced,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::MakeBeforeBreak => "make before break",
            Self::Ours => "without the switch",
            Self::Kubectl => "kubectl drain",
            Self::Paced => "without the switch, paced",
        }
    }
}

/// What came of one drain.
#[derive(Serialize)]
struct Outcome {
    who: Who,
    workloads: Vec<Loss>,
}

#[derive(Serialize)]
struct Figures<'a> {
    notice_seconds: u64,
    ready_seconds: u64,
    outcomes: &'a [Outcome],
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let rules = rbac::make_before_break_rules();
    let admin = plane.client("admin")?;
    let group = rbac::Who::Group(HANDLERS);
    rbac::allow(&admin, "spot-tests-make-before-break", group, rules).await?;
    let all = [Who::MakeBeforeBreak, Who::Ours, Who::Kubectl];
    let who = if options.who.is_empty() {
        &all[..]
    } else {
        &options.who[..]
    };
    let together = Barrier::new(who.len());
    let drains = who
        .iter()
        .map(|who| interrupted(plane, *who, options, &together));
    let outcomes = futures_util::future::try_join_all(drains).await?;
    println!("{}", table(options, &outcomes));
    if let Some(file) = &options.json {
        let figures = Figures {
            notice_seconds: options.notice,
            ready_seconds: options.ready,
            outcomes: &outcomes,
        };
        let text = serde_json::to_string_pretty(&figures).map_err(|e| invalid(e.to_string()))?;
        std::fs::write(file, text).context(format!("write {}", file.display()))?;
    }
    Ok(())
}

/// Whoever drains a node, while it does.
enum Drainer {
    Ours(Box<Interruption>),
    Kubectl(Process),
    /// The library in this process: the binary has no option for it.
    Paced(JoinSet<Report>),
}

impl Drainer {
    /// Starts it; returns when it drains.
    async fn start(plane: &ControlPlane, who: Who, town: &Town, options: &Options) -> Result<Self> {
        let notice = Duration::from_secs(options.notice);
        let node = town.doomed.name.as_str();
        if who == Who::Kubectl {
            sleep(UNTIL_NOTICE).await;
            let as_users_do = ["drain", "--ignore-daemonsets", "--force", node];
            return Ok(Self::Kubectl(plane.kubectl(as_users_do)?));
        }
        if who == Who::Paced {
            let cluster = spot_drain::cluster::Cluster::connect(plane.config("admin")?)
                .map_err(|e| invalid(e.to_string()))?;
            let limits = Limits::default().with_rate(options.per_second, 1);
            let drainer = NodeDrainer::new(cluster.pods(node))
                .with_settings(Settings::default().with_limits(limits));
            sleep(UNTIL_NOTICE).await;
            let cordoned = cluster.node(node).cordon().await;
            cordoned.map_err(|e| invalid(e.to_string()))?;
            let mut drain = JoinSet::new();
            drain.spawn(async move { drainer.drain_within(notice).await });
            return Ok(Self::Paced(drain));
        }
        let with = |flags: Flags| {
            if who == Who::MakeBeforeBreak {
                flags.switch("--make-before-break")
            } else {
                flags
            }
        };
        let told = Interruption::announce(plane, &town.doomed, UNTIL_NOTICE, notice, with);
        let told = told.await?;
        let begins = |line: &Value| line["message"] == "drain started";
        told.handler
            .wait_for_log("the drain", notice, begins)
            .await?;
        Ok(Self::Ours(Box::new(told)))
    }

    /// Ends with its machine, or because that is gone.
    fn end(self) -> Result<()> {
        match self {
            Self::Ours(told) => told.handler.process().kill().map(drop),
            Self::Kubectl(process) if process.is_running() => process.kill().map(drop),
            Self::Kubectl(_) => Ok(()),
            Self::Paced(drain) => {
                drop(drain);
                Ok(())
            }
        }
    }
}

/// All drains begin `together`, so that the control plane is as busy for each of them.
async fn interrupted(
    plane: &ControlPlane,
    who: Who,
    options: &Options,
    together: &Barrier,
) -> Result<Outcome> {
    let notice = Duration::from_secs(options.notice);
    let town = Town::create(plane, "damage", Duration::from_secs(options.ready)).await?;
    let meter = Meter::start(&town);
    let traffic = options.traffic.then(|| Traffic::start(&town));
    together.wait().await;
    let drainer = Drainer::start(plane, who, &town, options).await?;
    let dies = Instant::now() + notice;
    sleep_until(dies).await;
    let lost = town.die().await?;
    drainer.end()?;
    sleep_until(dies + AFTERWARDS).await;
    let mut workloads = meter.stop(&town.kinds, &lost).await?;
    if let Some(traffic) = traffic {
        let served = traffic.stop().await?;
        for loss in &mut workloads {
            if let Some(served) = served.get(&loss.workload) {
                loss.requests = Some(served.asked);
                loss.failed_requests = Some(served.failed);
            }
        }
    }
    town.cluster.delete().await?;
    Ok(Outcome { who, workloads })
}

/// A column for each who drained, a row for each workload.
fn table(options: &Options, outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "replica-seconds missing / seconds without an endpoint / killed before they ended / lost \
         with the machine{},\nin {} s of notice and {} s after it; replacements are ready {} s after \
         they run; * where the rules forbid to make before break\n\n| workload |",
        if options.traffic {
            " / failed of all requests"
        } else {
            ""
        },
        options.notice,
        AFTERWARDS.as_secs(),
        options.ready
    );
    let mut rule = "|---|".to_owned();
    for outcome in outcomes {
        let _ = write!(text, " {} |", outcome.who.name());
        rule += "---|";
    }
    let _ = writeln!(text, "\n{rule}");
    let Some(first) = outcomes.first() else {
        return text;
    };
    for (row, workload) in first.workloads.iter().enumerate() {
        let star = if workload.allowed { "" } else { " *" };
        let _ = write!(text, "| {}{star} |", workload.workload);
        for outcome in outcomes {
            let _ = write!(
                text,
                " {} |",
                outcome.workloads.get(row).map_or_else(String::new, cell)
            );
        }
        text.push('\n');
    }
    text.push_str("| all |");
    for outcome in outcomes {
        let _ = write!(text, " {} |", cell(&sum(&outcome.workloads)));
    }
    text.push_str("\n| those that are allowed |");
    for outcome in outcomes {
        let allowed: Vec<Loss> = outcome
            .workloads
            .iter()
            .filter(|w| w.allowed)
            .cloned()
            .collect();
        let _ = write!(text, " {} |", cell(&sum(&allowed)));
    }
    text
}

fn sum(losses: &[Loss]) -> Loss {
    losses.iter().fold(Loss::default(), |sum, one| Loss {
        missing_replica_seconds: sum.missing_replica_seconds + one.missing_replica_seconds,
        seconds_without_an_endpoint: Some(
            sum.seconds_without_an_endpoint.unwrap_or_default()
                + one.seconds_without_an_endpoint.unwrap_or_default(),
        ),
        requests: sum
            .requests
            .into_iter()
            .chain(one.requests)
            .reduce(|a, b| a + b),
        failed_requests: (sum.failed_requests.into_iter())
            .chain(one.failed_requests)
            .reduce(|a, b| a + b),
        killed: sum.killed + one.killed,
        lost: sum.lost + one.lost,
        ..sum
    })
}

fn cell(loss: &Loss) -> String {
    let without = loss.seconds_without_an_endpoint;
    let requests = loss.failed_requests.zip(loss.requests);
    let requests = requests.map(|(failed, all)| format!(" / {failed} of {all}"));
    format!(
        "{:.1} / {} / {} / {}{}",
        loss.missing_replica_seconds,
        without.map_or("-".to_owned(), |seconds| format!("{seconds:.1}")),
        loss.killed,
        loss.lost,
        requests.unwrap_or_default()
    )
}
