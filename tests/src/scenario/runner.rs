//! Runs the scenarios as tests of a harness that is not libtest: they mostly wait, so many more
//! of them run at a time than there are processors.

use std::{panic::AssertUnwindSafe, process::ExitCode};

use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use super::{
    SCENARIOS, Scenario,
    stage::{Kind, Stage},
};
use crate::Result;

/// How many run at a time on the real control plane, unless `--test-threads` says so.
const AT_A_TIME: usize = 10;

/// Those that take half a minute or more begin first, so that none is left to run alone.
const LONGEST: [&str; 11] = [
    "watches_that_cannot_be_had",
    "at_five_seconds_of_latency_it_still_progresses",
    "what_an_outage_held_up_goes_when_it_is_over",
    "refused_connections_from_4_to_24_s",
    "a_slow_server_that_fails_often_is_drained",
    "a_watch_that_stops_speaking_is_noticed",
    "without_a_watch_an_opened_budget_is_used_within_five_seconds",
    "a_handler_killed_after_any_request_is_carried_on",
    "called_off_in_any_phase_none_is_left_over",
    "killed_in_any_phase_none_is_left_over",
    "killed_in_any_phase_and_called_off_none_is_left_over",
];

/// Runs those that play on such a stage, each in a runtime of its own, as the command line says.
pub fn main(kind: Kind, runtime: fn() -> std::io::Result<Runtime>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if kind == Kind::Real {
        arguments.test_threads.get_or_insert(AT_A_TIME);
    }
    let (long, short): (Vec<_>, Vec<_>) = SCENARIOS
        .iter()
        .filter(|scenario| scenario.plays_on(kind))
        .partition(|scenario| LONGEST.contains(&scenario.name));
    let trials = long
        .into_iter()
        .chain(short)
        .map(|scenario| Trial::test(scenario.test(), move || trial(scenario, kind, runtime)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    scenario: &Scenario,
    kind: Kind,
    runtime: fn() -> std::io::Result<Runtime>,
) -> Result<(), Failed> {
    let runtime = runtime().map_err(|error| error.to_string())?;
    let played = runtime.block_on(play(scenario, kind));
    // What a failing scenario has left behind must not keep its thread.
    runtime.shutdown_background();
    played.map_err(|error| Failed::from(format!("{error:?}")))
}

async fn play(scenario: &Scenario, kind: Kind) -> Result<()> {
    let name = scenario.test().replace('_', "-");
    let name: String = name.chars().take(40).collect();
    let name = name.trim_end_matches('-');
    let stage = match kind {
        Kind::Real => Stage::real(name).await?,
        Kind::Simulator => Stage::simulator(name).await?,
    };
    let played = AssertUnwindSafe(scenario.play(&stage)).catch_unwind().await;
    // So that others have the control plane to themselves.
    let tidied = match kind {
        Kind::Real => stage.cluster.clone().delete().await,
        Kind::Simulator => Ok(()),
    };
    match played {
        Ok(played) => played.and(tidied),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_scenarios() {
        for name in LONGEST {
            assert!(SCENARIOS.iter().any(|s| s.name == name), "{name}");
        }
    }
}
