//! A million true bodies, bent and broken, through every decoder: no panic, and whatever comes
//! out is bounded. The same inputs in every run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use spot_core::notice::InstanceAction;
use spot_core::sim::Random;
use spot_imds::decode::{self, DecodeError, EventCode, LifecycleState, MAX_EVENTS, MAX_VALUE};

/// How many inputs each decoder is given.
const INPUTS: u64 = 1_000_000;

/// The threads that share them.
const THREADS: u64 = 2;

/// The longest input, in bytes: the longest body that is read, unless set.
const LONGEST: usize = 64 * 1024;

/// The longest text that comes out of a decoder, in bytes.
const SHORT: usize = 200;

const CORPUS: &[&str] = &[
    r#"{"action":"terminate","time":"2017-09-18T08:22:00Z"}"#,
    r#"{"action":"hibernate","time":"2017-09-18T08:22:00.5+02:00"}"#,
    r#"{"noticeTime":"2020-10-27T08:22:00Z"}"#,
    r#"[{"NotBefore":"21 Jan 2019 09:00:43 GMT","Code":"system-reboot","EventId":"e-0d5","State":"active"}]"#,
    r#"[{"EventId":"e-1","NotBefore":"2019-01-21T09:00:43Z","State":"canceled"},{"EventId":"e-2","NotBefore":"1 Feb 2019 09:00:43.5 +0100","Description":"[Completed] x"}]"#,
    "[]",
    "InService",
    "Warmed:Terminated",
    "i-0123456789abcdef0",
    r#"{"pendingTime":"2019-10-31T07:02:24Z","region":"us-east-1","ramdiskId":null,"privateIp":"10.0.7.10"}"#,
    "<html><h1>404 - Not Found</h1></html>",
    r#"["\u0000",1e9,-0.5,true,null,{"a":{"b":[[]]}}]"#,
];

/// What a mutation likes to put in.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "é",
    "-",
    "+",
    "1e999",
    "99999999999999999999",
    "0000",
    " GMT",
    "Z",
    ".",
    "T",
    "+24:00",
    "[[[[[[[[",
    "\"EventId\":",
    "\"NotBefore\":",
    "31 Feb ",
    "\u{0}",
    "\r\n",
];

/// Bends a body once.
fn bend(random: &mut Random, body: &mut Vec<u8>) {
    let at = |random: &mut Random, length: usize| {
        usize::try_from(random.below(length as u64 + 1)).unwrap()
    };
    let place = at(random, body.len());
    match random.below(6) {
        0 => {
            if let Some(byte) = body.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => body.truncate(place),
        2 => {
            let end = place + at(random, body.len() - place);
            body.drain(place..end.min(place + 24));
        }
        3 => {
            let piece = random.pick(PIECES).unwrap().as_bytes();
            body.splice(place..place, piece.iter().copied());
        }
        4 => {
            // Half of another body.
            let other = random.pick(CORPUS).unwrap().as_bytes();
            body.truncate(place);
            body.extend_from_slice(&other[at(random, other.len())..]);
        }
        _ => {
            // A part of it again.
            let end = body.len().min(place + 40);
            let part = body[place..end].to_vec();
            body.splice(place..place, part);
        }
    }
}

/// The same over and over, up to a long body.
fn stretch(random: &mut Random, body: &mut Vec<u8>) {
    let part = if body.is_empty() {
        vec![b'[']
    } else {
        body.clone()
    };
    let length = usize::try_from(random.below(LONGEST as u64)).unwrap();
    let comma = random.chance(1, 2);
    if comma {
        body.insert(0, b'[');
    }
    while body.len() < length {
        if comma {
            body.push(b',');
        }
        body.extend_from_slice(&part);
    }
    body.truncate(LONGEST);
}

fn short(text: &str) {
    // By bytes, which is quicker: it is made a million times.
    assert!(text.len() <= SHORT, "{} bytes", text.len());
    assert!(text.bytes().all(|byte| byte >= b' '), "{text:?}");
}

fn told(error: &DecodeError) {
    short(&error.to_string());
    if let DecodeError::Event { source, .. } = error {
        short(&source.to_string());
    }
}

/// Gives the body to every decoder. Which could read it, in the order of [`NAMES`].
fn decode_all(body: &[u8]) -> [bool; 6] {
    let told = |error: DecodeError| told(&error);
    let action = decode::instance_action(body).map_err(told).map(|read| {
        assert!(read.time.is_some() || read.action == InstanceAction::Hibernate);
        short(&read.unknown.unwrap_or_default());
    });
    let rebalance = decode::rebalance(body).map_err(told);
    let events = decode::scheduled_events(body).map_err(told).map(|list| {
        assert!(list.events.len() <= MAX_EVENTS);
        for event in &list.events {
            assert!(!event.event_id.is_empty() && event.event_id.len() <= MAX_VALUE);
            if let EventCode::Unknown(code) = &event.code {
                short(code);
            }
            short(event.description.as_deref().unwrap_or_default());
        }
        list.malformed.as_ref().map(self::told);
    });
    let state = decode::lifecycle_state(body).map_err(told).map(|state| {
        if let LifecycleState::Warmed(word) | LifecycleState::Unknown(word) = state {
            assert!(word.len() <= MAX_VALUE);
        }
    });
    let launched = decode::launched(body).map_err(told);
    let value = decode::value(body).map_err(told).map(|text| {
        assert!(!text.is_empty() && text.len() <= MAX_VALUE);
    });
    [
        action.is_ok(),
        rebalance.is_ok(),
        events.is_ok(),
        state.is_ok(),
        launched.is_ok(),
        value.is_ok(),
    ]
}

const NAMES: [&str; 6] = [
    "instance_action",
    "rebalance",
    "scheduled_events",
    "lifecycle_state",
    "launched",
    "value",
];

fn run(seed: u64, inputs: u64) -> [u64; 6] {
    let mut random = Random::new(seed);
    let mut read = [0; 6];
    for n in 0..inputs {
        let mut body = random.pick(CORPUS).unwrap().as_bytes().to_vec();
        for _ in 0..random.below(4) {
            bend(&mut random, &mut body);
        }
        if n % 20_000 == 19_999 {
            stretch(&mut random, &mut body);
        }
        for (count, ok) in read.iter_mut().zip(decode_all(&body)) {
            *count += u64::from(ok);
        }
    }
    read
}

#[test]
fn a_million_broken_bodies_are_survived_by_every_decoder() {
    let share = INPUTS / THREADS;
    let read = std::thread::scope(|scope| {
        let runs = (1..=THREADS).map(|seed| scope.spawn(move || run(seed, share)));
        let runs: Vec<_> = runs.collect();
        runs.into_iter()
            .map(|run| run.join().unwrap())
            .fold([0; 6], |mut sum: [u64; 6], part| {
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
                sum
            })
    });
    let read: BTreeMap<_, _> = NAMES.into_iter().zip(read).collect();
    for (name, read) in read {
        println!("{name}: {INPUTS} inputs, {read} of them read");
        // Neither all nor nothing gets past the first check.
        assert!(read > INPUTS / 1_000 && read < INPUTS, "{name}: {read}");
    }
}
