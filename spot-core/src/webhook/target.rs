//! Where messages go: a URL and headers. Both are secrets, which no output shows.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// Why there is no usable target. No variant holds what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not a URL that can be posted to.
    #[error("the webhook's URL is none that can be used; write https://HOST[:PORT]/PATH")]
    Url,
    /// A user before the host, which is not sent.
    #[error(
        "the webhook's URL has a user in it; leave it out, and write a header `Authorization: Basic …`"
    )]
    User,
    /// A line that is no header.
    #[error("line {line} of the webhook's headers is no header; write NAME: VALUE")]
    Header {
        /// From 1.
        line: usize,
    },
}

/// A URL and headers.
///
/// ```
/// use spot_core::webhook::target::Target;
/// let target = Target::new("https://hooks.example/secret")?.with_headers("Authorization: Bearer x")?;
/// assert_eq!(format!("{target:?}"), "Target { .. }");
/// # Ok::<(), spot_core::webhook::target::TargetError>(())
/// ```
#[derive(Clone)]
pub struct Target {
    pub(crate) url: Uri,
    pub(crate) headers: HeaderMap,
}

impl Target {
    /// A target without headers of its own. `url` may have white space around it, as files do.
    ///
    /// # Errors
    /// [`TargetError::Url`] for what is not `http` or `https` with a host, [`TargetError::User`]
    /// for one with a user, or a password, before the host.
    pub fn new(url: &str) -> Result<Self, TargetError> {
        let url: Uri = url.trim().parse().map_err(|_| TargetError::Url)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        if !is_http || url.host().is_none_or(str::is_empty) {
            return Err(TargetError::Url);
        }
        if url.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(TargetError::User);
        }
        Ok(Self {
            url,
            headers: HeaderMap::new(),
        })
    }

    /// The same with headers, one a line, as `NAME: VALUE`. Empty lines are passed over.
    ///
    /// # Errors
    /// [`TargetError::Header`] for the first line that is none.
    pub fn with_headers(mut self, lines: &str) -> Result<Self, TargetError> {
        for (at, line) in lines.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let (name, value) = header(line).ok_or(TargetError::Header { line: at + 1 })?;
            self.headers.insert(name, value);
        }
        Ok(self)
    }
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused_and_not_quoted() {
        for url in [
            "",
            "secret",
            "ftp://secret/x",
            "https://",
            "/secret",
            "https://a b/secret",
        ] {
            let error = Target::new(url).unwrap_err();
            assert_eq!(error, TargetError::Url, "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        for url in ["https://me:secret@h/", "https://secret@h/"] {
            let error = Target::new(url).unwrap_err();
            assert_eq!(error, TargetError::User, "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        let target = Target::new(" https://h/secret\n").unwrap();
        let error = target.clone().with_headers("A: b\n\nsecret\n").unwrap_err();
        assert_eq!(error, TargetError::Header { line: 3 });
        let target = target.with_headers("X-Token: secret").unwrap();
        assert!(!format!("{target:?} {:?}", target.headers).contains("secret"));
    }
}
