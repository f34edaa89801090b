//! `spot/instance-action`: the interruption of a Spot instance.

use jiff::Timestamp;
use serde::Deserialize;
use spot_core::deadline::Deadline;
use spot_core::notice::InstanceAction;
use tokio::time::Instant;

use super::{DecodeError, time};
use crate::quote::excerpt;

/// What `spot/instance-action` says (EC2 User Guide, "Spot Instance interruption notices").
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpotAction {
    /// What is going to be done; an action that nobody knows is taken for
    /// [`InstanceAction::Terminate`].
    pub action: InstanceAction,
    /// The action's own name where it is unknown, escaped and cut.
    pub unknown: Option<String>,
    /// When, approximately. Only a hibernation, which begins at once, may come without one.
    pub time: Option<Timestamp>,
}

impl SpotAction {
    /// When the machine goes, given that the service's clock shows `reference` at the moment
    /// `received`.
    ///
    /// A hibernation has begun when it is announced: its deadline is `received`, whatever time
    /// it names.
    pub fn deadline(&self, reference: Timestamp, received: Instant) -> Deadline {
        let wall = match self.action {
            InstanceAction::Hibernate => reference,
            _ => self.time.unwrap_or(reference),
        };
        Deadline::anchored(wall, reference, received)
    }
}

/// Reads the body of `spot/instance-action`.
///
/// # Errors
/// [`DecodeError`], where it names no action, or no time that can be read for an action that
/// needs one.
///
/// ```
/// use spot_core::notice::InstanceAction;
/// use spot_imds::decode::instance_action;
///
/// let body = br#"{"action":"stop","time":"2017-09-18T08:22:00Z"}"#;
/// assert_eq!(instance_action(body).unwrap().action, InstanceAction::Stop);
/// ```
pub fn instance_action(body: &[u8]) -> Result<SpotAction, DecodeError> {
    #[derive(Deserialize)]
    struct Body {
        action: String,
        time: Option<serde_json::Value>,
    }

    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    // What serde says is dropped: it may quote the body at any length.
    let object = || DecodeError::Object {
        wanted: "an action and a time",
        quoted: excerpt(body),
    };
    let Body { action, time } = serde_json::from_slice(body).map_err(|_| object())?;
    let action = action.trim();
    if action.is_empty() {
        return Err(object());
    }
    let known = [
        InstanceAction::Terminate,
        InstanceAction::Stop,
        InstanceAction::Hibernate,
    ]
    .into_iter()
    .find(|known| known.as_str().eq_ignore_ascii_case(action));
    let time = time.and_then(|t| t.as_str().map(time::rfc3339));
    let time = match (known, time) {
        (Some(InstanceAction::Hibernate), time) => time.and_then(Result::ok),
        (_, Some(time)) => Some(time?),
        (_, None) => return Err(object()),
    };
    Ok(SpotAction {
        action: known.unwrap_or(InstanceAction::Terminate),
        unknown: known.is_none().then(|| excerpt(action.as_bytes())),
        time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_action_is_told_apart() {
        for action in [
            InstanceAction::Terminate,
            InstanceAction::Stop,
            InstanceAction::Hibernate,
        ] {
            let body = format!(r#"{{"action":"{action}","time":"2017-09-18T08:22:00Z"}}"#);
            let read = instance_action(body.as_bytes()).unwrap();
            assert_eq!((read.action, read.unknown), (action, None));
            assert_eq!(read.time, Some(at("2017-09-18T08:22:00Z")));
        }
    }

    #[test]
    fn odd_but_true_bodies_are_taken() {
        for time in [
            "2017-09-18T08:22:00Z",
            "2017-09-18t08:22:00z",
            "2017-09-18T08:22:00.000Z",
            "2017-09-18T08:22:00.000000000Z",
            "2017-09-18T08:22:00+00:00",
            "2017-09-18T08:22:00-00:00",
            "2017-09-18T10:22:00+02:00",
            " 2017-09-18T08:22:00Z ",
        ] {
            let body = format!(
                " {{\"version\": [1, {{}}], \"time\" : \"{time}\" , \"action\" : \" Stop\" }} \r\n\n"
            );
            let read = instance_action(body.as_bytes()).unwrap();
            assert_eq!(read.time, Some(at("2017-09-18T08:22:00Z")), "{time}");
            assert_eq!(read.action, InstanceAction::Stop);
        }
    }

    #[test]
    fn an_unknown_action_is_a_termination_that_keeps_its_name() {
        let body = br#"{"action":"va\u0007porise","time":"2017-09-18T08:22:00Z"}"#;
        let read = instance_action(body).unwrap();
        assert_eq!(read.action, InstanceAction::Terminate);
        assert_eq!(read.unknown.as_deref(), Some(r"va\x07porise"));
    }

    #[test]
    fn what_means_nothing_is_quoted_safely_and_cut() {
        for body in [
            "{",
            "[]",
            "null",
            "{}",
            "\"terminate\"",
            "<html>\n</html>",
            "{\"action\":7}",
            r#"{"action":"terminate"}"#,
            r#"{"action":"terminate","time":null}"#,
            r#"{"action":"","time":"2017-09-18T08:22:00Z"}"#,
            r#"{"time":"2017-09-18T08:22:00Z"}"#,
            r#"{"action":"stop","time":"2017-09-18T08:22:00Z"} trailing"#,
        ] {
            let error = instance_action(body.as_bytes()).unwrap_err();
            assert!(
                matches!(error, DecodeError::Object { .. }),
                "{body}: {error}"
            );
        }
        for time in [
            "",
            "soon",
            "2017-09-18T08:22:00",
            "2017-02-30T00:00:00Z",
            "1505722920",
        ] {
            let body = format!(r#"{{"action":"terminate","time":"{time}"}}"#);
            let error = instance_action(body.as_bytes()).unwrap_err();
            assert_eq!(
                error,
                DecodeError::Time {
                    quoted: time.to_owned()
                }
            );
        }
        assert_eq!(instance_action(b" \n"), Err(DecodeError::Empty));
        let long = instance_action("\u{1b}[2J".repeat(10_000).as_bytes())
            .unwrap_err()
            .to_string();
        assert!(long.len() < 200 && !long.contains('\u{1b}'), "{long}");
    }

    #[test]
    fn a_hibernation_begins_at_once_whatever_time_it_names() {
        let received = Instant::now();
        let reference = at("2017-09-18T08:20:00Z");
        for time in [r#","time":"2017-09-18T08:22:00Z""#, r#","time":"soon""#, ""] {
            let body = format!(r#"{{"action":"hibernate"{time}}}"#);
            let deadline = instance_action(body.as_bytes())
                .unwrap()
                .deadline(reference, received);
            assert_eq!((deadline.instant(), deadline.wall()), (received, reference));
        }
        let stop = instance_action(br#"{"action":"stop","time":"2017-09-18T08:22:00Z"}"#).unwrap();
        let deadline = stop.deadline(reference, received);
        assert_eq!(deadline.remaining(received), Duration::from_secs(120));
    }

    /// JSON that is nearly right, so that the property below gets past the parser.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just("terminate".to_owned()),
            Just("2017-09-18T08:22:00Z".to_owned()),
            "[0-9TZtz:+.-]{0,40}",
            "\\PC{0,20}",
        ];
        let quoted = part.prop_map(|p| serde_json::Value::String(p).to_string());
        let part = prop_oneof![
            quoted,
            Just("null".into()),
            Just("1e999".into()),
            Just("[{}]".into())
        ];
        (part.clone(), part)
            .prop_map(|(a, t)| format!(r#"{{"action":{a},"time":{t}}}"#).into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn no_bytes_make_it_panic(
            body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), nearly()],
        ) {
            match instance_action(&body) {
                Ok(read) => {
                    let _ = read.deadline(Timestamp::MAX, Instant::now());
                    let _ = read.deadline(Timestamp::MIN, Instant::now());
                    prop_assert!(read.time.is_some() || read.action == InstanceAction::Hibernate);
                }
                Err(error) => prop_assert!(error.to_string().chars().count() < 200),
            }
        }
    }
}
