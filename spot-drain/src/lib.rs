//! spot-drain.
