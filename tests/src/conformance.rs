//! Conformance: requests whose answers were recorded from the real API server, to which a
//! simulator is held.
//!
//! A [`Case`] is a setup, a sequence of plain HTTP requests, and what of each answer counts.
//! What a [`Target`] answers is written down with UIDs, versions and times as symbols, and
//! compared with the recorded facts (`conformance/facts`, one file for each group). Every
//! case runs in a namespace of its own, which bears its name, and controllers take no part:
//! pods are bound to a node that no kubelet serves, and statuses are written.
//!
//! The facts are made by the real server: `SPOT_TESTS_RECORD=1 cargo test -p spot-tests
//! --test conformance_real` writes them anew, to be reviewed as a diff.

mod case;
mod facts;
mod fixtures;
mod limits;
mod real;
mod report;
mod runner;
mod symbols;
mod target;
mod transcript;

mod bodies;
mod budgets;
mod deletes;
mod detaches;
mod evictions;
mod lists;
mod nodes;
mod patches;
mod paths;
mod pods;
mod reviews;
mod selectors;
mod sim;
mod watches;

pub use case::{Case, Group};
pub use facts::record;
pub use limits::LIMITS;
pub use real::RealTarget;
pub use report::{Outcome, Report};
pub use runner::run;
pub use sim::SimTarget;
pub use target::{Target, User};

/// All cases, by group.
pub fn groups() -> Vec<Group> {
    vec![
        evictions::group(),
        bodies::group(),
        budgets::group(),
        deletes::group(),
        detaches::group(),
        nodes::group(),
        patches::group(),
        pods::group(),
        lists::group(),
        selectors::group(),
        watches::group(),
        reviews::group(),
        paths::group(),
    ]
}
