//! What one reply of a polled path comes to.

use spot_core::notice::{Notice, NoticeEnd, NoticeId, Signal};

use crate::decode::DecodeError;

/// What one reply comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// What is to be said, in order.
    pub(super) signals: Vec<Signal>,
    /// What of it could not be read.
    pub(super) malformed: Option<DecodeError>,
    /// A word in it that nobody knows, escaped and cut.
    pub(super) unknown: Option<String>,
}

impl Heard {
    /// Nothing can be read.
    pub(super) fn malformed(error: DecodeError) -> Self {
        Self {
            malformed: Some(error),
            ..Self::default()
        }
    }

    pub(super) fn raise(&mut self, notice: &Notice) {
        self.signals.push(Signal::Raised(notice.clone()));
    }

    pub(super) fn end(&mut self, notice: &NoticeId, how: NoticeEnd) {
        let notice = notice.clone();
        self.signals.push(Signal::Ended { notice, how });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The signals in short: `+` for raised, and how an ended one ended.
    pub(in super::super) fn short(heard: &Heard) -> Vec<String> {
        let word = |signal: &Signal| match signal {
            Signal::Raised(notice) => format!("+{}", notice.id),
            Signal::Ended { notice, how } => format!("{how} {notice}"),
            other => format!("{other:?}"),
        };
        heard.signals.iter().map(word).collect()
    }
}
