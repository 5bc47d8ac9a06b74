//! Certificates, by an authority that a test has for itself.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority, and a directory of what it signed. Its own certificate is `ca.pem` there.
pub struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// One that nobody has trusted before.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no name is illegal");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Who has the name of its issuer is taken for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().expect("there is chance");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority may sign");
        let directory = tempfile::tempdir().expect("there is space");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("there is space");
        Self { directory, issuer }
    }

    /// Its certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A file in its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Certificate and key for a name or an address, as PEM.
    #[must_use]
    pub fn sign(&self, name: &str) -> (String, String) {
        self.sign_params(name, |_| {})
    }

    /// The same, of a certificate that has ended with the year 1999.
    #[must_use]
    pub fn sign_expired(&self, name: &str) -> (String, String) {
        self.sign_params(name, |params| params.not_after = date_time_ymd(2000, 1, 1))
    }

    fn sign_params(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().expect("there is chance");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("the name is legal");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority may sign");
        (certificate.pem(), key.serialize_pem())
    }

    /// Signs for a name: files `<file>.pem` and `<file>.key`.
    pub fn issue(&self, file: &str, name: &str) {
        let (certificate, key) = self.sign(name);
        std::fs::write(self.path(&format!("{file}.pem")), certificate).expect("there is space");
        std::fs::write(self.path(&format!("{file}.key")), key).expect("there is space");
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("directory", &self.directory).finish_non_exhaustive()
    }
}
