mod attacks;
mod issued;

use std::time::{Duration, SystemTime};

use super::*;
use crate::identity::{AgentName, InstanceId};
use crate::text;

const DAY: Duration = Duration::from_hours(24);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn instance() -> InstanceId {
    InstanceId::new("one").expect("is legal")
}

fn agent() -> AgentName {
    AgentName::new("node-7").expect("is legal")
}

fn root() -> Authority {
    Authority::root(&instance(), start(), 3650 * DAY).expect("is issued")
}

fn intermediate() -> Authority {
    root().intermediate(start(), 90 * DAY).expect("is issued")
}

fn request() -> CheckedRequest {
    CheckedRequest::read(&PrivateKey::generate().request()).expect("is good")
}

fn issued() -> Certificate {
    intermediate().issue_agent(&request(), &agent(), start(), DAY).expect("is issued")
}

#[test]
fn a_public_key_has_one_pin() {
    let key = PrivateKey::generate();
    let request = CheckedRequest::read(&key.request()).expect("is good");
    let certificate = intermediate().issue_agent(&request, &agent(), start(), DAY).expect("is issued");
    assert_eq!(request.pin(), key.pin());
    assert_eq!(certificate.pin(), key.pin());
    assert_ne!(certificate.pin(), PrivateKey::generate().pin());
    let again = PrivateKey::from_pkcs8(key.pkcs8()).expect("was made here");
    assert_eq!(again.pin(), key.pin());
}

/// What `openssl req -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` says.
#[test]
fn pins_are_those_of_other_tools() {
    let request = CheckedRequest::read(include_bytes!("requests/openssl.der")).expect("is good");
    assert_eq!(
        request.pin().to_string(),
        "sha256:b6da7b8190d18267433c9cb2d1dbcf956898e9a015073206b2f68f34d3244b07"
    );
}

#[test]
fn digests_have_one_text() {
    let pin = PrivateKey::generate().pin();
    assert_eq!(pin.to_string().parse(), Ok(pin));
    assert_eq!(pin.to_string().len(), 71);
    let thumbprint = Thumbprint::of(b"abc");
    assert_eq!(thumbprint.to_string(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    assert_eq!(thumbprint.to_string().parse(), Ok(thumbprint));
    for other in ["", "sha256:", "sha256:00", &pin.to_string()[7..], &pin.to_string().to_uppercase()] {
        assert_eq!(other.parse::<Pin>(), Err(IllegalDigest), "{other:?}");
    }
    for other in ["", "ungWv48Bz", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0", &format!("{thumbprint}AA")]
    {
        assert_eq!(other.parse::<Thumbprint>(), Err(IllegalDigest), "{other:?}");
    }
}

#[test]
fn keys_of_other_kinds_are_refused() {
    let check = |pkcs8: &[u8]| {
        assert_eq!(PrivateKey::from_pkcs8(pkcs8).expect_err("is refused"), UnusableKey);
    };
    check(b"");
    check(b"garbage");
    check(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("is made").serialized_der());
    check(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("is made").serialized_der());
    let key = PrivateKey::generate();
    check(&key.pkcs8()[1..]);
    check(&key.pkcs8()[..key.pkcs8().len() - 1]);
}

#[test]
fn keys_are_never_shown() {
    let key = PrivateKey::generate();
    assert_eq!(format!("{key:?} {key:#?}"), "PrivateKey(***) PrivateKey(***)");
    let root = root();
    let own = format!("Certificate(spiffe://one, {})", root.certificate().serial());
    assert_eq!(
        format!("{root:?}"),
        format!("Authority {{ chain: [{own}], key: PrivateKey(***), instance: InstanceId(one) }}"),
    );
    let server = root.issue_server(&[], start(), DAY).expect("is issued");
    let first = format!("Certificate(spiffe://one/server, {})", server.certificate().serial());
    assert_eq!(format!("{server:?}"), format!("Identity {{ chain: [{first}, {own}], .. }}"));
}

#[test]
fn an_authority_can_be_kept() {
    let (root, intermediate) = (root(), intermediate());
    let chain = |of: &Authority| of.chain().iter().map(|own| own.der().to_vec()).collect::<Vec<_>>();
    for kept in [&root, &intermediate] {
        let again = Authority::open(&chain(kept), kept.key().pkcs8()).expect("is good");
        assert_eq!(again.chain(), kept.chain());
        assert_eq!(again.instance(), kept.instance());
        let one = again.issue_agent(&request(), &agent(), start(), DAY).expect("is issued");
        assert_eq!(one.agent().expect("is one").agent, agent());
    }
    let check = |chain: &[Vec<u8>], key: &[u8], expected: AuthorityError| {
        assert_eq!(Authority::open(chain, key).expect_err("is refused"), expected);
    };
    let key = intermediate.key().pkcs8();
    let [own, above] = &chain(&intermediate)[..] else { panic!("an intermediate has a root") };
    check(&[], key, AuthorityError::Empty);
    check(&chain(&intermediate), b"", AuthorityError::Key(UnusableKey));
    check(&chain(&intermediate), root.key().pkcs8(), AuthorityError::OtherKey);
    check(&[above.clone(), own.clone()], key, AuthorityError::OtherKey);
    check(&[own[1..].to_vec()], key, AuthorityError::Certificate(CertificateError::Malformed));
    check(std::slice::from_ref(own), key, AuthorityError::Unlinked);
    check(&[own.clone(), chain(&root).remove(0)], key, AuthorityError::Unlinked);
    let other = Authority::root(&InstanceId::new("other").expect("is legal"), start(), DAY);
    check(&[own.clone(), chain(&other.expect("is issued")).remove(0)], key, AuthorityError::Unlinked);
    let server = intermediate.issue_server(&[], start(), DAY).expect("is issued");
    let own = server.certificate().der().to_vec();
    let expected = AuthorityError::Certificate(CertificateError::OtherSubject("an authority"));
    check(&[own, above.clone()], server.key().pkcs8(), expected);
}

#[test]
fn an_identity_is_a_certificate_and_its_key() {
    let key = PrivateKey::generate();
    let request = CheckedRequest::read(&key.request()).expect("is good");
    let authority = intermediate();
    let certificate = authority.issue_agent(&request, &agent(), start(), 200 * DAY).expect("is issued");
    let chain = || [std::slice::from_ref(&certificate), authority.chain()].concat();
    let identity = Identity::new(chain(), key).expect("fits");
    assert_eq!(identity.chain(), chain());
    assert_eq!(identity.not_after(), start() + 90 * DAY);
    let refused = |chain, key| Identity::new(chain, key).expect_err("is refused");
    assert_eq!(refused(chain(), PrivateKey::generate()), IdentityError::OtherKey);
    assert_eq!(refused(vec![], PrivateKey::generate()), IdentityError::Empty);
}

#[test]
fn who_asks_for_a_certificate_of_a_server_gives_a_key_and_nothing_else() {
    let authority = intermediate();
    let names = ["proxy.example".to_owned(), "10.0.0.7".to_owned()];
    // It asks for other names, for other uses, and to be an authority.
    let request = CheckedRequest::read(include_bytes!("requests/asks_for_everything.der")).expect("is good");
    let certify = |names: &[String], life| authority.certify_server(&request, names, start(), life);
    let certificate = certify(&names, DAY).expect("is issued");
    assert_eq!(certificate.pin(), request.pin());
    assert_eq!(certificate.server(), Ok(&instance()));
    assert_eq!(certificate.not_after(), start() + DAY);
    let own = authority.issue_server(&names, start(), DAY).expect("is issued");
    let extensions = |certificate: &Certificate| issued::extensions_of(certificate);
    assert_eq!(extensions(&certificate), extensions(own.certificate()));
    // It does not outlive who vouches for it.
    assert_eq!(certify(&names, 4000 * DAY).expect("is issued").not_after(), start() + 90 * DAY);
    for name in ["", "a b", "a,b", "*", "*.*.example", "spiffe://one/agent/a", "proxy.example:443", "a/b"] {
        assert_eq!(certify(&[name.to_owned()], DAY), Err(IssueError::Name(name.to_owned())));
    }
}

#[test]
fn other_programs_read_what_is_written_for_them() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
    let key = PrivateKey::generate();
    let read = PrivatePkcs8KeyDer::from_pem_slice(key.pem().as_bytes()).expect("is PEM");
    assert_eq!(read.secret_pkcs8_der(), key.pkcs8());
    let certificate = issued();
    let read = CertificateDer::from_pem_slice(certificate.pem().as_bytes()).expect("is PEM");
    assert_eq!(read.as_ref(), certificate.der());
    let request = CheckedRequest::read_pem(&key.request_pem()).expect("is good");
    assert_eq!(request.pin(), key.pin());
    let check = |pem: &str, expected| assert_eq!(CheckedRequest::read_pem(pem), Err(expected), "{pem}");
    check("", RequestError::NoPem);
    check("garbage", RequestError::NoPem);
    check(&certificate.pem(), RequestError::NoPem);
    check(&key.request_pem().replace("MI", "M!"), RequestError::NoPem);
    check(&text::pem("CERTIFICATE REQUEST", b"garbage"), RequestError::Malformed);
}
