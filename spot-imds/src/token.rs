//! A session token of `IMDSv2` and how long it may be used.

use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

/// The longest token that is taken, in bytes; EC2's have 56.
const MAX_LENGTH: usize = 1024;

/// How long before its end a token is replaced, at most; a tenth of its life where that is
/// shorter.
const MARGIN: Duration = Duration::from_secs(300);

/// A session token. Its text is a secret of the instance: it leaves this type only as a header
/// value that is marked sensitive, so that no `Debug` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    header: HeaderValue,
    refresh_at: Instant,
    expires_at: Instant,
}

impl Token {
    /// Reads the body of a reply to `PUT /latest/api/token`. `asked` is the instant before the
    /// request was sent, so that the token is never thought to live longer than it does.
    ///
    /// `None` where the body is no token; why is not told, because that could quote it.
    pub(crate) fn new(body: &[u8], life: Duration, asked: Instant) -> Option<Self> {
        let text = body.trim_ascii();
        // "token68" of RFC 9110, which EC2's are: a page of HTML is none.
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.iter().all(is_plain) {
            return None;
        }
        let mut header = HeaderValue::from_bytes(text).ok()?;
        header.set_sensitive(true);
        let expires_at = asked + life;
        Some(Self {
            header,
            refresh_at: expires_at - MARGIN.min(life / 10),
            expires_at,
        })
    }

    /// The value of the header that carries it.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.refresh_at
    }

    /// Whether it can still be used.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        now < self.expires_at
    }

    /// The next one could not be had: asks again when half of what is left has passed, so that
    /// a service that hands out no tokens does not slow every request down.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.refresh_at = now + self.expires_at.saturating_duration_since(now) / 2;
    }

    /// The service says that `left` remains at `now`. It is believed only where that is less
    /// than what was thought, as after a suspend, in which the monotonic clock stands still.
    pub(crate) fn shorten(&mut self, left: Duration, now: Instant) {
        let expires_at = now + left;
        // A whole second is nothing but rounding.
        if expires_at + Duration::from_secs(1) < self.expires_at {
            self.expires_at = expires_at;
            self.refresh_at = self.refresh_at.min(expires_at - MARGIN.min(left / 10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(life: Duration, now: Instant) -> Token {
        Token::new(b"c2VjcmV0==\n", life, now).unwrap()
    }

    #[test]
    fn it_is_replaced_before_it_expires() {
        let now = Instant::now();
        let long = token(21_600 * SECOND, now);
        assert!(!long.is_due(now + 21_299 * SECOND));
        assert!(long.is_due(now + 21_300 * SECOND));
        assert!(long.is_valid(now + 21_599 * SECOND));
        assert!(!long.is_valid(now + 21_600 * SECOND));

        let short = token(SECOND, now);
        assert!(!short.is_due(now + SECOND * 8 / 10));
        assert!(short.is_due(now + SECOND * 9 / 10) && short.is_valid(now + SECOND * 9 / 10));
    }

    #[test]
    fn a_refused_renewal_is_asked_for_again_halfway_to_the_end() {
        let now = Instant::now();
        let mut token = token(1_000 * SECOND, now);
        token.postpone(now + 900 * SECOND);
        assert!(!token.is_due(now + 949 * SECOND));
        assert!(token.is_due(now + 950 * SECOND));
        token.postpone(now + 2_000 * SECOND);
        assert!(!token.is_valid(now + 2_000 * SECOND));
    }

    #[test]
    fn the_service_may_shorten_a_life_but_not_lengthen_it() {
        let now = Instant::now();
        let mut token = token(1_000 * SECOND, now);
        token.shorten(5_000 * SECOND, now);
        assert!(!token.is_valid(now + 1_000 * SECOND));
        token.shorten(10 * SECOND, now);
        assert!(token.is_due(now + 9 * SECOND) && !token.is_valid(now + 10 * SECOND));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let now = Instant::now();
        let long = vec![b'a'; MAX_LENGTH + 1];
        for body in [
            &b""[..],
            b" \n",
            b"a b",
            b"a\r\nX-Evil: 1",
            b"\xff\xfe",
            &long,
        ] {
            assert!(Token::new(body, SECOND, now).is_none(), "{body:?}");
        }
    }

    #[test]
    fn no_debug_output_shows_the_secret() {
        let token = token(SECOND, Instant::now());
        assert!(!format!("{token:?} {:?}", token.header()).contains("c2Vj"));
        assert_eq!(token.header(), "c2VjcmV0==");
    }
}
