//! Passes: by which processes of one instance know each other for a few minutes.
//!
//! # Format
//!
//! `weirp1_<until>_<tag>`: until when it is good, in seconds since 1970, decimal; and HMAC-SHA-256 over what stands before
//! the second `_`, as 43 characters of base64url. The key comes by HKDF-SHA-256 from a secret that all processes have.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use weir_foundation::settings::Secret;

use crate::text;

/// Issues passes, and knows them again.
pub struct PassKey(hmac::Key);

const PREFIX: &str = "weirp1_";

/// Nobody issues a pass that is good for longer.
pub const LONGEST: Duration = Duration::from_secs(600);

impl PassKey {
    /// The key that follows from a secret of an instance.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let extracted = Salt::new(HKDF_SHA256, b"weir pass v1").extract(secret);
        let expanded = extracted.expand(&[b"hmac"], hmac::HMAC_SHA256);
        Self(expanded.expect("a key is shorter than HKDF's longest output").into())
    }

    /// Good until then.
    #[must_use]
    pub fn issue(&self, until: SystemTime) -> Secret {
        let seconds = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signed = format!("{PREFIX}{seconds}");
        let tag = hmac::sign(&self.0, signed.as_bytes());
        Secret::new(format!("{signed}_{}", text::base64(tag.as_ref())))
    }

    /// Whether it was issued with this key and is good now.
    #[must_use]
    pub fn is_good(&self, shown: &str, now: SystemTime) -> bool {
        // The tag may have a `_`, the seconds have none.
        let Some((until, tag)) = shown.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')) else {
            return false;
        };
        let signed = &shown[..PREFIX.len() + until.len()];
        let Some(tag) = text::from_base64(tag) else { return false };
        if hmac::verify(&self.0, signed.as_bytes(), &tag).is_err() {
            return false;
        }
        let until = until.parse().ok().and_then(|until| UNIX_EPOCH.checked_add(Duration::from_secs(until)));
        until.is_some_and(|until| now < until && until.duration_since(now).is_ok_and(|left| left <= LONGEST))
    }
}

impl fmt::Debug for PassKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_pass_is_good_for_a_while_and_for_its_key() {
        let key = PassKey::of(&[7; 32]);
        let pass = key.issue(at(1_000));
        let pass = pass.reveal();
        assert!(key.is_good(pass, at(400)) && key.is_good(pass, at(999)));
        assert!(!key.is_good(pass, at(1_000)), "it has ended");
        assert!(!key.is_good(pass, at(399)), "nobody issues such a one");
        assert!(!PassKey::of(&[8; 32]).is_good(pass, at(400)));
        assert!(PassKey::of(&[7; 32]).is_good(pass, at(400)), "every process has the same key");
    }

    #[test]
    fn what_was_changed_is_no_pass() {
        let key = PassKey::of(&[7; 32]);
        let pass = key.issue(at(1_000));
        let pass = pass.reveal();
        for at_byte in 0..pass.len() {
            for other in ['0', '9', 'A', '_', '~'] {
                let mut changed = pass.to_owned();
                changed.replace_range(at_byte..=at_byte, &other.to_string());
                assert!(changed == pass || !key.is_good(&changed, at(999)), "{changed}");
            }
        }
        let longer = pass.replace("weirp1_1000", "weirp1_1500");
        let cases =
            ["", "weirp1_", "weirp1_1000", "weirp1_1000_", "weirp1__", "weirp1_é_é", &pass[1..], &longer];
        for other in cases {
            assert!(!key.is_good(other, at(999)), "{other}");
        }
        assert!(!key.is_good(&format!("{pass}="), at(999)) && !key.is_good(&format!(" {pass}"), at(999)));
    }

    #[test]
    fn the_format_stays() {
        let pass = PassKey::of(&[7; 32]).issue(at(1_700_000_000));
        assert_eq!(pass.reveal(), "weirp1_1700000000_OlSEBGQ6R5lcJEm9qnXfOjXpprDLwAfbSFub7aV7bEk");
    }
}
