//! Many nodes at once.

use super::*;

fn on(node: &str, pod: PodFacts) -> PodFacts {
    PodFacts {
        node: node.into(),
        ..pod
    }
}

struct Nodes {
    fleet: Fleet,
    now: Instant,
}

impl Nodes {
    /// Drains with so many seconds left.
    fn new(limits: Limits, nodes: &[(&str, u64)]) -> Self {
        let now = Instant::now();
        let mut fleet = Fleet::new(limits);
        for (node, left) in nodes {
            fleet.start(*node, Settings::default(), Some(now + secs(*left)), now);
        }
        Self { fleet, now }
    }

    fn see(&mut self, input: Input) -> Vec<(String, String)> {
        let mut effects = Vec::new();
        self.fleet.see(input, self.now, &mut effects);
        calls(&effects)
    }

    fn answer(&mut self, node: &str, name: &str, reply: Reply) -> Vec<(String, String)> {
        let mut effects = Vec::new();
        let pod = uid(name);
        let input = Input::Answered { pod, reply };
        self.fleet.on(node, input, self.now, &mut effects);
        calls(&effects)
    }
}

/// Node and pod of each eviction.
fn calls(effects: &[(String, Effect)]) -> Vec<(String, String)> {
    let call = |(node, effect): &(String, Effect)| match effect {
        Effect::Evict(call) => Some((node.clone(), call.name.clone())),
        _ => None,
    };
    effects.iter().filter_map(call).collect()
}

fn pair(node: &str, name: &str) -> (String, String) {
    (node.into(), name.into())
}

#[test]
fn one_list_is_sorted_by_node_and_other_nodes_pods_are_nobodys() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120), ("b", 120)]);
    let pods = vec![
        on("a", pod("p1")),
        on("b", pod("p2")),
        on("elsewhere", pod("p3")),
        pod("unbound"),
    ];
    assert_eq!(
        nodes.see(Input::Listed(pods)),
        [pair("a", "p1"), pair("b", "p2")]
    );
    nodes.now += secs(1);
    nodes.see(Input::Deleted(uid("p1")));
    assert_eq!(
        nodes.fleet.outcome("a", nodes.now),
        Some(DrainOutcome::Complete)
    );
    assert_eq!(nodes.fleet.outcome("b", nodes.now), None);
}

#[test]
fn the_nearest_deadline_is_served_first() {
    let limits = Limits::default().with_in_flight(1);
    let mut nodes = Nodes::new(limits, &[("a", 600), ("b", 30), ("c", 120)]);
    let pods = ["a", "b", "c"].map(|n| on(n, pod(&format!("p-{n}"))));
    assert_eq!(nodes.see(Input::Listed(pods.into())), [pair("b", "p-b")]);
    assert_eq!(
        nodes.answer("b", "p-b", Reply::Accepted),
        [pair("c", "p-c")]
    );
    assert_eq!(
        nodes.answer("c", "p-c", Reply::Accepted),
        [pair("a", "p-a")]
    );
}

#[test]
fn a_budget_that_one_node_finds_closed_is_closed_for_all() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120), ("b", 120)]);
    let mut over = budget_over("web", "{}");
    over.allowed = Some(1);
    let known = Learnt::Budgets(Budgets::Known(vec![over]));
    nodes.see(known.into());
    let pods = vec![on("a", pod("p1")), on("b", pod("p2"))];
    assert_eq!(nodes.see(Input::Listed(pods)), [pair("a", "p1")]);
    assert_eq!(nodes.answer("a", "p1", Reply::Accepted), []);
    nodes.now += secs(2);
    assert_eq!(nodes.see(Input::Woken), [pair("b", "p2")]);
}

#[test]
fn a_server_that_is_away_is_asked_once_for_all_nodes() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120), ("b", 120)]);
    let pods = vec![on("a", pod("p1")), on("b", pod("p2"))];
    nodes.see(Input::Listed(pods));
    for (node, name) in [("a", "p1"), ("b", "p2")] {
        let what = "refused".into();
        nodes.answer(node, name, Reply::Lost { what });
    }
    nodes.now += millis(200);
    assert_eq!(nodes.see(Input::Woken).len(), 1);
    assert_eq!(nodes.see(Input::Woken).len(), 0);
}

#[test]
fn a_forgotten_node_gives_back_what_it_used() {
    let limits = Limits::default().with_in_flight(1);
    let mut nodes = Nodes::new(limits, &[("a", 120), ("b", 120)]);
    let pods = vec![on("a", pod("p1")), on("b", pod("p2"))];
    assert_eq!(nodes.see(Input::Listed(pods)), [pair("a", "p1")]);
    let mut effects = Vec::new();
    nodes.fleet.forget("a", nodes.now, &mut effects);
    assert!(
        matches!(&effects[..], [(node, Effect::Evict(call))] if node == "b" && call.name == "p2"),
        "{effects:?}"
    );
    assert_eq!(nodes.answer("a", "p1", Reply::Accepted), []);
    assert_eq!(nodes.fleet.nodes().collect::<Vec<_>>(), ["b"]);
    assert!(nodes.fleet.report("a", nodes.now).is_none());
}

#[test]
fn a_node_that_is_drained_anew_waits_for_the_answers_to_its_first_drain() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120)]);
    let pods = || Input::Listed(vec![on("a", pod("p1"))]);
    assert_eq!(nodes.see(pods()), [pair("a", "p1")]);
    let deadline = Some(nodes.now + secs(60));
    nodes
        .fleet
        .start("a", Settings::default(), deadline, nodes.now);
    assert_eq!(nodes.see(pods()), []);
    let again = nodes.answer("a", "p1", Reply::Unauthorized);
    assert_eq!(again, [pair("a", "p1")]);
}

#[test]
fn a_watch_that_speaks_of_one_node_is_not_suspected_by_another() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120), ("b", 120)]);
    nodes.see(Input::Listed(vec![
        on("a", terminating(graced("slow", 90))),
        on("b", pod("p2")),
    ]));
    let mut effects = Vec::new();
    for step in 1..60 {
        nodes.now += secs(1);
        let seen = PodFacts {
            ready: step % 2 == 0,
            ..on("b", pod("p2"))
        };
        nodes.fleet.see(Input::Seen(seen), nodes.now, &mut effects);
    }
    let relists = effects.iter().filter(|(_, e)| *e == Effect::Relist);
    assert_eq!(relists.count(), 0);
}

#[test]
fn a_drain_that_has_ended_wakes_nobody() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 20), ("b", 120)]);
    nodes.see(Input::Listed(vec![on("a", pod("p1")), on("b", pod("p2"))]));
    nodes.now += secs(30);
    nodes.see(Input::Woken);
    let wake = nodes.fleet.next_wake(nodes.now);
    assert!(wake.is_some_and(|at| at > nodes.now));
    nodes.now += secs(120);
    nodes.see(Input::Woken);
    assert_eq!(nodes.fleet.next_wake(nodes.now), None);
}

#[test]
fn each_node_has_its_own_times_and_report() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120), ("b", 60)]);
    nodes.see(Input::Listed(vec![on("a", pod("p1")), on("b", pod("p2"))]));
    for (node, left, name) in [("a", 115, "p1"), ("b", 56, "p2")] {
        let window = nodes.fleet.window(node).unwrap();
        assert_eq!(
            (window.start(), window.end()),
            (nodes.now, nodes.now + secs(left))
        );
        let report = nodes.fleet.report(node, nodes.now).unwrap();
        let names: Vec<&str> = report.pods.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, [name]);
    }
    assert_eq!(nodes.fleet.window("c"), None);
    assert!(nodes.fleet.report("c", nodes.now).is_none());
}

#[test]
fn a_drain_that_takes_anothers_place_waits_for_the_answers_to_its_calls() {
    let mut nodes = Nodes::new(Limits::default(), &[("a", 120)]);
    let seen = || Input::Listed(vec![on("a", pod("p1"))]);
    assert_eq!(nodes.see(seen()), [pair("a", "p1")]);
    let end = Some(nodes.now + secs(60));
    nodes.fleet.start("a", Settings::default(), end, nodes.now);
    assert_eq!(nodes.see(seen()), []);
    assert_eq!(nodes.answer("a", "p1", unclear()), [pair("a", "p1")]);
}
