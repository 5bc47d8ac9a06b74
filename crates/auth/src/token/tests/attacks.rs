//! Tokens by somebody who has none, or one that he may not use for this.

use proptest::prelude::*;
use ring::hmac;

use super::*;

fn part(json: &str) -> String {
    text::base64(json.as_bytes())
}

/// A token with this header and the good body, signed well by the key.
fn with_header(key: &SigningKey, header: &str) -> String {
    let token = sign(key, &claims());
    let body = token.split('.').nth(1).expect("has a body");
    signed(key, header, body)
}

/// A token with this body and a good header, signed well by the key.
fn with_body(key: &SigningKey, body: &str) -> String {
    signed(key, &header(key), &part(body))
}

fn header(key: &SigningKey) -> String {
    format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{}"}}"#, key.public().id())
}

fn signed(key: &SigningKey, header: &str, body: &str) -> String {
    let message = format!("{}.{body}", part(header));
    let pair = Ed25519KeyPair::from_pkcs8(key.pkcs8()).expect("is a key");
    format!("{message}.{}", text::base64(pair.sign(message.as_bytes()).as_ref()))
}

fn verify(token: &str) -> Result<Claims, TokenError> {
    verifier(&[&golden()]).verify(token, &expectation(), start())
}

fn check(token: &str, expected: TokenError) {
    assert_eq!(verify(token), Err(expected), "{token}");
}

#[test]
fn no_other_algorithm_is_taken() {
    let key = golden();
    let body = part(r#"{"sub":"anybody"}"#);
    for name in ["none", "None", "NONE", "HS256", "HS512", "RS256", "ES256", "PS256", "eddsa", "Ed25519", ""]
    {
        let wrong = || TokenError::WrongAlgorithm(name.to_owned());
        let header = format!(r#"{{"alg":"{name}","typ":"at+jwt","kid":"{}"}}"#, key.public().id());
        check(&with_header(&key, &header), wrong());
        check(&format!("{}.{body}.", part(&header)), wrong());
        check(&format!("{}.{body}.AAAA", part(&format!(r#"{{"alg":"{name}","typ":"JWT"}}"#))), wrong());
    }
    let long = with_header(&key, &format!(r#"{{"alg":"{}\n"}}"#, "x\\n".repeat(100)));
    let error = verify(&long).expect_err("is no algorithm");
    let expected = r"access tokens are signed by `EdDSA`, not by `x\nx\nx\nx\nx\nx\nx\nx\n`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_public_key_is_no_secret_for_hmac() {
    let key = golden();
    let token = sign(&key, &claims());
    let body = token.split('.').nth(1).expect("has a body");
    let public = key.public().as_bytes();
    let forms = [public.to_vec(), text::base64(public).into_bytes(), text::hex(public).into_bytes(), vec![]];
    for secret in forms {
        for (alg, expected) in
            [("HS256", TokenError::WrongAlgorithm("HS256".to_owned())), ("EdDSA", TokenError::BadSignature)]
        {
            let header = header(&key).replace("EdDSA", alg);
            let message = format!("{}.{body}", part(&header));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            check(&format!("{message}.{}", text::base64(tag.as_ref())), expected);
        }
    }
}

#[test]
fn a_key_is_found_by_its_id_only() {
    let (key, other) = (golden(), SigningKey::generate());
    check(&sign(&other, &claims()), TokenError::UnknownKey);
    check(&with_header(&key, r#"{"typ":"at+jwt","alg":"EdDSA"}"#), TokenError::UnknownKey);
    check(&with_header(&key, r#"{"typ":"at+jwt","alg":"EdDSA","kid":null}"#), TokenError::UnknownKey);
    check(&with_header(&key, r#"{"typ":"at+jwt","alg":"EdDSA","kid":""}"#), TokenError::UnknownKey);
    check(
        &with_header(&key, r#"{"typ":"at+jwt","alg":"EdDSA","kid":"../../dev/null"}"#),
        TokenError::UnknownKey,
    );
    // Somebody else's key under the known id.
    check(&signed(&other, &header(&key), "e30"), TokenError::BadSignature);
}

#[test]
fn a_header_brings_no_key_and_no_extension() {
    let (key, own) = (golden(), SigningKey::generate());
    let x = text::base64(own.public().as_bytes());
    let id = own.public().id();
    let known = key.public().id();
    let check = |more: &str| {
        let header = format!(r#"{{"typ":"at+jwt","alg":"EdDSA",{more}}}"#);
        check(&with_header(&own, &header), TokenError::Malformed);
        check(&with_header(&key, &header), TokenError::Malformed);
    };
    check(&format!(r#""kid":"{id}","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#));
    check(&format!(r#""kid":"{known}","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#));
    check(&format!(r#""kid":"{known}","jku":"https://evil.example/keys""#));
    check(&format!(r#""kid":"{known}","x5u":"https://evil.example/cert""#));
    check(&format!(r#""kid":"{known}","x5c":["AAAA"]"#));
    check(&format!(r#""kid":"{known}","crit":["exp"],"exp":1"#));
    check(&format!(r#""kid":"{known}","b64":false,"crit":["b64"]"#));
    check(&format!(r#""kid":"{known}","zip":"DEF""#));
    // Twice: readers might choose differently.
    check(&format!(r#""kid":"{known}","kid":"{id}""#));
    check(&format!(r#""kid":"{known}","alg":"none""#));
}

#[test]
fn a_token_of_another_type_is_none() {
    let key = golden();
    let header = header(&key);
    for other in [r#""typ":"JWT""#, r#""typ":"AT+JWT""#, r#""typ":null"#, r#""typ":"""#] {
        check(&with_header(&key, &header.replace(r#""typ":"at+jwt""#, other)), TokenError::Malformed);
    }
    check(&with_header(&key, &header.replace(r#""typ":"at+jwt","#, "")), TokenError::Malformed);
    assert_eq!(verify(&with_header(&key, &header)), Ok(claims()));
}

#[test]
fn no_character_of_a_token_can_be_changed() {
    let good = sign(&golden(), &claims());
    assert_eq!(verify(&good), Ok(claims()));
    let (header_end, body_end) = (good.find('.').expect("has parts"), good.rfind('.').expect("has parts"));
    for (at, old) in good.char_indices() {
        for new in ['A', 'B', 'Q', 'g', 'w', '_', '-', '.', '=', '+', '/', ' ', '\n', '\0', 'ä'] {
            if new == old {
                continue;
            }
            let changed = format!("{}{new}{}", &good[..at], &good[at + 1..]);
            let error = verify(&changed).expect_err(&changed);
            if at > header_end && at < body_end && (new.is_ascii_alphanumeric() || "-_".contains(new)) {
                assert_eq!(error, TokenError::BadSignature, "{changed}");
            }
        }
        assert!(verify(&good[..at]).is_err(), "{at}");
        assert!(verify(&format!("{}{}", &good[..at], &good[at + 1..])).is_err(), "{at}");
    }
}

#[test]
fn parts_of_two_tokens_make_no_third() {
    let key = golden();
    let mine = sign(&key, &claims());
    let other = sign(&key, &Claims { app: AppName::new("bank").expect("is legal"), ..claims() });
    let (mine, other): (Vec<_>, Vec<_>) = (mine.split('.').collect(), other.split('.').collect());
    check(&format!("{}.{}.{}", mine[0], other[1], mine[2]), TokenError::BadSignature);
    check(&format!("{}.{}.", mine[0], mine[1]), TokenError::BadSignature);
    check(&format!("{}.{}", mine[0], mine[1]), TokenError::Malformed);
    check(&format!("{}.{}.{}.{}", mine[0], mine[1], mine[2], mine[2]), TokenError::Malformed);
    check(&format!("{}.{}.{}{}", mine[0], mine[1], mine[2], mine[2]), TokenError::BadSignature);
}

#[test]
fn a_signature_has_one_form() {
    let good = sign(&golden(), &claims());
    let (message, signature) = good.rsplit_once('.').expect("has a signature");
    let mut signature = text::from_base64(signature).expect("is base64");
    // S + L, which a careless reader takes for S.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order: [u8; 32] = text::from_hex(order).expect("is hexadecimal");
    let mut carry = 0;
    for (digit, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*digit) + u16::from(more) + carry;
        *digit = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    check(&format!("{message}.{}", text::base64(&signature)), TokenError::BadSignature);
    check(&format!("{message}.{}", text::base64(&[0; 64])), TokenError::BadSignature);
}

#[test]
fn a_body_that_lacks_something_is_none() {
    let key = golden();
    let good = r#"{"iss":"spiffe://one","sub":"node-7","app":"shop","aud":["weir:ingest"],"cnf":{"x5t#S256":"CERTIFICATE"},"iat":1800000000,"exp":1800000600,"jti":"000102030405060708090a0b0c0d0e0f"}"#;
    let good = good.replace("CERTIFICATE", &Thumbprint::of(b"certificate").to_string());
    assert_eq!(verify(&with_body(&key, &good)), Ok(claims()));
    let more = good.replace(r#"["weir:ingest"]"#, r#"["weir:ingest","weir:later"],"more":1"#);
    assert_eq!(verify(&with_body(&key, &more)), Ok(claims()), "of a newer weir");
    let check = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        check(&with_body(&key, &good.replace(from, to)), TokenError::Malformed);
    };
    for name in ["iss", "sub", "app", "aud", "cnf", "x5t#S256", "iat", "exp", "jti"] {
        check(&format!(r#""{name}":"#), &format!(r#""{name}_":"#));
    }
    check("spiffe://one", "one");
    check("spiffe://one", "spiffe://one/server");
    check("node-7", "../node-7");
    check("shop", "");
    check(r#"["weir:ingest"]"#, r#""weir:ingest""#);
    check(r#"["weir:ingest"]"#, "[1]");
    check("1800000600", "18446744073709551616");
    check("1800000600", "18446744073709551615");
    check("1800000600", "1e300");
    check("1800000600", "-1");
    check("1800000600", r#""1800000600""#);
    check("1800000600", "null");
    check("0e0f", "0e0F");
    check(r#""app":"shop""#, r#""app":"shop","app":"bank""#);
    check(&good, "[]");
    check(&good, "");
    check(&good, &"[".repeat(2000));
    check(&good, &format!("{good}{good}"));
}

#[test]
fn large_tokens_are_not_read() {
    let key = golden();
    let pad = |spaces: usize| with_header(&key, &format!("{}{}", " ".repeat(spaces), header(&key)));
    assert!(verify(&pad(1000)).is_ok());
    assert!(pad(3000).len() > 4096);
    check(&pad(3000), TokenError::Malformed);
    check(&"a.".repeat(1 << 20), TokenError::Malformed);
}

#[test]
fn nothing_is_told_about_what_is_not_signed() {
    let key = golden();
    let other = Claims { issuer: InstanceId::new("other").expect("is legal"), ..claims() };
    let token = sign(&SigningKey::generate(), &other);
    let body = token.split('.').nth(1).expect("has a body");
    check(&format!("{}.{body}.{}", part(&header(&key)), text::base64(&[1; 64])), TokenError::BadSignature);
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in ".*", header in ".*", body in ".*") {
        prop_assert!(verify(&text).is_err());
        let parts = [part(&header), part(&body), part(&text)].join(".");
        prop_assert!(verify(&parts).is_err());
        // Signed well, so that every step is reached.
        prop_assert!(verify(&with_header(&golden(), &header)).is_err());
        prop_assert!(verify(&with_body(&golden(), &body)).is_err());
    }
}
