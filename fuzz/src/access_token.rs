//! Access tokens by somebody who has no key: the one that was signed is taken, and no other.

use std::time::{Duration, SystemTime};

use weir_auth::InstanceId;
use weir_auth::token::{Audience, Expectation, Verifier, VerifyingKey};

/// Of a key that signed one token and was thrown away.
const KEY: [u8; 32] = [
    137, 10, 80, 39, 85, 26, 214, 128, 246, 84, 29, 41, 16, 5, 143, 249, 24, 145, 115, 104, 196, 91, 24, 99,
    8, 7, 22, 19, 41, 98, 41, 117,
];

const THE_ONE: &str = "000102030405060708090a0b0c0d0e0f";

pub fn run(data: &[u8]) {
    let Ok(token) = str::from_utf8(data) else { return };
    let expect = Expectation {
        issuer: InstanceId::new("one").expect("is legal"),
        audience: Audience::Ingest,
        certificate: None,
        leeway: Duration::ZERO,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let verifier = Verifier::new(&[VerifyingKey::from_bytes(KEY)]);
    if let Ok(claims) = verifier.verify(token, &expect, now) {
        assert_eq!(claims.id.to_string(), THE_ONE);
        assert_eq!(claims.agent.as_str(), "node-7");
    }
}
