//! The scenarios on a real control plane, one for all of them.

use std::process::ExitCode;

use spot_tests::scenario::{runner, stage::Kind};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    runner::main(Kind::Real, || {
        Builder::new_current_thread().enable_all().build()
    })
}
