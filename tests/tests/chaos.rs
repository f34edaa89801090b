//! Hours of chaos on the simulators. Many more: `cargo run --release -p spot-tests --bin soak -- chaos`

use std::ops::RangeInclusive;

use spot_tests::chaos::{Hour, live};

/// The seeds of the hours that are lived through here.
const HOURS: RangeInclusive<u64> = 1..=40;

#[test]
fn nothing_is_missed_or_done_twice_in_hours_of_chaos() {
    let mut all = Hour::default();
    for seed in HOURS {
        match live(seed) {
            Ok(hour) => all += hour,
            Err(story) => panic!("{story}"),
        }
    }
    assert!(
        all.served > 20 && all.drains > 20 && all.broken > 5_000,
        "{all}"
    );
}
