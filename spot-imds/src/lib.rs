//! spot-imds.
