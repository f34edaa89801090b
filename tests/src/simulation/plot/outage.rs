//! What goes wrong on the way to the API server and back.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use serde_json::{Value, json};
use spot_core::{
    clock::Now,
    sim::{Fault, Random},
};
use spot_drain::sim::{Faults, Injection, WatchFault};
use tokio::time::Instant;

use super::{Span, one, secs};
use crate::wire::Call;

/// A time in which something goes wrong with some requests of some handlers.
#[derive(Clone, Debug)]
pub(in crate::simulation) struct Outage {
    pub(in crate::simulation) from: Duration,
    pub(in crate::simulation) until: Duration,
    /// Only those of the handler on this node.
    node: Option<String>,
    /// Only these.
    calls: Option<&'static [Call]>,
    /// Of so many one.
    one_in: u64,
    injection: Injection,
}

const CALLS: [&[Call]; 7] = [
    &[Call::Evict, Call::Delete],
    &[Call::Evict, Call::Delete],
    &[Call::ListPods],
    &[Call::WatchPods],
    &[Call::GetNode, Call::PatchNode],
    &[Call::ListDaemonSets, Call::ListBudgets],
    &[Call::WatchBudgets, Call::Review],
];

impl Outage {
    pub(super) fn draw(random: &mut Random, span: Span, nodes: &[String]) -> Self {
        let (from, until) = span.window(random, secs(40));
        let node = random.chance(1, 3).then(|| random.pick(nodes).cloned());
        let injection = injection(random);
        let on_watches = injection.watch != WatchFault::default();
        let calls: Option<&'static [Call]> = if on_watches {
            Some(&[Call::WatchPods, Call::WatchBudgets])
        } else {
            random
                .chance(2, 3)
                .then(|| one(random, &CALLS, &[Call::Evict]))
        };
        Self {
            from,
            until,
            node: node.flatten(),
            calls,
            one_in: one(random, &[1, 1, 2, 5], 1),
            injection,
        }
    }

    /// How long after its end it may still be felt by a handler that does all it should.
    pub(in crate::simulation) fn lingers(&self) -> Duration {
        let on_the_way = self.injection.before + self.injection.after;
        let fault = match &self.injection.fault {
            // An eviction is given up after 30 s.
            Some(Fault::BlackHole | Fault::BlackHoleAfter | Fault::Slow(_)) => secs(32),
            Some(Fault::Status { retry_after, .. }) => retry_after.unwrap_or_default() + secs(2),
            _ => secs(2),
        };
        // A watch that is silent is suspected after 36 s, and such a list made beside it.
        let watch = if self.injection.watch == WatchFault::default() {
            Duration::ZERO
        } else {
            secs(45)
        };
        on_the_way + fault.max(watch)
    }

    /// Whether the handler on `node` may meet it.
    pub(in crate::simulation) fn concerns(&self, node: &str) -> bool {
        self.node.as_ref().is_none_or(|only| only == node)
    }

    fn meets(&self, agent: &str, call: Call, at: Duration) -> bool {
        let node = agent.split('/').next().unwrap_or_default();
        (self.from..self.until).contains(&at)
            && self.concerns(node)
            && self.calls.is_none_or(|only| only.contains(&call))
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            until,
            node,
            calls,
            one_in,
            injection,
            ..
        } = self;
        let whose = node.as_deref().unwrap_or("all handlers");
        let which = calls.map_or_else(|| "every call".to_owned(), |calls| format!("{calls:?}"));
        write!(f, "until {until:?}, {whose}, {which}, 1 in {one_in}: ")?;
        match &injection.fault {
            Some(Fault::Status { code, body, .. }) => write!(f, "status {code} {body}"),
            Some(fault) => write!(f, "{fault}"),
            None => write!(
                f,
                "before {:?}, after {:?}, {} versions behind, {:?}",
                injection.before, injection.after, injection.lag, injection.watch
            ),
        }
    }
}

/// All outages of a simulation, as what the API server's simulator asks.
pub(in crate::simulation) struct Weather {
    pub(in crate::simulation) outages: Vec<Outage>,
    pub(in crate::simulation) start: Instant,
    pub(in crate::simulation) random: Random,
}

impl Faults for Weather {
    fn decide(&mut self, _: u64, request: &Request<Bytes>, now: Now) -> Injection {
        let at = now.instant.saturating_duration_since(self.start);
        let agent = request.headers().get(header::USER_AGENT);
        let agent = agent.and_then(|a| a.to_str().ok()).unwrap_or_default();
        let call = Call::of_request(request);
        for outage in &self.outages {
            if outage.meets(agent, call, at) && self.random.chance(1, outage.one_in) {
                return outage.injection.clone();
            }
        }
        Injection::none()
    }
}

fn injection(random: &mut Random) -> Injection {
    let millis = |random: &mut Random, most| random.duration(Duration::ZERO..most);
    let size = |random: &mut Random, most| usize::try_from(random.below(most)).unwrap_or_default();
    match random.below(20) {
        0..6 => status(random).into(),
        6 => Fault::ResetBefore.into(),
        7 => Fault::ResetAfter.into(),
        8 => Fault::BlackHole.into(),
        9 => Fault::BlackHoleAfter.into(),
        10 => Fault::Truncate(size(random, 400)).into(),
        11 => Fault::Oversize(size(random, 100_000)).into(),
        12 => Fault::Refused.into(),
        13 => Fault::Slow(u32::try_from(50 + random.below(5_000)).unwrap_or(50)).into(),
        14 => Injection {
            before: millis(random, secs(4)),
            ..Injection::none()
        },
        15 => Injection {
            after: millis(random, secs(12)),
            ..Injection::none()
        },
        16 => Injection {
            lag: 1 + random.below(60),
            ..Injection::none()
        },
        _ => Injection {
            watch: watch(random),
            ..Injection::none()
        },
    }
}

fn watch(random: &mut Random) -> WatchFault {
    let after = Some(random.duration(Duration::ZERO..secs(8)));
    let none = WatchFault::default();
    match random.below(6) {
        0 => WatchFault {
            closed_after: after,
            ..none
        },
        1 => WatchFault {
            reset_after: after,
            ..none
        },
        2 => WatchFault {
            silent_after: after,
            ..none
        },
        3 => WatchFault {
            expired_after: after,
            ..none
        },
        4 => WatchFault {
            late: random.duration(Duration::ZERO..secs(3)),
            ..none
        },
        _ => WatchFault {
            twice: true,
            ..none
        },
    }
}

fn failure(code: u16, reason: &str, message: &str, details: Value) -> String {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "message": message, "reason": reason, "code": code });
    if !details.is_null() {
        status["details"] = details;
    }
    status.to_string()
}

/// Every status of the table of replies that a server or something before it may give without
/// having done anything. None that says what is not true of a pod.
fn status(random: &mut Random) -> Fault {
    let retry = [None, None, Some(0), Some(1), Some(5), Some(30)];
    let retry_after = one(random, &retry, None).map(Duration::from_secs);
    let (code, body) = match random.below(16) {
        0 => (
            401,
            failure(401, "Unauthorized", "Unauthorized", Value::Null),
        ),
        1 => {
            let words = "pods \"x\" is forbidden: User \"handler\" cannot create resource";
            (403, failure(403, "Forbidden", words, Value::Null))
        }
        2 => {
            let words = "admission webhook \"guard.example.com\" denied the request: not today";
            let code = one(random, &[400, 403, 422], 400);
            (code, failure(code, "", words, Value::Null))
        }
        3 => (404, "404 page not found".to_owned()),
        4 => {
            let words = "Operation cannot be fulfilled on pods \"x\": the object has been modified";
            (409, failure(409, "Conflict", words, Value::Null))
        }
        5 | 6 => (
            429,
            "Too many requests, please try again later.\n".to_owned(),
        ),
        7 => {
            let words =
                "the server has received too many requests and has asked us to try again later";
            let details = json!({ "retryAfterSeconds": 1 });
            (429, failure(429, "TooManyRequests", words, details))
        }
        8 => (
            500,
            failure(
                500,
                "InternalError",
                "etcdserver: leader changed",
                Value::Null,
            ),
        ),
        9 => (502, "<html>bad gateway</html>".to_owned()),
        10 => (503, "service unavailable".to_owned()),
        11 => (
            504,
            failure(504, "Timeout", "request did not complete", Value::Null),
        ),
        12 => (301, String::new()),
        13 => (200, "<html>sign in</html>".to_owned()),
        14 => (200, "{}".to_owned()),
        _ => (418, "teapot".to_owned()),
    };
    Fault::Status {
        code,
        retry_after,
        body,
    }
}
