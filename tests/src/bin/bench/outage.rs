//! An API server that is away for twenty seconds of a drain, or from the fourth second on.
//!
//! What is still to be evicted when it goes: pods that ask to be last, whose turn comes while it
//! is away, and pods that a budget holds until it is back.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DeleteParams;
use spot_tests::{
    Result,
    audit::tally,
    clock::{after, sleep_until_wall, wall_now},
    cluster::{Budget, Cluster, Node, Workload},
    control_plane::{ControlPlane, Part},
    figures::between,
    interruption::Interruption,
    metadata_mock::TWO_MINUTES,
    wait::wait_until,
};

use crate::{
    fixture::{complaints, drained, invalid, notice, plane, statuses, two_nodes},
    sheet,
};

/// Pods of each share.
const SHARE: usize = 10;
const FREE: &str = "free";
const LAST: &str = "last";
const GUARDED: &str = "guarded";
/// Seconds of grace with which a pod that asks to be last has its turn 15 s after a two-minute
/// notice: five are the drain's margin, five more are left for its end to be seen.
const LAST_GRACE: u32 = 95;
/// When the API server goes, and when it comes back, counted from the notice.
const GOES: Duration = Duration::from_secs(4);
const RETURNS: Duration = Duration::from_secs(24);
/// How soon after its return what is left is evicted.
const HELD_TO: Duration = Duration::from_secs(2);
/// The drain's end before a deadline two minutes ahead, and how late it may be.
const MARGIN: Duration = Duration::from_secs(5);
const EPSILON: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Options {
    /// How it is away
    #[arg(value_enum, default_values_t = [Away::Killed, Away::Paused, Away::BlackHole])]
    how: Vec<Away>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Away {
    /// Killed and started again: its port refuses meanwhile
    Killed,
    /// Stopped and resumed: connections stay open and nobody answers
    Paused,
    /// Stopped and not resumed before the deadline
    BlackHole,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    for how in &options.how {
        // One for each: controllers take half a minute to come back after an outage.
        let plane = &plane().await?;
        let (cluster, node) = fixture(plane).await?;
        let notice = notice(plane, &node).await?;
        let shows_at = notice.metadata.notice().map(|notice| notice.shows_at);
        let shows_at = shows_at.ok_or_else(|| invalid("a mock without a notice"))?;
        sleep_until_wall(after(shows_at, GOES)).await;
        match how {
            Away::Killed => {
                plane.kill(Part::ApiServer)?;
                sleep_until_wall(after(shows_at, RETURNS)).await;
                plane.restart(Part::ApiServer).await?;
                returned(plane, &cluster, &notice, "killed and started again").await?;
            }
            Away::Paused => {
                plane.pause(Part::ApiServer)?;
                sleep_until_wall(after(shows_at, RETURNS)).await;
                plane.resume(Part::ApiServer)?;
                returned(plane, &cluster, &notice, "stopped and resumed").await?;
            }
            Away::BlackHole => {
                plane.pause(Part::ApiServer)?;
                black_hole(drained(&notice).await?.slack);
            }
        }
    }
    Ok(())
}

async fn fixture(plane: &ControlPlane) -> Result<(Cluster, Node)> {
    let (cluster, node) = two_nodes(plane).await?;
    let last = Workload::new(LAST, SHARE)
        .annotation("spot-interrupt-handler/drain", "last")
        .grace(LAST_GRACE);
    let guarded = Workload::new(GUARDED, SHARE);
    for workload in [&Workload::new(FREE, SHARE), &last, &guarded] {
        cluster.deploy_on(&node, workload).await?;
    }
    let all = u32::try_from(SHARE).unwrap_or(u32::MAX);
    cluster.budget(&guarded, Budget::MinAvailable(all)).await?;
    cluster.wait_budget(GUARDED, 0).await?;
    Ok((cluster, node))
}

/// The API server is back, now: takes the budget away, and says when each pod was evicted.
async fn returned(
    plane: &ControlPlane,
    cluster: &Cluster,
    notice: &Interruption,
    how: &str,
) -> Result<()> {
    let back = wall_now();
    let budgets = cluster.api::<PodDisruptionBudget>();
    // The client's connection may be one of those that are dead.
    wait_until("the budget's end", Duration::from_secs(20), async || {
        let delete = DeleteParams::default();
        let gone = budgets.delete(GUARDED, &delete).await;
        gone.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    let opened = wall_now();
    let end = drained(notice).await?.elapsed;

    let shows_at = notice.metadata.notice().map(|notice| notice.shows_at);
    let away = between(after(shows_at.unwrap_or(back), GOES), back);
    sheet::begin(format_args!(
        "API server {how}: away for {:.1} s from the notice + {} s, {} pods",
        away.as_secs_f64(),
        GOES.as_secs(),
        3 * SHARE,
    ));
    let requests = notice.requests(plane).await?;
    for (share, since, what) in [
        (FREE, back, "the return"),
        (LAST, back, "the return"),
        (GUARDED, opened, "the budget's end"),
    ] {
        let accepted: Vec<Timestamp> = requests
            .iter()
            .filter(|r| r.has_evicted() && r.name.starts_with(share))
            .map(|r| r.answered)
            .collect();
        let before = accepted.iter().filter(|at| **at < back).count();
        let last = accepted.iter().max().map(|at| between(since, *at));
        let met = accepted.len() == SHARE && last.is_some_and(|last| last <= HELD_TO);
        sheet::held(
            format_args!("{share}: evicted before the return, and in all"),
            format_args!("{before}, {} of {SHARE}", accepted.len()),
            "all",
            accepted.len() == SHARE,
        );
        if before < SHARE {
            sheet::held(
                format_args!("{share}: last eviction after {what}"),
                sheet::time(last),
                format_args!("at most {} s", HELD_TO.as_secs()),
                met,
            );
        }
    }
    let opened = between(back, opened);
    sheet::fact(
        "the budget's end after the return",
        sheet::time(Some(opened)),
    );
    sheet::fact("drain returned after", sheet::time(Some(end)));
    sheet::fact("API requests in all", requests.len());
    let statuses = statuses(&requests);
    sheet::fact("evictions by status", format_args!("{statuses:?}"));
    println!("\n{:?}", tally(&requests));
    println!("what the handler complained of: {:?}", complaints([notice]));
    Ok(())
}

/// The drain returned `slack` before the deadline.
fn black_hole(slack: Duration) {
    sheet::begin(format_args!(
        "API server stopped from the notice + {} s to the end",
        GOES.as_secs()
    ));
    let since_notice = TWO_MINUTES.saturating_sub(slack);
    let planned = TWO_MINUTES.saturating_sub(MARGIN);
    sheet::fact(
        "drain returned, counted from the notice",
        sheet::time(Some(since_notice)),
    );
    sheet::at_most(
        "after the window's end",
        (!slack.is_zero()).then(|| since_notice.saturating_sub(planned)),
        EPSILON,
    );
}
