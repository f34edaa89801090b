//! Ten pods that a closed budget holds for the whole of a two-minute notice, and ten free ones.

use std::time::Duration;

use clap::Args;
use spot_tests::{
    Result,
    audit::tally,
    cluster::{Budget, Workload},
    control_plane::ControlPlane,
};

use crate::{
    fixture::{drained, invalid, notice, shares, two_nodes},
    sheet,
};

const FREE: usize = 10;
const BLOCKED: usize = 10;
/// How soon after the cordon the first free pod's eviction is accepted, and all of them are.
const FIRST: Duration = Duration::from_millis(300);
const ALL: Duration = Duration::from_secs(1);
/// Refused evictions in two minutes, by one budget.
const REFUSED: usize = 29;

#[derive(Args)]
pub(crate) struct Options {
    /// How many budgets share the ten blocked pods
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=10))]
    budgets: u8,
}

pub(crate) async fn run(plane: &ControlPlane, options: &Options) -> Result<()> {
    let budgets = usize::from(options.budgets);
    let (cluster, node) = two_nodes(plane).await?;
    for (owner, share) in shares(BLOCKED, budgets).enumerate() {
        let workload = Workload::new(&format!("blocked-{owner}"), share);
        cluster.deploy_on(&node, &workload).await?;
        let all = u32::try_from(share).unwrap_or(u32::MAX);
        cluster.budget(&workload, Budget::MinAvailable(all)).await?;
        cluster.wait_budget(workload.name(), 0).await?;
    }
    cluster
        .deploy_on(&node, &Workload::new("free", FREE))
        .await?;

    let notice = notice(plane, &node).await?;
    let drained = drained(&notice).await?;
    let requests = notice.requests(plane).await?;
    let figures = notice.figures(plane).await?;
    if figures.evicted != FREE {
        return Err(invalid(format!(
            "{} of {FREE} free pods were evicted: {:?}",
            figures.evicted,
            tally(&requests)
        )));
    }
    sheet::begin(format_args!(
        "{BLOCKED} pods under {budgets} closed budget(s), {FREE} free ones, two minutes"
    ));
    let first = figures.cordon_to_first_eviction();
    sheet::at_most("cordon to the first free pod's eviction", first, FIRST);
    let all = figures.cordon_to_last_eviction();
    sheet::at_most("cordon to all free pods' evictions", all, ALL);
    if budgets == 1 {
        sheet::at_most_count("refused evictions", figures.refused, REFUSED);
    } else {
        sheet::fact("refused evictions", figures.refused);
    }
    sheet::fact("API requests in all", figures.requests);
    sheet::fact("drain returned after", sheet::time(Some(drained.elapsed)));
    sheet::fact(
        "time left to the deadline then",
        sheet::time(Some(drained.slack)),
    );
    println!("\n{:?}", tally(&requests));
    cluster.delete().await
}
