//! What the crate does from outside: over real sockets in real time with short durations, and
//! in memory under paused time. Never paused time on a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client_over_http;
mod client_under_paused_time;
mod ear;
mod fake;
mod kinds;
mod logs;
mod misbehaviour;
mod polling;
mod raw;
mod source_over_http;
mod source_under_paused_time;
mod troubles;
