//! The spellings of time that the service uses.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::DecodeError;
use crate::quote::excerpt;

/// The longest spelling that is read, in bytes.
const MAX_TIME: usize = 64;

/// RFC 3339, as interruptions and recommendations are written: `2017-09-18T08:22:00Z`.
pub(super) fn rfc3339(text: &str) -> Result<Timestamp, DecodeError> {
    let text = text.trim();
    if text.len() > MAX_TIME {
        return Err(unreadable(text));
    }
    text.parse().map_err(|_| unreadable(text))
}

/// As maintenance is written, `21 Jan 2019 09:00:43 GMT`, which is nearly RFC 2822; and RFC
/// 3339, should it ever come to that. A fraction of a second is left out of the former.
pub(super) fn spelled(text: &str) -> Result<Timestamp, DecodeError> {
    const PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    let text = text.trim();
    if let Ok(time) = rfc3339(text) {
        return Ok(time);
    }
    if text.len() > MAX_TIME {
        return Err(unreadable(text));
    }
    let whole = match text.split_once('.') {
        Some((before, rest)) => {
            let zone = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == rest.len() {
                return Err(unreadable(text));
            }
            format!("{before}{zone}")
        }
        None => text.to_owned(),
    };
    PARSER.parse_timestamp(whole).map_err(|_| unreadable(text))
}

fn unreadable(text: &str) -> DecodeError {
    DecodeError::Time {
        quoted: excerpt(text.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_true_spelling_is_the_same_time() {
        for text in [
            "21 Jan 2019 09:00:43 GMT",
            " 21 Jan 2019 09:00:43 GMT\n",
            "21 Jan 2019 09:00:43.000 GMT",
            "Mon, 21 Jan 2019 09:00:43 GMT",
            "Tue, 21 Jan 2019 09:00:43 GMT",
            "21 Jan 2019 10:00:43 +0100",
            "21 Jan 2019 09:00:43.9 +0000",
            "2019-01-21T09:00:43Z",
            "2019-01-21T09:00:43.000Z",
            "2019-01-21T10:00:43+01:00",
        ] {
            let time = spelled(text).unwrap();
            assert_eq!(time.to_string(), "2019-01-21T09:00:43Z", "{text}");
        }
        let day = spelled("1 Feb 2019 00:00:00 GMT").unwrap();
        assert_eq!(day, spelled("01 Feb 2019 00:00:00 GMT").unwrap());
    }

    #[test]
    fn the_longest_spelling_has_64_bytes() {
        let maintenance = |zeros: usize| format!("21 Jan 2019 09:00:43.{} GMT", "0".repeat(zeros));
        let (longest, longer) = (maintenance(39), maintenance(40));
        assert_eq!((longest.len(), longer.len()), (MAX_TIME, MAX_TIME + 1));
        assert!(spelled(&longest).is_ok());
        assert!(spelled(&longer).is_err());

        let interruption = |more: &str| format!("2019-01-21T09:00:43.0Z[Etc/UTC]{more}");
        let longest = interruption("[u-ca=iso8601][u-ca=iso8601]");
        let longest = format!("{longest}[a=b]");
        assert_eq!(longest.len(), MAX_TIME, "{longest}");
        assert!(rfc3339(&longest).is_ok());
        assert!(rfc3339(&format!("{longest}[a=b]")).is_err());
    }

    #[test]
    fn what_is_no_time_is_quoted_and_cut() {
        let long = format!("21 Jan 2019 09:00:43 GMT ({})", "x".repeat(5_000));
        for text in [
            "",
            "soon",
            "21 Jan 2019",
            "32 Jan 2019 09:00:43 GMT",
            "21 Jan 2019 09:00:43",
            "21 Jan 2019 09:00:43. GMT",
            "1548061243",
            &long,
        ] {
            let error = spelled(text).unwrap_err();
            assert!(matches!(error, DecodeError::Time { .. }), "{text}");
            assert!(error.to_string().chars().count() < 200);
        }
    }
}
