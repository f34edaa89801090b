//! `examples/eks`: its template, the user data of its nodes, and the commands of its guide.

mod module;
mod nodes;
mod stack;
mod template;
mod user_data;

use std::collections::BTreeSet;

use spot_tests::{Result, eks::guide::Guide};

#[test]
fn every_command_of_the_guide_is_run_by_a_test() -> Result<()> {
    let run: BTreeSet<&str> = [
        &stack::SET_UP[..],
        &stack::LAUNCH,
        &stack::UPDATE,
        &nodes::JOIN,
        &nodes::LISTS,
        &nodes::APPLICATION,
        &nodes::KIND,
        &module::HANDLER,
        &module::REHEARSAL,
        &module::CLEAN_UP,
        &stack::REAL,
        &stack::CLEAN_UP,
        &stack::END,
    ]
    .concat()
    .into_iter()
    .collect();
    let guide = Guide::read()?;
    assert_eq!(guide.names().into_iter().collect::<BTreeSet<_>>(), run);
    Ok(())
}
