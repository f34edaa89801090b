//! Small programs that embed the crates. Each runs on simulators unless it is told otherwise,
//! needs nothing installed, and is run by this crate's tests, which know what it prints.
//!
//! | program | what it shows |
//! |---|---|
//! | `cargo run -p spot-examples --bin signal-only` | a batch worker that saves its work when EC2 takes its instance back; no Kubernetes |
