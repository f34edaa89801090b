//! The simulated API server, request by request, against what a real one (1.36.3) answered.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod bench;
mod evictions;
mod objects;
mod world;
