//! What the metadata service's bodies mean: bytes in, values out, never a panic.
//!
//! True but odd spellings are taken (white space around a body, fields that nobody knows yet,
//! fractions of a second, `z` for `Z`, `+00:00`); anything else is a [`DecodeError`] that
//! quotes it safely. What is read is bounded, whatever the length of the body.

mod identity;
mod lifecycle;
mod maintenance;
mod rebalance;
mod spot;
mod time;

pub use identity::launched;
pub use lifecycle::{LifecycleState, lifecycle_state};
pub use maintenance::{
    EventCode, EventState, MAX_EVENTS, ScheduledEvent, ScheduledEvents, scheduled_events,
};
pub use rebalance::rebalance;
pub use spot::{SpotAction, instance_action};

use crate::quote::excerpt;

/// The longest plain value that is taken, in bytes.
pub const MAX_VALUE: usize = 128;

/// A body that is not what its path promises. Quotations are escaped, and cut after about 100
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Nothing but white space.
    #[error("the body is empty")]
    Empty,
    /// Not a JSON object with the texts that are needed.
    #[error("not a JSON object with {wanted}: \"{quoted}\"")]
    Object {
        /// What is needed.
        wanted: &'static str,
        /// The body, or the part of it that should be the object.
        quoted: String,
    },
    /// Not a JSON list.
    #[error("not a JSON list of events: \"{quoted}\"")]
    List {
        /// The body.
        quoted: String,
    },
    /// One event of a list cannot be read; the others can.
    #[error("event {number} of the list cannot be read")]
    Event {
        /// Its place in the list, from 1.
        number: usize,
        /// Why.
        #[source]
        source: Box<DecodeError>,
    },
    /// A list of more events than are read.
    #[error("more than {most} events; the rest is not read")]
    TooMany {
        /// How many are read.
        most: usize,
    },
    /// Not a time with an offset, in a spelling that is known.
    #[error("not a time that can be read: \"{quoted}\"")]
    Time {
        /// The time.
        quoted: String,
    },
    /// Not one short word of letters, digits and `-._:/`.
    #[error("not a plain value: \"{quoted}\"")]
    Value {
        /// The body.
        quoted: String,
    },
    /// Not an instance identity document. It is not quoted: it names an account.
    #[error("not an identity document with a pendingTime")]
    Identity,
}

/// Reads a plain value, such as an instance-id, a life cycle, a zone or a region: one word of
/// printable ASCII, at most [`MAX_VALUE`] bytes, white space around it removed. A page of HTML
/// from something in between is none.
///
/// # Errors
/// [`DecodeError::Empty`] and [`DecodeError::Value`].
pub fn value(body: &[u8]) -> Result<String, DecodeError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._:/".contains(b);
    match std::str::from_utf8(body) {
        Ok(text) if text.len() <= MAX_VALUE && body.iter().all(is_plain) => Ok(text.to_owned()),
        _ => Err(DecodeError::Value {
            quoted: excerpt(body),
        }),
    }
}

/// Reads an instance-id: a plain value that begins with `i-`, as all of EC2's do (EC2 User Guide,
/// "Resource IDs"). It is believed for the life of a process, so that a word from something in
/// between must be none.
///
/// # Errors
/// [`DecodeError::Empty`] and [`DecodeError::Value`].
pub fn instance_id(body: &[u8]) -> Result<String, DecodeError> {
    let id = value(body)?;
    match id.strip_prefix("i-") {
        Some(number) if !number.is_empty() => Ok(id),
        _ => Err(DecodeError::Value {
            quoted: excerpt(body.trim_ascii()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_from_something_in_between_is_no_instance_id() {
        assert_eq!(instance_id(b" i-0123 \n").unwrap(), "i-0123");
        for body in [&b"null"[..], b"i-", b"ok", b"[]", b"<html>", b""] {
            assert!(instance_id(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn plain_values_are_one_short_word() {
        assert_eq!(
            value(b" i-0123456789abcdef0\r\n").unwrap(),
            "i-0123456789abcdef0"
        );
        assert_eq!(value(b"eu-west-1a").unwrap(), "eu-west-1a");
        assert_eq!(value(b"\t\n"), Err(DecodeError::Empty));
        let long = vec![b'a'; MAX_VALUE + 1];
        assert!(value(&long[1..]).is_ok());
        for body in [&b"<html>"[..], b"a b", b"i-1\nX: y", b"\xff", b"a\0", &long] {
            assert!(
                matches!(value(body), Err(DecodeError::Value { .. })),
                "{body:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            match value(&body) {
                Ok(text) => prop_assert!(!text.is_empty() && text.len() <= MAX_VALUE),
                Err(error) => prop_assert!(error.to_string().chars().count() < 200),
            }
        }
    }
}
