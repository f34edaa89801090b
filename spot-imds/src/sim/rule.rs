//! Which requests go wrong, how, and when.

use std::time::Duration;

use spot_core::sim::{Fault, Window};

/// A fault with the requests that it meets: all of them, unless narrowed.
///
/// Its times count from the moment that it is added; in a builder that is the start. Where
/// several rules meet one request, their delays add up, and of the other faults the one that
/// was added first holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    pub(super) fault: Fault,
    path: Option<String>,
    pub(super) window: Window,
}

impl FaultRule {
    /// Every request, from now on, for ever.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            path: None,
            window: Window::default(),
        }
    }

    /// Only this path: below `/latest/meta-data/`, or from the root where it begins with a
    /// slash (`/latest/api/token`). One that ends in a slash means all that is below it.
    #[must_use]
    pub fn on(mut self, path: impl AsRef<str>) -> Self {
        let path = path.as_ref();
        self.path = Some(if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/latest/meta-data/{path}")
        });
        self
    }

    /// Only after so long.
    #[must_use]
    pub fn from(mut self, after: Duration) -> Self {
        self.window.from = after;
        self
    }

    /// Only for so long; both ends count from the moment that the rule is added.
    #[must_use]
    pub fn until(mut self, after: Duration) -> Self {
        self.window.until = Some(after);
        self
    }

    /// Only so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.window.times = Some(times);
        self
    }

    pub(super) fn meets(&self, path: &str) -> bool {
        match &self.path {
            None => true,
            Some(below) if below.ends_with('/') => path.starts_with(below.as_str()),
            Some(one) => path == one,
        }
    }

    /// Whether it refuses connections before anything is asked.
    pub(super) fn refuses_all(&self) -> bool {
        self.fault == Fault::Refused && self.path.is_none() && self.window.times.is_none()
    }

    /// What it does and to which requests, on one line.
    pub(super) fn describe(&self) -> String {
        let path = self.path.as_deref().unwrap_or("every path");
        format!("{} on {path}", self.fault)
    }
}

/// Every rule, and how it has fared.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Tried>);

#[derive(Debug)]
struct Tried {
    rule: FaultRule,
    met: u64,
    first: Option<Duration>,
}

impl Rules {
    /// A rule whose times count from the virtual offset `at`.
    pub(super) fn add(&mut self, mut rule: FaultRule, at: Duration) {
        let window = &mut rule.window;
        window.from = window.from.saturating_add(at);
        window.until = window.until.map(|until| until.saturating_add(at));
        self.0.push(Tried {
            rule,
            met: 0,
            first: None,
        });
    }

    pub(super) fn clear(&mut self) {
        for tried in &mut self.0 {
            tried.rule.window.times = Some(0);
        }
    }

    fn refusals(&self) -> impl Iterator<Item = Window> {
        let refusals = self.0.iter().filter(|tried| tried.rule.refuses_all());
        refusals.map(|tried| tried.rule.window)
    }

    pub(super) fn is_refusing(&self, at: Duration) -> bool {
        self.refusals().any(|window| window.is_open(at))
    }

    /// When that may change next.
    pub(super) fn next_refusal(&self, at: Duration) -> Option<Duration> {
        let ends = self.refusals().flat_map(|w| [Some(w.from), w.until]);
        ends.flatten().filter(|end| *end > at).min()
    }

    /// What holds for a request: how long every delay takes together, and all the faults, of
    /// which one at the most is no delay.
    pub(super) fn meet(&mut self, path: &str, at: Duration) -> (Duration, Vec<Fault>) {
        let (mut delay, mut other, mut faults) = (Duration::ZERO, false, Vec::new());
        for Tried { rule, met, first } in &mut self.0 {
            let is_delay = matches!(rule.fault, Fault::Delay(_));
            if (other && !is_delay) || !rule.meets(path) || !rule.window.take(at) {
                continue;
            }
            *met += 1;
            first.get_or_insert(at);
            match rule.fault {
                Fault::Delay(by) => delay = delay.saturating_add(by),
                _ => other = true,
            }
            faults.push(rule.fault.clone());
        }
        (delay, faults)
    }

    /// The first time that each was met.
    pub(super) fn story(&self) -> impl Iterator<Item = (Duration, String)> {
        self.0.iter().filter_map(|Tried { rule, met, first }| {
            let what = format!("fault: {}, {met} times from here on", rule.describe());
            first.map(|first| (first, what))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_meets_all_one_path_or_what_is_below() {
        let rule = FaultRule::new(Fault::BlackHole);
        assert!(rule.meets("/latest/api/token") && rule.meets("/"));
        let one = rule.clone().on("spot/instance-action");
        assert!(one.meets("/latest/meta-data/spot/instance-action"));
        assert!(!one.meets("/latest/meta-data/spot/instance-action-2"));
        let below = rule.clone().on("spot/");
        assert!(below.meets("/latest/meta-data/spot/termination-time"));
        assert!(!below.meets("/latest/meta-data/spot"));
        assert!(rule.on("/latest/api/token").meets("/latest/api/token"));
    }
}
