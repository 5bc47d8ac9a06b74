//! The codes of refusals that clients behind a proxy can meet; each has a page in `docs/errors/`.

/// Code and meaning, in the order of codes.
pub const CODES: &[(&str, &str)] = &[
    (CERTIFICATE_EXPIRED, "the certificate that the agent showed is not valid any more"),
    (
        DISTRUSTED_CERTIFICATE,
        "the certificate that was shown to a proxy is not one of an agent of this instance",
    ),
    (MALFORMED_CERTIFICATE, "what a proxy says of the certificate that it was shown can not be read"),
    (NO_CERTIFICATE, "agents show a certificate of the instance here"),
];

pub(super) const CERTIFICATE_EXPIRED: &str = "certificate-expired";
pub(super) const DISTRUSTED_CERTIFICATE: &str = "distrusted-certificate";
pub(super) const MALFORMED_CERTIFICATE: &str = "malformed-certificate";
pub(super) const NO_CERTIFICATE: &str = "no-certificate";
