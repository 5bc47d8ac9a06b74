mod attacks;

use ring::signature::Ed25519KeyPair;

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn instance() -> InstanceId {
    InstanceId::new("one").expect("is legal")
}

fn claims() -> Claims {
    Claims {
        issuer: instance(),
        agent: AgentName::new("node-7").expect("is legal"),
        app: AppName::new("shop").expect("is legal"),
        audiences: vec![Audience::Ingest],
        certificate: Thumbprint::of(b"certificate"),
        issued: start(),
        expires: start() + 10 * MINUTE,
        id: "000102030405060708090a0b0c0d0e0f".parse().expect("is one"),
    }
}

fn expectation() -> Expectation {
    Expectation {
        issuer: instance(),
        audience: Audience::Ingest,
        certificate: Some(Thumbprint::of(b"certificate")),
        leeway: MINUTE,
    }
}

/// The key of RFC 8037, appendix A, with its public half as ring wants it.
fn golden() -> SigningKey {
    let secret = text::from_base64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("is base64");
    let public = text::from_base64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("is base64");
    let before = [0x30, 0x53, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pkcs8 = [&before[..], &secret, &[0xa1, 0x23, 3, 0x21, 0], &public].concat();
    SigningKey::from_pkcs8(&pkcs8).expect("is a key")
}

fn sign(key: &SigningKey, claims: &Claims) -> String {
    key.sign(claims).reveal().to_owned()
}

fn verifier(keys: &[&SigningKey]) -> Verifier {
    Verifier::new(&keys.iter().map(|key| key.public().clone()).collect::<Vec<_>>())
}

#[test]
fn keys_are_called_as_rfc_8037_says() {
    assert_eq!(golden().public().id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn tokens_have_this_form() {
    let token = sign(&golden(), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| String::from_utf8(text::from_base64(part).expect("is base64")).expect("is text");
    let header = r#"{"typ":"at+jwt","alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}"#;
    assert_eq!(json(parts[0]), header);
    let body = r#"{"iss":"spiffe://one","sub":"node-7","app":"shop","aud":["weir:ingest"],"cnf":{"x5t#S256":"CERTIFICATE"},"iat":1800000000,"exp":1800000600,"jti":"000102030405060708090a0b0c0d0e0f"}"#;
    let certificate = Thumbprint::of(b"certificate").to_string();
    assert_eq!(json(parts[1]), body.replace("CERTIFICATE", &certificate));
    assert_eq!(parts.len(), 3);
    assert_eq!(text::from_base64(parts[2]).map(|signature| signature.len()), Some(64));
}

#[test]
fn what_was_signed_is_verified() {
    let key = SigningKey::generate();
    let verifier = verifier(&[&key]);
    let check = |claims: Claims| {
        let token = sign(&key, &claims);
        assert_eq!(verifier.verify(&token, &expectation(), start()), Ok(claims));
    };
    check(claims());
    check(Claims { audiences: vec![Audience::Ingest, Audience::Control], ..claims() });
    let name = "a".repeat(200);
    let (agent, app) = (AgentName::new(&name).expect("is legal"), AppName::new(&name).expect("is legal"));
    check(Claims { agent, app, id: TokenId::random(), ..claims() });
    let parts = Claims { issued: start() + Duration::from_millis(999), ..claims() };
    assert_eq!(verifier.verify(&sign(&key, &parts), &expectation(), start()), Ok(claims()));
}

#[test]
fn keys_can_be_kept() {
    let key = SigningKey::generate();
    let again = SigningKey::from_pkcs8(key.pkcs8()).expect("was made here");
    assert_eq!(again.public(), key.public());
    let public = VerifyingKey::from_bytes(*key.public().as_bytes());
    let token = sign(&again, &claims());
    assert_eq!(Verifier::new(&[public]).verify(&token, &expectation(), start()), Ok(claims()));
    for other in [&b""[..], b"garbage", &key.pkcs8()[1..], crate::pki::PrivateKey::generate().pkcs8()] {
        assert_eq!(SigningKey::from_pkcs8(other).map(|_| ()), Err(UnusableKey));
    }
}

#[test]
fn keys_are_never_shown() {
    let key = golden();
    assert_eq!(format!("{key:?}"), "SigningKey(kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k)");
    let verifier = verifier(&[&key]);
    assert_eq!(format!("{verifier:?}"), r#"Verifier(["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"])"#);
    assert_eq!(format!("{:?}", key.sign(&claims())), "***");
}

#[test]
fn a_token_has_its_time() {
    let key = SigningKey::generate();
    let (verifier, token) = (verifier(&[&key]), sign(&key, &claims()));
    let second = Duration::from_secs(1);
    let check = |leeway, now, expected: Result<(), TokenError>| {
        let verified = verifier.verify(&token, &Expectation { leeway, ..expectation() }, now);
        assert_eq!(verified.map(|_| ()), expected, "{leeway:?} {now:?}");
    };
    let end = start() + 10 * MINUTE;
    let none = Duration::ZERO;
    check(none, start(), Ok(()));
    check(none, end - second, Ok(()));
    check(none, end, Err(TokenError::Expired { ago: none }));
    check(none, end + MINUTE, Err(TokenError::Expired { ago: MINUTE }));
    check(none, start() - second, Err(TokenError::NotYet { ahead: second }));
    // Clocks that differ.
    check(MINUTE, start() - MINUTE, Ok(()));
    check(MINUTE, start() - MINUTE - second, Err(TokenError::NotYet { ahead: MINUTE + second }));
    check(MINUTE, end + MINUTE - second, Ok(()));
    check(MINUTE, end + MINUTE, Err(TokenError::Expired { ago: MINUTE }));
    check(
        MINUTE,
        SystemTime::UNIX_EPOCH,
        Err(TokenError::NotYet { ahead: Duration::from_secs(1_800_000_000) }),
    );
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 8);
    let ago = late.duration_since(end).expect("is later");
    check(MINUTE, late, Err(TokenError::Expired { ago }));
}

#[test]
fn a_token_is_good_for_what_it_was_issued_for() {
    let key = SigningKey::generate();
    let verifier = verifier(&[&key]);
    let check = |claims: &Claims, expect: Expectation, expected: Result<(), TokenError>| {
        let verified = verifier.verify(&sign(&key, claims), &expect, start());
        assert_eq!(verified.map(|_| ()), expected, "{claims:?} {expect:?}");
    };
    let good = claims();
    check(
        &good,
        Expectation { audience: Audience::Control, ..expectation() },
        Err(TokenError::WrongAudience),
    );
    check(&Claims { audiences: vec![], ..claims() }, expectation(), Err(TokenError::WrongAudience));
    let other = InstanceId::new("other").expect("is legal");
    check(&good, Expectation { issuer: other.clone(), ..expectation() }, Err(TokenError::WrongIssuer));
    check(&Claims { issuer: other, ..claims() }, expectation(), Err(TokenError::WrongIssuer));
    let certificate = Some(Thumbprint::of(b"another"));
    check(&good, Expectation { certificate, ..expectation() }, Err(TokenError::WrongCertificate));
    check(&good, Expectation { certificate: None, ..expectation() }, Ok(()));
}

#[test]
fn keys_change_while_tokens_are_on_their_way() {
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let (of_old, of_new) = (sign(&old, &claims()), sign(&new, &claims()));
    let check = |keys: &[&SigningKey], old_is_good: bool, new_is_good: bool| {
        let verifier = verifier(keys);
        let verify = |token| verifier.verify(token, &expectation(), start()).map(|_| ());
        let expected = |good| if good { Ok(()) } else { Err(TokenError::UnknownKey) };
        assert_eq!((verify(&of_old), verify(&of_new)), (expected(old_is_good), expected(new_is_good)));
    };
    check(&[&old], true, false);
    check(&[&old, &new], true, true);
    check(&[&new], false, true);
    check(&[], false, false);
}
