//! The webhook: in paused time, and over sockets.

mod delivery;
mod network;
mod notices;
