//! What the crate does from outside: over real sockets in real time with short durations, and
//! in memory under paused time. Never paused time on a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client_over_http;
mod client_under_paused_time;
mod fake;
mod logs;
mod misbehaviour;
mod raw;
mod source_over_http;
mod source_under_paused_time;
