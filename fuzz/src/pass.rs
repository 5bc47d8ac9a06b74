//! Passes by somebody who has no key: the one that was issued is taken, and no other.

use std::time::{Duration, SystemTime};

use weir_auth::pass::PassKey;

/// Issued with a key that everybody can read here, for a time that has come.
const THE_ONE: &str = "weirp1_1700000000_OlSEBGQ6R5lcJEm9qnXfOjXpprDLwAfbSFub7aV7bEk";

pub fn run(data: &[u8]) {
    let Ok(pass) = str::from_utf8(data) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_699_999_990);
    assert_eq!(PassKey::of(&[7; 32]).is_good(pass, now), pass == THE_ONE);
}
