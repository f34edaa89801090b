//! What users lose by an interruption, as the measure of a drain.
//!
//! Twelve workloads of every kind stand on one node ([`Town`]), whose machine dies when it was said
//! to. A [`Meter`] looks at all of their pods and endpoints several times a second, and says of each
//! workload how many replica-seconds were missing, for how long nobody served, which processes were
//! killed before they had ended, and which were lost with the machine. With [`Traffic`] every pod is
//! a real HTTP server, and requests that nobody answered are counted.

mod meter;
mod town;
mod traffic;

pub use meter::{Loss, Meter};
pub use town::{Kind, Town};
pub use traffic::{Served, Traffic};
