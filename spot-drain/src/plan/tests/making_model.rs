//! A workload whose replacements take their time, against what make before break promises.

use proptest::prelude::*;

use super::making::{detached, known, patched, seen, set, switched_on, watched, web};
use super::*;

/// What happens to a workload, each at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Patched(String),
    /// The set looks at its pods: it lets go of those that are detached, and counts the rest.
    Synced,
    /// A replacement is ready.
    Ready(String),
    Accepted(String),
    Ended(String),
}

/// A ReplicaSet with some of its pods on the node.
struct Model {
    bench: Bench,
    pods: BTreeMap<String, PodFacts>,
    wanted: u32,
    /// Available by the set's own count.
    available: u32,
    /// Detached, and not let go of yet.
    loose: BTreeSet<String>,
    /// Detached, and serving still.
    standing: BTreeSet<String>,
    /// The watch of the sets is quicker than that of the pods.
    sets_first: bool,
    version: u64,
    agenda: BTreeSet<(Instant, News)>,
    /// How long the next replacements take; the last of all for ever.
    delays: Vec<u64>,
    evicted: BTreeMap<String, Instant>,
}

impl Model {
    fn new(graces: &[u64], elsewhere: u32, delays: Vec<u64>, left: u64) -> Self {
        let made = |(n, grace): (usize, &u64)| {
            let grace = secs(*grace);
            (
                format!("p{n}"),
                PodFacts {
                    grace,
                    ..web(&format!("p{n}"))
                },
            )
        };
        let pods: BTreeMap<_, _> = graces.iter().enumerate().map(made).collect();
        let wanted = u32::try_from(pods.len()).unwrap() + elsewhere;
        Self {
            bench: Bench::new(switched_on(), left),
            pods,
            wanted,
            available: wanted,
            loose: BTreeSet::new(),
            standing: BTreeSet::new(),
            sets_first: false,
            version: 100,
            agenda: BTreeSet::new(),
            delays,
            evicted: BTreeMap::new(),
        }
    }

    fn counted(&mut self) -> Input {
        self.version += 1;
        seen(set(self.wanted, self.available, &self.version.to_string()))
    }

    fn hears(&mut self, news: News) -> Vec<Input> {
        match news {
            News::Patched(name) => vec![patched(&name, Reply::Accepted)],
            News::Synced => {
                let mut heard = Vec::new();
                for name in std::mem::take(&mut self.loose) {
                    self.version += 1;
                    let grace = self.pods[&name].grace;
                    let freed = detached(&name, &self.version.to_string());
                    self.standing.insert(name);
                    self.available -= 1;
                    heard.push(Input::Seen(PodFacts { grace, ..freed }));
                }
                let at = if self.sets_first { 0 } else { heard.len() };
                let counted = self.counted();
                heard.insert(at, counted);
                heard
            }
            News::Ready(_) => {
                self.available += 1;
                vec![self.counted()]
            }
            News::Accepted(name) => vec![Input::Answered {
                pod: uid(&name),
                reply: Reply::Accepted,
            }],
            News::Ended(name) => vec![Input::Deleted(uid(&name))],
        }
    }

    fn on(&mut self, input: Input) -> Result<(), TestCaseError> {
        for effect in self.bench.on(input) {
            let now = self.bench.now;
            let mut soon = |ms, news| self.agenda.insert((now + millis(ms), news));
            match effect {
                Effect::Detach(detach) => {
                    soon(20, News::Patched(detach.name.clone()));
                    soon(30, News::Synced);
                    self.loose.insert(detach.name.clone());
                    if let Some(delay) = self.delays.pop() {
                        soon(30 + delay * 1000, News::Ready(detach.name));
                    }
                }
                Effect::Evict(call) => {
                    soon(20, News::Accepted(call.name.clone()));
                    soon(700, News::Ended(call.name.clone()));
                    self.check(&call)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let (now, window) = (self.bench.now, self.bench.plan.window());
        let own = self.pods[&call.name].grace;
        let latest = window.latest_for(own);
        prop_assert!(!self.evicted.contains_key(&call.name), "evicted twice");
        self.evicted.insert(call.name.clone(), now);
        prop_assert!(
            now <= latest || latest == window.start(),
            "its grace is cut by waiting"
        );
        if latest > window.start() {
            prop_assert_eq!(call.grace, None, "a grace was cut that would have fitted");
        }
        let serving = |all: &BTreeSet<String>| u32::try_from(all.len()).unwrap() + self.available;
        if self.standing.contains(&call.name) && now < latest {
            prop_assert!(
                serving(&self.standing) > self.wanted,
                "evicted before another serves"
            );
        }
        self.standing.remove(&call.name);
        Ok(())
    }

    /// Lives through it to the end of the drain.
    fn live(mut self) -> Result<Self, TestCaseError> {
        let pods: Vec<PodFacts> = self.pods.values().cloned().collect();
        self.on(Input::Listed(pods))?;
        self.on(Input::Cordoned)?;
        let at_first = known(set(self.wanted, self.wanted, "10"), 1);
        self.on(at_first)?;
        self.on(watched())?;
        for _ in 0..10_000 {
            if self.bench.outcome().is_some() {
                return Ok(self);
            }
            let wake = self.bench.plan.next_wake(self.bench.now);
            let due = self.agenda.first().map(|(at, _)| *at);
            self.bench.now = due.map_or(wake, |at| at.min(wake));
            let heard = match self.agenda.pop_first() {
                Some((at, news)) if at <= self.bench.now => self.hears(news),
                later => {
                    self.agenda.extend(later);
                    vec![Input::Woken]
                }
            };
            for input in heard {
                self.on(input)?;
            }
        }
        Err(TestCaseError::fail("the plan turns in circles"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whenever replacements are ready, and however many pods of a workload there are.
    #[test]
    fn nobody_goes_before_another_serves_unless_the_time_is_up(
        graces in prop::collection::vec(prop::sample::select(vec![0u64, 5, 30, 60, 100, 600]), 1..7),
        elsewhere in 0u32..3,
        delays in prop::collection::vec(1u64..150, 0..7),
        left in 30u64..200,
        sets_first in any::<bool>(),
    ) {
        let mut model = Model::new(&graces, elsewhere, delays, left);
        model.sets_first = sets_first;
        let lived = model.live()?;
        prop_assert_eq!(lived.bench.outcome(), Some(DrainOutcome::Complete));
        prop_assert_eq!(lived.evicted.len(), graces.len(), "P14: one is left behind");
    }

    /// With replacements that are ready soon nobody is missed for a moment.
    #[test]
    fn replacements_that_are_ready_soon_leave_no_gap(
        graces in prop::collection::vec(0u64..40, 1..7),
        elsewhere in 0u32..3,
    ) {
        let pods = graces.len();
        let lived = Model::new(&graces, elsewhere, vec![20; pods], 120).live()?;
        let ready = lived.bench.start + secs(20);
        prop_assert!(lived.evicted.values().all(|at| *at >= ready), "{:?}", lived.evicted);
        prop_assert!(lived.bench.now <= ready + secs(2), "longer than it takes");
    }
}
