//! All that happened in one number, to compare two runs or two builds by: the story, and every
//! request in full, of which the story tells the most important part.

use super::{Lived, evidence::Evidence};

/// FNV-1a.
struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u128) {
        self.bytes(&number.to_le_bytes());
    }
}

pub(super) fn digest(lived: &Lived) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.number(u128::from(lived.seed));
    hash.bytes(lived.story().to_string().as_bytes());
    requests(&lived.evidence, &mut hash);
    hash.0
}

fn requests(evidence: &Evidence, hash: &mut Fnv) {
    for request in &evidence.requests {
        hash.number(evidence.since(request.at).as_nanos());
        for text in [
            &request.user_agent,
            &request.method,
            &request.path,
            &request.query,
        ] {
            hash.bytes(text.as_bytes());
        }
        hash.bytes(&request.body);
        hash.number(request.status.unwrap_or_default().into());
        let ended = request.ended.map(|ended| evidence.since(ended).as_nanos());
        hash.number(ended.unwrap_or(u128::MAX));
        if let Some(effect) = &request.effect {
            hash.number(effect.versions.start.into());
            hash.number(effect.versions.end.into());
            hash.bytes(&effect.body);
        }
    }
    for asked in evidence.asked.iter().flatten() {
        hash.number(asked.at.as_nanos());
        hash.bytes(asked.what.as_bytes());
        hash.number(asked.status.unwrap_or_default().into());
    }
}
