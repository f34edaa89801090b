//! Puts an [`Imds`] together.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use spot_core::sim::{START, VirtualClock};
use tokio::time::Instant;

use super::announcement::Announcement;
use super::imds::{Config, Imds};
use super::rule::FaultRule;

/// Puts an [`Imds`] together. Unless told otherwise it is a Spot instance in `eu-west-1a` that is
/// in no Auto Scaling group, to which nothing is announced, on 1 January 2026 at noon; it was
/// started the day before.
#[derive(Clone, Debug)]
#[must_use]
pub struct ImdsBuilder {
    config: Config,
    wall: Timestamp,
    announcements: Vec<Announcement>,
    rules: Vec<FaultRule>,
}

impl Default for ImdsBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            wall: START,
            announcements: Vec::new(),
            rules: Vec::new(),
        }
        .instance("i-0123456789abcdef0")
        .life_cycle("spot")
        .zone("eu-west-1a")
        .instance_type("m5.large")
    }
}

impl ImdsBuilder {
    /// The instance-id.
    pub fn instance(self, id: impl Into<String>) -> Self {
        self.document("instance-id", id)
    }

    /// How the instance was bought: `spot`, `on-demand`, …
    pub fn life_cycle(self, name: impl Into<String>) -> Self {
        self.document("instance-life-cycle", name)
    }

    /// The availability zone, and the region that it names.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        let zone = zone.into();
        let region = zone.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let region = region.to_owned();
        self.document("placement/availability-zone", zone)
            .document("placement/region", region)
    }

    /// When the instance was started the last time, as its identity document tells; a day before
    /// the start of the simulator unless set.
    pub fn launched(mut self, at: Timestamp) -> Self {
        self.config.launched = Some(at);
        self
    }

    /// The instance type.
    pub fn instance_type(self, name: impl Into<String>) -> Self {
        self.document("instance-type", name)
    }

    /// A tag of the instance.
    pub fn tag(self, key: impl fmt::Display, value: impl Into<String>) -> Self {
        self.document(format!("tags/instance/{key}"), value)
    }

    /// The instance is in an Auto Scaling group: its target lifecycle state is `InService`
    /// until something else is announced or set.
    pub fn auto_scaling_group(mut self) -> Self {
        self.config.lifecycle_state = Some("InService".to_owned());
        self
    }

    /// Any metadata, by its path below `/latest/meta-data/`. It wins over what is announced
    /// there.
    pub fn document(mut self, path: impl Into<String>, body: impl Into<String>) -> Self {
        self.config.documents.insert(path.into(), body.into());
        self
    }

    /// No metadata at this path, unless something is announced there.
    pub fn without(mut self, path: &str) -> Self {
        self.config.documents.remove(path);
        self
    }

    /// A Spot interruption that shows after `after` and then leaves `left`:
    /// [`Announcement::spot`].
    pub fn spot_notice(self, after: Duration, action: impl fmt::Display, left: Duration) -> Self {
        self.announce(Announcement::spot(action).after(after).left(left))
    }

    /// Anything that EC2 announces. Of several interruptions that show, the last one counts. An
    /// Auto Scaling group that wants the instance gone has had it, so that one is implied.
    pub fn announce(mut self, announcement: Announcement) -> Self {
        self.announcements.push(announcement);
        self
    }

    /// Makes some requests go wrong.
    pub fn fault(mut self, rule: FaultRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// What the service's clock shows at the start.
    pub fn wall_clock(mut self, start: Timestamp) -> Self {
        self.wall = start;
        self
    }

    /// The header `Date` is wrong by so much; the times that are announced are not.
    pub fn date_skew(mut self, skew: SignedDuration) -> Self {
        self.config.skew = skew;
        self
    }

    /// Replies have no header `Date`.
    pub fn without_date(mut self) -> Self {
        self.config.dated = false;
        self
    }

    /// Takes requests without a session token (`IMDSv1`) too. Unless set they get 401.
    pub fn allow_v1(mut self) -> Self {
        self.config.v1 = true;
        self
    }

    /// Access to the metadata is switched off: everything is answered with 403.
    pub fn disabled(mut self) -> Self {
        self.config.enabled = false;
        self
    }

    /// What is drawn, such as session tokens, is drawn from this seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// How many requests are remembered, the last ones; 10,000 unless set.
    pub fn remember(mut self, requests: usize) -> Self {
        self.config.remember = requests;
        self
    }

    /// The simulator, starting now.
    pub fn build(self) -> Imds {
        self.build_at(Instant::now())
    }

    /// The simulator, starting at a moment: all times count from there.
    pub fn build_at(self, start: Instant) -> Imds {
        let mut imds = Imds::new(self.config, VirtualClock::new(self.wall, start));
        for announcement in self.announcements {
            imds.announce(announcement, start);
        }
        for rule in self.rules {
            imds.fault(rule, start);
        }
        imds
    }
}

/// A number as a header.
pub(super) fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs())
}
