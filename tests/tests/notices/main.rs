//! Every kind of notice, on the real control plane with the shipping binary.

mod maintenance;
mod memory;
mod modes;
mod rebalance;
mod stage;
