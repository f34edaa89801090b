//! What goes wrong in an hour, drawn from a seed.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::SignedDuration;
use spot_core::{
    clock::Now,
    notice::NoticeKind,
    policy::{KindRule, Policy, Response},
    sim::{Fault, Random},
};
use spot_drain::sim as api;
use spot_imds::sim::{Announcement, FaultRule};
use tokio::time::Instant;

use super::PEACE;

/// Where each kind is told.
pub(super) const PATHS: [(NoticeKind, &str); 4] = [
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
pub(super) struct Announced {
    pub(super) announcement: Announcement,
    pub(super) kind: NoticeKind,
    pub(super) path: &'static str,
    pub(super) shows: Duration,
    /// When it is told no more; never, where it stays.
    pub(super) ends: Option<Duration>,
}

/// The handler is killed, and started again after a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) at: Duration,
    pub(super) down: Duration,
    /// The machine boots anew meanwhile.
    pub(super) reboot: bool,
}

/// A time in which the API server breaks.
#[derive(Clone)]
struct Outage {
    from: Duration,
    until: Duration,
    fault: api::Injection,
}

pub(super) struct Plot {
    pub(super) policy: Policy,
    pub(super) announced: Vec<Announced>,
    pub(super) faults: Vec<FaultRule>,
    /// Whether replies carry a `Date`.
    pub(super) dated: bool,
    /// How far the node's wall clock is ahead of the true one.
    pub(super) skew: SignedDuration,
    /// The metadata service's `Date` jumps.
    pub(super) jumps: Vec<(Duration, SignedDuration)>,
    /// When the handler is killed.
    pub(super) kills: Vec<Kill>,
    /// When the maintenance is put off or brought forward, and to how long from then.
    pub(super) moved: Option<(Duration, Duration)>,
    outages: Vec<Outage>,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A moment in the time of trouble.
fn moment(random: &mut Random) -> Duration {
    random.duration(Duration::ZERO..PEACE)
}

/// A time of trouble of `longest` at the most, over before the peace.
fn window(random: &mut Random, longest: Duration) -> (Duration, Duration) {
    let from = moment(random);
    let until = from + random.duration(Duration::from_millis(100)..longest);
    (from, until.min(PEACE))
}

impl Plot {
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut announced = Vec::new();
        for (kind, path) in PATHS {
            if random.chance(1, 2) {
                announced.push(announce(random, kind, path));
            }
        }
        let mut faults: Vec<_> = (0..random.below(40))
            .map(|_| metadata_fault(random))
            .collect();
        if random.chance(1, 4) {
            // At boot nothing may answer for a while.
            let boot = FaultRule::new(Fault::Refused).until(random.duration(secs(1)..secs(120)));
            faults.push(boot);
        }
        // Once, for a moment, the group wants something else.
        let wavers = FaultRule::new(Fault::body("InService")).on(PATHS[3].1);
        faults.push(wavers.from(moment(random)).times(1));
        let mut kills: Vec<_> = (0..random.below(4)).map(|_| kill(random)).collect();
        kills.sort_by_key(|kill| kill.at);
        let moved = random.chance(1, 4);
        let moved = moved.then(|| (moment(random), random.duration(secs(30)..secs(7_200))));
        let mut jumps: Vec<_> = (0..random.below(3))
            .map(|_| (moment(random), skew(random, 300)))
            .collect();
        jumps.push((PEACE, SignedDuration::ZERO));
        jumps.sort();
        let outages = (0..random.below(12)).map(|_| outage(random)).collect();
        let cordons = "rebalance-recommendation=cordon,ttl=10m,min-age=0s".parse::<KindRule>();
        let policy = match cordons {
            Ok(cordons) if random.chance(1, 2) => Policy::default().with(cordons),
            _ => Policy::default(),
        };
        Self {
            policy,
            announced,
            faults,
            dated: random.chance(7, 8),
            skew: if random.chance(1, 4) {
                skew(random, 600)
            } else {
                SignedDuration::ZERO
            },
            jumps,
            kills,
            moved,
            outages,
        }
    }

    /// What becomes of each request to the API server.
    pub(super) fn api_faults(&self, start: Instant) -> impl api::Faults + 'static + use<> {
        let outages = self.outages.clone();
        move |_: u64, _: &Request<Bytes>, now: Now| {
            let at = now.instant.saturating_duration_since(start);
            let holds = |outage: &&Outage| (outage.from..outage.until).contains(&at);
            let outage = outages.iter().find(holds);
            outage.map_or_else(api::Injection::none, |outage| outage.fault.clone())
        }
    }

    pub(super) fn drains(&self, kind: NoticeKind) -> bool {
        self.policy.response(kind) == Response::Drain
    }
}

fn kill(random: &mut Random) -> Kill {
    let down = match random.below(3) {
        0 => Duration::ZERO,
        _ => random.duration(secs(1)..secs(240)),
    };
    Kill {
        at: moment(random),
        down,
        reboot: down > secs(30) && random.chance(1, 2),
    }
}

fn skew(random: &mut Random, most: u64) -> SignedDuration {
    let by = i64::try_from(random.below(2 * most)).unwrap_or_default();
    SignedDuration::from_secs(by - i64::try_from(most).unwrap_or_default())
}

fn announce(random: &mut Random, kind: NoticeKind, path: &'static str) -> Announced {
    let shows = moment(random);
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
    }
}

/// Anything that a metadata service can do, for a while, on one path or on all.
fn metadata_fault(random: &mut Random) -> FaultRule {
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
    let (from, until) = window(random, secs(120));
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

fn outage(random: &mut Random) -> Outage {
    let (from, until) = window(random, secs(40));
    let fault = match random.below(6) {
        0 => api::Injection::status(503, "overloaded"),
        1 => Fault::BlackHole.into(),
        2 => Fault::BlackHoleAfter.into(),
        3 => Fault::ResetBefore.into(),
        4 => Fault::ResetAfter.into(),
        _ => api::Injection {
            before: random.duration(Duration::ZERO..secs(3)),
            ..api::Injection::none()
        },
    };
    Outage { from, until, fault }
}
