//! `events/recommendations/rebalance`: a higher risk of interruption.

use jiff::Timestamp;
use serde::Deserialize;

use super::{DecodeError, time};
use crate::quote::excerpt;

/// Reads the body of `events/recommendations/rebalance`: when the recommendation was made (EC2
/// User Guide, "EC2 instance rebalance recommendations").
///
/// # Errors
/// [`DecodeError`], where it names no time that can be read.
///
/// ```
/// let body = br#"{"noticeTime":"2020-10-27T08:22:00Z"}"#;
/// let made = spot_imds::decode::rebalance(body).unwrap();
/// assert_eq!(made.to_string(), "2020-10-27T08:22:00Z");
/// ```
pub fn rebalance(body: &[u8]) -> Result<Timestamp, DecodeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        notice_time: String,
    }

    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let read: Body = serde_json::from_slice(body).map_err(|_| DecodeError::Object {
        wanted: "a noticeTime",
        quoted: excerpt(body),
    })?;
    time::rfc3339(&read.notice_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_true_bodies_are_taken() {
        for body in [
            r#"{"noticeTime":"2020-10-27T08:22:00Z"}"#,
            " {\"more\": [], \"noticeTime\": \" 2020-10-27t08:22:00.0z\"}\r\n",
            r#"{"noticeTime":"2020-10-27T09:22:00+01:00"}"#,
        ] {
            let time = rebalance(body.as_bytes()).unwrap();
            assert_eq!(time.to_string(), "2020-10-27T08:22:00Z");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        assert_eq!(rebalance(b" \n"), Err(DecodeError::Empty));
        for body in ["{}", "[]", "<html>", r#"{"noticeTime":7}"#, "{"] {
            let error = rebalance(body.as_bytes()).unwrap_err();
            assert!(matches!(error, DecodeError::Object { .. }), "{body}");
        }
        let error = rebalance(br#"{"noticeTime":"soon"}"#).unwrap_err();
        assert!(matches!(error, DecodeError::Time { .. }));
    }
}
