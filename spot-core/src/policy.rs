//! What is done about which kind of notice, and when.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::notice::NoticeKind;

/// What is done about a kind of notice. Ordered: a later one does more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    /// Nothing.
    Ignore,
    /// Observers are told.
    Notify,
    /// The node takes nothing new.
    Cordon,
    /// The node takes nothing new, and its work is moved away.
    Drain,
}

impl Response {
    /// Every response, by how much it does.
    pub const ALL: [Self; 4] = [Self::Ignore, Self::Notify, Self::Cordon, Self::Drain];

    /// The name in arguments, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Notify => "notify",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is done about a kind of notice, from when on and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// What is done.
    pub response: Response,
    /// How long before the announced time it is done; `None`: at once. A notice that names no
    /// time, or one that has passed, is acted on at once.
    pub lead: Option<Duration>,
    /// How long after the announcement it is undone again; `None`: when the notice ends.
    pub ttl: Option<Duration>,
    /// How old the instance must be; until then the notice waits. One whose age is not known is
    /// old enough.
    pub min_age: Duration,
}

impl Rule {
    /// At once, until the notice ends.
    pub fn new(response: Response) -> Self {
        Self {
            response,
            lead: None,
            ttl: None,
            min_age: Duration::ZERO,
        }
    }

    /// The rule that a kind has unless another is set. See [`Policy`] for why.
    pub fn of(kind: NoticeKind) -> Self {
        match kind {
            NoticeKind::RebalanceRecommendation => Self::new(Response::Notify)
                .with_ttl(Some(REBALANCE_TTL))
                .with_min_age(REBALANCE_MIN_AGE),
            NoticeKind::ScheduledMaintenance => {
                Self::new(Response::Drain).with_lead(Some(MAINTENANCE_LEAD))
            }
            NoticeKind::AsgTermination | NoticeKind::SpotInterruption => Self::new(Response::Drain),
        }
    }

    /// The same with another lead.
    #[must_use]
    pub fn with_lead(mut self, lead: Option<Duration>) -> Self {
        self.lead = lead;
        self
    }

    /// The same with another time to live.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// The same with another minimum age.
    #[must_use]
    pub fn with_min_age(mut self, min_age: Duration) -> Self {
        self.min_age = min_age;
        self
    }
}

/// How long a rebalance recommendation is acted on, unless set. EC2 never takes one back; an
/// interruption that follows one mostly does so within the hour.
pub const REBALANCE_TTL: Duration = Duration::from_secs(3_600);

/// How old an instance must be before a recommendation is acted on, unless set: they may come
/// minutes after the start, and a replacement is no safer.
pub const REBALANCE_MIN_AGE: Duration = Duration::from_secs(600);

/// How long before its time a maintenance is acted on, unless set: long enough for budgets that
/// open slowly, and not weeks early, as the announcement is.
pub const MAINTENANCE_LEAD: Duration = Duration::from_secs(900);

/// The longest time that a rule may name: 366 days.
const LONGEST: Duration = crate::deadline::HORIZON;

/// The rule for each kind of notice.
///
/// | kind | unless set | why |
/// |---|---|---|
/// | spot interruption | drain | the instance goes in two minutes |
/// | Auto Scaling termination | drain | it goes when the group's hook lets it |
/// | scheduled maintenance | drain, 15 minutes ahead | it is announced weeks ahead |
/// | rebalance recommendation | notify | it may come hours before, or be followed by nothing; where it is acted on, for an hour, and on instances older than ten minutes |
///
/// ```
/// use std::time::Duration;
/// use spot_core::{notice::NoticeKind, policy::{KindRule, Policy, Response}};
///
/// let policy = Policy::default()
///     .on(NoticeKind::AsgTermination, Response::Cordon)
///     .with("rebalance-recommendation=cordon,ttl=30m".parse::<KindRule>()?);
/// let rule = policy.rule(NoticeKind::RebalanceRecommendation);
/// assert_eq!(rule.ttl, Some(Duration::from_secs(1_800)));
/// # Ok::<(), spot_core::policy::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(BTreeMap<NoticeKind, Rule>);

impl Default for Policy {
    fn default() -> Self {
        Self(NoticeKind::ALL.map(|kind| (kind, Rule::of(kind))).into())
    }
}

impl Policy {
    /// The same policy with another response to `kind`; when and for how long stays.
    #[must_use]
    pub fn on(mut self, kind: NoticeKind, response: Response) -> Self {
        let rule = Rule {
            response,
            ..self.rule(kind)
        };
        self.0.insert(kind, rule);
        self
    }

    /// The same policy with another rule for a kind.
    #[must_use]
    pub fn with(mut self, KindRule { kind, rule }: KindRule) -> Self {
        self.0.insert(kind, rule);
        self
    }

    /// The rule for `kind`.
    pub fn rule(&self, kind: NoticeKind) -> Rule {
        self.0.get(&kind).copied().unwrap_or_else(|| Rule::of(kind))
    }

    /// The response to `kind`.
    pub fn response(&self, kind: NoticeKind) -> Response {
        self.rule(kind).response
    }

    /// The kinds that are not ignored: those that a source need tell.
    pub fn kinds(&self) -> impl Iterator<Item = NoticeKind> + '_ {
        NoticeKind::ALL
            .into_iter()
            .filter(|kind| self.response(*kind) != Response::Ignore)
    }
}

impl FromIterator<KindRule> for Policy {
    /// The default policy with these rules in it; of several for a kind, the last.
    fn from_iter<T: IntoIterator<Item = KindRule>>(rules: T) -> Self {
        rules.into_iter().fold(Self::default(), Self::with)
    }
}

/// A rule for a kind, as it is written: `KIND=RESPONSE[,lead=…][,ttl=…][,min-age=…]`.
///
/// Times are written like `90s`, `15m` or `1h 30m`; `ttl=none` and `lead=none` for no bound.
/// What is not written is as it is unless set ([`Rule::of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindRule {
    /// The kind.
    pub kind: NoticeKind,
    /// Its rule.
    pub rule: Rule,
}

/// A rule that cannot be read. Says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not of the form.
    #[error(
        "write KIND=RESPONSE, such as rebalance-recommendation=cordon,ttl=30m,min-age=10m or scheduled-maintenance=drain,lead=1h"
    )]
    Form,
    /// No such kind.
    #[error(
        "unknown kind {0:?}; one of rebalance-recommendation, scheduled-maintenance, asg-termination, spot-interruption"
    )]
    Kind(String),
    /// No such response.
    #[error("unknown response {0:?}; one of ignore, notify, cordon, drain")]
    Response(String),
    /// No such condition.
    #[error("unknown condition {0:?}; one of lead, ttl, min-age")]
    Condition(String),
    /// A condition that means nothing for the kind.
    #[error("{condition} means nothing for {kind}; leave it out")]
    Meaningless {
        /// The condition.
        condition: &'static str,
        /// The kind.
        kind: NoticeKind,
    },
    /// Not a time, or one of more than 366 days.
    #[error("{0:?} is no usable time; write a duration such as 90s, 15m or 1h, at most 8784h")]
    Time(String),
    /// A bound that leaves no time.
    #[error("{0} must be longer than nothing; write none for no bound")]
    NoTime(&'static str),
}

impl FromStr for KindRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once('=').ok_or(RuleError::Form)?;
        let kind: NoticeKind = (kind.trim().parse()).map_err(|_| RuleError::Kind(kind.into()))?;
        let mut parts = rest.split(',').map(str::trim);
        let response = parts.next().unwrap_or_default();
        let response = Response::ALL
            .into_iter()
            .find(|known| known.as_str() == response)
            .ok_or_else(|| RuleError::Response(response.into()))?;
        let mut rule = Rule {
            response,
            ..Rule::of(kind)
        };
        for part in parts {
            let (name, value) = part.split_once('=').ok_or(RuleError::Form)?;
            let fits = |condition, fits: bool| {
                (fits.then_some(())).ok_or(RuleError::Meaningless { condition, kind })
            };
            match name.trim() {
                "lead" => {
                    fits("lead", kind == NoticeKind::ScheduledMaintenance)?;
                    rule.lead = bound("lead", value)?;
                }
                "ttl" => {
                    fits("ttl", kind == NoticeKind::RebalanceRecommendation)?;
                    rule.ttl = bound("ttl", value)?;
                }
                "min-age" => {
                    fits("min-age", kind == NoticeKind::RebalanceRecommendation)?;
                    rule.min_age = time(value)?;
                }
                other => return Err(RuleError::Condition(other.into())),
            }
        }
        Ok(Self { kind, rule })
    }
}

fn bound(name: &'static str, text: &str) -> Result<Option<Duration>, RuleError> {
    match text.trim() {
        "none" => Ok(None),
        text => match time(text)? {
            Duration::ZERO => Err(RuleError::NoTime(name)),
            time => Ok(Some(time)),
        },
    }
}

fn time(text: &str) -> Result<Duration, RuleError> {
    let unusable = || RuleError::Time(text.trim().to_owned());
    let span: jiff::SignedDuration = text.trim().parse().map_err(|_| unusable())?;
    Duration::try_from(span)
        .ok()
        .filter(|time| *time <= LONGEST)
        .ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use NoticeKind::{RebalanceRecommendation, ScheduledMaintenance, SpotInterruption};

    fn read(text: &str) -> Result<KindRule, RuleError> {
        text.parse()
    }

    #[test]
    fn what_is_not_written_is_as_it_is_unless_set() {
        let read = read("rebalance-recommendation=drain").unwrap();
        assert_eq!(read.kind, RebalanceRecommendation);
        assert_eq!(read.rule.response, Response::Drain);
        assert_eq!(read.rule.ttl, Some(REBALANCE_TTL));
        assert_eq!(read.rule.min_age, REBALANCE_MIN_AGE);
    }

    #[test]
    fn every_condition_is_read() {
        let rule = read(" rebalance-recommendation = cordon , ttl = 30m, min-age=1h 30m").unwrap();
        assert_eq!(rule.rule.ttl, Some(Duration::from_secs(1_800)));
        assert_eq!(rule.rule.min_age, Duration::from_secs(5_400));
        let rule = read("rebalance-recommendation=cordon,ttl=none,min-age=0s").unwrap();
        assert_eq!((rule.rule.ttl, rule.rule.min_age), (None, Duration::ZERO));
        let rule = read("scheduled-maintenance=cordon,lead=2h").unwrap();
        assert_eq!(rule.rule.lead, Some(Duration::from_secs(7_200)));
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_to_write() {
        for (text, says) in [
            ("drain", "write KIND=RESPONSE"),
            ("spot=drain", "one of rebalance-recommendation"),
            ("spot-interruption=shoot", "one of ignore, notify"),
            ("spot-interruption=drain,now", "write KIND=RESPONSE"),
            ("spot-interruption=drain,ttl=1h", "ttl means nothing"),
            ("scheduled-maintenance=drain,age=1h", "one of lead, ttl"),
            ("scheduled-maintenance=drain,lead=soon", "no usable time"),
            ("scheduled-maintenance=drain,lead=-5m", "no usable time"),
            ("scheduled-maintenance=drain,lead=9000h", "no usable time"),
            ("scheduled-maintenance=drain,lead=0s", "write none"),
            ("rebalance-recommendation=drain,ttl=0s", "write none"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_last_rule_of_a_kind_holds_and_ignored_kinds_need_not_be_told() {
        let rules = [
            "scheduled-maintenance=drain,lead=2h",
            "spot-interruption=ignore",
            "scheduled-maintenance=notify",
        ];
        let policy: Policy = rules
            .map(|rule| rule.parse().unwrap())
            .into_iter()
            .collect();
        let rule = policy.rule(ScheduledMaintenance);
        assert_eq!(rule.response, Response::Notify);
        assert_eq!(rule.lead, Some(MAINTENANCE_LEAD));
        assert!(!policy.kinds().any(|kind| kind == SpotInterruption));
        assert_eq!(policy.kinds().count(), 3);
    }
}
