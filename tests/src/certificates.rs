//! A certificate authority for one control plane (X.509 v3: rustls refuses v1).

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, Result, error::Context as _};

/// The files that the API server and its clients need.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The API server's certificate, for `127.0.0.1` and `localhost`.
    pub server: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// The key that service account tokens are signed with.
    pub service_account_key: PathBuf,
    /// Its public half: the API server does not take it out of a PKCS #8 key by itself.
    pub service_account_public_key: PathBuf,
}

impl Certificates {
    /// Makes a new authority and writes all files into `dir`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn create(dir: &Path) -> Result<Self> {
        let made = Self::make().map_err(|error| Error::Tool(format!("certificates: {error}")))?;
        let write = |name: &str, pem: String| -> Result<PathBuf> {
            let path = dir.join(name);
            std::fs::write(&path, pem).context(format!("write {}", path.display()))?;
            Ok(path)
        };
        Ok(Self {
            ca: write("ca.crt", made.ca)?,
            server: write("apiserver.crt", made.server)?,
            server_key: write("apiserver.key", made.server_key)?,
            service_account_key: write("service-account.key", made.service_account_key)?,
            service_account_public_key: write(
                "service-account.pub",
                made.service_account_public_key,
            )?,
        })
    }

    fn make() -> Result<Pem, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "spot-tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()])?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_certificate = server.signed_by(&server_key, &issuer)?;

        let service_account_key = KeyPair::generate()?;
        Ok(Pem {
            ca: ca_certificate.pem(),
            server: server_certificate.pem(),
            server_key: server_key.serialize_pem(),
            service_account_key: service_account_key.serialize_pem(),
            service_account_public_key: service_account_key.public_key_pem(),
        })
    }
}

struct Pem {
    ca: String,
    server: String,
    server_key: String,
    service_account_key: String,
    service_account_public_key: String,
}
