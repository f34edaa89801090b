//! Whether evictions are allowed, by namespace: rights may be given in one and not in another.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The pause before it is asked again whether evictions are forbidden for good: a server that
/// has just started knows nobody's rights for a moment, and one that cannot answer is not asked
/// at once again.
const DOUBT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Rights(BTreeMap<String, Right>);

#[derive(Debug, Default)]
struct Right {
    asked: bool,
    /// Until when it is not asked again.
    not_before: Option<Instant>,
    /// Evictions were said to be forbidden.
    denied: bool,
    /// They are forbidden for good: it was said twice.
    barred: bool,
}

impl Right {
    /// When it is asked again, where the answer is not believed yet.
    fn doubt(&self) -> Option<Instant> {
        let pending = self.denied && !self.barred && !self.asked;
        self.not_before.filter(|_| pending)
    }
}

impl Rights {
    /// An eviction was forbidden. Whether to ask at `now` why that is.
    pub(super) fn refused(&mut self, namespace: &str, now: Instant) -> bool {
        let right = self.0.entry(namespace.to_owned()).or_default();
        let early = right.not_before.is_some_and(|at| now < at);
        !early && !std::mem::replace(&mut right.asked, true)
    }

    /// An eviction was not forbidden.
    pub(super) fn exercised(&mut self, namespace: &str) {
        if let Some(right) = self.0.get_mut(namespace) {
            (right.denied, right.barred) = (false, false);
        }
    }

    /// The answer, where it could be learnt.
    pub(super) fn learnt(&mut self, namespace: String, allowed: Option<bool>, now: Instant) {
        let right = self.0.entry(namespace).or_default();
        match allowed {
            Some(true) => {
                right.denied = false;
                return;
            }
            Some(false) if right.denied => {
                right.barred = true;
                return;
            }
            Some(false) => right.denied = true,
            None => {}
        }
        right.asked = false;
        right.not_before = Some(now + DOUBT);
    }

    /// Whether evictions are forbidden for good.
    pub(super) fn barred(&self, namespace: &str) -> bool {
        self.0.get(namespace).is_some_and(|right| right.barred)
    }

    /// The namespaces about which it is time to ask again.
    pub(super) fn due(&self, now: Instant) -> Vec<String> {
        let due = |right: &Right| right.doubt().is_some_and(|at| now >= at);
        let due = self.0.iter().filter(|(_, right)| due(right));
        due.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// When it is time to ask again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.0.values().filter_map(Right::doubt).min()
    }
}
