//! Session tokens: issued, checked, expired, taken back.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use spot_core::sim::Random;
use tokio::time::Instant;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The tokens that are valid, each with its end.
pub(super) struct Tokens {
    random: Random,
    live: BTreeMap<String, Instant>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("live", &self.live.len())
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            live: BTreeMap::new(),
        }
    }

    /// A new token: 56 characters that end in `==`, as EC2's do.
    pub(super) fn issue(&mut self, life: Duration, now: Instant) -> String {
        self.live.retain(|_, end| now < *end);
        let mut token = String::from("AQAE");
        while token.len() < 54 {
            let letter = self.random.pick(ALPHABET).copied().unwrap_or(b'A');
            token.push(char::from(letter));
        }
        token.push_str("==");
        self.live.insert(token.clone(), now + life);
        token
    }

    /// How long a token may still be used; `None` for one that may not.
    pub(super) fn left(&self, token: &[u8], now: Instant) -> Option<Duration> {
        let end = self.live.get(std::str::from_utf8(token).ok()?)?;
        (now < *end).then(|| end.duration_since(now))
    }

    /// No token that was issued is valid any more.
    pub(super) fn revoke(&mut self) {
        self.live.clear();
    }
}
