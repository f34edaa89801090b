//! What the service will announce: which kind, from when on, with how much time left, and how
//! it ends.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use spot_core::deadline::HORIZON;
use spot_core::notice::NoticeKind;
use spot_core::sim::VirtualClock;
use tokio::time::Instant;

/// The time that EC2 leaves before it takes a Spot instance back.
const NOTICE: Duration = Duration::from_secs(120);

/// How far ahead maintenance is announced, and how long it takes, unless set.
const MAINTENANCE_AHEAD: Duration = Duration::from_secs(7 * 24 * 3_600);
const MAINTENANCE_TAKES: Duration = Duration::from_secs(2 * 3_600);

/// A notice that the simulator will show. Times are kept within [`HORIZON`].
///
/// ```
/// use std::time::Duration;
/// use spot_core::notice::InstanceAction;
/// use spot_imds::sim::Announcement;
///
/// let seconds = Duration::from_secs;
/// let stop = Announcement::spot(InstanceAction::Stop).after(seconds(30)).left(seconds(90));
/// let reboot = Announcement::maintenance("system-reboot").left(seconds(3_600)).cancelled_after(seconds(60));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    what: What,
    pub(super) after: Duration,
    left: Duration,
    moving: bool,
    deadline: Option<Duration>,
    pub(super) end: Option<(Duration, End)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Spot(String),
    Rebalance,
    Maintenance(String),
    AsgTermination,
}

/// How an announcement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Cancelled,
    Completed,
}

/// Names an announcement, to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnnouncementId(pub(super) usize);

impl Announcement {
    fn new(what: What, left: Duration) -> Self {
        Self {
            what,
            after: Duration::ZERO,
            left,
            moving: false,
            deadline: None,
            end: None,
        }
    }

    /// A Spot interruption, two minutes ahead: an
    /// [`InstanceAction`](spot_core::notice::InstanceAction), or a word that nobody knows yet.
    pub fn spot(action: impl fmt::Display) -> Self {
        Self::new(What::Spot(action.to_string()), NOTICE)
    }

    /// A rebalance recommendation. It names the time at which it was made, and no deadline.
    pub fn rebalance() -> Self {
        Self::new(What::Rebalance, Duration::ZERO)
    }

    /// Scheduled maintenance, a week ahead, that takes two hours. Codes that EC2 knows:
    /// `instance-stop`, `instance-retirement`, `instance-reboot`, `system-reboot`,
    /// `system-maintenance`.
    pub fn maintenance(code: impl Into<String>) -> Self {
        Self::new(What::Maintenance(code.into()), MAINTENANCE_AHEAD)
    }

    /// The Auto Scaling group wants the instance gone: its target lifecycle state becomes
    /// `Terminated`.
    pub fn asg_termination() -> Self {
        Self::new(What::AsgTermination, Duration::ZERO)
    }

    /// The usual announcement of a kind: a termination, or a reboot of the host.
    pub fn of_kind(kind: NoticeKind) -> Option<Self> {
        match kind {
            NoticeKind::SpotInterruption => Some(Self::spot("terminate")),
            NoticeKind::RebalanceRecommendation => Some(Self::rebalance()),
            NoticeKind::ScheduledMaintenance => Some(Self::maintenance("system-reboot")),
            NoticeKind::AsgTermination => Some(Self::asg_termination()),
            _ => None,
        }
    }

    /// Shows so long after it is announced; in a builder, after the start. At once unless set.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after.min(HORIZON);
        self
    }

    /// The time from when it shows to the time that it names: when the interruption comes, or
    /// the maintenance begins. No effect on the other kinds.
    #[must_use]
    pub fn left(mut self, left: Duration) -> Self {
        if matches!(self.what, What::Spot(_) | What::Maintenance(_)) {
            self.left = left.min(HORIZON);
        }
        self
    }

    /// Names a time that moves away with every request, as AWS's own mock does unless told a
    /// time. Scheduled maintenance never moves.
    #[must_use]
    pub fn moving(mut self) -> Self {
        self.moving = true;
        self
    }

    /// Until so long after its first time a maintenance could be moved (`NotBeforeDeadline`);
    /// not named unless set.
    #[must_use]
    pub fn not_before_deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after.min(HORIZON));
        self
    }

    /// Taken back so long after it showed. EC2 does that with maintenance, which it then keeps
    /// in the history as canceled. It never takes an interruption back, but this does.
    #[must_use]
    pub fn cancelled_after(mut self, shown: Duration) -> Self {
        self.end = Some((shown.min(HORIZON), End::Cancelled));
        self
    }

    /// Over so long after it showed. A maintenance is then in the history as completed; anything
    /// else has vanished.
    #[must_use]
    pub fn completed_after(mut self, shown: Duration) -> Self {
        self.end = Some((shown.min(HORIZON), End::Completed));
        self
    }

    /// Its kind.
    pub fn kind(&self) -> NoticeKind {
        match self.what {
            What::Spot(_) => NoticeKind::SpotInterruption,
            What::Rebalance => NoticeKind::RebalanceRecommendation,
            What::Maintenance(_) => NoticeKind::ScheduledMaintenance,
            What::AsgTermination => NoticeKind::AsgTermination,
        }
    }
}

/// An announcement with its place in time.
#[derive(Clone, Debug)]
pub(super) struct Scheduled {
    pub(super) announcement: Announcement,
    pub(super) shows: Instant,
    pub(super) ends: Option<(Instant, End)>,
    /// When a client was first told.
    pub(super) read: Option<Instant>,
    /// When it was moved the last time, and when it begins since.
    pub(super) moved: Option<(Instant, Instant)>,
    pub(super) event_id: String,
}

impl Scheduled {
    pub(super) fn is_shown(&self, now: Instant) -> bool {
        now >= self.shows && self.ended(now).is_none()
    }

    /// How it has ended, if it has. What ends before it shows was never there.
    pub(super) fn ended(&self, now: Instant) -> Option<End> {
        self.ends.filter(|(at, _)| now >= *at).map(|(_, end)| end)
    }

    /// Whether it showed before it ended.
    fn was_shown(&self) -> bool {
        self.ends.is_none_or(|(at, _)| at > self.shows)
    }

    /// Maintenance is to begin so long after `now`.
    pub(super) fn reschedule(&mut self, left: Duration, now: Instant) {
        if matches!(self.announcement.what, What::Maintenance(_)) {
            self.moved = Some((now, now + left.min(HORIZON)));
        }
    }

    /// When maintenance begins.
    fn begins(&self) -> Instant {
        let first = self.shows + self.announcement.left;
        self.moved.map_or(first, |(_, begins)| begins)
    }

    /// The time that it names.
    fn time(&self, clock: &VirtualClock, now: Instant) -> Timestamp {
        let from = if self.announcement.moving {
            now
        } else {
            self.shows
        };
        whole(clock.at(from + self.announcement.left))
    }

    /// The body at this path below `/latest/meta-data/`, where it is one of this announcement's
    /// alone.
    pub(super) fn body(&self, path: &str, clock: &VirtualClock, now: Instant) -> Option<String> {
        let time = || self.time(clock, now);
        match (&self.announcement.what, path) {
            (What::Spot(action), "spot/instance-action") => {
                Some(json!({ "action": action, "time": time().to_string() }).to_string())
            }
            // The older path speaks of terminations alone.
            (What::Spot(action), "spot/termination-time") if action == "terminate" => {
                Some(time().to_string())
            }
            (What::Rebalance, "events/recommendations/rebalance") => {
                Some(json!({ "noticeTime": time().to_string() }).to_string())
            }
            (What::AsgTermination, "autoscaling/target-lifecycle-state") => {
                Some("Terminated".to_owned())
            }
            _ => None,
        }
    }

    /// The entry in the schedule or the history of maintenance, with whether it is in the
    /// history.
    pub(super) fn event(&self, clock: &VirtualClock, now: Instant) -> Option<(bool, Value)> {
        let What::Maintenance(code) = &self.announcement.what else {
            return None;
        };
        if now < self.shows || !self.was_shown() {
            return None;
        }
        let begins = self.begins();
        let end = self.ended(now);
        let (state, prefix) = match end {
            None => ("active", ""),
            Some(End::Cancelled) => ("canceled", "[Canceled] "),
            Some(End::Completed) => ("completed", "[Completed] "),
        };
        let mut event = json!({
            "NotBefore": spelled(clock.at(begins)),
            "NotAfter": spelled(clock.at(begins + MAINTENANCE_TAKES)),
            "Code": code,
            "Description": format!("{prefix}The instance is scheduled for {code}"),
            "EventId": self.event_id,
            "State": state,
        });
        if let Some(after) = self.announcement.deadline {
            event["NotBeforeDeadline"] = spelled(clock.at(begins + after)).into();
        }
        Some((end.is_some(), event))
    }

    /// Whether `path` tells of it.
    pub(super) fn is_told_by(&self, path: &str) -> bool {
        match self.announcement.what {
            What::Spot(_) => path.starts_with("spot/"),
            What::Rebalance => path == "events/recommendations/rebalance",
            What::Maintenance(_) => path == "events/maintenance/scheduled",
            What::AsgTermination => path == "autoscaling/target-lifecycle-state",
        }
    }

    /// What happens to it, by time, as lines of a story.
    pub(super) fn story(&self, clock: &VirtualClock) -> Vec<(Instant, String)> {
        let kind = self.announcement.kind();
        if !self.was_shown() {
            return Vec::new();
        }
        let begins = spelled(clock.at(self.shows + self.announcement.left));
        let details = match &self.announcement.what {
            What::Spot(action) if self.announcement.moving => {
                format!(
                    ", {action}, {:?} after each request",
                    self.announcement.left
                )
            }
            What::Spot(action) => format!(", {action} at {}", self.time(clock, self.shows)),
            What::Maintenance(code) => format!(", {code} not before {begins}"),
            What::Rebalance | What::AsgTermination => String::new(),
        };
        let mut story = vec![(self.shows, format!("notice shows: {kind}{details}"))];
        if let Some(read) = self.read {
            story.push((read, format!("notice read for the first time: {kind}")));
        }
        if let Some((at, begins)) = self.moved {
            let begins = spelled(clock.at(begins));
            story.push((at, format!("notice is moved: {kind}, not before {begins}")));
        }
        if let Some((at, end)) = self.ends {
            let how = match end {
                End::Cancelled => "is cancelled",
                End::Completed => "is over",
            };
            story.push((at, format!("notice {how}: {kind}")));
        }
        story
    }
}

/// Whole seconds, as EC2 writes times.
fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// As maintenance spells times: `21 Jan 2019 09:00:43 GMT`.
fn spelled(time: Timestamp) -> String {
    time.strftime("%-d %b %Y %H:%M:%S GMT").to_string()
}

/// As HTTP spells times.
pub(super) fn http_date(time: Timestamp, skew: SignedDuration) -> String {
    let time = time.saturating_add(skew).unwrap_or(time);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
