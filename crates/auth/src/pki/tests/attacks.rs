//! Requests and certificates by somebody who means no good.

use proptest::prelude::*;
use rcgen::{CertificateParams, SanType};

use super::*;

#[test]
fn requests_of_other_kinds_are_refused() {
    let check = |name: &str, request: &[u8], expected: RequestError| {
        assert_eq!(CheckedRequest::read(request), Err(expected), "{name}");
    };
    check("RSA", include_bytes!("../requests/rsa.der"), RequestError::KeyType);
    check("Ed25519", include_bytes!("../requests/ed25519.der"), RequestError::KeyType);
    check("P-384", include_bytes!("../requests/p384.der"), RequestError::KeyType);
    check("secp256k1", include_bytes!("../requests/secp256k1.der"), RequestError::KeyType);
    check("own curve", include_bytes!("../requests/explicit_curve.der"), RequestError::KeyType);
    check("compressed", include_bytes!("../requests/compressed_point.der"), RequestError::KeyType);
    check("SHA-384", include_bytes!("../requests/sha384.der"), RequestError::BadSignature);
    check("nothing", b"", RequestError::Malformed);
    check("garbage", b"garbage", RequestError::Malformed);
    check("a certificate", issued().der(), RequestError::Malformed);
    check("a private key", PrivateKey::generate().pkcs8(), RequestError::Malformed);
    let good = PrivateKey::generate().request();
    check("more", &[&good[..], &[0]].concat(), RequestError::Malformed);
    check("twice", &[&good[..], &good].concat(), RequestError::Malformed);
    check("huge", &vec![0x30; 4097], RequestError::TooLarge { length: 4097 });
    let huge = [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &good].concat();
    check("says that it is huge", &huge, RequestError::Malformed);
    let nested = [0x30, 0x80].repeat(2000);
    check("nested", &nested, RequestError::Malformed);
}

#[test]
fn a_request_for_the_key_of_another_is_refused() {
    let (mine, other) = (PrivateKey::generate().request(), PrivateKey::generate().request());
    // Both have 65 bytes of a point behind the same 26 bytes of an algorithm.
    let at = |request: &[u8]| {
        request.windows(3).position(|bytes| bytes == [0x42, 0x00, 0x04]).expect("has a point")
    };
    let mut stolen = mine.clone();
    stolen.splice(at(&mine) + 2..at(&mine) + 67, other[at(&other) + 2..at(&other) + 67].iter().copied());
    assert_eq!(CheckedRequest::read(&stolen), Err(RequestError::BadSignature));
    // A point that is not on the curve.
    let mut nowhere = mine.clone();
    nowhere[at(&mine) + 3..at(&mine) + 67].fill(1);
    assert_eq!(CheckedRequest::read(&nowhere), Err(RequestError::BadSignature));
}

#[test]
fn no_change_of_a_request_makes_it_one_for_another_key() {
    for good in
        [PrivateKey::generate().request(), include_bytes!("../requests/asks_for_everything.der").to_vec()]
    {
        let key = CheckedRequest::read(&good).expect("is good").pin();
        for bit in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            // Tags outside of what is signed are read with more patience than DER has.
            if let Ok(accepted) = CheckedRequest::read(&changed) {
                assert_eq!(accepted.pin(), key, "bit {bit}");
            }
        }
        (0..good.len()).for_each(|end| assert!(CheckedRequest::read(&good[..end]).is_err(), "{end}"));
    }
}

/// A certificate of somebody who may write into it what he likes.
fn forged(names: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    let uri = |name: &&str| SanType::URI((*name).try_into().expect("is ASCII"));
    params.subject_alt_names = names.iter().map(uri).collect();
    params.self_signed(&PrivateKey::generate()).expect("is signed").der().to_vec()
}

#[test]
fn a_certificate_is_about_one_member() {
    let read = |names: &[&str]| Certificate::read(&forged(names)).map(|own| own.subject().to_string());
    let one = "spiffe://one/agent/node-7";
    assert_eq!(read(&[one]).as_deref(), Ok(one));
    let check = |names: &[&str]| assert_eq!(read(names), Err(CertificateError::NoSubject), "{names:?}");
    check(&[]);
    check(&[one, "spiffe://one/server"]);
    check(&[one, one]);
    check(&[one, "https://example.org"]);
    check(&["https://example.org"]);
    check(&["spiffe://one/agent/node-7/x"]);
    check(&["spiffe://one/agent/../server"]);
    check(&["spiffe://one/agent/node-7\0.example"]);
}

#[test]
fn members_are_not_taken_for_others() {
    let read = |name: &str| Certificate::read(&forged(&[name])).expect("can be read");
    let other = |who| Err(CertificateError::OtherSubject(who));
    let agent = read("spiffe://one/agent/server");
    assert_eq!((agent.server(), agent.authority()), (other("a server"), other("an authority")));
    let server = read("spiffe://one/server");
    assert_eq!(server.agent().map(|_| ()), Err(CertificateError::OtherSubject("an agent")));
    assert_eq!(server.authority(), other("an authority"));
    let authority = read("spiffe://one");
    assert_eq!(authority.server(), other("a server"));
    assert_eq!(authority.agent().map(|_| ()), Err(CertificateError::OtherSubject("an agent")));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let good = issued().der().to_vec();
    let check = |der: &[u8], expected: CertificateError| assert_eq!(Certificate::read(der), Err(expected));
    (0..good.len()).for_each(|end| check(&good[..end], CertificateError::Malformed));
    check(&[&good[..], &[0]].concat(), CertificateError::Malformed);
    check(&vec![0x30; 16_385], CertificateError::TooLarge { length: 16_385 });
    check(&[0x30, 0x80].repeat(8000), CertificateError::Malformed);
    check(&PrivateKey::generate().request(), CertificateError::Malformed);
}

/// An authority that is called as it likes, signed with the key of another.
fn twin(key: &PrivateKey, name: &str, issuer: &PrivateKey, issuer_name: &str) -> Vec<u8> {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.subject_alt_names = vec![SanType::URI("spiffe://one".try_into().expect("is ASCII"))];
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    };
    let above = named(issuer_name);
    let issuer = rcgen::Issuer::from_params(&above, issuer);
    named(name).signed_by(key, &issuer).expect("is signed").der().to_vec()
}

#[test]
fn a_chain_of_authorities_is_one_by_names_and_signatures() {
    let (own, root, other) = (PrivateKey::generate(), PrivateKey::generate(), PrivateKey::generate());
    let top = || twin(&root, "root", &root, "root");
    let check = |own_certificate: Vec<u8>, top: Vec<u8>, expected: Result<(), AuthorityError>| {
        assert_eq!(Authority::open(&[own_certificate, top], own.pkcs8()).map(|_| ()), expected);
    };
    check(twin(&own, "own", &root, "root"), top(), Ok(()));
    check(twin(&own, "own", &other, "root"), top(), Err(AuthorityError::Unlinked));
    check(twin(&own, "own", &root, "other"), top(), Err(AuthorityError::Unlinked));
    let unsigned = twin(&root, "root", &other, "root");
    check(twin(&own, "own", &root, "root"), unsigned, Err(AuthorityError::Unlinked));
    let mut member = CertificateParams::default();
    member.subject_alt_names = vec![SanType::URI("spiffe://one".try_into().expect("is ASCII"))];
    let member = member.self_signed(&own).expect("is signed").der().to_vec();
    assert_eq!(Authority::open(&[member], own.pkcs8()).map(|_| ()), Err(AuthorityError::NoAuthority));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(CheckedRequest::read(&bytes).is_err());
        prop_assert!(Certificate::read(&bytes).is_err());
        prop_assert!(PrivateKey::from_pkcs8(&bytes).is_err());
    }

    #[test]
    fn no_damage_is_a_panic(at in any::<prop::sample::Index>(), bytes: [u8; 4]) {
        let mut der = issued().der().to_vec();
        let at = at.index(der.len() - bytes.len());
        der[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok(certificate) = Certificate::read(&der) {
            prop_assert_eq!(certificate.der(), der);
        }
    }
}
