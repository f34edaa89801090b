//! A reply of the metadata service: its body, and when it was given.

use std::fmt;

use bytes::Bytes;
use http::Response;
use http::header::{DATE, HeaderMap};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::Instant;

/// The `Date`s that are believed: a clock that was never set shows less.
const SANE_DATES: std::ops::Range<i64> = 1_577_836_800..4_102_444_800; // the years 2020 to 2099

/// A reply of the metadata service. Its `Debug` shows the length of the body alone: some
/// metadata is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    body: Bytes,
    date: Option<Timestamp>,
    received: Instant,
}

impl Document {
    pub(crate) fn new(response: Response<Bytes>, received: Instant) -> Self {
        let date = date(response.headers());
        Self {
            body: response.into_body(),
            date,
            received,
        }
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// What the service's clock showed (the `Date` header, whole seconds, rounded down), where
    /// it says so and it is a time of the years 2020 to 2099.
    pub fn date(&self) -> Option<Timestamp> {
        self.date
    }

    /// When the whole reply had been read.
    pub fn received(&self) -> Instant {
        self.received
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("length", &self.body.len())
            .field("date", &self.date)
            .field("received", &self.received)
            .finish()
    }
}

/// What the service's clock shows, where it is set (RFC 9110, "Date").
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let date = PARSER.parse_timestamp(headers.get(DATE)?.as_bytes()).ok()?;
    SANE_DATES.contains(&date.as_second()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(date: &[u8]) -> HeaderMap {
        [(DATE, HeaderValue::from_bytes(date).unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_sane_date_is_believed_and_no_other() {
        let read = |value: &str| date(&headers(value.as_bytes()));
        let expected: Timestamp = "2026-03-01T10:20:30Z".parse().unwrap();
        assert_eq!(read("Sun, 01 Mar 2026 10:20:30 GMT"), Some(expected));
        assert_eq!(
            read("Mon, 01 Mar 2026 10:20:30 GMT"),
            Some(expected),
            "wrong day of the week"
        );
        for odd in [
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "",
            "soon",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert_eq!(date(&headers(b"\xff\xfe")), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }

    #[test]
    fn no_debug_output_shows_the_body() {
        let document = Document::new(Response::new(Bytes::from_static(b"s3cret")), Instant::now());
        assert_eq!(document.text(), Some("s3cret"));
        assert!(!format!("{document:?}").contains("s3cret"));
    }
}
