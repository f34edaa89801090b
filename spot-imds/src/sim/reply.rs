//! What the simulator answers, and how the answer gets to the client.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Response, StatusCode};

/// What is to be done with one request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reply {
    /// How long to wait before anything is sent.
    pub delay: Duration,
    /// What is sent then.
    pub delivery: Delivery,
}

/// What gets to the client.
#[derive(Debug)]
pub enum Delivery {
    /// The reply.
    Whole(Response<Bytes>),
    /// The reply's head, then so many bytes of its body, then the end of the connection.
    Truncated(Response<Bytes>, usize),
    /// The reply; its body at so many bytes a second.
    Slow(Response<Bytes>, u32),
    /// No connection.
    Refused,
    /// A connection that is reset.
    Reset,
    /// Nothing, ever.
    Never,
}

impl Delivery {
    /// The reply that is on its way, whole or not.
    pub fn response(&self) -> Option<&Response<Bytes>> {
        match self {
            Self::Whole(response) | Self::Truncated(response, _) | Self::Slow(response, _) => {
                Some(response)
            }
            Self::Refused | Self::Reset | Self::Never => None,
        }
    }
}

/// How long a body takes at so many bytes a second; a rate of 0 counts as 1.
pub(super) fn pace(bytes: usize, rate: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / rate.max(1)
}

/// Metadata.
pub(super) fn text(body: impl Into<Bytes>) -> Response<Bytes> {
    with_type(StatusCode::OK, "text/plain", body.into())
}

/// A status with the page that EC2 sends along.
pub(super) fn page(status: StatusCode) -> Response<Bytes> {
    let code = status.as_u16();
    let title = format!("{code} - {}", status.canonical_reason().unwrap_or("Error"));
    let body = format!(
        r#"<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"#
    );
    with_type(status, "text/html", body.into())
}

/// Any status and body.
pub(super) fn with_type(status: StatusCode, media: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(SERVER, HeaderValue::from_static("EC2ws"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    response
}
