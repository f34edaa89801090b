//! Faults as a list of rules over time: which request, from when until when, how often.

use crate::wire::Call;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use spot_core::clock::Now;
use spot_drain::sim::{Fault, Faults, Injection, WatchFault};
use tokio::time::Instant;

/// What goes wrong with a request that is made so long after the script's beginning.
type Decide = Box<dyn FnMut(&Request<Bytes>, Duration) -> Injection + Send>;

/// Rules, of which the first that holds decides. Its time counts from when it is made.
pub struct Script {
    began: Instant,
    rules: Vec<Rule>,
}

/// What goes wrong with some requests.
pub struct Rule {
    calls: Option<Vec<Call>>,
    from: Duration,
    until: Duration,
    times: u32,
    decide: Decide,
}

impl Rule {
    /// This fault on every request.
    pub fn always(fault: impl Into<Injection>) -> Self {
        let fault = fault.into();
        Self::decided(move |_, _| fault.clone())
    }

    /// What `decide` says of each request, so long after the script's beginning.
    pub fn decided(
        decide: impl FnMut(&Request<Bytes>, Duration) -> Injection + Send + 'static,
    ) -> Self {
        Self {
            calls: None,
            from: Duration::ZERO,
            until: Duration::MAX,
            times: u32::MAX,
            decide: Box::new(decide),
        }
    }

    /// Only on such requests.
    #[must_use]
    pub fn on(mut self, calls: impl Into<Vec<Call>>) -> Self {
        self.calls = Some(calls.into());
        self
    }

    /// Only from so long after the beginning.
    #[must_use]
    pub fn from(mut self, from: Duration) -> Self {
        self.from = from;
        self
    }

    /// Only before so long after the beginning.
    #[must_use]
    pub fn until(mut self, until: Duration) -> Self {
        self.until = until;
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    fn holds(&self, call: Call, after: Duration) -> bool {
        self.times > 0
            && (self.from..self.until).contains(&after)
            && self
                .calls
                .as_ref()
                .is_none_or(|calls| calls.contains(&call))
    }
}

impl Script {
    /// Begins now.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            rules: Vec::new(),
        }
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// A server that is gone between two times: it resets what is open and what is tried.
    #[must_use]
    pub fn away(self, from: Duration, until: Duration) -> Self {
        let breaks = Rule::decided(move |_, after| Injection {
            watch: WatchFault {
                reset_after: Some(from.saturating_sub(after)),
                ..WatchFault::default()
            },
            ..Injection::none()
        });
        self.rule(Rule::always(Fault::ResetBefore).from(from).until(until))
            .rule(breaks.until(from))
    }

    /// A network that swallows everything from a time on, on open connections too.
    #[must_use]
    pub fn black_hole(self, from: Duration) -> Self {
        self.black_hole_between(from, Duration::MAX)
    }

    /// The same between two times; what it has swallowed does not come back.
    #[must_use]
    pub fn black_hole_between(self, from: Duration, until: Duration) -> Self {
        let silent = Rule::decided(move |_, after| Injection {
            watch: WatchFault {
                silent_after: Some(from.saturating_sub(after)),
                ..WatchFault::default()
            },
            ..Injection::none()
        });
        let swallows = Rule::always(Fault::BlackHole).from(from).until(until);
        self.rule(swallows).rule(silent.until(from))
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Faults for Script {
    fn decide(&mut self, _: u64, request: &Request<Bytes>, now: Now) -> Injection {
        let after = now.instant.saturating_duration_since(self.began);
        let call = Call::of_request(request);
        let rule = self.rules.iter_mut().find(|rule| rule.holds(call, after));
        rule.map_or_else(Injection::none, |rule| {
            rule.times -= 1;
            (rule.decide)(request, after)
        })
    }
}

/// A watch on which this goes wrong.
pub fn watch(fault: WatchFault) -> Injection {
    Injection {
        watch: fault,
        ..Injection::none()
    }
}

/// An answer in place of the server's.
pub fn answer(status: u16, retry_after: Option<u64>, body: impl Into<String>) -> Injection {
    Injection::from(Fault::Status {
        code: status,
        retry_after: retry_after.map(Duration::from_secs),
        body: body.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn decided(script: &mut Script, path: &str, after: Duration) -> Injection {
        let request = Request::get(path).body(Bytes::new()).unwrap();
        let now = Now {
            instant: script.began + after,
            wall: jiff::Timestamp::UNIX_EPOCH,
        };
        script.decide(0, &request, now)
    }

    #[test]
    fn a_rule_holds_for_its_calls_its_time_and_so_often() {
        let rule = Rule::always(Fault::BlackHole).on([Call::ListPods]);
        let rule = rule.from(secs(1)).until(secs(3)).times(1);
        let mut script = Script::new().rule(rule);
        let none = Injection::none();
        assert_eq!(decided(&mut script, "/api/v1/pods", secs(0)), none);
        assert_eq!(decided(&mut script, "/version", secs(1)), none);
        assert_ne!(decided(&mut script, "/api/v1/pods", secs(2)), none);
        assert_eq!(decided(&mut script, "/api/v1/pods", secs(2)), none);
    }

    #[test]
    fn a_watch_that_was_opened_before_the_server_went_is_reset_then() {
        let mut script = Script::new().away(secs(5), secs(9));
        let before = decided(&mut script, "/api/v1/pods?watch=true", secs(2));
        assert_eq!(before.watch.reset_after, Some(secs(3)));
        assert_eq!(before.fault, None);
        let meanwhile = decided(&mut script, "/api/v1/pods", secs(5));
        assert_eq!(meanwhile.fault, Some(Fault::ResetBefore));
        assert_eq!(
            decided(&mut script, "/api/v1/pods", secs(9)),
            Injection::none()
        );
    }
}
