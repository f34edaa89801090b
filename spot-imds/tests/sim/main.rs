//! The simulator: what it answers, compared with a list that AWS's own mock can be held to as
//! well; and this crate's client and source on it, in memory under paused time and over a port.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod announcements;
mod cases;
mod in_memory;
mod kinds;
mod on_a_port;
mod suite;
mod time;
