//! The table of scenarios for readers, `docs/scenarios.md`, made from the list.

use std::fmt::Write as _;

use super::{Number, SCENARIOS, Scenario, Stages};

const HEAD: &str = "\
# Scenarios

What a drain must do when things happen, and the test that shows it. Each scenario is written once
(`tests/src/scenario/`) and plays on two stages:

- *real*: a real control plane; the handler reaches it through a proxy that breaks what it is told
  to break. `cargo test -p spot-tests --test scenarios_real`
- *simulator*: `spot_drain::sim` under paused time. `cargo test -p spot-tests --test scenarios_sim`

On top of its own assertions every drain is held to the promises of the specification: it returns
by its end, names the UID of every pod it evicts, sends no grace that is longer than the pod's own
or than the time left, deletes nothing under `Respect`, and reports every pod once.

A test's name begins as the headings say. This file is made from the list in
`tests/src/scenario/list.rs`; `cargo test -p spot-tests --lib document` compares them.
";

/// The whole document.
pub fn document() -> String {
    let mut text = HEAD.to_owned();
    let parts = [
        ("The specification's list: `scenario_NN_…`", true),
        ("Outages and changes of the order: `outage_…`", false),
        ("Bad input: `bad_input_…`", false),
        ("Make before break: `make_before_break_…`", false),
    ];
    for (part, (title, numbered)) in parts.into_iter().enumerate() {
        let _ = write!(text, "\n## {title}\n\n");
        let (head, rule) = if numbered {
            ("| number ", "|---")
        } else {
            ("", "")
        };
        let _ = writeln!(text, "{head}| what | test | stages |\n{rule}|---|---|---|");
        for scenario in SCENARIOS.iter().filter(|s| part_of(s) == part) {
            if let Number::Listed(number) = scenario.number {
                let _ = write!(text, "| {number} ");
            }
            let stages = match scenario.stages {
                Stages::Both => "real, simulator".to_owned(),
                Stages::RealOnly { why } => format!("real ({why})"),
                Stages::SimulatorOnly { why } => format!("simulator ({why})"),
            };
            let _ = writeln!(
                text,
                "| {} | `{}` | {stages} |",
                scenario.what, scenario.name
            );
        }
    }
    text
}

fn part_of(scenario: &Scenario) -> usize {
    match scenario.number {
        Number::Listed(_) => 0,
        Number::Outage => 1,
        Number::BadInput => 2,
        Number::Replacement => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md");

    #[test]
    fn the_document_is_the_list() {
        let made = document();
        if std::env::var_os("SCENARIOS_WRITE").is_some() {
            std::fs::write(WRITTEN, &made).unwrap();
        }
        let written = std::fs::read_to_string(WRITTEN).unwrap();
        assert!(
            written == made,
            "docs/scenarios.md is not the list; write it anew with SCENARIOS_WRITE=1"
        );
    }

    #[test]
    fn all_forty_are_there_in_their_order_and_every_name_once() {
        let numbers: Vec<Number> = SCENARIOS.iter().map(|s| s.number).collect();
        assert!(numbers.is_sorted());
        let listed: BTreeSet<u8> = numbers
            .iter()
            .filter_map(|number| match number {
                Number::Listed(number) => Some(*number),
                _ => None,
            })
            .collect();
        assert_eq!(listed, (1..=40).collect());
        let names: BTreeSet<String> = SCENARIOS.iter().map(Scenario::test).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }
}
