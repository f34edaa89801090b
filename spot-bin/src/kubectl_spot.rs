//! The commands of the plugin.

pub(crate) mod check;
pub(crate) mod nodes;
mod output;
pub(crate) mod pods;

use spot_drain::pods::PodsError;

use crate::exit::{Exit, chain};

/// The cluster could not be read.
fn unread(error: &PodsError) -> Exit {
    let line = chain(error);
    match error {
        PodsError::Forbidden { verb, resource, .. } => Exit::unavailable(format!(
            "{line}; grant {verb} on {resource} to your account"
        )),
        _ => Exit::unavailable(line),
    }
}
