//! One machine: what is announced to it, and what breaks on it.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use spot_core::{
    notice::NoticeKind,
    policy::{KindRule, Policy, Response},
    sim::{Fault, Random},
};
use spot_imds::sim::{Announcement, FaultRule};

use super::{Span, one, secs};

/// Where each kind is told.
const PATHS: [(NoticeKind, &str); 4] = [
    (NoticeKind::SpotInterruption, "spot/instance-action"),
    (
        NoticeKind::RebalanceRecommendation,
        "events/recommendations/rebalance",
    ),
    (
        NoticeKind::ScheduledMaintenance,
        "events/maintenance/scheduled",
    ),
    (
        NoticeKind::AsgTermination,
        "autoscaling/target-lifecycle-state",
    ),
];

/// A notice, and what is true of it.
pub(in crate::simulation) struct Announced {
    pub(in crate::simulation) announcement: Announcement,
    pub(in crate::simulation) kind: NoticeKind,
    pub(in crate::simulation) path: &'static str,
    pub(in crate::simulation) shows: Duration,
    /// When it is told no more; never, where it stays.
    pub(in crate::simulation) ends: Option<Duration>,
    /// Its end is told in words, and need not be concluded from silence.
    pub(in crate::simulation) in_words: bool,
    /// When the machine goes, where a time is told that does not move.
    goes: Option<Duration>,
    /// The same where it is also what leaves a drain its time: a hibernation begins at once.
    pub(in crate::simulation) due: Option<Duration>,
}

/// The handler is killed, and started again after a while.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct Kill {
    pub(in crate::simulation) at: Duration,
    pub(in crate::simulation) down: Duration,
    /// The machine boots anew meanwhile.
    pub(in crate::simulation) reboot: bool,
}

/// What was written on a node before, in a quarantine that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum Left {
    /// By the handler of the instance that had the node's name before.
    OtherInstance,
    /// By the same instance, before it was stopped and started.
    OtherBoot,
    /// By a version of the handler that we do not know.
    Unreadable,
}

/// A spot node, its instance, and the handler on it.
pub(in crate::simulation) struct Machine {
    pub(in crate::simulation) name: String,
    pub(in crate::simulation) instance: String,
    /// The node object of this name is another instance's.
    pub(in crate::simulation) foreign: bool,
    pub(in crate::simulation) policy: Policy,
    pub(in crate::simulation) poll: Duration,
    pub(in crate::simulation) announced: Vec<Announced>,
    pub(in crate::simulation) faults: Vec<FaultRule>,
    /// Whether replies carry a `Date`.
    pub(in crate::simulation) dated: bool,
    /// How far the node's wall clock is ahead of the true one.
    pub(in crate::simulation) skew: SignedDuration,
    /// The node's wall clock is set.
    pub(in crate::simulation) sets: Vec<(Duration, SignedDuration)>,
    /// The metadata service's `Date` jumps.
    pub(in crate::simulation) jumps: Vec<(Duration, SignedDuration)>,
    /// It is suspended, for so long: no time passes on its monotonic clock, and all else goes on.
    pub(in crate::simulation) suspend: Option<(Duration, Duration)>,
    /// When the handler is killed.
    pub(in crate::simulation) kills: Vec<Kill>,
    /// When the maintenance is put off or brought forward, and to how long from then.
    pub(in crate::simulation) moved: Option<(Duration, Duration)>,
    /// When the machine is gone.
    pub(in crate::simulation) dies: Option<Duration>,
    /// What an earlier handler has left on its node.
    pub(in crate::simulation) left: Option<Left>,
    /// When its kubelet goes silent, and for how long.
    pub(in crate::simulation) kubelet: Option<(Duration, Duration)>,
}

impl Machine {
    fn new(index: usize) -> Self {
        Self {
            name: format!("spot-{index}"),
            instance: format!("i-{index:017x}"),
            foreign: false,
            policy: Policy::default(),
            poll: Duration::from_millis(500),
            announced: Vec::new(),
            faults: Vec::new(),
            dated: true,
            skew: SignedDuration::ZERO,
            sets: Vec::new(),
            jumps: Vec::new(),
            suspend: None,
            kills: Vec::new(),
            moved: None,
            dies: None,
            left: None,
            kubelet: None,
        }
    }

    /// One that goes when it was said to.
    pub(super) fn interrupted(
        announcement: Announcement,
        kind: NoticeKind,
        shows: Duration,
        goes: Duration,
    ) -> Self {
        let mut machine = Self::new(0);
        machine.dies = Some(goes);
        machine.announced = vec![Announced {
            announcement,
            kind,
            path: PATHS[0].1,
            shows,
            ends: None,
            in_words: false,
            goes: Some(goes),
            due: Some(goes),
        }];
        machine
    }

    /// An hour in which anything is announced, and everything breaks.
    pub(super) fn hour(random: &mut Random, index: usize, span: Span, calm: bool) -> Self {
        let mut machine = Self::new(index);
        if calm && random.chance(1, 2) {
            // Or nothing happens at all.
            return machine;
        }
        for (kind, path) in PATHS {
            if random.chance(1, 2) {
                machine.announced.push(announce(random, kind, path, span));
            }
        }
        let faults = random.below(40);
        machine.break_metadata(random, span, faults);
        // Once, for a moment, the group wants something else.
        let wavers = FaultRule::new(Fault::body("InService")).on(PATHS[3].1);
        machine
            .faults
            .push(wavers.from(span.moment(random)).times(1));
        let kills = random.below(4);
        machine.kills = kills_of(random, kills, span, secs(240));
        let moved = random.chance(1, 4);
        machine.moved =
            moved.then(|| (span.moment(random), random.duration(secs(30)..secs(7_200))));
        let jumps = random.below(3);
        machine.jump(random, span, jumps);
        machine.dated = random.chance(7, 8);
        if random.chance(1, 4) {
            machine.skew = skew(random, 600);
        }
        machine.cordon_sometimes(random);
        machine
    }

    /// A few minutes in which it is taken, most likely.
    pub(super) fn storm(random: &mut Random, index: usize, span: Span, calm: bool) -> Self {
        let mut machine = Self::new(index);
        machine.poll = Duration::from_millis(one(random, &[500, 500, 500, 1_000, 2_000], 500));
        machine.foreign = random.chance(1, 40);
        let mut random = random.fork("notices");
        if random.chance(7, 8) {
            let spot = interrupt(&mut random, span);
            machine.dies = spot.goes.filter(|_| random.chance(7, 8));
            machine.announced.push(spot);
        }
        for (kind, path) in &PATHS[1..] {
            if random.chance(1, 10) {
                let other = announce(&mut random, *kind, path, span);
                machine.announced.push(other);
            }
        }
        machine.cordon_sometimes(&mut random);
        if random.chance(1, 10) {
            let by = [Left::OtherInstance, Left::OtherBoot, Left::Unreadable];
            machine.left = random.pick(&by).copied();
        }
        let mut random = random.fork("troubles");
        if random.chance(1, 8) {
            let from = span.moment(&mut random);
            machine.kubelet = Some((from, random.duration(secs(1)..secs(60))));
        }
        if calm {
            return machine;
        }
        if random.chance(1, 3) {
            let faults = 1 + random.below(5);
            machine.break_metadata(&mut random, span, faults);
        }
        if random.chance(1, 4) {
            let kills = 1 + random.below(3);
            machine.kills = kills_of(&mut random, kills, span, secs(20));
        }
        if random.chance(1, 12) {
            let jumps = 1 + random.below(2);
            machine.jump(&mut random, span, jumps);
        }
        machine.dated = random.chance(15, 16);
        if random.chance(1, 6) {
            machine.skew = skew(&mut random, 600);
        }
        if random.chance(1, 8) {
            machine.sets = vec![(span.moment(&mut random), skew(&mut random, 900))];
        }
        if random.chance(1, 16) {
            let by = random.duration(secs(2)..secs(40));
            machine.suspend = Some((span.moment(&mut random), by));
            machine.dies = machine.dies.map(|dies| dies.saturating_sub(by));
        }
        machine
    }

    /// It is to be rebooted and nothing else, and a moment later not to be: while pods wait for
    /// their replacements, most likely.
    pub(super) fn call_off(&mut self, random: &mut Random) {
        let shows = random.duration(Duration::from_millis(500)..secs(8));
        let after = random.duration(secs(5)..secs(15));
        let reboot = Announcement::maintenance("system-reboot").left(secs(900));
        self.dies = None;
        self.announced = vec![Announced {
            announcement: reboot.after(shows).cancelled_after(after),
            kind: PATHS[2].0,
            path: PATHS[2].1,
            shows,
            ends: Some(shows + after),
            in_words: true,
            goes: None,
            due: None,
        }];
    }

    /// The memory that is left on its node, all of it drained.
    pub(in crate::simulation) fn memory(&self) -> Option<Value> {
        let left = self.left?;
        let instance = match left {
            Left::OtherInstance => "i-0aaaaaaaaaaaaaaaa",
            _ => self.instance.as_str(),
        };
        let version = if left == Left::Unreadable { 99 } else { 1 };
        Some(json!({
            "v": version, "instance": instance, "boot": "boot-before",
            "notice": { "id": "spot-interruption", "kind": "spot-interruption",
                "action": "terminate" },
            "deadline": "2026-01-01T11:30:00Z", "phase": "drained", "cordoned": true,
            "excluded": false, "since": "2026-01-01T11:28:00Z",
        }))
    }

    fn break_metadata(&mut self, random: &mut Random, span: Span, faults: u64) {
        self.faults = (0..faults).map(|_| metadata_fault(random, span)).collect();
        if random.chance(1, 4) {
            // At boot nothing may answer for a while.
            let longest = span.peace.min(secs(120));
            let boot = FaultRule::new(Fault::Refused).until(random.duration(secs(1)..longest));
            self.faults.push(boot);
        }
    }

    fn jump(&mut self, random: &mut Random, span: Span, jumps: u64) {
        self.jumps = (0..jumps)
            .map(|_| (span.moment(random), skew(random, 300)))
            .collect();
        self.jumps.push((span.peace, SignedDuration::ZERO));
        self.jumps.sort();
    }

    fn cordon_sometimes(&mut self, random: &mut Random) {
        let cordons = "rebalance-recommendation=cordon,ttl=10m,min-age=0s".parse::<KindRule>();
        if let Ok(cordons) = cordons
            && random.chance(1, 2)
        {
            self.policy = Policy::default().with(cordons);
        }
    }

    /// Whether a notice of this kind drains the node.
    pub(in crate::simulation) fn drains(&self, kind: NoticeKind) -> bool {
        self.policy.response(kind) == Response::Drain
    }

    /// When the machine goes, where a drain has until then.
    pub(in crate::simulation) fn due(&self) -> Option<Duration> {
        self.announced.iter().filter_map(|a| a.due).min()
    }

    /// Whether the handler can know the true time that is left, to about a second.
    pub(in crate::simulation) fn tells_true_time(&self) -> bool {
        let undated = self.dated || (self.skew.is_zero() && self.sets.is_empty());
        let planned = |a: &Announced| a.kind == NoticeKind::ScheduledMaintenance;
        let one_due =
            !self.announced.iter().any(planned) && self.announced.iter().all(|a| a.due == a.goes);
        // The last jump only ends the others.
        undated && one_due && self.jumps.len() < 2 && self.suspend.is_none()
    }
}

fn kills_of(random: &mut Random, kills: u64, span: Span, longest: Duration) -> Vec<Kill> {
    let mut kills: Vec<_> = (0..kills)
        .map(|_| {
            let down = match random.below(3) {
                0 => Duration::ZERO,
                _ => random.duration(Duration::from_millis(500)..longest),
            };
            Kill {
                at: span.moment(random),
                down,
                reboot: down > secs(30) && random.chance(1, 2),
            }
        })
        .collect();
    kills.sort_by_key(|kill| kill.at);
    kills
}

fn skew(random: &mut Random, most: u64) -> SignedDuration {
    let by = i64::try_from(random.below(2 * most)).unwrap_or_default();
    SignedDuration::from_secs(by - i64::try_from(most).unwrap_or_default())
}

/// An interruption soon, within the span.
fn interrupt(random: &mut Random, span: Span) -> Announced {
    let action = one(
        random,
        &["terminate", "terminate", "stop", "hibernate", "vaporise"],
        "terminate",
    );
    let shows = random.duration(Duration::from_millis(500)..secs(15));
    let rest = span.peace.saturating_sub(shows);
    let left = match random.below(4) {
        0 => random.duration(secs(1)..secs(30)).min(rest),
        1 => random.duration(secs(10)..rest.max(secs(11))),
        _ => rest,
    };
    let spot = Announcement::spot(action).left(left);
    let moves = random.chance(1, 10);
    let mut ends = None;
    let spot = match random.below(12) {
        0 => {
            let after = random.duration(secs(2)..secs(30));
            ends = Some(shows + after);
            spot.cancelled_after(after)
        }
        _ if moves => spot.moving(),
        _ => spot,
    };
    // The time is told in whole seconds.
    let whole = Duration::from_secs((shows + left).as_secs()).max(shows);
    let goes = (!moves && ends.is_none()).then_some(whole);
    Announced {
        announcement: spot.after(shows),
        kind: NoticeKind::SpotInterruption,
        path: PATHS[0].1,
        shows,
        ends,
        in_words: false,
        goes,
        due: goes.filter(|_| action != "hibernate"),
    }
}

fn announce(random: &mut Random, kind: NoticeKind, path: &'static str, span: Span) -> Announced {
    let shows = span.moment(random);
    let mut ends = None;
    let mut end = |random: &mut Random| {
        let after = random.duration(secs(20)..secs(900));
        ends = Some(shows + after);
        after
    };
    let announcement = match kind {
        NoticeKind::SpotInterruption => {
            let action = random.pick(&["terminate", "stop", "hibernate", "vaporise"]);
            let spot = Announcement::spot(action.copied().unwrap_or("terminate"));
            let spot = spot.left(random.duration(secs(5)..secs(180)));
            if random.chance(1, 4) {
                spot.moving()
            } else {
                spot
            }
        }
        NoticeKind::ScheduledMaintenance => {
            let codes = [
                "instance-stop",
                "instance-retirement",
                "system-reboot",
                "system-maintenance",
            ];
            let code = random.pick(&codes).copied().unwrap_or_default();
            let event = Announcement::maintenance(code);
            let event = event.left(random.duration(secs(60)..secs(3_600)));
            match random.below(3) {
                0 => event.cancelled_after(end(random)),
                1 => event.completed_after(end(random)),
                _ => event,
            }
        }
        NoticeKind::AsgTermination => {
            let terminated = Announcement::asg_termination();
            match random.below(3) {
                0 => terminated.cancelled_after(end(random)),
                _ => terminated,
            }
        }
        _ => {
            let recommended = Announcement::rebalance();
            match random.below(3) {
                0 => recommended.completed_after(end(random)),
                1 => recommended.moving(),
                _ => recommended,
            }
        }
    };
    Announced {
        announcement: announcement.after(shows),
        kind,
        path,
        shows,
        ends,
        in_words: kind == NoticeKind::ScheduledMaintenance,
        goes: None,
        due: None,
    }
}

/// Anything that a metadata service can do, for a while, on one path or on all.
fn metadata_fault(random: &mut Random, span: Span) -> FaultRule {
    let rubbish = [
        "",
        "{",
        "<html>sign in</html>",
        "null",
        "[]",
        "[{}]",
        "\u{0}\u{ff}",
    ];
    let fault = match random.below(10) {
        0 => Fault::Delay(random.duration(Duration::from_millis(1)..secs(3))),
        1 => {
            let codes = [301, 302, 400, 401, 403, 404, 429, 500, 502, 503];
            Fault::status(random.pick(&codes).copied().unwrap_or(500))
        }
        2 => Fault::body(random.pick(&rubbish).copied().unwrap_or_default()),
        3 => Fault::ResetBefore,
        4 => Fault::ResetAfter,
        5 => Fault::BlackHole,
        6 => Fault::Truncate(usize::try_from(random.below(40)).unwrap_or_default()),
        7 => Fault::Oversize(usize::try_from(random.below(200_000)).unwrap_or_default()),
        8 => Fault::Refused,
        _ => Fault::Slow(u32::try_from(1 + random.below(100)).unwrap_or(1)),
    };
    let (from, until) = span.window(random, secs(120));
    let rule = FaultRule::new(fault).from(from).until(until);
    match random.below(5) {
        0 => rule,
        1 => rule.on("/latest/api/token"),
        2 => rule.on("events/maintenance/history"),
        _ => match random.pick(&PATHS) {
            Some((_, path)) => rule.on(path),
            None => rule,
        },
    }
}
