//! What certificates say that were issued.

use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::x509::X509Version;

use super::*;

/// All extensions, in their order.
fn extensions(certificate: &X509Certificate<'_>) -> Vec<String> {
    let describe = |parsed: &ParsedExtension<'_>| match parsed {
        ParsedExtension::AuthorityKeyIdentifier(id) => {
            assert!(id.authority_cert_issuer.is_none() && id.authority_cert_serial.is_none());
            "authority key".to_owned()
        }
        ParsedExtension::SubjectKeyIdentifier(_) => "subject key".to_owned(),
        ParsedExtension::SubjectAlternativeName(names) => {
            let name = |name: &GeneralName<'_>| match name {
                GeneralName::URI(uri) => (*uri).to_owned(),
                GeneralName::DNSName(name) => format!("DNS {name}"),
                GeneralName::IPAddress(address) => format!("IP {address:?}"),
                other => format!("{other:?}"),
            };
            names.general_names.iter().map(name).collect::<Vec<_>>().join(", ")
        }
        ParsedExtension::KeyUsage(usage) => format!("usage {:b}", usage.flags),
        ParsedExtension::ExtendedKeyUsage(usage) => {
            let any = usage.any || usage.code_signing || usage.email_protection;
            let more = any || usage.time_stamping || usage.ocsp_signing || !usage.other.is_empty();
            format!("server {} client {} more {more}", usage.server_auth, usage.client_auth)
        }
        ParsedExtension::BasicConstraints(basic) => {
            format!("authority {} depth {:?}", basic.ca, basic.path_len_constraint)
        }
        other => format!("{other:?}"),
    };
    let critical = |critical| if critical { " (critical)" } else { "" };
    let each = certificate.extensions().iter();
    each.map(|one| format!("{}{}", describe(one.parsed_extension()), critical(one.critical))).collect()
}

pub(super) fn extensions_of(certificate: &Certificate) -> Vec<String> {
    let (_, read) = X509Certificate::from_der(certificate.der()).expect("is one");
    extensions(&read)
}

fn check(certificate: &Certificate, issuer: &Authority, subject: &str, expected: &[&str]) {
    let (rest, read) = X509Certificate::from_der(certificate.der()).expect("is one");
    assert!(rest.is_empty());
    assert_eq!(extensions(&read), expected);
    assert_eq!(read.version(), X509Version::V3);
    let (_, issuer) = X509Certificate::from_der(issuer.certificate().der()).expect("is one");
    assert_eq!(read.issuer(), issuer.subject());
    read.verify_signature(Some(issuer.public_key())).expect("is signed");
    let serial = certificate.serial().to_string();
    assert_eq!((serial.len(), read.raw_serial().len()), (32, 16));
    let names = read.subject().to_string().replace(&serial[..8], "SERIAL");
    assert_eq!(names, subject);
}

const AGENT: [&str; 6] = [
    "authority key",
    "spiffe://one/agent/node-7 (critical)",
    "usage 1 (critical)",
    "server false client true more false",
    "subject key",
    "authority false depth None (critical)",
];

#[test]
fn a_root_and_an_intermediate_say_this() {
    let root = root();
    let own =
        ["spiffe://one", "usage 100000 (critical)", "subject key", "authority true depth Some(1) (critical)"];
    check(root.certificate(), &root, "O=one, CN=weir root SERIAL", &own);
    let intermediate = root.intermediate(start(), DAY).expect("is issued");
    let own = [
        "authority key",
        "spiffe://one",
        "usage 100000 (critical)",
        "subject key",
        "authority true depth Some(0) (critical)",
    ];
    check(intermediate.certificate(), &root, "O=one, CN=weir intermediate SERIAL", &own);
    let error = intermediate.intermediate(start(), DAY).expect_err("is refused");
    assert_eq!(error, IssueError::NoRoot);
}

#[test]
fn a_server_says_this() {
    let authority = intermediate();
    let names = ["weir.example", "*.weir.example", "127.0.0.1", "2001:db8::1"].map(str::to_owned);
    let server = authority.issue_server(&names, start(), DAY).expect("is issued");
    let expected = [
        "authority key",
        "DNS weir.example, DNS *.weir.example, IP [127, 0, 0, 1], \
         IP [32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], spiffe://one/server (critical)",
        "usage 1 (critical)",
        "server true client false more false",
        "subject key",
        "authority false depth None (critical)",
    ];
    check(server.certificate(), &authority, "", &expected);
    assert_eq!(server.certificate().server(), Ok(&instance()));
    assert_eq!(server.chain()[1..], *authority.chain());
}

#[test]
fn an_agent_gets_this_whatever_it_asked_for() {
    let authority = intermediate();
    let check = |asked: &[u8]| {
        let request = CheckedRequest::read(asked).expect("is good");
        let certificate = authority.issue_agent(&request, &agent(), start(), DAY).expect("is issued");
        check(&certificate, &authority, "", &AGENT);
        assert_eq!(certificate.pin(), request.pin());
        assert_eq!(certificate.agent().map(|agent| agent.agent.as_str()), Ok("node-7"));
    };
    check(&PrivateKey::generate().request());
    check(include_bytes!("../requests/openssl.der"));
    check(include_bytes!("../requests/asks_for_everything.der"));
    let mut wanted = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).expect("is legal");
    wanted.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    wanted.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    wanted.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    wanted.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::Any);
    let uri = "spiffe://one/agent/another".try_into().expect("is ASCII");
    wanted.subject_alt_names.push(rcgen::SanType::URI(uri));
    let unknown = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    wanted.custom_extensions = vec![unknown];
    check(wanted.serialize_request(&PrivateKey::generate()).expect("is written").der());
}

#[test]
fn no_two_certificates_have_one_number() {
    let (authority, request) = (intermediate(), request());
    let issue = || authority.issue_agent(&request, &agent(), start(), DAY).expect("is issued");
    let (one, other) = (issue(), issue());
    assert_ne!(one.serial(), other.serial());
    assert_ne!(one.thumbprint(), other.thumbprint());
    assert_eq!(one.pin(), other.pin());
    assert_eq!(one.thumbprint(), Thumbprint::of(one.der()));
}

#[test]
fn nothing_outlives_who_vouches_for_it() {
    let root = Authority::root(&instance(), start(), 100 * DAY).expect("is issued");
    let intermediate = root.intermediate(start() + 50 * DAY, 90 * DAY).expect("is issued");
    assert_eq!(intermediate.certificate().not_after(), start() + 100 * DAY);
    let check = |now, life, expected: Result<(SystemTime, SystemTime), IssueError>| {
        let certificate = intermediate.issue_agent(&request(), &agent(), now, life);
        assert_eq!(certificate.map(|own| (own.not_before(), own.not_after())), expected);
        let server = intermediate.issue_server(&[], now, life);
        assert_eq!(server.map(|own| (own.certificate().not_before(), own.not_after())), expected);
    };
    let (minute, five) = (Duration::from_mins(1), Duration::from_mins(5));
    let at = |days: u32| start() + days * DAY;
    check(at(50), DAY, Ok((at(50) - five, at(51))));
    check(at(50) + Duration::from_millis(1999), DAY, Ok((at(50) - five + minute / 60, at(51) + minute / 60)));
    check(at(99), 2 * DAY, Ok((at(99) - five, at(100))));
    check(at(99), Duration::MAX, Ok((at(99) - five, at(100))));
    check(at(100), DAY, Ok((at(100) - five, at(100))));
    check(at(100) + minute / 60, DAY, Err(IssueError::OutOfTime));
    check(at(50) - five, DAY, Ok((at(50) - 2 * five, at(51) - five)));
    check(at(50) - five - minute / 60, DAY, Err(IssueError::OutOfTime));
    assert_eq!(root.intermediate(at(101), DAY).map(|_| ()), Err(IssueError::OutOfTime));
}

#[test]
fn times_that_no_certificate_can_name_become_the_nearest_one() {
    let forever = Authority::root(&instance(), SystemTime::UNIX_EPOCH, Duration::MAX).expect("is issued");
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let own = forever.certificate();
    assert_eq!((own.not_before(), own.not_after()), (SystemTime::UNIX_EPOCH, end));
    let late = forever.issue_agent(&request(), &agent(), end, DAY).expect("is issued");
    assert_eq!(late.not_after(), end);
}

#[test]
fn names_of_servers_are_names() {
    let authority = intermediate();
    for name in
        ["", "a b", "ä.example", "https://weir.example", "weir.example:443", "a..b", "a/b", "a\0b", "*"]
    {
        let error = authority.issue_server(&[name.to_owned()], start(), DAY).expect_err(name);
        assert_eq!(error, IssueError::Name(name.to_owned()));
    }
    let many = vec!["a.example".to_owned(); 10_000];
    let error = authority.issue_server(&many, start(), DAY).expect_err("is too large to be read");
    assert!(matches!(error, IssueError::Unreadable(CertificateError::TooLarge { .. })), "{error}");
}
