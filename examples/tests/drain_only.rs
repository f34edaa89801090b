//! The drain alone: what the controller of several nodes prints.
#![allow(clippy::unwrap_used)]

use std::process::Command;

fn run() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_drain-only"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The seconds at the start of the lines that hold `what`.
fn times(said: &str, what: &str) -> Vec<f64> {
    let lines = said.lines().filter(|line| line.contains(what));
    let time = |line: &str| line.split_whitespace().next()?.parse().ok();
    lines.map(|line| time(line).unwrap()).collect()
}

#[test]
fn it_empties_every_node_in_time_over_one_watch() {
    let said = run();
    for node in ["old-1", "old-2", "old-3"] {
        assert_eq!(times(&said, &format!("{node}  cordoned")), [0.0], "{said}");
        // Two of the service, one of the database; the agent stays.
        let ended = times(&said, &format!("{node}  complete: 3 gone, 1 skipped"));
        assert!(matches!(ended[..], [at] if at < 60.0), "{said}");
    }
    let asked = said.lines().last().unwrap();
    for once in ["lists of pods 1", "watches of pods 1", "cordons 3"] {
        assert!(asked.contains(once), "{said}");
    }
}

#[test]
fn one_limit_paces_the_calls_of_all_nodes_and_one_budget_holds_them() {
    let said = run();
    let calls = times(&said, "  evicts ");
    // Nothing is asked of the budget that it would refuse: what one node uses, all know.
    assert_eq!(calls.len(), 9, "{said}");
    assert!(times(&said, "lets nothing go now").is_empty(), "{said}");
    // Half a second apart, as far as the printed tenths show it.
    assert!(calls.windows(2).all(|w| w[1] - w[0] > 0.39), "{said}");
    // Two at a time of the service: the fifth and sixth go when others are back.
    let web = times(&said, "evicts web");
    assert!(web[5] - web[0] > 4.0, "{said}");
}

#[test]
fn it_prints_the_same_every_time() {
    assert_eq!(run(), run());
}
