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

const CALLS: [&[Call]; 8] = [
    &[Call::Evict, Call::Delete],
    &[Call::Evict, Call::Delete],
    &[Call::ListPods],
    &[Call::WatchPods],
    &[Call::GetNode, Call::PatchNode],
    &[Call::ListDaemonSets, Call::ListBudgets],
    &[Call::WatchBudgets, Call::Review],
    &[Call::PatchPod, Call::GetWorkload, Call::WatchReplicaSets],
];
/// The cause of a refusal because the pod's namespace is being deleted.
const ENDS: &str = "NamespaceTerminating";
/// Those that go on and on.
const WATCHES: &[Call] = &[Call::WatchPods, Call::WatchBudgets, Call::WatchReplicaSets];

impl Outage {
    pub(super) fn draw(random: &mut Random, span: Span, nodes: &[String]) -> Self {
        let (from, until) = span.window(random, secs(40));
        let node = random.chance(1, 3).then(|| random.pick(nodes).cloned());
        let injection = injection(random);
        let on_watches = injection.watch != WatchFault::default();
        let calls: Option<&'static [Call]> = if on_watches {
            Some(WATCHES)
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

    /// One in which every call may meet it.
    pub(super) fn of_all(
        from: Duration,
        until: Duration,
        one_in: u64,
        injection: Injection,
    ) -> Self {
        Self {
            from,
            until,
            node: None,
            calls: None,
            one_in,
            injection,
        }
    }

    /// One of watches alone.
    pub(super) fn of_watches(from: Duration, until: Duration, injection: Injection) -> Self {
        Self {
            calls: Some(WATCHES),
            ..Self::of_all(from, until, 1, injection)
        }
    }

    /// One in which pods cannot be ended, with these words.
    pub(super) fn of_endings(from: Duration, until: Duration, one_in: u64, canned: Canned) -> Self {
        Self {
            calls: Some(&[Call::Evict, Call::Delete]),
            ..Self::of_all(from, until, one_in, canned.0)
        }
    }

    /// One in which questions about rights are lost, while everything else goes on.
    pub(super) fn of_reviews(random: &mut Random, span: Span) -> Self {
        let (from, until) = span.window(random, secs(40));
        Self {
            from,
            until,
            node: None,
            calls: Some(&[Call::Review]),
            one_in: 1,
            injection: Fault::ResetBefore.into(),
        }
    }

    /// How long after its end it may still be felt by a handler that does all it should.
    pub(in crate::simulation) fn lingers(&self) -> Duration {
        let on_the_way = self.injection.before + self.injection.after;
        let fault = match &self.injection.fault {
            // An eviction is given up after 30 s.
            Some(Fault::BlackHole | Fault::BlackHoleAfter | Fault::Slow(_)) => secs(32),
            // A pod of a namespace that ends goes by itself, and is given time to.
            Some(Fault::Status { body, .. }) if body.contains(ENDS) => secs(45),
            // What is said of budgets is asked again after 5 s.
            Some(Fault::Status { retry_after, .. }) => retry_after.unwrap_or_default() + secs(6),
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

/// What goes wrong, now and then after a while.
fn injection(random: &mut Random) -> Injection {
    let injection = what(random);
    if injection.fault.is_some() && random.chance(1, 6) {
        return Injection {
            before: random.duration(Duration::ZERO..secs(2)),
            ..injection
        };
    }
    injection
}

fn what(random: &mut Random) -> Injection {
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

/// What answers an eviction in place of the server.
pub(super) struct Canned(Injection);

impl Canned {
    /// The answer in this row of the table of replies; `None` where the cluster itself must give it.
    pub(super) fn of(reply: &str) -> Option<Self> {
        let caused = |code, reason, message, cause: &str| {
            let causes = json!({ "causes": [{ "reason": cause, "message": "so it is" }] });
            (code, failure(code, reason, message, causes))
        };
        let said = |code, reason, message| (code, failure(code, reason, message, Value::Null));
        let mut retry_after = None;
        let (code, body) = match reply {
            "429 stale budget" => {
                let words = "Cannot evict pod as it would violate the pod's disruption budget.";
                let details = json!({ "retryAfterSeconds": 10,
                    "causes": [{ "reason": "DisruptionBudget", "message": "being processed" }] });
                (429, failure(429, "TooManyRequests", words, details))
            }
            "429 overload" => (
                429,
                "Too many requests, please try again later.\n".to_owned(),
            ),
            "429 with Retry-After" => {
                retry_after = Some(secs(1));
                (
                    429,
                    "Too many requests, please try again later.\n".to_owned(),
                )
            }
            "500 several budgets" => {
                let words = "This pod has more than one PodDisruptionBudget, which the eviction \
                             subresource does not support.";
                said(500, "InternalError", words)
            }
            "404" => (404, "404 page not found".to_owned()),
            "409" => said(409, "Conflict", "the object has been modified"),
            "403 namespace ends" => {
                let words = "namespace is being terminated";
                caused(403, "Forbidden", words, ENDS)
            }
            "403 rights" => said(403, "Forbidden", "pods \"x\" is forbidden"),
            "4xx of a webhook" => {
                let words = "admission webhook \"guard.example.com\" denied the request: not today";
                said(403, "", words)
            }
            "401" => said(401, "Unauthorized", "Unauthorized"),
            "5xx" => (503, "service unavailable".to_owned()),
            "no answer, took effect" => return Some(Self(Fault::ResetAfter.into())),
            "no answer, took none" => return Some(Self(Fault::ResetBefore.into())),
            "200 of something else" => (200, "{}".to_owned()),
            _ => return None,
        };
        let fault = Fault::Status {
            code,
            retry_after,
            body,
        };
        Some(Self(fault.into()))
    }
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
    // The same of something before the server, in words of its own.
    let is_foreign = code != 200 && random.chance(1, 5);
    let body = if is_foreign {
        format!("{code} by the gateway\n")
    } else {
        body
    };
    Fault::Status {
        code,
        retry_after,
        body,
    }
}
