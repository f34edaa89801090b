//! The notices that stand: who says each, and when it is to be acted on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::clock::Now;
use crate::deadline::{Deadline, HORIZON, nearer};
use crate::notice::{Notice, NoticeId, NoticeKind};
use crate::policy::{Policy, Response, Rule};

/// What clocks that are told in whole seconds may differ by.
const A_SECOND: Duration = Duration::from_secs(1);

/// Whether a notice is to be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Never: observers are told, at most.
    Never,
    /// From then on.
    Waits(Instant),
    /// Now.
    Now,
    /// No more: it has been dealt with, or its time to live is over.
    Settled,
}

/// A notice that stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) notice: Notice,
    /// The sources that say it; none where only memory knows it.
    said_by: BTreeSet<usize>,
    /// It has been acted on and goes back to waiting no more.
    begun: bool,
    settled: bool,
    /// It was told that it waits.
    told: bool,
}

impl Standing {
    /// Whether no source has said it to this process.
    pub(super) fn is_only_remembered(&self) -> bool {
        self.said_by.is_empty()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// When one that only memory knows is over.
    fn ends(&self) -> Option<Instant> {
        self.notice.deadline.map(|d| d.instant())
    }

    /// When its time to live is over.
    fn expires(&self, rule: Rule) -> Option<Instant> {
        let left = rule.ttl?.min(HORIZON).saturating_sub(self.notice.age);
        Some(self.notice.detected + left)
    }

    fn due(&self, rule: Rule, launched: Option<Timestamp>, now: Now) -> Due {
        if rule.response < Response::Cordon {
            return Due::Never;
        }
        let is_over = self.expires(rule).is_some_and(|end| end <= now.instant);
        if self.settled || is_over {
            return Due::Settled;
        }
        if self.begun {
            return Due::Now;
        }
        let early = match (rule.lead, self.notice.deadline) {
            (Some(lead), Some(deadline)) => deadline.remaining(now.instant).saturating_sub(lead),
            _ => Duration::ZERO,
        };
        let young = launched.map_or(Duration::ZERO, |launched| {
            let age = Duration::try_from(now.wall.duration_since(launched)).unwrap_or_default();
            rule.min_age.min(HORIZON).saturating_sub(age)
        });
        match early.max(young) {
            Duration::ZERO => Due::Now,
            wait => Due::Waits(now.instant + wait),
        }
    }
}

/// All that stand, with the rules that say when each is due.
#[derive(Debug)]
pub(super) struct Notices {
    policy: Policy,
    /// When the machine was started, where that is known.
    pub(super) launched: Option<Timestamp>,
    all: BTreeMap<NoticeId, Standing>,
}

/// What a source's word about a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It was not known, or is another of the same name.
    New,
    /// It names a nearer deadline or another action.
    News,
    /// Nothing new.
    Known,
}

/// What has become of a notice since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It waits until then.
    Waits(Notice, Instant),
    /// Its time to live is over.
    Expired(NoticeId),
}

impl Notices {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            launched: None,
            all: BTreeMap::new(),
        }
    }

    pub(super) fn rule(&self, notice: &Notice) -> Rule {
        self.policy.rule(notice.kind)
    }

    /// Whether none stands.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, id: &NoticeId) -> Option<&Standing> {
        self.all.get(id)
    }

    /// A source says a notice. Of one that is known the deadline only comes nearer.
    pub(super) fn raise(&mut self, source: usize, notice: &Notice) -> Word {
        if let Some(known) = self.all.get_mut(&notice.id) {
            let postponed = known.is_only_remembered() && is_another(&known.notice, notice);
            if !postponed {
                let before = (known.notice.action, known.notice.deadline);
                known.notice.action = notice.action;
                let outlived = known.is_only_remembered()
                    && is_outlived(known.notice.deadline, notice.deadline, notice.detected);
                known.notice.deadline = if outlived {
                    notice.deadline
                } else {
                    nearer(known.notice.deadline, notice.deadline)
                };
                known.said_by.insert(source);
                let same = before == (known.notice.action, known.notice.deadline);
                return if same { Word::Known } else { Word::News };
            }
        }
        self.insert(notice.clone(), BTreeSet::from([source]));
        Word::New
    }

    /// Memory knows a notice that no source has said yet.
    pub(super) fn remember(&mut self, notice: Notice) {
        self.insert(notice, BTreeSet::new());
    }

    fn insert(&mut self, notice: Notice, said_by: BTreeSet<usize>) {
        let standing = Standing {
            said_by,
            begun: false,
            settled: false,
            told: false,
            notice,
        };
        self.all.insert(standing.notice.id.clone(), standing);
    }

    /// A source says it no more. Whether it stands no longer: no other source says it.
    pub(super) fn end(&mut self, source: usize, id: &NoticeId) -> bool {
        let Some(standing) = self.all.get_mut(id) else {
            return false;
        };
        standing.said_by.remove(&source);
        let over = standing.said_by.is_empty();
        if over {
            self.all.remove(id);
        }
        over
    }

    /// Every source has been heard, so that what only memory knows is not said: it stands no
    /// longer. EC2 takes no interruption back, so that one stands until its time has passed.
    pub(super) fn forget_what_is_not_said(&mut self, now: Instant) {
        self.all.retain(|_, s| {
            let stands = s.notice.kind == NoticeKind::SpotInterruption
                && s.ends().is_some_and(|end| end > now);
            !s.is_only_remembered() || stands
        });
    }

    /// Those that only memory knows are due by the wall clock, put right: where one is due sooner by
    /// it than was thought, so it is. Those that changed.
    pub(super) fn anchor_anew(&mut self, right: Now) -> Vec<Notice> {
        let remembered = self.all.values_mut().filter(|s| s.is_only_remembered());
        let nearer = remembered.filter_map(|standing| {
            let known = standing.notice.deadline?;
            let anew = Deadline::anchored(known.wall(), right.wall, right.instant);
            let sooner = known.instant().saturating_duration_since(anew.instant());
            (sooner >= A_SECOND).then(|| {
                standing.notice.deadline = Some(anew);
                standing.notice.clone()
            })
        });
        nearer.collect()
    }

    /// Whether there is one that only memory knows.
    pub(super) fn any_only_remembered(&self) -> bool {
        self.all.values().any(Standing::is_only_remembered)
    }

    /// One that has been dealt with, if there is any.
    pub(super) fn any_settled(&self) -> Option<&NoticeId> {
        let mut settled = self.all.iter().filter(|(_, standing)| standing.settled);
        settled.next().map(|(id, _)| id)
    }

    /// It has been dealt with.
    pub(super) fn settle(&mut self, id: &NoticeId) {
        if let Some(standing) = self.all.get_mut(id) {
            standing.settled = true;
        }
    }

    /// It is acted on, and was perhaps by an earlier process since `earlier` ago.
    pub(super) fn begin(&mut self, id: &NoticeId, earlier: Duration) {
        if let Some(standing) = self.all.get_mut(id) {
            standing.begun = true;
            standing.notice.age = standing.notice.age.max(earlier);
        }
    }

    /// Settles what has lived its time, and tells what else has changed.
    pub(super) fn look(&mut self, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        for (id, standing) in &mut self.all {
            let rule = self.policy.rule(standing.notice.kind);
            match standing.due(rule, self.launched, now) {
                Due::Settled if !standing.settled => {
                    standing.settled = true;
                    changes.push(Change::Expired(id.clone()));
                }
                Due::Waits(until) if !standing.told => {
                    standing.told = true;
                    changes.push(Change::Waits(standing.notice.clone(), until));
                }
                _ => {}
            }
        }
        changes
    }

    /// The weightiest notice that is to be acted on, with the nearest deadline of all that ask
    /// for the same. One that has passed counts for its own notice alone.
    pub(super) fn leader(&self, now: Now) -> Option<Notice> {
        let due = || {
            self.all.values().filter(|s| {
                let rule = self.rule(&s.notice);
                s.due(rule, self.launched, now) == Due::Now
            })
        };
        let weight = |s: &Standing| (self.rule(&s.notice).response, s.notice.kind);
        let lead = due().max_by_key(|s| weight(s))?;
        let to_come = |s: &&Standing| s.ends().is_some_and(|end| end > now.instant);
        let deadline = due()
            .filter(|s| weight(s).0 == weight(lead).0)
            .filter(to_come)
            .fold(lead.notice.deadline, |d, s| nearer(d, s.notice.deadline));
        Some(Notice {
            deadline,
            ..lead.notice.clone()
        })
    }

    /// When something of this may change by time alone. `heard`: what only memory knows may
    /// pass.
    pub(super) fn next_wake(&self, heard: bool, now: Now) -> Option<Instant> {
        let moments = self.all.values().flat_map(|standing| {
            let rule = self.rule(&standing.notice);
            let passes = standing.ends().filter(|end| *end > now.instant);
            let passes = passes.filter(|_| heard && standing.is_only_remembered());
            let due = match standing.due(rule, self.launched, now) {
                Due::Never | Due::Settled => None,
                Due::Waits(until) => Some(match standing.expires(rule) {
                    Some(end) => end.min(until),
                    None => until,
                }),
                Due::Now => standing.expires(rule),
            };
            [passes, due].into_iter().flatten()
        });
        moments.min()
    }
}

/// A notice that names a time so much later than another of the same name is another: the
/// instance was hibernated, came back, and is interrupted again; or the maintenance was put off.
const ANOTHER: Duration = Duration::from_secs(3_600);

/// Whether `later` is not what `earlier` told of, though it has its name.
pub(super) fn is_another(earlier: &Notice, later: &Notice) -> bool {
    let (Some(earlier), Some(later)) = (earlier.deadline, later.deadline) else {
        return false;
    };
    let gap = later.wall().duration_since(earlier.wall());
    Duration::try_from(gap).is_ok_and(|gap| gap >= ANOTHER)
}

/// Whether the machine has outlived a remembered deadline, and a later one is told, or none: the
/// earlier one was not true, or a time that moves.
pub(super) fn is_outlived(
    remembered: Option<Deadline>,
    told: Option<Deadline>,
    now: Instant,
) -> bool {
    let is_over = |deadline: Deadline| deadline.remaining(now).is_zero();
    remembered.is_some_and(is_over) && told.is_none_or(|told| !is_over(told))
}
