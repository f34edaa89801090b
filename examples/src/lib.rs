//! Small programs that embed the crates. Each runs on simulators unless it is told otherwise,
//! needs nothing installed, and is run by this crate's tests, which know what it prints.
//!
//! | program | what it shows |
//! |---|---|
//! | `cargo run -p spot-examples --bin signal-only` | a batch worker that saves its work when EC2 takes its instance back; no Kubernetes |
//! | `cargo run -p spot-examples --features drain-only --bin drain-only` | a controller that retires several nodes with `spot_drain::plan`: one list-and-watch, one limit, no driver |
//! | `cargo run -p spot-examples --features whole-handler --bin whole-handler` | the daemon's parts put together by hand, with an observer that prints a line per event |
//!
//! Programs that need Kubernetes have a feature of their own; `cargo test -p spot-examples
//! --all-features` tests them all.
