//! What an Auto Scaling group wants of the instance, reading by reading.

use spot_core::notice::{Notice, NoticeEnd, NoticeId, NoticeKind};

use super::heard::Heard;
use super::moment::Moment;
use crate::decode::{LifecycleState, lifecycle_state};

const KIND: NoticeKind = NoticeKind::AsgTermination;

/// The termination that stands, if one does.
#[derive(Clone, Debug, Default)]
pub(super) struct AsgTermination {
    notice: Option<Notice>,
    /// The last reading was of another state.
    wavers: bool,
}

impl AsgTermination {
    /// A reply. Only another state, read twice in a row, takes a termination back: one that is
    /// absent, or that nobody knows, says nothing about it.
    pub(super) fn heed(&mut self, body: Option<&[u8]>, at: &Moment) -> Heard {
        let mut heard = Heard::default();
        let wavered = std::mem::take(&mut self.wavers);
        let Some(body) = body else {
            return heard;
        };
        match (lifecycle_state(body), &self.notice) {
            (Err(error), _) => return Heard::malformed(error),
            (Ok(LifecycleState::Unknown(state)), _) => heard.unknown = Some(state),
            (Ok(state), None) if state.is_terminated() => {
                let id = NoticeId::new(KIND.as_str());
                heard.raise(self.notice.insert(Notice::new(id, KIND, at.received)));
            }
            (Ok(state), Some(standing)) if !state.is_terminated() && wavered => {
                heard.end(&standing.id, NoticeEnd::Cancelled);
                self.notice = None;
            }
            (Ok(state), Some(_)) => self.wavers = !state.is_terminated(),
            (Ok(_), None) => {}
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::super::heard::tests::short;
    use super::super::moment::tests::dated;
    use super::*;
    use spot_core::notice::{InstanceAction, Signal};
    use tokio::time::Instant;

    #[test]
    fn it_is_raised_once_and_taken_back_by_another_state_alone() {
        let now = dated(Instant::now(), 0, "2026-01-01T00:00:00Z");
        for (state, ends) in [
            (Some("InService"), true),
            (Some("Standby"), true),
            (Some("Detached"), true),
            (Some("Warmed:Stopped"), true),
            (Some("Warmed:Terminated"), false),
            (Some("Resting"), false),
            (Some("<html>"), false),
            (None, false),
        ] {
            let mut asg = AsgTermination::default();
            let mut heed = |body: Option<&str>| asg.heed(body.map(str::as_bytes), &now);
            let heard = heed(Some("Terminated"));
            let [Signal::Raised(notice)] = &heard.signals[..] else {
                panic!("{heard:?}")
            };
            assert_eq!(notice.action, InstanceAction::Terminate);
            assert_eq!(notice.deadline, None);
            assert_eq!(heed(Some("Terminated")), Heard::default());
            assert_eq!(short(&heed(state)), [""; 0], "{state:?}");
            let ended = short(&heed(state));
            assert_eq!(ended == ["cancelled asg-termination"], ends, "{state:?}");
            let again = short(&heed(Some("Terminated")));
            assert_eq!(again == ["+asg-termination"], ends, "{state:?}");
        }
    }

    #[test]
    fn one_reading_of_another_state_takes_nothing_back() {
        let now = dated(Instant::now(), 0, "2026-01-01T00:00:00Z");
        let mut asg = AsgTermination::default();
        asg.heed(Some(b"Terminated"), &now);
        for between in [Some(&b"Terminated"[..]), None, Some(b"<html>")] {
            let heard = asg.heed(Some(b"InService"), &now);
            assert_eq!(heard, Heard::default());
            asg.heed(between, &now);
        }
    }

    #[test]
    fn a_state_that_nobody_knows_is_named() {
        let now = dated(Instant::now(), 0, "2026-01-01T00:00:00Z");
        let heard = AsgTermination::default().heed(Some(b"Resting"), &now);
        assert_eq!(heard.unknown.as_deref(), Some("Resting"));
    }
}
