//! Pods that come back to the node: where it could not be cordoned, those that are evicted may be
//! placed on it again at once, and evicting them as they come would only kill the faster.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::facts::{PodFacts, Uid};

/// The first pause before pods that keep coming back are evicted, and the longest; doubled each
/// time that all of an owner's pods have come anew.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// So often without a pause: a cordon takes a moment to be heard of.
const FREE: u32 = 2;

/// How often each owner's pods have come.
#[derive(Debug, Default)]
pub(super) struct Returns(BTreeMap<Uid, Owned>);

/// The pods of one owner.
#[derive(Debug, Default)]
struct Owned {
    /// How many have come, ever.
    came: u32,
    /// The most that were there at once.
    most: u32,
}

impl Returns {
    /// A pod is seen for the first time, and of its owner's pods so many are there with it; how
    /// long it is left.
    pub(super) fn came(&mut self, pod: &PodFacts, present: usize) -> Duration {
        let Some(owner) = &pod.owner else {
            return Duration::ZERO;
        };
        let theirs = self.0.entry(owner.uid.clone()).or_default();
        let before = theirs.came;
        theirs.came = before.saturating_add(1);
        let present = u32::try_from(present).unwrap_or(u32::MAX);
        theirs.most = theirs.most.max(present).max(1);
        match (before / theirs.most).checked_sub(FREE) {
            None => Duration::ZERO,
            Some(again) => PAUSE.0.saturating_mul(1 << again.min(8)).min(PAUSE.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Owner;

    fn pauses(present: usize, came: u32) -> Vec<u64> {
        let owner = Owner {
            uid: Uid("rs".into()),
            ..Owner::default()
        };
        let pod = PodFacts {
            owner: Some(owner),
            ..PodFacts::default()
        };
        let mut returns = Returns::default();
        let pauses = (0..came).map(|_| returns.came(&pod, present).as_secs());
        pauses.collect()
    }

    #[test]
    fn those_that_keep_coming_wait_twice_as_long_each_time() {
        assert_eq!(pauses(1, 9), [0, 0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pauses(3, 9), [0, 0, 0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn a_pod_without_an_owner_does_not_come_back() {
        let mut returns = Returns::default();
        let pod = PodFacts::default();
        assert!((0..100).all(|_| returns.came(&pod, 1).is_zero()));
    }
}
