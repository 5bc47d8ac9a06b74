use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weir_auth::pki::{Pin, Thumbprint};

use super::*;
use crate::labels::Labels;

const HOUR: Duration = Duration::from_secs(3600);

fn pin(number: u8) -> Pin {
    format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().expect("it is a pin")
}

fn at(hour: u32) -> SystemTime {
    UNIX_EPOCH + HOUR * hour
}

/// The certificate of a generation, for the key of that number, issued at that hour.
fn certificate(generation: u64, key: u8, hour: u32) -> IssuedCertificate {
    IssuedCertificate {
        generation,
        pin: pin(key),
        thumbprint: Thumbprint::of(&[key, u8::try_from(hour).expect("the tests are short")]),
        serial: String::new(),
        issued: at(hour),
        not_after: at(hour + 24),
        root: 1,
    }
}

/// Joined at hour 10; has generation 3 since hour 30, whose answer was lost once.
fn agent() -> Agent {
    Agent {
        apps: Vec::new(),
        labels: Labels::default(),
        access_key: weir_auth::access_key::KeyId::random(),
        seal: false,
        joined: at(10),
        first_pin: pin(1),
        generation: 3,
        certificates: vec![certificate(2, 2, 20), certificate(3, 3, 30), certificate(3, 3, 31)],
        bundle: 1,
        revoked: None,
        forgotten: false,
    }
}

#[test]
fn who_renews_is_judged_by_what_it_has_and_says() {
    let agent = agent();
    let check = |shown: Option<usize>, issued: u32, said: u64, key: u8, expected: Verdict| {
        let shown = Shown { noted: shown.map(|index| &agent.certificates[index]), issued: at(issued) };
        let verdict = judge(&agent, shown, said, pin(key));
        // Why it is a clone is for people.
        let same = match (verdict, expected) {
            (Verdict::Clone(_), Verdict::Clone(_)) => true,
            (verdict, expected) => verdict == expected,
        };
        assert!(same, "{shown:?} {said} {key}: {verdict:?}");
    };
    let clone = Verdict::Clone("");
    // The newest certificate, as it was issued first and again.
    check(Some(1), 30, 3, 4, Verdict::Next);
    check(Some(2), 31, 3, 4, Verdict::Next);
    check(Some(2), 31, 3, 3, Verdict::SameKey);
    check(Some(2), 31, 3, 2, Verdict::SameKey);
    check(Some(2), 31, 2, 4, clone);
    check(Some(2), 31, 4, 4, clone);
    check(Some(2), 31, 0, 4, clone);
    // The one before: with the key of the renewal, and with others.
    check(Some(0), 20, 2, 3, Verdict::Again);
    check(Some(0), 20, 2, 4, clone);
    check(Some(0), 20, 2, 2, clone);
    check(Some(0), 20, 3, 3, clone);
    check(Some(0), 20, 1, 3, clone);
    check(Some(0), 20, u64::MAX, 3, clone);
    // One that is not noted any more: of this life of the name, and of the one before.
    check(None, 15, 1, 4, clone);
    check(None, 15, 3, 3, clone);
    check(None, 10, 1, 4, clone);
    check(None, 9, 1, 4, Verdict::Foreign);
    check(None, 5, 3, 4, Verdict::Foreign);
}
