//! What can be set, within which bounds, checked once when a client or a source is built.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use crate::quote::excerpt;

/// The metadata service as EC2 serves it over IPv4 (EC2 User Guide, "Access instance
/// metadata"). Over IPv6 it is `http://[fd00:ec2::254]`.
pub const DEFAULT_ENDPOINT: &str = "http://169.254.169.254";

/// How long one exchange may take, unless set: connecting, and the reply to its last byte.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The bounds of the time that one exchange may take.
pub const REQUEST_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);

/// The longest body that is read, in bytes, unless set.
pub const DEFAULT_MAX_BODY: usize = 64 * 1024;

/// The bounds of the longest body that is read, in bytes.
pub const MAX_BODIES: RangeInclusive<usize> = 1024..=16 * 1024 * 1024;

/// The life of a session token that is asked for, in seconds, unless set.
pub const DEFAULT_TOKEN_TTL: u32 = 21_600;

/// The life of a session token that may be asked for, in seconds (EC2 User Guide, "Use
/// `IMDSv2`").
pub const TOKEN_TTLS: RangeInclusive<u32> = 1..=21_600;

/// The time between two polls, unless set.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The bounds of the time between two polls. The service throttles each instance, so no
/// faster; a notice stands for two minutes, so no slower.
pub const POLL_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The time between two polls of what is announced well ahead, unless set.
pub const DEFAULT_SLOW_INTERVAL: Duration = Duration::from_secs(5);

/// The bounds of the time between two polls of what is announced well ahead.
pub const SLOW_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

/// A setting that cannot be used. Each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not the address of a metadata service.
    #[error("\"{given}\" {why}; write an http URL such as {DEFAULT_ENDPOINT}")]
    Endpoint {
        /// What was given, escaped and cut.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Outside [`REQUEST_TIMEOUTS`].
    #[error("a request timeout of {0:?} is out of range; write a duration from 10ms to 60s")]
    RequestTimeout(Duration),
    /// Outside [`MAX_BODIES`].
    #[error("a longest body of {0} bytes is out of range; write a number from 1024 to 16777216")]
    MaxBody(usize),
    /// Outside [`TOKEN_TTLS`].
    #[error("a token life of {0} seconds is out of range; write a number from 1 to 21600")]
    TokenTtl(u32),
    /// Outside [`POLL_INTERVALS`].
    #[error(
        "a poll interval of {0:?} is out of range; write a duration such as 500ms or 2s, at least 100ms and at most 60s"
    )]
    PollInterval(Duration),
    /// Outside [`SLOW_INTERVALS`].
    #[error("a slow interval of {0:?} is out of range; write a duration from 1s to 60s")]
    SlowInterval(Duration),
}

/// `value`, where it lies within `bounds`.
pub(crate) fn within<T: PartialOrd + Copy>(
    value: T,
    bounds: &RangeInclusive<T>,
    otherwise: fn(T) -> ConfigError,
) -> Result<T, ConfigError> {
    if bounds.contains(&value) {
        Ok(value)
    } else {
        Err(otherwise(value))
    }
}

/// Where the metadata service is: `http://HOST[:PORT]`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |why| ConfigError::Endpoint {
            given: excerpt(text.as_bytes()),
            why,
        };
        let uri: Uri = text.trim().parse().map_err(|_| wrong("is not a URL"))?;
        if uri.scheme() != Some(&http::uri::Scheme::HTTP) {
            return Err(wrong("does not begin with http://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a user name or a password"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if literal.is_some_and(|h| h.parse::<Ipv6Addr>().is_err()) {
            return Err(wrong("holds no IPv6 address in its brackets"));
        }
        let port = authority.as_str().strip_prefix(host).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(wrong("has no usable port"));
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err(wrong("has a path, which is not to be written"));
        }
        Ok(Self(format!("http://{authority}")))
    }

    /// The full address of a path that begins with a slash.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_either_family_with_and_without_a_port_are_taken() {
        for (given, kept) in [
            ("http://169.254.169.254", "http://169.254.169.254"),
            ("http://169.254.169.254/", "http://169.254.169.254"),
            ("http://[fd00:ec2::254]", "http://[fd00:ec2::254]"),
            (" http://[::1]:1338/ ", "http://[::1]:1338"),
            ("http://localhost:1338", "http://localhost:1338"),
        ] {
            assert_eq!(Endpoint::parse(given).unwrap().to_string(), kept);
        }
        assert_eq!(
            Endpoint::parse("http://[::1]:80")
                .unwrap()
                .join("/latest")
                .parse::<Uri>()
                .unwrap(),
            "http://[::1]:80/latest"
        );
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write_instead() {
        for given in [
            "",
            "169.254.169.254",
            "https://169.254.169.254",
            "http://",
            "http://user:secret@host",
            "http://host:99999",
            "http://host:0",
            "http://host:",
            "http://[zz]",
            "http://host/latest",
            "http://host/?a",
            "http://a b",
        ] {
            let error = Endpoint::parse(given).unwrap_err();
            assert!(
                matches!(error, ConfigError::Endpoint { .. }),
                "{given}: {error}"
            );
            assert!(
                error
                    .to_string()
                    .ends_with("such as http://169.254.169.254"),
                "{error}"
            );
        }
    }

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!(within(1, &TOKEN_TTLS, ConfigError::TokenTtl), Ok(1));
        assert_eq!(
            within(21_600, &TOKEN_TTLS, ConfigError::TokenTtl),
            Ok(21_600)
        );
        assert_eq!(
            within(0, &TOKEN_TTLS, ConfigError::TokenTtl),
            Err(ConfigError::TokenTtl(0))
        );
        assert!(within(21_601, &TOKEN_TTLS, ConfigError::TokenTtl).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_taken_makes_requests(text in "\\PC{0,60}|http://.{0,40}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                prop_assert!(endpoint.join("/latest/api/token").parse::<Uri>().is_ok());
            }
        }
    }
}
