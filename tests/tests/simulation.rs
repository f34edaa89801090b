//! The simulation, a few thousand times. Many more, the story of one seed, and what was covered:
//! `cargo run --release -p spot-tests --bin simulate -- --help`

use std::{
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
};

use spot_tests::simulation::{self, Lived, Tally, live};

const SEEDS: u64 = 2_000;

/// Seeds that found bugs which were mended since, each with what it found.
const MENDED: [(u64, &str); 9] = [
    (
        84,
        "a remembered deadline that the machine had outlived left a drain no time",
    ),
    (
        198,
        "a 403 of a server that had just started was believed at once, and the node not read",
    ),
    (
        389,
        "the 404 of something before the API server ended the handler at its start",
    ),
    (
        1092,
        "an empty object was a list of nothing: all pods counted as gone",
    ),
    (
        3_695,
        "an empty object was a patch that holds: what had been drained was not written down",
    ),
    (
        4_089,
        "a remembered maintenance whose time had passed unheard left a drain two seconds",
    ),
    (
        4_790,
        "a node that could not be cordoned took its pods back, and 5,900 were evicted in two minutes",
    ),
    (
        17_343,
        "a question about rights that got no answer was asked again at once, without end",
    ),
    (
        49_579,
        "a webhook's refusal for a moment left the node open for 15 s",
    ),
];

fn lived(seed: u64) -> Lived {
    live(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

/// Lives through seeds on all cores; the complaints.
fn many(seeds: std::ops::Range<u64>) -> (Tally, Vec<String>) {
    let all = Mutex::new((Tally::default(), Vec::new()));
    simulation::many(seeds, None, |seed, lived| {
        let lived = lived.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.0 += lived.tally();
        if !lived.wrongs().is_empty() {
            all.1.push(lived.complaint());
        }
        ControlFlow::Continue(())
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn no_rule_is_broken_in_thousands_of_simulations() {
    let (tally, complaints) = many(0..SEEDS);
    assert!(complaints.is_empty(), "{}", complaints[0]);
    assert_eq!(tally.seeds, SEEDS);
    // That they are worth judging.
    let enough = tally.drains > SEEDS && tally.faults > SEEDS && tally.kills > SEEDS / 4;
    assert!(enough && tally.checks > 100 * SEEDS, "{tally}");
    println!("{tally}");
}

#[test]
fn bugs_that_were_mended_stay_away() {
    for (seed, bug) in MENDED {
        let lived = lived(seed);
        assert!(lived.wrongs().is_empty(), "{bug}: {}", lived.complaint());
    }
}

#[test]
fn the_same_seed_is_the_same_story_to_the_byte() {
    for seed in 0..40 {
        let told = || lived(seed).story().to_string();
        let (one, other) = (told(), told());
        assert!(one.lines().count() > 3, "{one}");
        assert_eq!(one, other);
    }
}
