use proptest::prelude::*;

use super::*;
use crate::pki::PrivateKey;
use crate::seal::SealKey;
use crate::secret;

fn golden() -> AccessKey {
    AccessKey {
        enrol: vec!["weir.example:8084".to_owned(), "[2001:db8::1]:8084".to_owned()],
        id: KeyId::new("0123456789abcdef").expect("is legal"),
        secret: Secret::new("hunter2"),
        pins: vec![Pin::from_bytes([7; 32])],
        seal: Some(SealPublic::from([9; 32])),
    }
}

const GOLDEN: &str = "weirk1.EDAxMjM0NTY3ODlhYmNkZWYHaHVudGVyMgIRd2Vpci5leGFtcGxlOjgwODQSWzIwMDE6ZGI4OjoxXTo4MDg0AQcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ2htGgg";

fn largest() -> AccessKey {
    AccessKey {
        enrol: vec!["a".repeat(255); 16],
        id: KeyId::new(&"0".repeat(64)).expect("is legal"),
        secret: Secret::new("s".repeat(255)),
        pins: vec![PrivateKey::generate().pin(); 16],
        seal: Some(SealKey::generate().public()),
    }
}

fn text(key: &AccessKey) -> String {
    key.encode().expect("is not too much").reveal().to_owned()
}

/// The text of a payload whose checksum is right.
fn forged(payload: &[u8]) -> String {
    let payload = [payload, &crc32c::crc32c(payload).to_be_bytes()].concat();
    format!("weirk1.{}", text::base64(&payload))
}

#[test]
fn keys_have_this_form() {
    assert_eq!(text(&golden()), GOLDEN);
    assert_eq!(GOLDEN.parse(), Ok(golden()));
    assert_eq!(format!(" \t{GOLDEN}\r\n").parse(), Ok(golden()));
}

#[test]
fn what_was_written_is_read() {
    let check = |key: AccessKey| assert_eq!(text(&key).parse(), Ok(key));
    check(largest());
    check(AccessKey { enrol: vec![], pins: vec![], seal: None, ..golden() });
    check(AccessKey { id: KeyId::random(), secret: secret::random_text(), ..golden() });
}

#[test]
fn a_key_that_has_too_much_is_not_written() {
    let check = |key: AccessKey, expected: &str| {
        let error = key.encode().expect_err("is too much");
        assert_eq!(error.to_string(), format!("an access key can not have so many or so long {expected}"));
    };
    check(AccessKey { enrol: vec![String::new(); 17], ..golden() }, "addresses");
    check(AccessKey { enrol: vec!["a".repeat(256)], ..golden() }, "characters in an address");
    check(AccessKey { secret: Secret::new("s".repeat(256)), ..golden() }, "characters in its secret");
    check(AccessKey { pins: vec![Pin::from_bytes([7; 32]); 17], ..golden() }, "pins");
}

#[test]
fn every_change_of_a_character_is_noticed() {
    let characters = || (' '..='~').chain(['\n', 'ä', '\0']);
    for (at, old) in GOLDEN.char_indices() {
        for new in characters().filter(|new| *new != old) {
            let changed = format!("{}{new}{}", &GOLDEN[..at], &GOLDEN[at + 1..]);
            let error = changed.parse::<AccessKey>().expect_err(&changed);
            let expected = match (at, new) {
                (5, '2'..='9') => AccessKeyError::Newer { version: u32::from(new) - u32::from('0') },
                (0..7, _) => AccessKeyError::Other,
                _ => AccessKeyError::Damaged,
            };
            // An end that became a space is an end that was lost.
            assert_eq!(error, expected, "{changed:?}");
        }
    }
}

#[test]
fn what_was_lost_or_added_is_noticed() {
    for end in 0..GOLDEN.len() {
        let error = GOLDEN[..end].parse::<AccessKey>().expect_err("is cut");
        let expected = if end < 7 { AccessKeyError::Other } else { AccessKeyError::Damaged };
        assert_eq!(error, expected, "{end}");
    }
    let check = |text: &str| assert_eq!(text.parse::<AccessKey>(), Err(AccessKeyError::Damaged), "{text:?}");
    for at in 8..GOLDEN.len() {
        check(&format!("{}{}", &GOLDEN[..at - 1], &GOLDEN[at..]));
        check(&format!("{}A{}", &GOLDEN[..at], &GOLDEN[at..]));
        check(&format!("{}\n{}", &GOLDEN[..at], &GOLDEN[at..]));
        let [one, other] = [&GOLDEN[at - 1..at], &GOLDEN[at..=at]];
        if one != other {
            check(&format!("{}{other}{one}{}", &GOLDEN[..at - 1], &GOLDEN[at + 1..]));
        }
    }
    check(&format!("{GOLDEN}="));
    check(&format!("{GOLDEN}{GOLDEN}"));
    check(&format!("weirk1.{}", "A".repeat(1 << 20)));
}

#[test]
fn other_texts_are_told_apart() {
    let check = |text: &str, expected: AccessKeyError| {
        assert_eq!(text.parse::<AccessKey>(), Err(expected), "{text:?}");
    };
    check("", AccessKeyError::Other);
    check("weirk", AccessKeyError::Other);
    check("weirk.AAAA", AccessKeyError::Other);
    check("weirk0.AAAA", AccessKeyError::Other);
    check("weirk01.AAAA", AccessKeyError::Other);
    check("weirk+1.AAAA", AccessKeyError::Other);
    check("weirk99999999999.AAAA", AccessKeyError::Other);
    check(secret::operator_token().reveal(), AccessKeyError::Other);
    check(secret::app_secret().reveal(), AccessKeyError::Other);
    check("weirk2.what will be", AccessKeyError::Newer { version: 2 });
    check("weirk10.", AccessKeyError::Newer { version: 10 });
    check("weirk1.", AccessKeyError::Damaged);
}

#[test]
fn a_right_checksum_makes_no_key() {
    let good = text::from_base64(&GOLDEN[7..]).expect("is base64");
    let good = &good[..good.len() - 4];
    assert_eq!(forged(good), GOLDEN);
    let check = |payload: &[u8]| {
        assert_eq!(forged(payload).parse::<AccessKey>(), Err(AccessKeyError::Damaged), "{payload:?}");
    };
    (0..good.len()).for_each(|end| check(&good[..end]));
    check(&[good, &[0]].concat());
    // No id; a secret that is no text; an id with capitals; one address of 17; a third way to seal.
    check(&[0, 0, 0, 0, 0]);
    check(&[1, b'a', 1, 0xff, 0, 0, 0]);
    check(&[1, b'A', 0, 0, 0, 0]);
    check(&[&[1, b'a', 0, 17][..], &[0; 17], &[0, 0]].concat());
    check(&[&[1, b'a', 0, 0, 17][..], &[0; 17 * 32], &[0]].concat());
    check(&[1, b'a', 0, 0, 0, 2]);
    assert!(forged(&[1, b'a', 0, 0, 0, 0]).parse::<AccessKey>().is_ok());
}

#[test]
fn a_key_shows_no_secret() {
    let shown = format!("{:?}", golden());
    let expected = r#"AccessKey { id: KeyId(0123456789abcdef), enrol: ["weir.example:8084", "[2001:db8::1]:8084"], .. }"#;
    assert_eq!(shown, expected);
    assert_eq!(format!("{:?}", golden().encode()), "Ok(***)");
}

#[test]
fn an_id_can_be_typed() {
    let check = |id: &str, expected: Result<(), IllegalName>| {
        assert_eq!(KeyId::new(id).map(|_| ()), expected, "{id:?}");
    };
    check("a", Ok(()));
    check(KeyId::random().as_str(), Ok(()));
    check("", Err(IllegalName::Empty));
    check("-a", Err(IllegalName::BadCharacter { character: '-', position: 0 }));
    check("aB", Err(IllegalName::BadCharacter { character: 'B', position: 1 }));
    check(&"a".repeat(65), Err(IllegalName::TooLong { length: 65, limit: 64 }));
    assert_ne!(KeyId::random(), KeyId::random());
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in ".*", payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        for text in [text.clone(), format!("weirk1.{text}"), forged(&payload)] {
            if let Ok(key) = text.parse::<AccessKey>() {
                let again = self::text(&key);
                prop_assert_eq!(again, text.trim());
            }
        }
    }
}
