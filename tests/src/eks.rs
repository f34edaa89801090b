//! `examples/eks`, executed: the commands of its guide, AWS simulated by moto, and the user data of
//! its nodes under bash with stand-ins for what a node has.

pub mod guide;
pub mod machine;
pub mod moto;
pub mod shell;
pub mod template;

/// The directory of the example.
pub const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/eks");
/// What the tests plant, and stand-ins for programs that would need a real account.
pub const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/eks");
