//! What the simulator does not do as the real server does, and why that is left so.

/// Name of a case and the reason. A limit that no longer differs fails the tests.
pub const LIMITS: &[(&str, &str)] = &[];
