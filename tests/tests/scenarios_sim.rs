//! The scenarios in the simulator, under paused time.

use std::process::ExitCode;

use spot_tests::scenario::{runner, stage::Kind};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    runner::main(Kind::Simulator, || {
        Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
    })
}
