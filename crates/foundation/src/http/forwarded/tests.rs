use std::net::Ipv4Addr;

use http::HeaderValue;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::ClientCertVerified;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::*;

/// Takes the certificate `good` alone, and `below` behind `between`; `old` has ended.
#[derive(Debug)]
struct Letters;

impl ClientCertVerifier for Letters {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let sent: Vec<&[u8]> = intermediates.iter().map(|der| der.as_ref()).collect();
        match (end_entity.as_ref(), &sent[..]) {
            (b"good", _) | (b"below", [b"between", ..]) => Ok(ClientCertVerified::assertion()),
            (b"old", _) if now.as_secs() > 100 => Err(CertificateError::Expired.into()),
            _ => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::HandshakeNotComplete)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::HandshakeNotComplete)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}

fn verifier() -> watch::Receiver<Verifier> {
    watch::Sender::new(Arc::new(Letters) as Verifier).subscribe()
}

fn peer(headers: &[(&str, &[u8])]) -> Peer {
    let network = "10.0.0.0/8".parse().expect("is one");
    let proxies = Proxies::of_certificates(&[network], verifier());
    assert!(proxies.has(Ipv4Addr::new(10, 0, 0, 1).into()));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("is a name");
        map.append(name, HeaderValue::from_bytes(value).expect("a header carries it"));
    }
    proxies.peer(&map, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
}

/// What a client is who sends these: its certificate, or the code.
fn check(headers: &[(&str, &[u8])], expected: Result<&str, &str>) {
    let outcome = match peer(headers) {
        Peer { certificate: Some(der), refused: None } => Ok(String::from_utf8_lossy(&der).into_owned()),
        Peer { certificate: None, refused: Some(refused) } => Err(refused.code()),
        other => panic!("{other:?} is neither taken nor refused"),
    };
    assert_eq!(outcome, expected.map(str::to_owned), "{headers:?}");
}

#[test]
fn both_forms_are_read() {
    check(&[("client-cert", b":Z29vZA==:")], Ok("good"));
    check(&[("Client-Cert", b":Z29vZA==:")], Ok("good"));
    let pem = b"-----BEGIN%20CERTIFICATE-----%0AZ29vZA%3D%3D%0A-----END%20CERTIFICATE-----%0A";
    check(&[("client-cert", pem)], Ok("good"));
    let cut = b"-----BEGIN%20CERTIFICATE-----%0aZ29v%0aZA%3d%3d%0a-----END%20CERTIFICATE-----";
    check(&[("client-cert", cut)], Ok("good"));
}

#[test]
fn the_chain_is_looked_at() {
    let below = ("client-cert", &b":YmVsb3c=:"[..]);
    check(&[below], Err("distrusted-certificate"));
    check(&[below, ("client-cert-chain", b":YmV0d2Vlbg==:")], Ok("below"));
    check(&[below, ("client-cert-chain", b":YmV0d2Vlbg==:, :b3RoZXI=:")], Ok("below"));
    check(
        &[below, ("client-cert-chain", b":YmV0d2Vlbg==:"), ("client-cert-chain", b":b3RoZXI=:")],
        Ok("below"),
    );
    check(&[below, ("client-cert-chain", b":b3RoZXI=: ,:YmV0d2Vlbg==:")], Err("distrusted-certificate"));
    check(&[below, ("client-cert-chain", b"")], Err("distrusted-certificate"));
    let long = [&b":YmV0d2Vlbg==:"[..]; 9].join(&b","[..]);
    for chain in [&b"YmV0d2Vlbg=="[..], b":YmV0d2Vlbg==:,", b":::", b"::", b":YmV0d2Vlbg:", &long] {
        check(&[below, ("client-cert-chain", chain)], Err("malformed-certificate"));
    }
}

#[test]
fn whoever_is_not_shown_is_nobody() {
    check(&[], Err("no-certificate"));
    check(&[("client-cert", b"")], Err("no-certificate"));
    check(&[("client-cert-chain", b":Z29vZA==:")], Err("no-certificate"));
    check(&[("x-client-cert", b":Z29vZA==:")], Err("no-certificate"));
    check(&[("client-cert", b":b2xk:")], Err("certificate-expired"));
    check(&[("client-cert", b":b3RoZXI=:")], Err("distrusted-certificate"));
    let good = ("client-cert", &b":Z29vZA==:"[..]);
    check(&[good, good], Err("malformed-certificate"));
    check(&[good, ("client-cert", b"")], Err("malformed-certificate"));
    check(&[("client-cert", b""), good], Err("malformed-certificate"));
}

#[test]
fn anything_else_is_refused() {
    let begin = "-----BEGIN%20CERTIFICATE-----%0A";
    let end = "%0A-----END%20CERTIFICATE-----%0A";
    let pem = |inner: &str| format!("{begin}{inner}{end}");
    let others = [
        "good".to_owned(),
        "Z29vZA==".to_owned(),
        ":Z29vZA==".to_owned(),
        "Z29vZA==:".to_owned(),
        ":".to_owned(),
        "::".to_owned(),
        ":Z29vZA:".to_owned(),
        ":Z29vZA==:;a=1".to_owned(),
        ":Z29vZA==:, :Z29vZA==:".to_owned(),
        ": Z29vZA==:".to_owned(),
        ":Z29v-_==:".to_owned(),
        "%3AZ29vZA%3D%3D%3A".to_owned(),
        pem(""),
        pem("Z29vZA"),
        pem("Z29vZA%3D%3"),
        pem("Z29vZA%3D%+3"),
        pem("Z29vZA%3D%zz"),
        pem("Z29vZA%3D%3D") + "x",
        pem("Z29vZA%3D%3D") + &pem("Z29vZA%3D%3D"),
        "%0A".to_owned() + &pem("Z29vZA%3D%3D"),
        pem("Z29vZA%3D%3D").replace("CERTIFICATE", "PRIVATE%20KEY"),
        format!("Z29vZA%3D%3D{end}"),
        format!("{begin}Z29vZA%3D%3D"),
        begin.to_owned(),
        "%".to_owned(),
    ];
    for other in others {
        check(&[("client-cert", other.as_bytes())], Err("malformed-certificate"));
    }
    check(&[("client-cert", b"\xff\xfe")], Err("malformed-certificate"));
}

#[test]
fn where_nobody_has_to_show_a_certificate_none_is_looked_at() {
    let proxies = Proxies::of_anybody(&["10.0.0.1".parse().expect("is one")]);
    let mut headers = HeaderMap::new();
    headers.insert("client-cert", HeaderValue::from_static(":b3RoZXI=:"));
    assert_eq!(proxies.peer(&headers, SystemTime::UNIX_EPOCH), Peer::default());
}
