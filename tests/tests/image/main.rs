//! The image: how large it is, what is in it, and that this is all that the handler needs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod alone;
mod content;
mod hops;
mod names;

use std::path::Path;

use spot_tests::{Result, handler, image::Image};

/// Where Debian, and images that are built on it, have them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The most that an archive of it may have.
const MEGABYTES_10: u64 = 10_000_000;

/// The image as it is shipped.
async fn shipped() -> Result<Image> {
    Image::build(handler::binary().await?, Path::new(AUTHORITIES)).await
}
