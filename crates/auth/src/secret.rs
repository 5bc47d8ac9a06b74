//! Random texts that are shown once. Only their hashes are kept.
//!
//! A secret has 256 random bits, so one SHA-256 without salt is enough: there is nothing to guess.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use weir_foundation::settings::Secret;

use crate::{random, text};

/// What is kept of a secret. Its text form is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

/// A text that is no [`SecretHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash of a secret has 64 hexadecimal digits")]
pub struct IllegalHash;

/// A token for an operator, who may do everything: `weiro1_` and 43 characters.
#[must_use]
pub fn operator_token() -> Secret {
    Secret::new(format!("weiro1_{}", random_text().reveal()))
}

/// A secret with which clients send in the name of an app: `weira1_` and 43 characters.
#[must_use]
pub fn app_secret() -> Secret {
    Secret::new(format!("weira1_{}", random_text().reveal()))
}

/// 43 characters of base64url: the secret of an access key.
#[must_use]
pub fn random_text() -> Secret {
    Secret::new(text::base64(&*random::bytes::<32>()))
}

impl SecretHash {
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(sha256(secret.as_bytes()))
    }

    /// Whether it is the hash of this secret. Takes the same time whatever the secret is.
    #[must_use]
    pub fn fits(&self, secret: &str) -> bool {
        Self::of(secret).0.ct_eq(&self.0).into()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl FromStr for SecretHash {
    type Err = IllegalHash;

    fn from_str(text: &str) -> Result<Self, IllegalHash> {
        text::from_hex(text).map(Self).ok_or(IllegalHash)
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::hex(&self.0))
    }
}

/// Shows the first digits: enough to tell two apart.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({}…)", text::hex(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_this_form_and_are_never_the_same() {
        let check = |make: fn() -> Secret, start: &str| {
            let (one, other) = (make(), make());
            let random = one.reveal().strip_prefix(start).expect("starts so");
            assert_eq!(random.len(), 43);
            assert_eq!(text::from_base64(random).map(|bytes| bytes.len()), Some(32));
            assert_ne!(one.reveal(), other.reveal());
            assert_eq!(format!("{one} {one:?}"), "*** ***");
        };
        check(operator_token, "weiro1_");
        check(app_secret, "weira1_");
        check(random_text, "");
    }

    #[test]
    fn a_hash_fits_its_secret_only() {
        let secret = app_secret();
        let hash = SecretHash::of(secret.reveal());
        assert!(hash.fits(secret.reveal()));
        let check = |other: &str| assert!(!hash.fits(other), "{other:?}");
        check("");
        check(app_secret().reveal());
        check(&secret.reveal()[1..]);
        check(&format!("{}\n", secret.reveal()));
        check(&secret.reveal().to_uppercase());
    }

    #[test]
    fn a_hash_has_one_text() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SecretHash::of("abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(SecretHash::of("abc")));
        assert_eq!(format!("{:?}", SecretHash::of("abc")), "SecretHash(ba7816bf…)");
        for other in ["", "abc", &abc[1..], &abc.to_uppercase(), &format!("{abc}0")] {
            assert_eq!(other.parse::<SecretHash>(), Err(IllegalHash), "{other}");
        }
    }
}
