//! Why a request brought no answer: the link that broke, told by the types of the causes. Pure.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

use hyper_util::client::legacy::Error as ClientError;
use kube::client::AuthError;
use rustls::{AlertDescription, CertificateError};

/// The link that broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API server's name leads nowhere.
    NameResolution,
    /// It cannot be reached, or the connection broke.
    Connection,
    /// A certificate was not taken.
    Certificate(Flaw),
    /// There is nothing to say who we are.
    Credentials,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The API server's has expired.
    Expired,
    /// The API server's is not valid yet.
    NotYetValid,
    /// The API server's comes from an authority that we do not trust.
    UnknownIssuer,
    /// The API server's is for another name.
    OtherName,
    /// The API server's is wrong in another way.
    Other,
    /// Ours was refused, or is missing.
    Ours,
}

type Cause<'a> = &'a (dyn StdError + 'static);

impl Failure {
    /// The link that `error` is about.
    pub(super) fn of(error: Cause<'_>) -> Self {
        let mut connecting = false;
        for cause in causes(error) {
            if cause.is::<AuthError>() {
                return Self::Credentials;
            }
            if let Some(flaw) = cause.downcast_ref().and_then(flaw) {
                return Self::Certificate(flaw);
            }
            // The connector's own error shows its stage in no other way.
            if connecting && cause.to_string() == "dns error" {
                return Self::NameResolution;
            }
            connecting |= cause
                .downcast_ref()
                .is_some_and(|error: &ClientError| error.is_connect());
        }
        Self::Connection
    }
}

/// `error` and what is behind it. An I/O error that wraps another names that one's cause as its
/// own, and would hide it.
fn causes(error: Cause<'_>) -> impl Iterator<Item = Cause<'_>> {
    successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as Cause<'_>),
            None => error.source(),
        }
    })
}

/// What is wrong with a certificate, if it is that.
fn flaw(error: &rustls::Error) -> Option<Flaw> {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(why) => Some(match why {
            C::Expired | C::ExpiredContext { .. } => Flaw::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Flaw::NotYetValid,
            C::UnknownIssuer => Flaw::UnknownIssuer,
            C::NotValidForName | C::NotValidForNameContext { .. } => Flaw::OtherName,
            _ => Flaw::Other,
        }),
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertRevocationList(_) => {
            Some(Flaw::Other)
        }
        rustls::Error::AlertReceived(alert) => is_about_ours(*alert).then_some(Flaw::Ours),
        _ => None,
    }
}

/// Whether an alert says that our certificate is not taken (RFC 8446, section 6.2).
fn is_about_ours(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
    )
}

/// `error` and its causes on one line. A credential plugin is not quoted: it deals in secrets.
pub(super) fn describe(error: Cause<'_>) -> String {
    if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return about_credentials(error);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn about_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the credential plugin ended with {}", out.status)
        }
        AuthError::AuthExecStart(error) => format!("the credential plugin did not start: {error}"),
        AuthError::ReadTokenFile(error, path) => format!("{}: {error}", path.display()),
        AuthError::InvalidBearerToken(_) => "the token cannot be sent in a header".into(),
        _ => "the configuration brought no credentials".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::Error as Tls;

    /// As `tokio-rustls` and `hyper-rustls` wrap it.
    fn wrapped(error: Tls) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_by_its_type() {
        let table = [
            (CertificateError::Expired, Flaw::Expired),
            (CertificateError::NotValidYet, Flaw::NotYetValid),
            (CertificateError::UnknownIssuer, Flaw::UnknownIssuer),
            (CertificateError::NotValidForName, Flaw::OtherName),
            (CertificateError::Revoked, Flaw::Other),
        ];
        for (error, flaw) in table {
            let error = wrapped(Tls::InvalidCertificate(error));
            assert_eq!(Failure::of(&error), Failure::Certificate(flaw));
        }
    }

    #[test]
    fn an_alert_about_our_certificate_is_not_one_about_anything_else() {
        let of = |alert| Failure::of(&wrapped(Tls::AlertReceived(alert)));
        let ours = Failure::Certificate(Flaw::Ours);
        assert_eq!(of(AlertDescription::CertificateExpired), ours);
        assert_eq!(of(AlertDescription::CertificateRequired), ours);
        assert_eq!(of(AlertDescription::HandshakeFailure), Failure::Connection);
    }

    #[test]
    fn a_broken_connection_is_the_connection() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Failure::of(&reset), Failure::Connection);
        // Words alone are nobody's type.
        assert_eq!(
            Failure::of(&io::Error::other("dns error")),
            Failure::Connection
        );
    }

    #[test]
    fn what_a_credential_plugin_says_is_never_quoted() {
        let out = std::process::Output {
            status: std::process::ExitStatus::default(),
            stdout: b"secret".into(),
            stderr: b"secret".into(),
        };
        let ran = AuthError::AuthExecRun {
            cmd: "TOKEN=secret plugin".into(),
            out: Box::new(out),
        };
        let error = kube::Error::Service(ran.into());
        assert_eq!(Failure::of(&error), Failure::Credentials);
        let said = describe(&error);
        assert!(
            said.contains("plugin") && !said.contains("secret"),
            "{said}"
        );
    }
}
