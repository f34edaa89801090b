//! spot-core.
