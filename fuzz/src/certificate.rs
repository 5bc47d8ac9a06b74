//! Certificates as the other end shows them: about nobody, or about one member of an instance.

use weir_auth::pki::{Certificate, Thumbprint};

pub fn run(data: &[u8]) {
    let Ok(certificate) = Certificate::read(data) else { return };
    assert_eq!(certificate.der(), data);
    assert_eq!(certificate.thumbprint(), Thumbprint::of(data));
    let subject = certificate.subject().to_string();
    assert_eq!(subject.parse().as_ref(), Ok(certificate.subject()));
    let members =
        [certificate.agent().is_ok(), certificate.server().is_ok(), certificate.authority().is_ok()];
    assert_eq!(members.iter().filter(|is| **is).count(), 1);
}
