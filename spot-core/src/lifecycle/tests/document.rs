//! The table in the module's documentation is what the code does: every state with every signal.

use std::fmt::Write as _;

use super::*;
use NoticeKind::{RebalanceRecommendation, ScheduledMaintenance, SpotInterruption};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lifecycle.md");

const INTRODUCTION: &str = "\
# States and signals
What the code does with every signal in every state; written by the test that checks it. Rebalance
recommendations cordon here, the other kinds have their usual rules, and every source has been
heard. A signal that is left out changes nothing and asks for nothing.

| state | what it is |
|---|---|
| blind | the node has not been read, or must be read again: notices wait |
| foreign | the node is another machine's: notices wait |
| idle | nothing stands |
| standing | a notice that waits for its time, is only told, or has been dealt with |
| cordoned | the node takes nothing new |
| draining | the work is moved away |
| stopping | the drain was told to stop and has not returned yet |
| drained | the drain has ended |

";

/// A state, in a few words more where they matter, with the notice that led to it, and how many
/// seconds after the start that ends or is due.
type Scene = (
    State,
    &'static str,
    Option<(&'static str, NoticeKind, Option<u64>)>,
    Bench,
);

fn scenes() -> Vec<Scene> {
    let rule = "rebalance-recommendation=cordon,ttl=30m".parse::<KindRule>();
    let ready = || Bench::ready_with(Policy::default().with(rule.clone().unwrap()));
    let blind = || {
        let mut bench = ready();
        bench.life = Lifecycle::new(Policy::default().with(rule.clone().unwrap()), ["s".into()]);
        bench.on(Input::Started);
        bench.on(identified("i-1"));
        bench.on(good());
        bench
    };
    let mut foreign = blind();
    foreign.on(Input::NotOurs);
    let mut standing = ready();
    standing.raise("maintenance", ScheduledMaintenance, 7_200);
    let mut cordoned = ready();
    let notice = cordoned.notice("rebalance", RebalanceRecommendation, None);
    cordoned.on(said(Signal::Raised(notice)));
    cordoned.on(Input::Quarantined);
    let open = || {
        let mut bench = ready();
        bench.interrupt(120);
        bench
    };
    let draining = || {
        let mut bench = open();
        bench.on(Input::Quarantined);
        bench
    };
    let mut stopping = draining();
    stopping.on(cancelled("spot"));
    let mut drained = draining();
    drained.on(Input::DrainFinished);
    let mut drained_open = open();
    drained_open.on(Input::DrainFinished);
    let spot = Some(("spot", SpotInterruption, Some(120)));
    let maintenance = Some(("maintenance", ScheduledMaintenance, Some(7_200)));
    let rebalance = Some(("rebalance", RebalanceRecommendation, None));
    let not_held = ", the quarantine not held yet";
    vec![
        (State::Blind, "", None, blind()),
        (State::Foreign, "", None, foreign),
        (State::Idle, "", None, ready()),
        (State::Standing, "", maintenance, standing),
        (State::Cordoned, "", rebalance, cordoned),
        (State::Draining, "", spot, draining()),
        (State::Draining, not_held, spot, open()),
        (State::Stopping, "", spot, stopping),
        (State::Drained, "", spot, drained),
        (State::Drained, not_held, spot, drained_open),
    ]
}

const SIGNALS: [&str; 18] = [
    "the node is read and remembers nothing",
    "the node is read and remembers a drain of this boot",
    "the node is read and remembers a drain of this boot that has ended",
    "the node is read and remembers another boot or instance",
    "the node is read and remembers what has been dealt with",
    "the node is another machine's",
    "another identity",
    "a notice to drain",
    "a notice to cordon",
    "a notice for later",
    "the same notice again",
    "the same notice, earlier",
    "the same notice, later",
    "the notice ends",
    "its time comes",
    "its time to live is over",
    "the quarantine holds",
    "the drain ends",
];

/// What the signal brings in the scene; `None` where there can be no such signal.
fn hear(signal: &str, (state, _, own, bench): &mut Scene) -> Option<Vec<Effect>> {
    let again = |bench: &mut Bench, after: Option<u64>| {
        let (id, kind, _) = (*own)?;
        let notice = bench.notice(id, kind, after);
        Some(bench.on(said(Signal::Raised(notice))))
    };
    let own_after = own.and_then(|(.., after)| after);
    Some(match signal {
        "the node is read and remembers nothing" => bench.on(recalled(None)),
        "the node is read and remembers a drain of this boot" if *state == State::Blind => {
            bench.on(recalled(Some(memory("spot", Phase::Draining, Some(100)))))
        }
        "the node is read and remembers a drain of this boot that has ended"
            if *state == State::Blind =>
        {
            bench.on(recalled(Some(memory("spot", Phase::Drained, Some(100)))))
        }
        "the node is read and remembers another boot or instance" if *state == State::Blind => {
            let mut other = memory("spot", Phase::Draining, Some(100));
            other.boot = Some("boot-0".into());
            bench.on(recalled(Some(other)))
        }
        "the node is read and remembers what has been dealt with" if *state == State::Blind => {
            bench.on(recalled(Some(memory("spot", Phase::Settled, None))))
        }
        "the node is another machine's" => bench.on(Input::NotOurs),
        "another identity" => bench.on(identified("i-2")),
        "a notice to drain" => bench.raise("asg", NoticeKind::AsgTermination, 600),
        "a notice to cordon" => {
            let notice = bench.notice("another", RebalanceRecommendation, None);
            bench.on(said(Signal::Raised(notice)))
        }
        "a notice for later" => bench.raise("later", ScheduledMaintenance, 90_000),
        "the same notice again" => again(bench, own_after)?,
        "the same notice, earlier" => again(bench, Some(own_after? / 2))?,
        "the same notice, later" => again(bench, Some(own_after? * 2))?,
        "the notice ends" => bench.on(cancelled(own.as_ref()?.0)),
        "its time comes" if *state == State::Standing => {
            bench.seconds = 7_200 - 900;
            bench.on(Input::Woken)
        }
        "its time to live is over" if *state == State::Cordoned => {
            bench.seconds = 1_800;
            bench.on(Input::Woken)
        }
        "the quarantine holds" if bench.life.lead.is_some() => bench.on(Input::Quarantined),
        "the drain ends" if bench.life.is_draining() => bench.on(Input::DrainFinished),
        _ => return None,
    })
}

fn table() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("| state | signal | asked for | then |\n|---|---|---|---|\n");
    for number in 0..scenes().len() {
        for signal in SIGNALS {
            let mut scene = scenes().swap_remove(number);
            assert_eq!(scene.3.life.state(), scene.0, "the scene is what it says");
            let Some(effects) = hear(signal, &mut scene) else {
                continue;
            };
            let (before, more, after) = (scene.0, scene.1, scene.3.life.state());
            if effects.is_empty() && before == after {
                continue;
            }
            let asked = match names(&effects).join(", ") {
                none if none.is_empty() => "nothing".to_owned(),
                some => some.to_lowercase(),
            };
            let _ = writeln!(text, "| {before}{more} | {signal} | {asked} | {after} |");
        }
    }
    text
}

/// Run with `LIFECYCLE_WRITE=1` to write it anew.
#[test]
fn the_table_in_the_documentation_is_what_the_code_does() {
    let table = table();
    if std::env::var_os("LIFECYCLE_WRITE").is_some() {
        std::fs::write(DOCUMENT, &table).unwrap();
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap();
    assert_eq!(written, table, "write it anew with LIFECYCLE_WRITE=1");
}
