//! The instance identity document, of which one field is read.

use jiff::Timestamp;
use serde::Deserialize;

use super::{DecodeError, time};

/// Reads when the instance was started the last time (`pendingTime`) out of
/// `/latest/dynamic/instance-identity/document` (EC2 User Guide, "Instance identity
/// documents"). Nothing else of it is looked at, kept or quoted: it names an account.
///
/// # Errors
/// [`DecodeError::Empty`] and [`DecodeError::Identity`].
///
/// ```
/// let body = br#"{"pendingTime":"2026-01-01T12:00:00Z","region":"eu-west-1"}"#;
/// let launched = spot_imds::decode::launched(body).unwrap();
/// assert_eq!(launched.to_string(), "2026-01-01T12:00:00Z");
/// ```
pub fn launched(body: &[u8]) -> Result<Timestamp, DecodeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        pending_time: String,
    }

    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    // Neither what serde says nor the time is told: either may quote anything.
    let read: Body = serde_json::from_slice(body).map_err(|_| DecodeError::Identity)?;
    time::rfc3339(&read.pending_time).map_err(|_| DecodeError::Identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_quotes_the_document() {
        for body in [
            r#"{"accountId":"SECRET"}"#,
            r#"{"accountId":"SECRET","pendingTime":7}"#,
            r#"{"pendingTime":"SECRET"}"#,
            "SECRET",
            "[\"SECRET\"]",
        ] {
            let error = launched(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("SECRET"), "{body}");
        }
        assert_eq!(launched(b"\n"), Err(DecodeError::Empty));
    }
}
